//! Descriptor tables.

mod stretch;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use stretch::{Slots, Stretch};

use super::{
    File,
    events::dnotify,
    lock::{self, Owner},
};
use crate::ipc::posix::{self, OpenQueue};

/// Whether a file may have what [goes](FileTable::leave) when one of several descriptors is closed.
#[inline]
fn closing_matters() -> bool {
    lock::exist() || posix::notices_exist() || dnotify::exist()
}

#[inline]
fn leave(owner: Owner, file: &File) {
    if closing_matters() {
        leave_for_all(owner, file);
    }
}

#[cold]
fn leave_for_all(owner: Owner, file: &File) {
    if let Some(locks) = file.known_locks() {
        locks.leave(owner);
    }
    if let Some(OpenQueue { queue, .. }) = file.stream_as() {
        queue.leave();
    }
    if dnotify::exist() {
        dnotify::forget(owner, file);
    }
}

/// A process's descriptors. Threads share it; fork copies it.
pub struct FileTable {
    slots: SpinMutex<Slots>,
    /// Tells it from all others, as the owner of locks.
    number: u64,
}

impl FileTable {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { slots: SpinMutex::new(Slots::EMPTY), number })
    }

    /// Whose the locks are that those take who share the table.
    pub fn owner(&self) -> Owner {
        Owner::Table(self.number)
    }

    /// What closing any of the descriptors of a file does besides: the locks of its ranges are given up (fcntl(2)), and its
    /// process is not told any more of messages (mq_notify(3)) and of what happens in the directory.
    #[inline]
    fn leave(&self, file: &File) {
        leave(self.owner(), file);
    }

    /// A copy with the same open files; ENOMEM. There may be very many, so other tasks get their turn in between, and what other
    /// threads open and close meanwhile may be in the copy, or not.
    pub async fn duplicate(&self) -> Result<Arc<Self>, Errno> {
        let copy = Self::new();
        let mut number = 0;
        while self.copy_stretch(number, &copy)? {
            number += 1;
            executor::make_way().await;
        }
        Ok(copy)
    }

    /// Copies a stretch; whether there was one to copy.
    fn copy_stretch(&self, number: usize, copy: &Self) -> Result<bool, Errno> {
        let slots = self.slots.lock();
        let is_there = number < slots.stretches();
        if is_there {
            slots.copy_stretch(number, &mut copy.slots.lock())?;
        }
        Ok(is_there)
    }

    /// The open file of a descriptor; EBADF if there is none.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<File>, Errno> {
        self.slots.lock().file(fd as usize).cloned().ok_or(Errno::EBADF)
    }

    /// The open file of a descriptor, unless it is open for its place alone (`O_PATH`).
    #[inline]
    pub fn get_open(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let file = self.get(fd)?;
        if file.flags() & linux::O_PATH != 0 { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// Gives an open file the lowest free descriptor that is at least `from` and below `limit`; EMFILE if none is.
    #[inline(always)]
    pub fn insert(
        &self,
        file: Arc<File>,
        from: usize,
        limit: u64,
        close_on_exec: bool,
    ) -> Result<usize, Errno> {
        let mut slots = self.slots.lock();
        let fd = slots.promise(from, limit)?;
        let none = slots.fill(fd, file, close_on_exec);
        debug_assert!(none.is_none());
        Ok(fd)
    }

    /// Sets the lowest free descriptor below `limit` aside, before anything is done that would have to be undone without
    /// one. EMFILE, ENOMEM.
    #[inline(always)]
    pub fn reserve(&self, limit: u64) -> Result<Reservation<'_>, Errno> {
        let fd = self.slots.lock().promise(0, limit)?;
        Ok(Reservation { table: self, fd })
    }

    /// Gives an open file this descriptor, closing what had it (`dup2`). EBUSY if it is reserved.
    pub fn replace(&self, file: Arc<File>, fd: usize, close_on_exec: bool) -> Result<(), Errno> {
        let old = {
            let mut slots = self.slots.lock();
            slots.promise_this(fd)?;
            slots.fill(fd, file, close_on_exec)
        };
        // Closing the old file may take other locks.
        if let Some(old) = old {
            self.leave(&old);
        }
        Ok(())
    }

    /// Closes a descriptor.
    #[inline(never)]
    pub fn remove(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let file = self.slots.lock().take(fd as usize).ok_or(Errno::EBADF)?;
        self.leave(&file);
        Ok(file)
    }

    /// Has the descriptors from `first` to `last` closed on `execve`.
    pub fn mark_range(&self, first: usize, last: usize) {
        self.slots.lock().mark_range(first, last);
    }

    /// Closes the descriptors from `first` to `last`. There may be very many, so other tasks get their turn in between.
    pub async fn close_range(&self, first: usize, last: usize) {
        self.close_each(first, last, |_| u64::MAX).await;
    }

    /// Closes what is to be closed on `execve`; as [`close_range`](Self::close_range).
    pub async fn close_for_exec(&self) {
        self.close_each(0, usize::MAX, Stretch::close_on_exec).await;
    }

    /// Closes the descriptors of a range that are in slots which `is_meant` names of each stretch.
    async fn close_each(&self, first: usize, last: usize, is_meant: impl Fn(&Stretch) -> u64) {
        let mut next = first;
        loop {
            let taken = self.slots.lock().take_next(&mut next, last, &is_meant);
            let Some(closed) = taken else { return };
            // Closing a file may take other locks.
            if let Some(closed) = closed {
                self.leave(&closed);
            }
            executor::make_way().await;
        }
    }

    /// Closes them all; as [`close_range`](Self::close_range).
    pub async fn close_all(&mut self) {
        let owner = self.owner();
        for number in 0..self.slots.get_mut().stretches() {
            while close_some(self.slots.get_mut(), number, owner) {
                executor::make_way().await;
            }
            executor::make_way().await;
        }
    }

    /// Whether a descriptor is closed on `execve`.
    pub fn close_on_exec(&self, fd: i32) -> Result<bool, Errno> {
        self.slots.lock().close_on_exec(fd as usize).ok_or(Errno::EBADF)
    }

    /// Sets whether a descriptor is closed on `execve`.
    pub fn set_close_on_exec(&self, fd: i32, close: bool) -> Result<(), Errno> {
        self.slots.lock().set_close_on_exec(fd as usize, close).ok_or(Errno::EBADF)
    }

    /// The lowest open descriptor that is at least `from`.
    pub fn next_open(&self, from: usize) -> Option<usize> {
        self.slots.lock().next_open(from)
    }

    /// How many descriptors the table has room for before it grows, as programs see it.
    pub fn room(&self) -> usize {
        self.slots.lock().room()
    }
}

