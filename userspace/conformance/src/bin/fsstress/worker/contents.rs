//! Operations on contents.

use super::{HELD, SIZE, Worker};
use crate::calls::{self, number_of};
use crate::model::{Id, What};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

impl Worker {
    pub(super) fn truncate(&mut self) -> Result<(), String> {
        let (path, size) = (self.any(), self.random.below(SIZE));
        if self.not_a_link(&path).is_none() {
            return Ok(());
        }
        self.note(format_args!("truncate {path} to {size} bytes"));
        let done = self.model.truncate(&path, size as usize);
        self.settle(calls::truncate(&path, size), &done).map(drop)
    }

    pub(super) fn write(&mut self) -> Result<(), String> {
        let (path, at, bytes) = (self.any(), self.random.below(SIZE / 2), self.bytes(SIZE / 2));
        self.note(format_args!("write {} bytes at {at} to {path}", bytes.len()));
        let opened = self.model.open(&path);
        if let (Some(file), Ok(id)) = (self.settle(calls::open(&path, true), &opened)?, opened) {
            self.settle(file.write_all_at(&bytes, at), &Ok(()))?;
            if !bytes.is_empty() {
                self.model.write(id, at as usize, &bytes);
            }
        }
        Ok(())
    }

    pub(super) fn fallocate(&mut self) -> Result<(), String> {
        let path = self.any();
        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let mode = *self.random.of(&[0, libc::FALLOC_FL_KEEP_SIZE, punch]);
        let (at, len) = (self.random.below(SIZE / 2), 1 + self.random.below(SIZE / 2));
        self.note(format_args!("fallocate {len} bytes at {at} of {path} with mode {mode}"));
        let opened = self.model.open(&path);
        let (Some(file), Ok(id)) = (self.settle(calls::open(&path, true), &opened)?, opened) else {
            return Ok(());
        };
        let done = calls::fallocate(&file, mode, at, len);
        if number_of(&done) == libc::EOPNOTSUPP {
            return Ok(());
        }
        self.settle(done, &Ok(()))?;
        let (start, end, size) = (at as usize, (at + len) as usize, self.model.contents(id).len());
        if mode == 0 && end > size {
            self.model.write(id, end - 1, &[0]);
        } else if mode == punch && start < size {
            self.model.write(id, start, &vec![0; end.min(size) - start]);
        }
        self.model.node_mut(id).modified = None;
        Ok(())
    }

    /// What a descriptor gives, compared.
    fn compare(&self, file: &File, id: Id) -> Result<(), String> {
        let expected = self.model.contents(id);
        let mut bytes = vec![0; expected.len() + 100];
        let count = file.read_at(&mut bytes, 0).map_err(|error| format!("read: {error}"))?;
        bytes.truncate(count);
        crate::compare::contents(&bytes, expected)
    }

    pub(super) fn read(&mut self) -> Result<(), String> {
        let path = self.any();
        self.note(format_args!("read {path}"));
        let found = self.model.find(&path);
        match found.map(|id| (id, self.model.node(id).what.clone())) {
            Err(_) => self.settle(calls::open(&path, false), &found).map(drop),
            Ok((id, What::File(_))) => {
                let file = self.settle(calls::open(&path, false), &found)?.expect("compared");
                self.compare(&file, id)
            }
            Ok((_, What::Directory)) => {
                let file = self.settle(calls::open(&path, false), &found)?.expect("compared");
                self.settle(file.read_at(&mut [0], 0), &Err::<(), _>(libc::EISDIR)).map(drop)
            }
            Ok((_, What::Symlink(target))) => {
                let read = self.settle(fs::read_link(path), &found)?.expect("compared");
                if read.as_os_str() == target.as_str() { Ok(()) } else { Err(format!("{read:?}")) }
            }
            Ok((_, What::Fifo)) => self.settle(fs::read_link(path), &Err::<(), _>(libc::EINVAL)).map(drop),
        }
    }

    /// Holds a file open, perhaps longer than it has a name.
    pub(super) fn hold(&mut self) -> Result<(), String> {
        if self.held.len() == HELD {
            return self.release();
        }
        let path = self.any();
        self.note(format_args!("hold {path}"));
        // What is no file is left to other operations.
        let Ok(id) = self.model.open(&path) else { return Ok(()) };
        let real = File::options().read(true).write(true).open(&path);
        let file = self.settle(real, &Ok(()))?.expect("compared");
        self.model.hold(id);
        self.held.push((id, file));
        Ok(())
    }

    /// Writes to a file that is held, compares it, and lets it go.
    pub(super) fn release(&mut self) -> Result<(), String> {
        if self.held.is_empty() {
            return Ok(());
        }
        let one = self.random.below(self.held.len() as u64) as usize;
        let (id, file) = self.held.swap_remove(one);
        let (at, bytes) = (self.random.below(SIZE / 2), self.bytes(5000));
        self.note(format_args!("write {} bytes at {at} to a file that is held, and let it go", bytes.len()));
        self.settle(file.write_all_at(&bytes, at), &Ok(()))?;
        if !bytes.is_empty() {
            self.model.write(id, at as usize, &bytes);
        }
        self.compare(&file, id)?;
        self.model.release(id);
        Ok(())
    }

    pub(super) fn fsync(&mut self) -> Result<(), String> {
        if self.random.one_in(10) {
            self.note("sync");
            calls::sync();
            return Ok(());
        }
        let path = self.old();
        let id = self.model.find(&path).expect("it is there");
        if !matches!(self.model.node(id).what, What::File(_) | What::Directory) {
            return Ok(());
        }
        self.note(format_args!("fsync {path}"));
        let file = self.settle(calls::open(&path, false), &Ok(()))?.expect("compared");
        let done = if self.random.one_in(2) { file.sync_all() } else { file.sync_data() };
        self.settle(done, &Ok(())).map(drop)
    }
}
