//! Signals that tell of a file's events, and to whom (`O_ASYNC`; fcntl(2), "Managing signals").
//!
//! ```text
//!   Readiness::set ─► a Gathering with this one member ─► a task of the file's ─► the signal
//! ```
//!
//! What happens at a stream wakes the task and no more, so that no lock of the processes is taken under one of a stream's. What
//! has happened by the time that the task runs is told once; on Linux each arrival sends a signal.
//!
//! Lock order: `signals`, then the executor's. The settings are held while nothing else is taken.

use alloc::sync::{Arc, Weak};

use executor::{
    Builder, JoinHandle, Lane,
    sync::{Events, Gathering, Membership, Round, SpinMutex},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{Target, inotify::Inotify, process};
use crate::{
    file::File,
    process::{
        Caller, Process, Thread,
        credentials::Credentials,
        signal::{Readied, SigInfo, numbers::SIGIO, send},
        tree,
    },
};

/// To whom a file's signals go.
#[derive(Clone, Default)]
pub enum Who {
    /// To nobody.
    #[default]
    Nobody,
    /// To a thread.
    Thread(Weak<Thread>),
    /// To a process.
    Process(Weak<Process>),
    /// To all processes of a group.
    Group(u32),
}

#[derive(Clone)]
struct Settings {
    who: Who,
    /// `F_OWNER_*`, also without anybody.
    kind: u32,
    /// 0 is SIGIO, as the kernel sends it.
    signal: u8,
    /// The real and the effective user who has set it.
    users: [u32; 2],
}

/// Who owns a file, and how he is told of its events.
pub struct Ownership {
    settings: SpinMutex<Settings>,
    signals: SpinMutex<Option<Signals>>,
}

/// What tells of the events, as long as that is asked for.
struct Signals {
    _membership: Membership<Target>,
    task: JoinHandle<()>,
}

impl Default for Ownership {
    fn default() -> Self {
        let settings = Settings { who: Who::Nobody, kind: linux::F_OWNER_TID, signal: 0, users: [0; 2] };
        Self { settings: SpinMutex::new(settings), signals: SpinMutex::new(None) }
    }
}

impl Who {
    /// Whom `F_SETOWN_EX` names by kind and number; 0 is nobody.
    ///
    /// # Errors
    /// EINVAL for another kind; ESRCH if there is nobody.
    pub fn named(kind: u32, id: u32) -> Result<Self, Errno> {
        if !matches!(kind, linux::F_OWNER_TID | linux::F_OWNER_PID | linux::F_OWNER_PGRP) {
            return Err(Errno::EINVAL);
        }
        if id == 0 {
            return Ok(Self::Nobody);
        }
        let tree = tree::lock();
        match kind {
            linux::F_OWNER_PGRP if tree.group_exists(id) => Ok(Self::Group(id)),
            linux::F_OWNER_PID if let Some(process) = tree.process(id) => {
                Ok(Self::Process(Arc::downgrade(&process)))
            }
            linux::F_OWNER_TID if let Some(thread) = tree.thread(id) => {
                Ok(Self::Thread(Arc::downgrade(&thread)))
            }
            // The number is one of something else: that is nobody of this kind.
            _ if tree.thread(id).is_some() || tree.process(id).is_some() || tree.group_exists(id) => {
                Ok(Self::Nobody)
            }
            _ => Err(Errno::ESRCH),
        }
    }

    /// Its number; 0 if it is gone.
    fn id(&self) -> u32 {
        // A record that is the last to be known here goes after the tree's lock, not under it.
        match self {
            Self::Nobody => 0,
            Self::Thread(owner) => {
                let Some(owner) = owner.upgrade() else { return 0 };
                let current = tree::lock().thread(owner.tid());
                if current.is_some_and(|current| Arc::ptr_eq(&current, &owner)) { owner.tid() } else { 0 }
            }
            Self::Process(owner) => {
                let Some(owner) = owner.upgrade() else { return 0 };
                process::id(&owner, &tree::lock()).unwrap_or(0)
            }
            Self::Group(group) => {
                if tree::lock().group_exists(*group) {
                    *group
                } else {
                    0
                }
            }
        }
    }
}

impl Ownership {
    /// Sets who gets the signals, in the name of these users.
    pub fn set_owner(&self, who: Who, kind: u32, setter: &Credentials) {
        let mut settings = self.settings.lock();
        if !matches!(who, Who::Nobody) {
            settings.users = [setter.users[0], setter.users[1]];
        }
        // May be the last to know a process's record.
        let before = core::mem::replace(&mut settings.who, who);
        settings.kind = kind;
        drop(settings);
        drop(before);
    }

    /// Has the calling process get the signals.
    pub fn set_to_process(&self, caller: &Caller) {
        let who = Who::Process(Arc::downgrade(caller.process()));
        self.set_owner(who, linux::F_OWNER_PID, &caller.credentials);
    }

    /// Whether nobody was ever set, or nobody is.
    pub fn is_unset(&self) -> bool {
        matches!(self.settings.lock().who, Who::Nobody)
    }

    /// The kind of who gets the signals, and the number: 0 for nobody.
    pub fn owner(&self) -> (u32, u32) {
        let Settings { who, kind, .. } = self.settings.lock().clone();
        (kind, who.id())
    }

    /// The real and the effective user who has set it.
    pub fn users(&self) -> [u32; 2] {
        self.settings.lock().users
    }

    /// Sets which signal it is; 0 for SIGIO without anything more about the event.
    pub fn set_signal(&self, signal: u8) {
        self.settings.lock().signal = signal;
    }

    /// Which signal it is.
    pub fn signal(&self) -> u8 {
        self.settings.lock().signal
    }

    /// Tells of no events any more.
    pub fn end_signals(&self) {
        let ended = self.signals.lock().take();
        if let Some(signals) = ended {
            signals.task.cancel();
        }
    }

    /// Tells what has happened.
    pub(super) fn tell(&self, fd: i32, what: Readied) {
        let settings = self.settings.lock().clone();
        match &settings.who {
            Who::Nobody => {}
            Who::Thread(thread) => {
                if let Some(thread) = thread.upgrade().filter(|thread| settings.may_signal(&thread.process)) {
                    settings.send(fd, what, |info| send::to_thread(&thread, info));
                }
            }
            Who::Process(process) => {
                if let Some(process) = process.upgrade().filter(|process| settings.may_signal(process)) {
                    settings.send(fd, what, |info| send::to_process(&process, info));
                }
            }
            Who::Group(group) => {
                let (mut tree, mut from) = (tree::lock(), 0);
                while let Some(member) = send::next_member(&tree, *group, from) {
                    from = member + 1;
                    if tree.process(member).is_some_and(|process| settings.may_signal(&process)) {
                        settings.send(fd, what, |info| send::to_one_of_many(&mut tree, member, info));
                    }
                }
            }
        }
    }
}

impl Settings {
    /// Sends the signal to one of those who get it.
    fn send(&self, fd: i32, what: Readied, mut send: impl FnMut(SigInfo) -> Result<(), Errno>) {
        let plain = SigInfo::kernel(SIGIO);
        let info = if self.signal == 0 { plain } else { SigInfo::file(self.signal, what, fd) };
        // Where there is no room for one that says more, the plain one tells that there is something.
        if send(info) == Err(Errno::EAGAIN) {
            let _ = send(plain);
        }
    }

    /// Whether who has set it may send signals to a process.
    fn may_signal(&self, process: &Process) -> bool {
        let [real, _, saved] = process.credentials().users;
        let [by_real, by_effective] = self.users;
        by_effective == 0 || [by_real, by_effective].iter().any(|by| *by == real || *by == saved)
    }
}

/// Whether signals can tell of a file's events: of pipes, sockets, terminals and what happens to files.
pub fn takes_signals(file: &File) -> bool {
    file.socket().is_some()
        || file.terminal().is_some()
        || file.stream_as::<Inotify>().is_some()
        || file.stream().is_some_and(|stream| stream.pipe().is_some() || stream.master().is_some())
}

/// Has signals tell of a file's events, or not any more. `fd` is the descriptor that they name.
///
/// # Errors
/// ENOMEM. Only for a file that [takes signals](takes_signals).
pub fn set_signals(file: &File, fd: i32, on: bool) -> Result<(), Errno> {
    let ownership = file.watches().ownership_to_set();
    if !on {
        file.set_signalling(false);
        ownership.end_signals();
        return Ok(());
    }
    let Some(target) = Target::of(file) else { return Ok(()) };
    // Of room in a socket or a terminal Linux tells only after somebody had to wait for it.
    let is_pipe = file.stream().is_some_and(|stream| stream.pipe().is_some());
    let mut events = Events::empty();
    events.set(Events::IN, file.check_readable().is_ok());
    events.set(Events::OUT, is_pipe && file.check_writable().is_ok());
    let gathering = Arc::new(Gathering::new());
    let membership = gathering.join(target, events, false);
    let told = Arc::downgrade(&ownership);
    let task = Builder::new().lane(Lane::Driver).try_spawn(async move {
        loop {
            let pop = || gathering.pop(&mut Round::default(), false);
            let member = gathering.waiters().wait_until(pop).await;
            let found = member.source().events() & (events | Events::ALWAYS);
            // The end of a pipe can be read, too.
            let what = match member.source() {
                Target::Socket(_) if found.contains(Events::HUP) => Readied::HungUp,
                _ if found.contains(Events::IN) || !events.contains(Events::OUT) => Readied::Readable,
                _ => Readied::Writable,
            };
            // May be the last to know the stream.
            drop(member);
            let Some(ownership) = told.upgrade() else { return };
            ownership.tell(fd, what);
            drop(ownership);
            executor::make_way().await;
        }
    });
    let task = task.map_err(|_| Errno::ENOMEM)?;
    let before = ownership.signals.lock().replace(Signals { _membership: membership, task });
    if let Some(before) = before {
        before.task.cancel();
    }
    file.set_signalling(true);
    Ok(())
}
