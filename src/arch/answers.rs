//! System calls that only ask who one is, answered at the door.
//!
//! `getpid` and its kin read one word. The entry code finds it by the call's number in a block that belongs to the
//! thread, and goes back with it: only `rax` changes, so nothing is saved, and interrupts stay off, so there is
//! nothing to attend to first: what calls for the thread's attention comes with an interrupt, and that is taken as
//! soon as user mode goes on.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use linux_raw_sys::general as linux;

/// What one thread is told. Each word stands alone, so everything is relaxed.
#[repr(C)]
#[derive(Default)]
pub struct Answers {
    /// `gettid`.
    pub tid: AtomicU32,
    /// `getpid`.
    pub pid: AtomicU32,
    /// `getppid`.
    pub parent: AtomicU32,
    /// `getuid`, `geteuid`.
    users: [AtomicU32; 2],
    /// `getgid`, `getegid`.
    groups: [AtomicU32; 2],
}

impl Answers {
    /// Sets who the thread acts as: real and effective user and group.
    pub fn act_as(&self, users: [u32; 2], groups: [u32; 2]) {
        for kind in 0..2 {
            self.users[kind].store(users[kind], Relaxed);
            self.groups[kind].store(groups[kind], Relaxed);
        }
    }
}

impl Answers {
    /// What the entry code would answer to a call, if it would.
    pub fn get(&self, number: u32) -> Option<u32> {
        Some(match number {
            linux::__NR_gettid => &self.tid,
            linux::__NR_getpid => &self.pid,
            linux::__NR_getppid => &self.parent,
            linux::__NR_getuid => &self.users[0],
            linux::__NR_geteuid => &self.users[1],
            linux::__NR_getgid => &self.groups[0],
            linux::__NR_getegid => &self.groups[1],
            _ => return None,
        })
        .map(|answer| answer.load(Relaxed))
    }
}

/// Calls with lower numbers may have an answer.
pub(super) const NUMBERS: usize = 256;

/// Where each call's answer is in [`Answers`], counted from the four bytes before it; 0 for calls that have none.
pub(super) static PLACES: [u8; NUMBERS] = {
    let mut places = [0; NUMBERS];
    let known = [
        (linux::__NR_gettid, offset_of!(Answers, tid)),
        (linux::__NR_getpid, offset_of!(Answers, pid)),
        (linux::__NR_getppid, offset_of!(Answers, parent)),
        (linux::__NR_getuid, offset_of!(Answers, users)),
        (linux::__NR_geteuid, offset_of!(Answers, users) + 4),
        (linux::__NR_getgid, offset_of!(Answers, groups)),
        (linux::__NR_getegid, offset_of!(Answers, groups) + 4),
    ];
    let mut index = 0;
    while index < known.len() {
        let (number, offset) = known[index];
        places[number as usize] = offset as u8 + 4;
        index += 1;
    }
    places
};
