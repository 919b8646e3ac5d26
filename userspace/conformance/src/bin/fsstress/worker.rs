//! A process at work in a tree of its own. Nobody else is there, so it knows how each call must end.

use crate::calls::{self, Errno, name_of, number_of};
use crate::model::{Id, Model, What, join, split};
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use support::random::Random;

/// Names in a directory.
const NAMES: u64 = 48;
/// Names in the whole tree, about.
const MOST: usize = 400;
/// How deep directories are made.
const DEPTH: usize = 6;
/// Bytes in a file.
const SIZE: u64 = 40_000;
/// Descriptors that hold files.
const HELD: usize = 4;
/// Operations that are shown when something is wrong.
const SHOWN: usize = 20;

/// A process and its tree, which is its working directory.
pub struct Worker {
    pub model: Model,
    random: Random,
    /// What extended attributes begin with, if there are any.
    space: Option<&'static str>,
    /// Whether files may be given away.
    is_root: bool,
    owner: (u32, u32),
    held: Vec<(Id, File)>,
    last: VecDeque<String>,
}

/// What long names are made of, and no word that is noted.
const FILLER: char = '_';
/// Lengths of names.
const LENGTHS: [usize; 6] = [2, 3, 8, 30, 120, 255];

/// A name of a number; the last one is too long.
fn name(number: u64) -> String {
    if number == NAMES {
        return format!("too-long{}", FILLER.to_string().repeat(250));
    }
    let start = format!("n{number}");
    let length = LENGTHS[number as usize % LENGTHS.len()].max(start.len());
    format!("{start:_<length$}")
}

impl Worker {
    /// Begins in an empty directory of this mode.
    pub fn new(seed: u64, mode: u32, space: Option<&'static str>) -> Self {
        // SAFETY: no memory is involved.
        let owner = unsafe { (libc::geteuid(), libc::getegid()) };
        Self {
            model: Model::new(mode, owner),
            random: Random::new(seed),
            space,
            is_root: owner.0 == 0,
            owner,
            held: Vec::new(),
            last: VecDeque::new(),
        }
    }

    /// Whether the next operation is for the tree that all share.
    pub fn turns_to_others(&mut self) -> bool {
        self.random.one_in(4)
    }

    /// Notes an operation, with long names cut short.
    fn note(&mut self, what: impl Display) {
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(what.to_string().replace(FILLER, ""));
    }

    /// The last operations.
    pub fn history(&self) -> String {
        self.last.iter().fold("the last operations:".into(), |text, line| format!("{text}\n    {line}"))
    }

    /// A path that is there.
    fn old(&mut self) -> String {
        let one = self.random.below(self.model.len() as u64) as usize;
        self.model.paths().nth(one).expect("one of them").0.into()
    }

    /// A path that is perhaps there, in a directory that nearly always is.
    fn any(&mut self) -> String {
        if self.random.one_in(3) {
            let path = self.old();
            if path != "." {
                return path;
            }
        }
        let mut directory = self.old();
        for _ in 0..20 {
            let is_directory = self.model.find(&directory).is_ok_and(|id| self.model.is_directory(id));
            if is_directory && directory.split('/').count() < DEPTH || self.random.one_in(40) {
                break;
            }
            directory = split(&directory).0.into();
        }
        let number = if self.random.one_in(200) { NAMES } else { self.random.below(NAMES) };
        join(&directory, &name(number))
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = self.random.below(most + 1) as usize;
        let mut random = self.random.clone();
        self.random.word();
        (0..len.div_ceil(8)).flat_map(|_| random.word().to_le_bytes()).take(len).collect()
    }

    /// Compares how a call ended with how it must have.
    fn settle<T, M>(&self, real: io::Result<T>, model: &Result<M, Errno>) -> Result<Option<T>, String> {
        let (ended, must) = (number_of(&real), model.as_ref().err().copied().unwrap_or(0));
        if ended == must {
            return Ok(real.ok());
        }
        Err(format!("it ended with {} and must with {}", name_of(ended), name_of(must)))
    }

    /// One operation.
    pub fn step(&mut self) -> Result<(), String> {
        let is_full = self.model.len() > MOST;
        match self.random.below(100) {
            0..30 if is_full => self.remove(),
            0..10 => self.create(),
            10..16 => self.mkdir(),
            16..20 => self.symlink(),
            20..22 => self.mkfifo(),
            22..27 => self.link(),
            27..37 => self.remove(),
            37..47 => self.rename(),
            47..50 => self.chmod(),
            50..53 => self.chown(),
            53..57 => self.truncate(),
            57..67 => self.write(),
            67..71 => self.fallocate(),
            71..76 => self.read(),
            76..79 => self.hold(),
            79..81 => self.release(),
            81..86 => self.set_xattr(),
            86..89 => self.remove_xattr(),
            89..92 => self.set_time(),
            92..94 => self.fsync(),
            94..97 => self.look(),
            _ => self.list(),
        }
    }