/// Closes some files of a stretch, for a table that ends; whether there are more.
fn close_some(slots: &mut Slots, number: usize, owner: Owner) -> bool {
    /// Each may be the end of a pipe with all that is in it, or of an epoll instance.
    const TURN: usize = 8;
    for _ in 0..TURN {
        let Some(file) = slots.stretch_mut(number).and_then(Stretch::take_lowest) else {
            slots.give_back(number);
            return false;
        };
        leave(owner, &file);
    }
    true
}

impl Drop for FileTable {
    fn drop(&mut self) {
        let owner = self.owner();
        let slots = self.slots.get_mut();
        while close_some(slots, 0, owner) {}
        if slots.has_more() {
            // Those who shared it have ended together, or somebody looked at it in /proc: nobody could wait.
            let (mut slots, mut number) = (core::mem::replace(slots, Slots::EMPTY), 1);
            executor::take_apart(move || {
                if !close_some(&mut slots, number, owner) {
                    number += 1;
                }
                number < slots.stretches()
            });
        }
    }
}

/// A descriptor that is set aside. Dropped, it is free again.
#[must_use = "dropped, the descriptor is free again"]
pub struct Reservation<'a> {
    table: &'a FileTable,
    fd: usize,
}

impl Reservation<'_> {
    /// The descriptor.
    pub fn number(&self) -> usize {
        self.fd
    }

    /// Gives the descriptor to an open file.
    #[inline(always)]
    pub fn fill(self, file: Arc<File>, close_on_exec: bool) -> usize {
        let fd = self.fd;
        // Nobody else has touched the slot: it is reserved for us.
        self.table.slots.lock().fill(fd, file, close_on_exec);
        core::mem::forget(self);
        fd
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.table.slots.lock().release(self.fd);
    }
}
