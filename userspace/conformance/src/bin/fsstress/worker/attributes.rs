//! Operations on attributes.

use super::Worker;
use crate::calls::{self, number_of};
use crate::model::What;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown};

impl Worker {
    pub(super) fn chmod(&mut self) -> Result<(), String> {
        let path = self.any();
        let Some(found) = self.not_a_link(&path) else { return Ok(()) };
        let mode = 0o700 | self.random.below(0o100) as u32;
        self.note(format_args!("chmod {path} to {mode:o}"));
        self.settle(fs::set_permissions(path, Permissions::from_mode(mode)), &found)?;
        found.into_iter().for_each(|id| self.model.node_mut(id).mode = mode);
        Ok(())
    }

    pub(super) fn chown(&mut self) -> Result<(), String> {
        let path = self.any();
        let mut owner = (self.random.below(100_000) as u32, self.random.below(100_000) as u32);
        if !self.is_root {
            owner = self.owner;
        }
        self.note(format_args!("lchown {path} to {owner:?}"));
        let found = self.model.find(&path);
        self.settle(lchown(path, Some(owner.0), Some(owner.1)), &found)?;
        found.into_iter().for_each(|id| self.model.node_mut(id).owner = owner);
        Ok(())
    }

    /// A path whose file can have attributes.
    fn with_xattrs(&mut self) -> Option<(String, String)> {
        let path = self.any();
        let name = format!("{}attribute-{}", self.space?, self.random.below(5));
        let can = |what: &What| matches!(what, What::File(_) | What::Directory);
        self.model.find(&path).is_ok_and(|id| can(&self.model.node(id).what)).then_some((path, name))
    }

    pub(super) fn set_xattr(&mut self) -> Result<(), String> {
        let Some((path, name)) = self.with_xattrs() else { return Ok(()) };
        let most = *self.random.of(&[10, 60, 300]);
        let value = self.bytes(most);
        let flags = *self.random.of(&[0, 0, libc::XATTR_CREATE, libc::XATTR_REPLACE]);
        self.note(format_args!("set {name} of {path}, {} bytes, with flags {flags}", value.len()));
        let real = calls::set_xattr(&path, &name, &value, flags);
        if number_of(&real) == libc::ENOSPC {
            // There is little room for them on some file systems.
            return Ok(());
        }
        let set = self.model.set_xattr(&path, &name, &value, flags);
        self.settle(real, &set).map(drop)
    }

    pub(super) fn remove_xattr(&mut self) -> Result<(), String> {
        let Some((path, name)) = self.with_xattrs() else { return Ok(()) };
        self.note(format_args!("remove {name} of {path}"));
        let removed = self.model.remove_xattr(&path, &name);
        self.settle(calls::remove_xattr(&path, &name), &removed).map(drop)
    }

    pub(super) fn set_time(&mut self) -> Result<(), String> {
        let path = self.any();
        let time = (self.random.below(1 << 31) as i64, self.random.below(1_000_000_000) as i64);
        self.note(format_args!("set the time of {path} to {time:?}"));
        let found = self.model.find(&path);
        self.settle(calls::set_modified(&path, time), &found)?;
        found.into_iter().for_each(|id| self.model.node_mut(id).modified = Some(time));
        Ok(())
    }
}
