//! An actor: its slots, and what it does with the sockets in them.

use super::message::{MANY, receive, send};
use super::socket::{accept, close_both, knock, make_pair};
use super::{READY, Scene};
use crate::library::{
    Choice, close, count, end_thread, expect, expect_success, failed, go_to_any, load, load8, poll, shut,
    store8,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{self, R12, R13, R15, Rax, Rbx, Rcx, Rdi};
use processes::program::{Label, Program};

/// Sockets that an actor has.
pub const SLOTS: usize = 4;
/// Things that an actor does.
const DEEDS: i64 = 16;

/// What an actor can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Sends so many descriptors besides the witness.
    Send(usize),
    /// Receives, with room for so many.
    Receive(usize),
    /// Receives over each of its sockets.
    ReceiveAll,
    /// Receives, and leaves the message where it is.
    Peek,
    /// A new pair.
    Renew,
    /// A listener, and a connection that waits there.
    Knock,
    /// Accepts a connection from each of its sockets that has one.
    Accept,
    Shut,
    /// Waits until there is something to receive, or the time is over.
    Poll,
}

/// All of them; some are more usual.
const DEEDS_THAT_ARE: [Deed; 15] = [
    Deed::Send(0),
    Deed::Send(1),
    Deed::Send(2),
    Deed::Send(2),
    Deed::Send(MANY - 1),
    Deed::Receive(0),
    Deed::Receive(1),
    Deed::Receive(3),
    Deed::ReceiveAll,
    Deed::Peek,
    Deed::Renew,
    Deed::Knock,
    Deed::Accept,
    Deed::Shut,
    Deed::Poll,
];

/// Does things with its sockets, and closes them.
pub fn actor(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let slots = p.data(8 * SLOTS);
    let entry = p.here();
    for slot in 0..SLOTS {
        let pair = s.pairs[choice.below(s.pairs.len() as u64) as usize];
        load(p, Rbx, pair + 4 * choice.below(2) as usize);
        p.system(linux::__NR_dup, &[Rbx.into()]);
        expect_success(p, Rax, 20);
        store8(p, slots + 8 * slot, Rax);
    }
    count(p, READY, 1);
    if s.as_processes {
        // A fork has those of the others, which would keep them.
        s.pairs.iter().for_each(|pair| close_both(p, *pair));
    }
    p.set(R15, DEEDS);
    let (next, done) = (p.here(), p.label());
    p.add_constant(R15, -1);
    p.set(Rcx, 0);
    p.if_less(R15, Rcx, done);
    // Some of the deeds, which so happen all the more often; one sends, or there would be nothing to see.
    let mut few: Vec<Deed> = match choice.below(3) {
        0 => DEEDS_THAT_ARE.to_vec(),
        _ => (0..3 + choice.below(4)).map(|_| DEEDS_THAT_ARE[choice.below(15) as usize]).collect(),
    };
    few.push(DEEDS_THAT_ARE[1 + choice.below(4) as usize]);
    for (label, deed) in go_to_any(p, few.len()).into_iter().zip(few) {
        p.put(label);
        act(p, choice, s, slots, deed);
        p.jump(next);
    }
    p.put(done);
    // A process's end closes them, too.
    if !s.as_processes || choice.below(2) == 0 {
        for slot in 0..SLOTS {
            load8(p, Rbx, slots + 8 * slot);
            close(p, Rbx);
        }
    }
    end_thread(p);
    entry
}

/// `to` becomes the address of one of the slots; rax is lost.
pub fn any_slot(p: &mut Program, to: Register, slots: usize) {
    p.random(Rax, SLOTS as i64);
    (0..3).for_each(|_| p.add(Rax, Rax));
    p.add_constant(Rax, slots as i64);
    p.set(to, Rax);
}

/// Has a descriptor in one of the slots, and closes what was there; rbx is lost.
pub fn keep(p: &mut Program, slots: usize, fd: Register) {
    any_slot(p, Rbx, slots);
    p.read8(Rdi, Rbx, 0);
    p.write8(Rbx, 0, fd);
    close(p, Rdi);
}

/// Does one of the things, with one of the sockets.
fn act(p: &mut Program, choice: &mut Choice, s: &Scene, slots: usize, deed: Deed) {
    any_slot(p, Rbx, slots);
    p.read8(R12, Rbx, 0);
    let at_once = if choice.below(3) == 0 { 0 } else { net::MSG_DONTWAIT };
    match deed {
        Deed::Send(others) => send(p, s, slots, others, at_once),
        Deed::Receive(room) => receive(p, s, slots, room, at_once),
        Deed::ReceiveAll => {
            for slot in 0..SLOTS {
                load8(p, R12, slots + 8 * slot);
                receive(p, s, slots, 3, net::MSG_DONTWAIT);
            }
        }
        Deed::Peek => receive(p, s, slots, 2, at_once | net::MSG_PEEK),
        Deed::Renew => {
            let pair = p.data(8);
            make_pair(p, choice, s, pair);
            for end in [0, 4] {
                load(p, R13, pair + end);
                keep(p, slots, R13);
            }
        }
        Deed::Knock => knock(p, choice, s, slots),
        Deed::Accept => accept(p, s, slots),
        Deed::Shut => {
            shut(p, R12, choice.below(3) as u32);
        }
        Deed::Poll => {
            poll(p, R12, linux::POLLIN, 1);
            expect(p, Rax, &[0, 1, failed(errno::EINTR)], 33);
        }
    }
}
