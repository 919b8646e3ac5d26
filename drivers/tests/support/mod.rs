//! A keeper of processes for tests: it knows the groups it is told of and remembers the signals it is asked to send.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use drivers::tty::{Caller, JobControl, Pid, Signal, Tty};

#[derive(Default)]
pub struct Jobs {
    /// Session of each group.
    pub groups: Mutex<BTreeMap<Pid, Pid>>,
    pub orphaned: Mutex<Vec<Pid>>,
    pub ignoring: Mutex<Vec<(Pid, Signal)>>,
    sent: Mutex<Vec<(Pid, Signal)>>,
    pub terminals: Mutex<BTreeMap<Pid, Arc<Tty>>>,
    /// Sessions that a hangup took the terminal from, with the foreground group.
    pub lost: Mutex<Vec<(Pid, Pid)>>,
    pub left: Mutex<Vec<Pid>>,
}

impl Jobs {
    /// One for the rest of the test.
    pub fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    /// The signals sent since the last call. A leader's are noted under the negative number of its session.
    pub fn take_sent(&self) -> Vec<(Pid, Signal)> {
        std::mem::take(&mut self.sent.lock().expect("whole"))
    }
}

impl JobControl for Jobs {
    fn signal_group(&self, group: Pid, signal: Signal) {
        self.sent.lock().expect("whole").push((group, signal));
    }

    fn signal_background(&self, caller: &Caller, signal: Signal) {
        self.signal_group(caller.group, signal);
    }

    fn signal_leader(&self, session: Pid, signal: Signal) {
        self.sent.lock().expect("whole").push((-session, signal));
    }

    fn ignores(&self, caller: &Caller, signal: Signal) -> bool {
        self.ignoring.lock().expect("whole").contains(&(caller.thread, signal))
    }

    fn is_orphaned(&self, group: Pid) -> bool {
        self.orphaned.lock().expect("whole").contains(&group)
    }

    fn session_of(&self, group: Pid) -> Option<Pid> {
        self.groups.lock().expect("whole").get(&group).copied()
    }

    fn set_terminal(&self, session: Pid, terminal: Option<Arc<Tty>>) {
        let mut terminals = self.terminals.lock().expect("whole");
        match terminal {
            Some(terminal) => terminals.insert(session, terminal),
            None => terminals.remove(&session),
        };
    }

    fn lose_terminal(&self, session: Pid, foreground: Pid) {
        self.lost.lock().expect("whole").push((session, foreground));
        self.set_terminal(session, None);
    }

    fn leave_terminal(&self, process: Pid) {
        self.left.lock().expect("whole").push(process);
    }
}

/// A process of session 1, which it leads if it is process 1.
pub const fn caller(process: Pid, group: Pid) -> Caller {
    Caller { thread: process, process, group, session: 1, has_terminal: true, is_admin: false }
}

/// A process that no terminal controls.
pub const STRANGER: Caller =
    Caller { thread: 99, process: 99, group: 99, session: 98, has_terminal: false, is_admin: false };

/// Counts how often a future is polled.
pub fn counted<F: Future>(future: F, polls: Arc<AtomicUsize>) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    poll_fn(move |context| {
        polls.fetch_add(1, Ordering::Relaxed);
        future.as_mut().poll(context)
    })
}
