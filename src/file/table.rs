//! Descriptor tables.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    File,
    lock::{self, Owner},
};
use crate::ipc::posix::{self, OpenQueue};

#[derive(Clone)]
struct Entry {
    file: Arc<File>,
    close_on_exec: bool,
}

/// What a descriptor is.
#[derive(Clone, Default)]
enum Slot {
    #[default]
    Free,
    /// Promised to an open that is under way: nobody else gets it, and nothing is there.
    Reserved,
    Open(Entry),
}

#[derive(Default)]
struct Entries {
    slots: Vec<Slot>,
    /// No slot below this is free.
    lowest_free: usize,
}

/// Whether a file may have what [goes](FileTable::leave) when one of several descriptors is closed.
#[inline]
fn closing_matters() -> bool {
    lock::exist() || posix::notices_exist()
}

/// A process's descriptors. Threads share it; fork copies it.
pub struct FileTable {
    entries: SpinMutex<Entries>,
    /// Tells it from all others, as the owner of locks.
    number: u64,
}

impl FileTable {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        Self::with(Entries::default())
    }

    fn with(entries: Entries) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { entries: SpinMutex::new(entries), number })
    }

    /// Whose the locks are that those take who share the table.
    pub fn owner(&self) -> Owner {
        Owner::Table(self.number)
    }

    /// What closing any of the descriptors of a file does besides: the locks of its ranges are given up (fcntl(2)), and its
    /// process is not told of messages any more (mq_notify(3)).
    #[inline]
    fn leave(&self, file: &File) {
        if closing_matters() {
            self.leave_for_all(file);
        }
    }

    #[cold]
    fn leave_for_all(&self, file: &File) {
        if let Some(locks) = file.known_locks() {
            locks.leave(self.owner());
        }
        if let Some(OpenQueue { queue, .. }) = file.stream_as() {
            queue.leave();
        }
    }

    /// A copy with the same open files; ENOMEM.
    pub fn duplicate(&self) -> Result<Arc<Self>, Errno> {
        let table = self.entries.lock();
        let mut slots = Vec::new();
        slots.try_reserve_exact(table.slots.len()).map_err(|_| Errno::ENOMEM)?;
        let mut lowest_free = table.lowest_free;
        slots.extend(table.slots.iter().enumerate().map(|(fd, slot)| match slot {
            Slot::Open(entry) => Slot::Open(entry.clone()),
            Slot::Free => Slot::Free,
            // What is under way in the other table is nothing in this one.
            Slot::Reserved => {
                lowest_free = lowest_free.min(fd);
                Slot::Free
            }
        }));
        drop(table);
        Ok(Self::with(Entries { slots, lowest_free }))
    }

    /// The open file of a descriptor; EBADF if there is none.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<File>, Errno> {
        match self.entries.lock().slots.get(fd as usize) {
            Some(Slot::Open(entry)) => Ok(entry.file.clone()),
            _ => Err(Errno::EBADF),
        }
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
        self.entries.lock().place(Slot::Open(Entry { file, close_on_exec }), from, limit)
    }

    /// Sets the lowest free descriptor below `limit` aside, before anything is done that would have to be undone without
    /// one. EMFILE, ENOMEM.
    #[inline(always)]
    pub fn reserve(&self, limit: u64) -> Result<Reservation<'_>, Errno> {
        let fd = self.entries.lock().place(Slot::Reserved, 0, limit)?;
        Ok(Reservation { table: self, fd })
    }

    /// Gives an open file this descriptor, closing what had it (`dup2`). EBUSY if it is reserved.
    pub fn replace(&self, file: Arc<File>, fd: usize, close_on_exec: bool) -> Result<(), Errno> {
        let mut table = self.entries.lock();
        table.grow(fd + 1)?;
        if let Slot::Reserved = table.slots[fd] {
            return Err(Errno::EBUSY);
        }
        let old = core::mem::replace(&mut table.slots[fd], Slot::Open(Entry { file, close_on_exec }));
        drop(table);
        // Closing the old file may take other locks.
        if let Slot::Open(old) = old {
            self.leave(&old.file);
        }
        Ok(())
    }

    /// Closes a descriptor.
    #[inline(never)]
    pub fn remove(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let file = self.entries.lock().take(fd as usize).map(|entry| entry.file).ok_or(Errno::EBADF)?;
        self.leave(&file);
        Ok(file)
    }

    /// Has the descriptors from `first` to `last` closed on `execve`.
    pub fn mark_range(&self, first: usize, last: usize) {
        let mut table = self.entries.lock();
        let marked = table.slots.iter_mut().take(last.saturating_add(1)).skip(first);
        marked.filter_map(Slot::entry_mut).for_each(|entry| entry.close_on_exec = true);
    }

    /// Closes the descriptors from `first` to `last`. There may be very many, so other tasks get their turn in between.
    pub async fn close_range(&self, first: usize, last: usize) {
        self.close_each(first, last, |_| true).await;
    }

    /// Closes them all; as [`close_range`](Self::close_range).
    pub async fn close_all(mut self) {
        const STRETCH: usize = 64;
        while self.entries.get_mut().slots.len() > STRETCH {
            self.close_last(STRETCH);
            if executor::should_yield() {
                executor::yield_now().await;
            }
        }
    }

    /// Takes the last slots away, as many as this; a vector shrinks at its end.
    fn close_last(&mut self, count: usize) {
        if !closing_matters() {
            let slots = &mut self.entries.get_mut().slots;
            slots.truncate(slots.len().saturating_sub(count));
            return;
        }
        for _ in 0..count {
            match self.entries.get_mut().slots.pop() {
                Some(Slot::Open(entry)) => self.leave(&entry.file),
                Some(Slot::Free | Slot::Reserved) => {}
                None => return,
            }
        }
    }

    /// Closes what is to be closed on `execve`; as [`close_range`](Self::close_range).
    pub async fn close_for_exec(&self) {
        self.close_each(0, usize::MAX, |entry| entry.close_on_exec).await;
    }

    async fn close_each(&self, first: usize, last: usize, is_meant: impl Fn(&Entry) -> bool) {
        let mut next = first;
        loop {
            let taken = self.entries.lock().take_next(&mut next, last, &is_meant);
            let Some(closed) = taken else { return };
            // Closing a file may take other locks.
            if let Some(closed) = closed {
                self.leave(&closed.file);
            }
            if executor::should_yield() {
                executor::yield_now().await;
            }
        }
    }

    /// Whether a descriptor is closed on `execve`.
    pub fn close_on_exec(&self, fd: i32) -> Result<bool, Errno> {
        match self.entries.lock().slots.get(fd as usize) {
            Some(Slot::Open(entry)) => Ok(entry.close_on_exec),
            _ => Err(Errno::EBADF),
        }
    }

    /// Sets whether a descriptor is closed on `execve`.
    pub fn set_close_on_exec(&self, fd: i32, close: bool) -> Result<(), Errno> {
        match self.entries.lock().slots.get_mut(fd as usize) {
            Some(Slot::Open(entry)) => {
                entry.close_on_exec = close;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// The lowest open descriptor that is at least `from`.
    pub fn next_open(&self, from: usize) -> Option<usize> {
        let table = self.entries.lock();
        let rest = table.slots.get(from..)?;
        rest.iter().position(|slot| slot.entry().is_some()).map(|offset| from + offset)
    }

    /// How many descriptors the table has room for before it grows, as programs see it: the smallest of Linux's tables has 64.
    pub fn room(&self) -> usize {
        self.entries.lock().slots.len().max(64)
    }
}

impl Drop for FileTable {
    fn drop(&mut self) {
        self.close_last(usize::MAX);
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
        self.table.entries.lock().slots[fd] = Slot::Open(Entry { file, close_on_exec });
        core::mem::forget(self);
        fd
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut table = self.table.entries.lock();
        table.slots[self.fd] = Slot::Free;
        table.lowest_free = table.lowest_free.min(self.fd);
    }
}

impl Slot {
    fn entry(&self) -> Option<&Entry> {
        if let Self::Open(entry) = self { Some(entry) } else { None }
    }

    fn entry_mut(&mut self) -> Option<&mut Entry> {
        if let Self::Open(entry) = self { Some(entry) } else { None }
    }
}

impl Entries {
    /// Puts something into the lowest free slot that is at least `from` and below `limit`.
    #[inline(always)]
    fn place(&mut self, slot: Slot, from: usize, limit: u64) -> Result<usize, Errno> {
        let mut fd = from.max(self.lowest_free);
        while let Some(Slot::Open(_) | Slot::Reserved) = self.slots.get(fd) {
            fd += 1;
        }
        if fd as u64 >= limit {
            return Err(Errno::EMFILE);
        }
        if fd >= self.slots.len() {
            self.grow(fd + 1)?;
        }
        self.slots[fd] = slot;
        if from <= self.lowest_free {
            self.lowest_free = fd + 1;
        }
        Ok(fd)
    }

    #[inline]
    fn take(&mut self, fd: usize) -> Option<Entry> {
        let slot = self.slots.get_mut(fd)?;
        let Slot::Open(_) = slot else { return None };
        let Slot::Open(entry) = core::mem::take(slot) else { return None };
        self.lowest_free = self.lowest_free.min(fd);
        Some(entry)
    }

    /// Takes the first that `is_meant` from `next` on, up to `last`, or none if there is none in the next stretch of slots;
    /// moves `next` on. None at all at the end.
    fn take_next(
        &mut self,
        next: &mut usize,
        last: usize,
        is_meant: impl Fn(&Entry) -> bool,
    ) -> Option<Option<Entry>> {
        const STRETCH: usize = 1024;
        let end = self.slots.len().min(last.saturating_add(1));
        let stretch = self.slots.get(*next..end.min(*next + STRETCH)).filter(|slots| !slots.is_empty())?;
        let found = stretch.iter().position(|slot| slot.entry().is_some_and(&is_meant));
        *next += found.unwrap_or(stretch.len());
        Some(found.and_then(|_| self.take(*next)))
    }

    #[cold]
    fn grow(&mut self, len: usize) -> Result<(), Errno> {
        if len > self.slots.len() {
            let wanted = len.max(16).next_power_of_two();
            self.slots.try_reserve_exact(wanted - self.slots.len()).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(wanted, Slot::Free);
        }
        Ok(())
    }
}
