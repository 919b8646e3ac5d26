//! System V IPC: segments of memory, sets of semaphores, queues of messages.

use crate::check::{BAD, aside, describe, in_child, outcome, show, sys, value};
use std::io;
use support::patience::{child_in_call, until};
use support::process::{Child, fork};

const CREATE: i32 = libc::IPC_CREAT;
const NEW: i32 = libc::IPC_CREAT | libc::IPC_EXCL;
const KEY: i32 = 0x5255_534b;

fn in_background(act: impl FnOnce() -> i32) -> Child {
    fork(act).expect("fork")
}

pub fn run() {
    segments();
    mappings();
    rights();
    semaphores();
    undo();
    waits();
    messages();
    queues();
    lists();
    crate::queues::run();
}

fn size_of_segment(id: i64) -> io::Result<(u64, u64, u32)> {
    // SAFETY: plain old data.
    let mut told: libc::shmid_ds = unsafe { std::mem::zeroed() };
    sys!(SYS_shmctl, id, libc::IPC_STAT, &raw mut told)?;
    Ok((told.shm_segsz as u64, told.shm_nattch, u32::from(told.shm_perm.mode)))
}

fn stat(what: &str, id: i64) {
    value(
        what,
        size_of_segment(id).map(|(size, count, mode)| format!("{size} bytes, {count} mappings, {mode:o}")),
    );
}

fn segments() {
    outcome("no size", sys!(SYS_shmget, libc::IPC_PRIVATE, 0, CREATE));
    outcome("a huge size", sys!(SYS_shmget, libc::IPC_PRIVATE, -1_i64, CREATE));
    outcome("nothing there", sys!(SYS_shmget, KEY, 100, 0));
    let id = sys!(SYS_shmget, KEY, 5000, NEW | 0o640).expect("a segment");
    outcome("there already", sys!(SYS_shmget, KEY, 5000, NEW));
    value("the same", sys!(SYS_shmget, KEY, 5000, CREATE).map(|other| other == id));
    value("smaller", sys!(SYS_shmget, KEY, 1, 0).map(|other| other == id));
    outcome("larger", sys!(SYS_shmget, KEY, 5001, 0));
    stat("at first", id);
    outcome("unknown id", sys!(SYS_shmat, 77_777, 0, 0));
    outcome("negative id", sys!(SYS_shmat, -1, 0, 0));
    outcome("an odd address", sys!(SYS_shmat, id, 0x1000_0001, 0));
    outcome("to be replaced, nowhere", sys!(SYS_shmat, id, 0, libc::SHM_REMAP));
    let at = sys!(SYS_shmat, id, 0, 0).expect("a mapping");
    let again = sys!(SYS_shmat, id, 0, libc::SHM_RDONLY).expect("a mapping");
    stat("mapped twice", id);
    // SAFETY: the segment is mapped at both addresses.
    unsafe {
        *(at as *mut u32) = 7;
        show("seen there", *(again as *const u32));
        show("beyond the end, in its page", *((at + 8000) as *const u8));
    }
    in_child("the other may not be written", || {
        // SAFETY: what is tried is what kills the child.
        unsafe { *(again as *mut u32) = 8 };
        0
    });
    in_child("nothing beyond", || {
        // SAFETY: as above.
        i32::from(unsafe { std::ptr::read_volatile((at + 8192) as *const u8) } == 0)
    });
    outcome("over another", sys!(SYS_shmat, id, at, 0));
    outcome("in the place of the other", sys!(SYS_shmat, id, again, libc::SHM_REMAP));
    stat("still twice", id);
    value(
        "rounded down",
        sys!(SYS_shmat, id, again + 5, libc::SHM_RND | libc::SHM_REMAP).map(|at| at == again),
    );
    outcome("in the middle", sys!(SYS_shmdt, at + 4096));
    outcome("elsewhere", sys!(SYS_shmdt, 0x1000_0000));
    outcome("odd", sys!(SYS_shmdt, at + 1));
    outcome("detached", sys!(SYS_shmdt, again));
    outcome("once more", sys!(SYS_shmdt, again));
    outcome("lock", sys!(SYS_shmctl, id, libc::SHM_LOCK, 0));
    stat("locked", id);
    outcome("unlock", sys!(SYS_shmctl, id, libc::SHM_UNLOCK, 0));
    outcome("unknown command", sys!(SYS_shmctl, id, 99, 0));
    outcome("to a bad place", sys!(SYS_shmctl, id, libc::IPC_STAT, BAD));
    outcome("set from a bad place", sys!(SYS_shmctl, id, libc::IPC_SET, BAD));
    outcome("remove", sys!(SYS_shmctl, id, libc::IPC_RMID, 0));
    stat("removed, but mapped", id);
    outcome("not by its key", sys!(SYS_shmget, KEY, 1, 0));
    value("but by its id", sys!(SYS_shmat, id, 0, 0).and_then(|at| sys!(SYS_shmdt, at)));
    outcome("detached", sys!(SYS_shmdt, at));
    stat("gone", id);
}