    fn create(&mut self) -> Result<(), String> {
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

    fn mkdir(&mut self) -> Result<(), String> {
        let (path, mode) = (self.any(), 0o700 | self.random.below(0o100) as u32);
        self.note(format_args!("mkdir {path} with mode {mode:o}"));
        let made = self.model.make(&path, What::Directory, mode, self.owner);
        self.settle(calls::mkdir(&path, mode), &made).map(drop)
    }

    fn symlink(&mut self) -> Result<(), String> {
        let path = self.any();
        let length = *self.random.of(&[1, 20, 59, 60, 61, 200, 1000]);
        let target = "t".repeat(length);
        self.note(format_args!("symlink {path} to {length} bytes"));
        let made = self.model.make(&path, What::Symlink(target.clone()), 0o777, self.owner);
        self.settle(symlink(target, path), &made).map(drop)
    }

    fn mkfifo(&mut self) -> Result<(), String> {
        let (path, mode) = (self.any(), 0o600 | self.random.below(0o200) as u32);
        self.note(format_args!("mknod {path}, a fifo with mode {mode:o}"));
        let made = self.model.make(&path, What::Fifo, mode, self.owner);
        self.settle(calls::mkfifo(&path, mode), &made).map(drop)
    }

    fn link(&mut self) -> Result<(), String> {
        let (old, new) = (self.any(), self.any());
        self.note(format_args!("link {old} to {new}"));
        let linked = self.model.link(&old, &new);
        self.settle(fs::hard_link(old, new), &linked).map(drop)
    }

    fn remove(&mut self) -> Result<(), String> {
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

    fn rename(&mut self) -> Result<(), String> {
        let (old, new) = (self.any(), self.any());
        let flags = *self.random.of(&[0, 0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE]);
        self.note(format_args!("rename {old} to {new} with flags {flags}"));
        let renamed = self.model.rename(&old, &new, flags);
        self.settle(calls::rename(&old, &new, flags), &renamed).map(drop)
    }

    /// What a path names, if it is not a symbolic link, which some calls would follow.
    fn not_a_link(&self, path: &str) -> Option<Result<Id, Errno>> {
        let found = self.model.find(path);
        let is_link = found.is_ok_and(|id| matches!(self.model.node(id).what, What::Symlink(_)));
        (!is_link).then_some(found)
    }

    fn chmod(&mut self) -> Result<(), String> {
        let path = self.any();
        let Some(found) = self.not_a_link(&path) else { return Ok(()) };
        let mode = 0o700 | self.random.below(0o100) as u32;
        self.note(format_args!("chmod {path} to {mode:o}"));
        self.settle(fs::set_permissions(path, Permissions::from_mode(mode)), &found)?;
        found.into_iter().for_each(|id| self.model.node_mut(id).mode = mode);
        Ok(())
    }

    fn chown(&mut self) -> Result<(), String> {
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

    fn truncate(&mut self) -> Result<(), String> {
        let (path, size) = (self.any(), self.random.below(SIZE));
        if self.not_a_link(&path).is_none() {
            return Ok(());
        }
        self.note(format_args!("truncate {path} to {size} bytes"));
        let done = self.model.truncate(&path, size as usize);
        self.settle(calls::truncate(&path, size), &done).map(drop)
    }

    fn write(&mut self) -> Result<(), String> {
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

    fn fallocate(&mut self) -> Result<(), String> {
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
        same_contents(&bytes, expected)
    }

    fn read(&mut self) -> Result<(), String> {
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
    fn hold(&mut self) -> Result<(), String> {
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
    fn release(&mut self) -> Result<(), String> {
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

    /// A path whose file can have attributes.
    fn with_xattrs(&mut self) -> Option<(String, String)> {
        let path = self.any();
        let name = format!("{}attribute-{}", self.space?, self.random.below(5));
        let can = |what: &What| matches!(what, What::File(_) | What::Directory);
        self.model.find(&path).is_ok_and(|id| can(&self.model.node(id).what)).then_some((path, name))
    }

    fn set_xattr(&mut self) -> Result<(), String> {
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

    fn remove_xattr(&mut self) -> Result<(), String> {
        let Some((path, name)) = self.with_xattrs() else { return Ok(()) };
        self.note(format_args!("remove {name} of {path}"));
        let removed = self.model.remove_xattr(&path, &name);
        self.settle(calls::remove_xattr(&path, &name), &removed).map(drop)
    }

    fn set_time(&mut self) -> Result<(), String> {
        let path = self.any();
        let time = (self.random.below(1 << 31) as i64, self.random.below(1_000_000_000) as i64);
        self.note(format_args!("set the time of {path} to {time:?}"));
        let found = self.model.find(&path);
        self.settle(calls::set_modified(&path, time), &found)?;
        found.into_iter().for_each(|id| self.model.node_mut(id).modified = Some(time));
        Ok(())
    }

    fn fsync(&mut self) -> Result<(), String> {
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

    fn look(&mut self) -> Result<(), String> {
        let path = self.any();
        self.note(format_args!("lstat {path}"));
        match self.model.find(&path) {
            Ok(id) => crate::compare::attributes(&self.model, &path, id).map(drop),
            absent => self.settle(fs::symlink_metadata(path), &absent).map(drop),
        }
    }

    fn list(&mut self) -> Result<(), String> {
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

    /// Lets go of everything, and compares the whole tree with the model.
    pub fn end(&mut self) -> Result<(), String> {
        while !self.held.is_empty() {
            self.release()?;
        }
        crate::compare::tree(&self.model)
    }
}

/// Compares contents, and says where they differ.
pub fn same_contents(bytes: &[u8], expected: &[u8]) -> Result<(), String> {
    if bytes == expected {
        return Ok(());
    }
    if bytes.len() != expected.len() {
        return Err(format!("there are {} bytes and must be {}", bytes.len(), expected.len()));
    }
    let first = bytes.iter().zip(expected).position(|(one, other)| one != other).unwrap_or(0);
    Err(format!("byte {first} is {:#04x} and must be {:#04x}", bytes[first], expected[first]))
}

/// The names of a directory as the kernel lists them.
pub fn listed(path: &str) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(|error| format!("listing {path}: {error}"))? {
        let name = entry.map_err(|error| format!("listing {path}: {error}"))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !names.insert(name.clone()) {
            return Err(format!("{path} has {name} twice"));
        }
    }
    Ok(names)
}
