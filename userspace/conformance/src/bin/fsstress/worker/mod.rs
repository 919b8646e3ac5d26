//! A process at work in a tree of its own. Nobody else is there, so it knows how each call must end.

mod attributes;
mod contents;
mod entries;

use crate::calls::{Errno, name_of, number_of};
use crate::model::{Id, Model, What, join, split};
use std::collections::VecDeque;
use std::fmt::Display;
use std::fs::File;
use std::io;
use support::random::Random;

/// How many times as many names there are at most in the whole tree as in a directory, about.
const DIRECTORIES: u64 = 8;
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
    model: Model,
    random: Random,
    /// How many names a directory can have.
    names: u64,
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

/// One that is too long.
fn long_name() -> String {
    format!("too-long{}", FILLER.to_string().repeat(250))
}

/// The name of a number.
fn name(number: u64) -> String {
    let start = format!("n{number}");
    let length = LENGTHS[number as usize % LENGTHS.len()].max(start.len());
    format!("{start:_<length$}")
}

impl Worker {
    /// Begins in an empty directory of this mode.
    pub fn new(seed: u64, names: u64, mode: u32, space: Option<&'static str>) -> Self {
        // SAFETY: no memory is involved.
        let owner = unsafe { (libc::geteuid(), libc::getegid()) };
        Self {
            model: Model::new(mode, owner),
            random: Random::new(seed),
            names,
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
        if self.random.one_in(200) {
            return join(&directory, &long_name());
        }
        join(&directory, &name(self.random.below(self.names)))
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
        let is_full = self.model.len() as u64 > self.names * DIRECTORIES;
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

    /// What a path names, if it is not a symbolic link, which some calls would follow.
    fn not_a_link(&self, path: &str) -> Option<Result<Id, Errno>> {
        let found = self.model.find(path);
        let is_link = found.is_ok_and(|id| matches!(self.model.node(id).what, What::Symlink(_)));
        (!is_link).then_some(found)
    }

    /// Lets go of everything, and compares the whole tree with the model.
    pub fn end(&mut self) -> Result<(), String> {
        while !self.held.is_empty() {
            self.release()?;
        }
        crate::compare::tree(&self.model)
    }
}