fn mappings() {
    let id = sys!(SYS_shmget, libc::IPC_PRIVATE, 3 * 4096, 0o600).expect("a segment");
    let at = sys!(SYS_shmat, id, 0, 0).expect("a mapping");
    // Through a pipe, so that the children are there while they are counted.
    let mut ends = [0_i32; 2];
    let _ = sys!(SYS_pipe, ends.as_mut_ptr());
    let children: Vec<Child> = (0..3)
        .map(|_| {
            in_background(|| {
                let _ = sys!(SYS_close, ends[1]);
                let mut byte = 0_u8;
                let _ = sys!(SYS_read, ends[0], &raw mut byte, 1);
                0
            })
        })
        .collect();
    stat("with three children", id);
    let _ = sys!(SYS_close, ends[1]);
    for child in children {
        let _ = child.wait();
    }
    let _ = sys!(SYS_close, ends[0]);
    stat("without them", id);
    in_child("a child writes", || {
        // SAFETY: the segment is mapped there.
        unsafe { *((at + 4096) as *mut u32) = 99 };
        0
    });
    // SAFETY: as above.
    show("and it is seen", unsafe { *((at + 4096) as *const u32) });
    outcome("a page in the middle unmapped", sys!(SYS_munmap, at + 4096, 4096));
    stat("in two parts", id);
    outcome("detached", sys!(SYS_shmdt, at));
    stat("both are gone", id);
    outcome("remove", sys!(SYS_shmctl, id, libc::IPC_RMID, 0));
    stat("gone at once", id);
}

fn rights() {
    let id = sys!(SYS_shmget, KEY, 4096, NEW | 0o604).expect("a segment");
    aside("another user", || {
        let _ = sys!(SYS_setresgid, 1000, 1000, 1000);
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("find to write", sys!(SYS_shmget, KEY, 1, 0o600));
        outcome("find to read", sys!(SYS_shmget, KEY, 1, 0o400));
        outcome("map to write", sys!(SYS_shmat, id, 0, 0));
        outcome("map to read", sys!(SYS_shmat, id, 0, libc::SHM_RDONLY));
        outcome("map to execute", sys!(SYS_shmat, id, 0, libc::SHM_RDONLY | libc::SHM_EXEC));
        outcome("remove", sys!(SYS_shmctl, id, libc::IPC_RMID, 0));
        outcome("lock", sys!(SYS_shmctl, id, libc::SHM_LOCK, 0));
    });
    // SAFETY: plain old data.
    let mut told: libc::shmid_ds = unsafe { std::mem::zeroed() };
    let _ = sys!(SYS_shmctl, id, libc::IPC_STAT, &raw mut told);
    let perm = told.shm_perm;
    show("owner", format!("{} {} {} {} {:#x}", perm.uid, perm.gid, perm.cuid, perm.cgid, perm.__key));
    (told.shm_perm.uid, told.shm_perm.gid, told.shm_perm.mode) = (1000, 7, 0o7_660);
    outcome("set", sys!(SYS_shmctl, id, libc::IPC_SET, &raw const told));
    let _ = sys!(SYS_shmctl, id, libc::IPC_STAT, &raw mut told);
    let perm = told.shm_perm;
    show("owner", format!("{} {} {} {} {:o}", perm.uid, perm.gid, perm.cuid, perm.cgid, perm.mode));
    aside("as the new owner", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("map to write", sys!(SYS_shmat, id, 0, 0));
        outcome("remove", sys!(SYS_shmctl, id, libc::IPC_RMID, 0));
    });
    stat("gone", id);
}

