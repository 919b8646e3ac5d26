//! Operations on names.

use super::Worker;
use crate::calls;
use crate::model::What;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};

impl Worker {
    pub(super) fn create(&mut self) -> Result<(), String> {
        let (path, mode) = (self.any(), 0o600 | self.random.below(0o200) as u32);
        self.note(format_args!("create {path} with mode {mode:o}"));
        let made = self.model.make(&path, What::File(Vec::new()), mode, self.owner);
        let file = self.settle(calls::create(&path, mode), &made)?;
        if let (Some(file), Ok(id)) = (file, made)
            && self.random.one_in(2)
        {
            let bytes = self.bytes(3000);
            self.note(format_args!("write {} bytes to it", bytes.len()));
            self.settle(file.write_all_at(&bytes, 0), &Ok(()))?;
            self.model.write(id, 0, &bytes);
        }
        Ok(())
    }

    pub(super) fn mkdir(&mut self) -> Result<(), String> {
        let (path, mode) = (self.any(), 0o700 | self.random.below(0o100) as u32);
        self.note(format_args!("mkdir {path} with mode {mode:o}"));
        let made = self.model.make(&path, What::Directory, mode, self.owner);
        self.settle(calls::mkdir(&path, mode), &made).map(drop)
    }

    pub(super) fn symlink(&mut self) -> Result<(), String> {
        let path = self.any();
        let length = *self.random.of(&[1, 20, 59, 60, 61, 200, 1000]);
        let target = "t".repeat(length);
        self.note(format_args!("symlink {path} to {length} bytes"));
        let made = self.model.make(&path, What::Symlink(target.clone()), 0o777, self.owner);
        self.settle(symlink(target, path), &made).map(drop)
    }

    pub(super) fn mkfifo(&mut self) -> Result<(), String> {
        let (path, mode) = (self.any(), 0o600 | self.random.below(0o200) as u32);
        self.note(format_args!("mknod {path}, a fifo with mode {mode:o}"));
        let made = self.model.make(&path, What::Fifo, mode, self.owner);
        self.settle(calls::mkfifo(&path, mode), &made).map(drop)
    }

    pub(super) fn link(&mut self) -> Result<(), String> {
        let (old, new) = (self.any(), self.any());
        self.note(format_args!("link {old} to {new}"));
        let linked = self.model.link(&old, &new);
        self.settle(fs::hard_link(old, new), &linked).map(drop)
    }

    pub(super) fn remove(&mut self) -> Result<(), String> {
        let path = self.any();
        let is_directory = self.model.find(&path).is_ok_and(|id| self.model.is_directory(id));
        // Now and then the wrong call.
        if is_directory != self.random.one_in(10) {
            self.note(format_args!("rmdir {path}"));
            let removed = self.model.rmdir(&path);
            self.settle(fs::remove_dir(path), &removed).map(drop)
        } else {
            self.note(format_args!("unlink {path}"));
            let removed = self.model.unlink(&path);
            self.settle(fs::remove_file(path), &removed).map(drop)
        }
    }

    pub(super) fn rename(&mut self) -> Result<(), String> {
        let (old, new) = (self.any(), self.any());
        let flags = *self.random.of(&[0, 0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE]);
        self.note(format_args!("rename {old} to {new} with flags {flags}"));
        let renamed = self.model.rename(&old, &new, flags);
        self.settle(calls::rename(&old, &new, flags), &renamed).map(drop)
    }

    pub(super) fn look(&mut self) -> Result<(), String> {
        let path = self.any();
        self.note(format_args!("lstat {path}"));
        match self.model.find(&path) {
            Ok(id) => crate::compare::attributes(&self.model, &path, id).map(drop),
            absent => self.settle(fs::symlink_metadata(path), &absent).map(drop),
        }
    }

    pub(super) fn list(&mut self) -> Result<(), String> {
        let path = self.any();
        self.note(format_args!("list {path}"));
        match self.model.find(&path) {
            Ok(id) if self.model.is_directory(id) => crate::compare::names(&self.model, &path),
            Ok(_) if self.not_a_link(&path).is_some() => {
                self.settle(fs::read_dir(path), &Err::<(), _>(libc::ENOTDIR)).map(drop)
            }
            Ok(_) => Ok(()),
            absent => self.settle(fs::read_dir(path), &absent).map(drop),
        }
    }
}
