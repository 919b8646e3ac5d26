//! The program: main makes the sockets, starts the others, and looks at what they have counted.

use super::client::client;
use super::pair::{reader, writer};
use super::server::{crew, server};
use super::transfer::set_options;
use super::{BROKEN, PATIENT, PIPE_SIGNALS, RECEIVED, REFUSED, SENT, Scene, WRITERS, scene};
use crate::library::{
    Choice, SHARED, Started, begin, bind, block, close, count, exit, expect, expect_at_most, expect_equal,
    failed, finish, handle, if_not_zero, interrupt_all, kill, load, nap, restart_flag, share_page, shut,
    socket, start, store,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use processes::instruction::Register::{R12, R13, R14, Rax, Rbx, Rdi};
use processes::program::{Label, Program};

/// The program `/storm`.
pub fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let s = &scene(&mut p, choice);
    let (main, handler) = begin(&mut p);
    let pipe_handler = p.here();
    count(&mut p, PIPE_SIGNALS, 1);
    p.ret();
    let mut servers: Vec<Label> = (0..1 + choice.below(3)).map(|_| server(&mut p, choice, s)).collect();
    if s.as_processes && choice.below(2) == 0 {
        servers = vec![crew(&mut p, &servers)];
    }
    let mut clients: Vec<Label> = (0..2 + choice.below(3)).map(|_| client(&mut p, choice, s)).collect();
    let writers = choice.below(3);
    if writers > 0 {
        clients.extend((0..writers).map(|_| writer(&mut p, choice, s)));
        clients.extend((0..1 + choice.below(2)).map(|_| reader(&mut p, choice, s)));
    }

    p.put(main);
    let flags = restart_flag(s.restarts);
    handle(&mut p, linux::SIGUSR1, handler, flags);
    handle(&mut p, linux::SIGPIPE, pipe_handler, flags);
    set_up(&mut p, choice, s, writers as i64);
    let servers: Vec<Started> = servers.iter().map(|entry| start(&mut p, s.as_processes, *entry)).collect();
    if s.is_doomed {
        close_listener(&mut p, s);
    }
    let clients: Vec<Started> = clients.iter().map(|entry| start(&mut p, s.as_processes, *entry)).collect();
    // The others shall have the signals.
    block(&mut p, linux::SIGUSR1);
    for _ in 0..2 + choice.below(3) {
        interrupt_all(&mut p, 30_000);
    }
    if s.is_doomed {
        nap(&mut p, 30_000);
        for server in &servers {
            let Started::Process(number) = server else { unreachable!("only processes are killed") };
            load(&mut p, Rdi, *number);
            kill(&mut p, Rdi, linux::SIGKILL);
        }
    } else if s.is_rude && choice.below(2) == 0 {
        shut_listener(&mut p, s, choice);
    }
    clients.iter().for_each(|client| finish(&mut p, client, &[0]));
    if !s.is_doomed {
        shut_listener(&mut p, s, choice);
    }
    // Killed, or done before that.
    let ends: &[i64] = if s.is_doomed { &[0, linux::SIGKILL as i64] } else { &[0] };
    servers.iter().for_each(|server| finish(&mut p, server, ends));
    if !s.is_doomed {
        close_listener(&mut p, s);
    }
    judge(&mut p, s);
    unlink(&mut p, s);
    exit(&mut p, 0);
    p
}

/// Makes the pair and the listener.
fn set_up(p: &mut Program, choice: &mut Choice, s: &Scene, writers: i64) {
    share_page(p);
    count(p, WRITERS, writers);
    p.system(linux::__NR_socketpair, &[net::AF_UNIX.into(), s.kind.into(), 0.into(), s.pair.into()]);
    expect(p, Rax, &[0], 51);
    load(p, R12, s.pair);
    set_options(p, choice, R12, PATIENT);
    socket(p, R12, s.kind | if s.listener_polls { linux::O_NONBLOCK } else { 0 });
    store(p, s.listener, R12);
    bind(p, R12, s.address);
    p.system(linux::__NR_listen, &[R12.into(), (choice.below(3) as i64).into()]);
    expect(p, Rax, &[0], 54);
}

/// Whoever accepts is told that no more will come.
fn shut_listener(p: &mut Program, s: &Scene, choice: &mut Choice) {
    let how = if choice.below(2) == 0 { net::SHUT_RD } else { net::SHUT_RDWR };
    load(p, R12, s.listener);
    shut(p, R12, how);
}

/// This process has the listener no more.
fn close_listener(p: &mut Program, s: &Scene) {
    load(p, R12, s.listener);
    close(p, R12);
}

/// Looks at what has been counted.
fn judge(p: &mut Program, s: &Scene) {
    let less = p.label();
    p.set(R12, SHARED);
    p.read4(R13, R12, SENT);
    p.read4(R14, R12, RECEIVED);
    p.read4(Rbx, R12, BROKEN);
    if s.is_rude {
        if_not_zero(p, Rbx, less);
        if s.is_doomed {
            p.jump(less);
        }
    }
    expect_equal(p, R13, R14, 70);
    p.put(less);
    expect_at_most(p, R14, R13, 71);
    // A signal comes of a stream's EPIPE alone, and only of one that did not begin as a wait.
    p.read4(R13, R12, REFUSED);
    p.read4(R14, R12, PIPE_SIGNALS);
    if s.kind != net::SOCK_STREAM {
        expect(p, R14, &[0], 72);
    } else if !s.is_doomed {
        expect_at_most(p, R14, R13, 73);
    }
}

/// Takes the name of the listener away, if that is a file.
fn unlink(p: &mut Program, s: &Scene) {
    p.system(linux::__NR_unlink, &[(s.address.0 + 2).into()]);
    // An abstract name is an empty path.
    expect(p, Rax, &[0, failed(errno::ENOENT)], 55);
}