fn operate(id: i64, operations: &[(u16, i16, i32)]) -> io::Result<i64> {
    let raw: Vec<[u16; 3]> =
        operations.iter().map(|(number, change, flags)| [*number, *change as u16, *flags as u16]).collect();
    sys!(SYS_semop, id, raw.as_ptr(), raw.len())
}

fn values(id: i64) -> String {
    let mut values = [0_u16; 4];
    match sys!(SYS_semctl, id, 0, libc::GETALL, values.as_mut_ptr()) {
        Ok(_) => format!("{values:?}"),
        Err(error) => support::errno::error_name(&error),
    }
}

fn semaphores() {
    outcome("none", sys!(SYS_semget, libc::IPC_PRIVATE, 0, CREATE));
    outcome("less than none", sys!(SYS_semget, libc::IPC_PRIVATE, -1, CREATE));
    outcome("too many", sys!(SYS_semget, libc::IPC_PRIVATE, 32_001, CREATE));
    outcome("nothing there", sys!(SYS_semget, KEY, 1, 0));
    let id = sys!(SYS_semget, KEY, 4, NEW | 0o600).expect("a set");
    value("found", sys!(SYS_semget, KEY, 0, 0).map(|other| other == id));
    outcome("more than it has", sys!(SYS_semget, KEY, 5, 0));
    show("at first", values(id));
    outcome("no operations", operate(id, &[]));
    outcome("too many operations", sys!(SYS_semop, id, BAD, 501));
    outcome("from a bad place", sys!(SYS_semop, id, BAD, 1));
    outcome("no such semaphore", operate(id, &[(4, 1, 0)]));
    outcome("unknown set", operate(77_777, &[(0, 1, 0)]));
    outcome("negative set", operate(-1, &[(0, 1, 0)]));
    outcome("several", operate(id, &[(0, 3, 0), (1, 1, 0), (3, 32_767, 0)]));
    show("now", values(id));
    outcome("too high", operate(id, &[(0, 1, 0), (3, 1, 0)]));
    outcome("all or nothing", operate(id, &[(0, -1, 0), (2, -1, libc::IPC_NOWAIT)]));
    outcome("not zero", operate(id, &[(0, 0, libc::IPC_NOWAIT)]));
    outcome("zero", operate(id, &[(2, 0, 0)]));
    outcome("one after the other", operate(id, &[(0, -3, 0), (0, 0, 0), (0, 5, 0)]));
    show("now", values(id));
    let one = |command: i32, number: i32| sys!(SYS_semctl, id, number, command, 0);
    value("value", one(libc::GETVAL, 3));
    value("no such semaphore", one(libc::GETVAL, 4));
    value("negative", one(libc::GETVAL, -1));
    // SAFETY: asks for a number.
    value("changed by", one(libc::GETPID, 0).map(|pid| pid == i64::from(unsafe { libc::getpid() })));
    value("nobody waits", one(libc::GETNCNT, 0));
    value("nobody waits for zero", one(libc::GETZCNT, 0));
    value("set", sys!(SYS_semctl, id, 2, libc::SETVAL, 11));
    value("set too high", sys!(SYS_semctl, id, 2, libc::SETVAL, 32_768));
    value("set too low", sys!(SYS_semctl, id, 2, libc::SETVAL, -1));
    value("set nothing", sys!(SYS_semctl, id, 4, libc::SETVAL, 1));
    value("set all", sys!(SYS_semctl, id, 0, libc::SETALL, [1_u16, 2, 3, 4].as_ptr()));
    value("set all too high", sys!(SYS_semctl, id, 0, libc::SETALL, [1_u16, 2, 3, 40_000].as_ptr()));
    outcome("get all to a bad place", sys!(SYS_semctl, id, 0, libc::GETALL, BAD));
    show("now", values(id));
    // SAFETY: plain old data.
    let mut told: libc::semid_ds = unsafe { std::mem::zeroed() };
    outcome("stat", sys!(SYS_semctl, id, 0, libc::IPC_STAT, &raw mut told));
    show("semaphores", told.sem_nsems);
    show("operated", told.sem_otime > 0 && told.sem_ctime > 0);
    outcome("unknown command", sys!(SYS_semctl, id, 0, 99, 0));
    let time = [0_i64, 10_000_000];
    let operation = [0_u16, (-5_i16) as u16, 0];
    outcome("in time", sys!(SYS_semtimedop, id, operation.as_ptr(), 1, time.as_ptr()));
    outcome("no time", sys!(SYS_semtimedop, id, operation.as_ptr(), 1, [0_i64, -1].as_ptr()));
    outcome("bad time", sys!(SYS_semtimedop, id, operation.as_ptr(), 1, BAD));
    aside("another user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        let _ = sys!(SYS_setresgid, 1000, 1000, 1000);
        outcome("operate", operate(id, &[(0, 1, 0)]));
        outcome("wait for zero", operate(id, &[(0, 0, libc::IPC_NOWAIT)]));
        outcome("read", sys!(SYS_semctl, id, 0, libc::GETVAL, 0));
        outcome("remove", sys!(SYS_semctl, id, 0, libc::IPC_RMID, 0));
    });
    outcome("remove", sys!(SYS_semctl, id, 0, libc::IPC_RMID, 0));
    outcome("gone", operate(id, &[(0, 1, 0)]));
}

