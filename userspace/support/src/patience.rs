//! Waiting until another thread or process has come so far.
//!
//! A machine may stand still at any moment, for longer than anybody would sleep to give another one its time. So nobody does:
//! he looks until it is so, and gives up after a while that is too long for anything that works.

use crate::clock::sleep_ms;
use crate::process::{Child, call_of, fork};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

/// How often one looks, a millisecond and more apart.
const LOOKS: usize = 10_000;
/// How many looks in a row say that it stays so.
const ROW: usize = 8;

/// Waits until it is so; whether it ever was.
pub fn until(is_so: impl FnMut() -> bool) -> bool {
    until_within(LOOKS, is_so)
}

/// The same with fewer looks, for what may never come.
pub fn until_within(looks: usize, mut is_so: impl FnMut() -> bool) -> bool {
    (0..looks).any(|_| {
        let found = is_so();
        if !found {
            sleep_ms(1);
        }
        found
    })
}

/// Waits until it is so, and stays so: on its way to where it waits, a thread may have to sleep a moment for something else.
pub fn until_steady(mut is_so: impl FnMut() -> bool) -> bool {
    let mut row = 0;
    until(|| {
        row = if is_so() { row + 1 } else { 0 };
        row == ROW
    })
}

/// Waits until a thread waits in the system call of this number: a thread of this process, or the first one of another.
pub fn until_in_call(thread: i32, call: i64) -> bool {
    until_steady(|| call_of(thread) == Some(call))
}

/// Waits until the calling thread is its process's only one. A scope, and a thread that nobody joins, end a moment before the
/// thread is gone; forked in that moment, a child finds the standard library's locks held for ever by a thread it has not.
pub fn until_alone() -> bool {
    until(|| std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1))
}

/// Waits until the parent of this number has ended, and the calling process is somebody else's child.
pub fn until_orphaned(parent: i32) -> bool {
    // SAFETY: asks for a number.
    until(|| unsafe { libc::getppid() } != parent)
}

/// Forks, and waits until the child waits in its call.
pub fn child_in_call(call: i64, child: impl FnOnce() -> i32) -> Child {
    let child = fork(child).expect("fork");
    until_in_call(child.pid, call);
    child
}

/// Starts a thread, and waits until it waits in its call.
pub fn thread_in_call<T: Send + 'static>(
    call: i64,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let (sender, number) = channel();
    let thread = thread::spawn(move || {
        // SAFETY: asks for a number.
        let _ = sender.send(unsafe { libc::gettid() });
        run()
    });
    until_in_call(number.recv().expect("a thread says its number"), call);
    thread
}

/// Forks; the child acts once its parent, who has one thread, waits in its call.
pub fn later(call: i64, act: impl FnOnce()) -> Child {
    // SAFETY: asks for a number.
    let parent = unsafe { libc::getpid() };
    fork(|| {
        until_in_call(parent, call);
        act();
        0
    })
    .expect("fork")
}
