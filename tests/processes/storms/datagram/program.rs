//! The program: main makes the sockets, starts the others, and looks at what they have counted.

use super::mover::{mover, waiter};
use super::named::{Named, close_all, named, open};
use super::receiver::receiver;
use super::sender::sender;
use super::watcher::watcher;
use super::{RECEIVED, SENDERS, SENT, scene};
use crate::library::{
    Choice, SHARED, Started, begin, block, count, exit, expect_at_most, expect_equal, finish, handle,
    interrupt_all, restart_flag, share_page, start,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14};
use processes::program::Program;

/// The program `/storm`.
pub fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let s = &scene(&mut p, choice);
    let (main, handler) = begin(&mut p);
    let mut entries = Vec::new();
    for index in 0..s.receivers.len() {
        entries.extend((0..s.ears[index]).map(|_| receiver(&mut p, choice, s, index)));
    }
    entries.extend((0..s.senders.len()).map(|index| sender(&mut p, choice, s, index)));
    // Where nobody reads, and who moves between that and a receiver.
    let (deaf, moved) = (named(&mut p, b'x'), named(&mut p, b'y'));
    let moves = !s.as_processes && !s.is_rude;
    let watched = named(&mut p, b'z');
    let watches = !s.is_rude && choice.below(2) == 0;
    if moves {
        entries.extend([mover(&mut p, s, deaf, moved), waiter(&mut p, s, moved)]);
    }
    if watches {
        entries.push(watcher(&mut p, choice, s, watched));
    }

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(s.restarts));
    share_page(&mut p);
    let more = if moves { 2 } else { 0 } + i64::from(watches);
    count(&mut p, SENDERS, s.senders.len() as i64 + more);
    let all: Vec<Named> = [&s.receivers[..], &s.senders, &[deaf, moved, watched]].concat();
    for socket in &all {
        open(&mut p, choice, *socket);
    }
    let started: Vec<Started> = entries.iter().map(|entry| start(&mut p, s.as_processes, *entry)).collect();
    if s.as_processes {
        // A receiver's end is that of its socket.
        close_all(&mut p, &all);
    }
    // The others shall have the signals.
    block(&mut p, linux::SIGUSR1);
    for _ in 0..3 {
        interrupt_all(&mut p, 40_000);
    }
    started.iter().for_each(|who| finish(&mut p, who, &[0]));
    if !s.as_processes {
        close_all(&mut p, &all);
    }
    p.set(R12, SHARED);
    p.read4(R13, R12, SENT);
    p.read4(R14, R12, RECEIVED);
    if s.is_rude {
        expect_at_most(&mut p, R14, R13, 1);
    } else {
        expect_equal(&mut p, R13, R14, 2);
    }
    exit(&mut p, 0);
    p
}