fn undo() {
    let id = sys!(SYS_semget, libc::IPC_PRIVATE, 4, 0o600).expect("a set");
    let undo = libc::SEM_UNDO;
    in_child("a child that undoes", || {
        let done = operate(id, &[(0, 5, undo), (1, 3, 0), (2, 2, undo)]);
        i32::from(done.is_err() || operate(id, &[(0, -1, undo)]).is_err())
    });
    show("only what was not to be undone", values(id));
    in_child("another sets a value meanwhile", || {
        let _ = operate(id, &[(0, 5, undo), (1, 5, undo)]);
        let _ = sys!(SYS_semctl, id, 0, libc::SETVAL, 9);
        0
    });
    show("the set one stays", values(id));
    in_child("a child of a child undoes nothing", || {
        let _ = operate(id, &[(3, 7, undo)]);
        let _ = in_background(|| 0).wait();
        i32::from(!values(id).ends_with("7]"))
    });
    show("but the child does", values(id));
    in_child("a lock that is left", || i32::from(operate(id, &[(0, -9, undo)]).is_err()));
    show("is free again", values(id));
    in_child("in a thread", || {
        let _ = std::thread::spawn(move || operate(id, &[(2, 4, undo)])).join();
        i32::from(!values(id).contains("4, "))
    });
    show("as by its process", values(id));
    let _ = sys!(SYS_semctl, id, 0, libc::IPC_RMID, 0);
}

/// Waits until so many wait for a semaphore.
fn until_waiting(id: i64, command: i32, count: i64) {
    until(|| sys!(SYS_semctl, id, 0, command, 0).is_ok_and(|waiting| waiting >= count));
}

