//! Descriptor tables.

use alloc::{sync::Arc, vec::Vec};

use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::File;

#[derive(Clone)]
struct Entry {
    file: Arc<File>,
    close_on_exec: bool,
}

#[derive(Clone, Default)]
struct Entries {
    slots: Vec<Option<Entry>>,
    /// No slot below this is free.
    lowest_free: usize,
}

/// A process's descriptors. Threads share it; fork copies it.
#[derive(Default)]
pub struct FileTable(SpinMutex<Entries>);

impl FileTable {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A copy with the same open files.
    pub fn duplicate(&self) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self(SpinMutex::new(self.0.lock().clone()))))
    }

    /// The open file of a descriptor; EBADF if there is none.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<File>, Errno> {
        match self.0.lock().slots.get(fd as usize) {
            Some(Some(entry)) => Ok(entry.file.clone()),
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
        let table = &mut *self.0.lock();
        let mut fd = from.max(table.lowest_free);
        while let Some(Some(_)) = table.slots.get(fd) {
            fd += 1;
        }
        if fd as u64 >= limit {
            return Err(Errno::EMFILE);
        }
        if fd >= table.slots.len() {
            table.grow(fd + 1)?;
        }
        table.slots[fd] = Some(Entry { file, close_on_exec });
        if from <= table.lowest_free {
            table.lowest_free = fd + 1;
        }
        Ok(fd)
    }

    /// Gives an open file this descriptor, closing what had it (`dup2`).
    pub fn replace(&self, file: Arc<File>, fd: usize, close_on_exec: bool) -> Result<(), Errno> {
        let mut table = self.0.lock();
        table.grow(fd + 1)?;
        let old = table.slots[fd].replace(Entry { file, close_on_exec });
        drop(table);
        // Closing the old file may take other locks.
        drop(old);
        Ok(())
    }

    /// Closes a descriptor.
    #[inline]
    pub fn remove(&self, fd: i32) -> Result<Arc<File>, Errno> {
        let mut table = self.0.lock();
        let entry = table.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::EBADF)?;
        table.lowest_free = table.lowest_free.min(fd as usize);
        Ok(entry.file)
    }

    /// Closes the descriptors from `first` to `last`, or marks them to be closed on `execve`.
    pub fn remove_range(&self, first: u32, last: u32, only_mark: bool) {
        let mut closed = Vec::new();
        let mut table = self.0.lock();
        let end = table.slots.len().min((last as usize).saturating_add(1));
        for fd in first as usize..end {
            if only_mark {
                if let Some(entry) = &mut table.slots[fd] {
                    entry.close_on_exec = true;
                }
            } else if let Some(entry) = table.slots[fd].take() {
                closed.push(entry);
                table.lowest_free = table.lowest_free.min(fd);
            }
        }
        drop(table);
        drop(closed);
    }

    /// Whether a descriptor is closed on `execve`.
    pub fn close_on_exec(&self, fd: i32) -> Result<bool, Errno> {
        match self.0.lock().slots.get(fd as usize) {
            Some(Some(entry)) => Ok(entry.close_on_exec),
            _ => Err(Errno::EBADF),
        }
    }

    /// Sets whether a descriptor is closed on `execve`.
    pub fn set_close_on_exec(&self, fd: i32, close: bool) -> Result<(), Errno> {
        match self.0.lock().slots.get_mut(fd as usize) {
            Some(Some(entry)) => {
                entry.close_on_exec = close;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// The table that a program starts with: this one, or a copy if it is shared, without the descriptors that are
    /// closed on `execve`.
    pub fn for_exec(self: &Arc<Self>, shared: bool) -> Arc<Self> {
        let table = if shared { Arc::new(Self(SpinMutex::new(self.0.lock().clone()))) } else { self.clone() };
        let mut closed = Vec::new();
        {
            let mut entries = table.0.lock();
            let mut lowest = entries.lowest_free;
            for (fd, slot) in entries.slots.iter_mut().enumerate() {
                if slot.as_ref().is_some_and(|entry| entry.close_on_exec) {
                    closed.extend(slot.take());
                    lowest = lowest.min(fd);
                }
            }
            entries.lowest_free = lowest;
        }
        drop(closed);
        table
    }

    /// All descriptors with their files, ascending.
    pub fn list(&self) -> Vec<(usize, Arc<File>)> {
        let table = self.0.lock();
        let open = table.slots.iter().enumerate();
        open.filter_map(|(fd, slot)| slot.as_ref().map(|entry| (fd, entry.file.clone()))).collect()
    }
}

impl Entries {
    #[cold]
    fn grow(&mut self, len: usize) -> Result<(), Errno> {
        if len > self.slots.len() {
            let wanted = len.max(16).next_power_of_two();
            self.slots.try_reserve_exact(wanted - self.slots.len()).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(wanted, None);
        }
        Ok(())
    }
}