fn waits() {
    let id = sys!(SYS_semget, libc::IPC_PRIVATE, 4, 0o600).expect("a set");
    let errno =
        |result: io::Result<i64>| result.map_or_else(|error| error.raw_os_error().unwrap_or(99), |_| 0);
    let takers: Vec<Child> = (0..2).map(|_| in_background(|| errno(operate(id, &[(0, -1, 0)])))).collect();
    until_waiting(id, libc::GETNCNT, 2);
    value("waiting", sys!(SYS_semctl, id, 0, libc::GETNCNT, 0));
    outcome("given", operate(id, &[(0, 2, 0)]));
    for taker in takers {
        value("taken", taker.wait().map(describe));
    }
    show("nothing left", values(id));
    let _ = operate(id, &[(0, 1, 0)]);
    let waiter = in_background(|| errno(operate(id, &[(0, 0, 0)])));
    until_waiting(id, libc::GETZCNT, 1);
    let _ = operate(id, &[(0, -1, 0)]);
    value("zero", waiter.wait().map(describe));
    let waiter = in_background(|| errno(operate(id, &[(0, -1, 0)])));
    until_waiting(id, libc::GETNCNT, 1);
    let _ = sys!(SYS_semctl, id, 0, libc::SETVAL, 1);
    value("set", waiter.wait().map(describe));
    let waiter = in_background(|| errno(operate(id, &[(0, -1, 0)])));
    until_waiting(id, libc::GETNCNT, 1);
    let _ = waiter.kill(libc::SIGTERM);
    value("killed", waiter.wait().map(describe));
    value("nobody waits", sys!(SYS_semctl, id, 0, libc::GETNCNT, 0));
    extern "C" fn handler(_: i32) {}
    // SAFETY: the handler does nothing.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler as *const () as usize, libc::SA_RESTART);
    // SAFETY: as above.
    unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    let waiter = in_background(|| errno(operate(id, &[(0, -1, 0)])));
    until_waiting(id, libc::GETNCNT, 1);
    let _ = waiter.kill(libc::SIGUSR1);
    value("interrupted", waiter.wait().map(describe).map(|end| end == format!("exited {}", libc::EINTR)));
    let waiter = in_background(|| errno(operate(id, &[(0, -1, 0)])));
    until_waiting(id, libc::GETNCNT, 1);
    let _ = sys!(SYS_semctl, id, 0, libc::IPC_RMID, 0);
    value("removed", waiter.wait().map(describe).map(|end| end == format!("exited {}", libc::EIDRM)));
}

#[repr(C)]
struct Message {
    kind: i64,
    text: [u8; 64],
}

fn send(id: i64, kind: i64, text: &str, flags: i32) -> io::Result<i64> {
    let mut message = Message { kind, text: [0; 64] };
    message.text[..text.len()].copy_from_slice(text.as_bytes());
    sys!(SYS_msgsnd, id, &raw const message, text.len(), flags)
}

fn receive(id: i64, room: usize, kind: i64, flags: i32) -> io::Result<String> {
    let mut message = Message { kind: 0, text: [0; 64] };
    let count = sys!(SYS_msgrcv, id, &raw mut message, room, kind, flags)? as usize;
    Ok(format!("{} {:?}", message.kind, String::from_utf8_lossy(&message.text[..count])))
}

fn messages() {
    outcome("nothing there", sys!(SYS_msgget, KEY, 0));
    let id = sys!(SYS_msgget, KEY, NEW | 0o600).expect("a queue");
    value("found", sys!(SYS_msgget, KEY, 0).map(|other| other == id));
    outcome("there already", sys!(SYS_msgget, KEY, NEW));
    let none = libc::IPC_NOWAIT;
    for kind in [0, -1] {
        outcome("a strange kind", send(id, kind, "x", 0));
    }
    let long = vec![1_u8; 9000];
    outcome("too long", sys!(SYS_msgsnd, id, long.as_ptr(), 8193, 0));
    outcome("negative", sys!(SYS_msgsnd, id, long.as_ptr(), -1_i64, 0));
    outcome("from a bad place", sys!(SYS_msgsnd, id, BAD, 1, 0));
    outcome("to nowhere", send(77_777, 1, "x", 0));
    value("none there", receive(id, 64, 0, none));
    value("no room", receive(id, usize::MAX, 0, none));
    for (kind, text) in [(3, "three"), (1, "one"), (2, ""), (3, "more"), (5, "five"), (i64::MAX, "last")] {
        outcome("send", send(id, kind, text, 0));
    }
    // SAFETY: plain old data.
    let mut told: libc::msqid_ds = unsafe { std::mem::zeroed() };
    outcome("stat", sys!(SYS_msgctl, id, libc::IPC_STAT, &raw mut told));
    show(
        "messages",
        format!("{} of {} bytes, at most {}", told.msg_qnum, told.__msg_cbytes, told.msg_qbytes),
    );
    // SAFETY: asks for a number.
    show("sent", told.msg_stime > 0 && told.msg_rtime == 0 && told.msg_lspid == unsafe { libc::getpid() });
    value("too little room", receive(id, 3, 0, none));
    value("cut", receive(id, 3, 0, none | libc::MSG_NOERROR));
    value("of a kind", receive(id, 64, 3, none));
    value("of no kind", receive(id, 64, 7, none));
    value("lowest", receive(id, 64, -4, none));
    value("too low", receive(id, 64, -1, none));
    value("another kind", receive(id, 64, 2, none | libc::MSG_EXCEPT));
    value("lowest of all", receive(id, 64, i64::MIN, none));
    value("to a bad place", sys!(SYS_msgrcv, id, BAD, 8, 0, none));
    value("lost", receive(id, 64, 0, none));
    aside("another user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        let _ = sys!(SYS_setresgid, 1000, 1000, 1000);
        outcome("send", send(id, 1, "x", 0));
        value("receive", receive(id, 64, 0, none));
        outcome("remove", sys!(SYS_msgctl, id, libc::IPC_RMID, 0));
    });
    told.msg_qbytes = 10;
    outcome("less room", sys!(SYS_msgctl, id, libc::IPC_SET, &raw const told));
    outcome("fits", send(id, 1, "0123456789", none));
    outcome("does not", send(id, 1, "x", none));
    outcome("not even nothing", send(id, 1, "", none));
    aside("more than a user may have", || {
        let _ = sys!(SYS_msgctl, id, libc::IPC_STAT, &raw mut told);
        (told.msg_perm.uid, told.msg_qbytes) = (1000, 16_384);
        outcome("set", sys!(SYS_msgctl, id, libc::IPC_SET, &raw const told));
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        told.msg_qbytes = 16_385;
        outcome("set more", sys!(SYS_msgctl, id, libc::IPC_SET, &raw const told));
    });
    outcome("unknown command", sys!(SYS_msgctl, id, 99, 0));
    outcome("remove", sys!(SYS_msgctl, id, libc::IPC_RMID, 0));
    outcome("gone", send(id, 1, "x", 0));
}

fn queues() {
    let id = sys!(SYS_msgget, libc::IPC_PRIVATE, 0o600).expect("a queue");
    let receiver = child_in_call(libc::SYS_msgrcv, || {
        i32::from(receive(id, 64, 2, 0).ok().as_deref() != Some("2 \"for you\""))
    });
    outcome("for another", send(id, 1, "not for you", 0));
    outcome("for the receiver", send(id, 2, "for you", 0));
    value("received", receiver.wait().map(describe));
    // SAFETY: plain old data.
    let mut told: libc::msqid_ds = unsafe { std::mem::zeroed() };
    let _ = sys!(SYS_msgctl, id, libc::IPC_STAT, &raw mut told);
    told.msg_qbytes = 11;
    let _ = sys!(SYS_msgctl, id, libc::IPC_SET, &raw const told);
    let sender = child_in_call(libc::SYS_msgsnd, || i32::from(send(id, 4, "waits", 0).is_err()));
    value("room is made", receive(id, 64, 1, 0));
    value("sent", sender.wait().map(describe));
    value("it", receive(id, 64, 0, 0));
    let many = in_background(|| {
        let sent = (0..100).all(|_| send(id, 9, "0123456789", 0).is_ok());
        i32::from(!sent)
    });
    let all = (0..100).filter(|_| receive(id, 64, 9, 0).is_ok()).count();
    show("a hundred, one at a time", all);
    value("all sent", many.wait().map(describe));
    let waiter = child_in_call(libc::SYS_msgrcv, || i32::from(receive(id, 64, 0, 0).is_err()));
    let _ = waiter.kill(libc::SIGTERM);
    value("killed", waiter.wait().map(describe));
    let waiter = child_in_call(libc::SYS_msgrcv, || {
        receive(id, 64, 0, 0).map_or_else(|error| error.raw_os_error().unwrap_or(0), |_| 0)
    });
    let _ = sys!(SYS_msgctl, id, libc::IPC_RMID, 0);
    value("removed", waiter.wait().map(describe).map(|end| end == format!("exited {}", libc::EIDRM)));
}

fn lists() {
    let ids = [
        sys!(SYS_shmget, KEY, 8192, NEW | 0o600).expect("a segment"),
        sys!(SYS_semget, KEY, 3, NEW | 0o640).expect("a set"),
        sys!(SYS_msgget, KEY, NEW | 0o604).expect("a queue"),
    ];
    let _ = send(ids[2], 1, "twelve bytes", 0);
    for name in ["shm", "sem", "msg"] {
        let text = std::fs::read_to_string(format!("/proc/sysvipc/{name}")).unwrap_or_default();
        let mut lines = text.lines();
        let heads: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        show(name, heads.join(" "));
        let row = lines.find(|line| line.split_whitespace().next() == Some(&KEY.to_string()));
        let words: Vec<&str> = row.unwrap_or_default().split_whitespace().collect();
        let known = heads.iter().zip(&words).filter(|(head, _)| {
            ["perms", "size", "nattch", "nsems", "cbytes", "qnum", "uid", "gid", "cuid", "cgid"]
                .contains(head)
        });
        show("row", known.map(|(head, word)| format!("{head} {word}")).collect::<Vec<_>>().join(", "));
        show("line", row.map_or(0, str::len));
    }
    for name in ["shmmni", "sem", "msgmax", "msgmnb", "msgmni", "shmmax", "shmall"] {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        value(name, text.map(|text| text.trim().to_owned()));
    }
    let (mut limits, mut info) = ([0_u64; 9], [0_i32; 10]);
    let _ = sys!(SYS_shmctl, 0, libc::IPC_INFO, limits.as_mut_ptr());
    show("limits of segments", format!("{:?}", &limits[..5]));
    let _ = sys!(SYS_semctl, 0, 0, libc::IPC_INFO, info.as_mut_ptr());
    show("limits of sets", format!("{info:?}"));
    let mut info = [0_i32; 8];
    let _ = sys!(SYS_msgctl, 0, libc::IPC_INFO, info.as_mut_ptr());
    show("limits of queues", format!("{info:?}"));
    let index = |id: i64| id & 0x7fff;
    // SAFETY: plain old data.
    let mut told: libc::shmid_ds = unsafe { std::mem::zeroed() };
    value("by its index", sys!(SYS_shmctl, index(ids[0]), 13, &raw mut told).map(|id| id == ids[0]));
    show("size", told.shm_segsz);
    outcome("remove", sys!(SYS_shmctl, ids[0], libc::IPC_RMID, 0));
    outcome("remove", sys!(SYS_semctl, ids[1], 0, libc::IPC_RMID, 0));
    outcome("remove", sys!(SYS_msgctl, ids[2], libc::IPC_RMID, 0));
}
