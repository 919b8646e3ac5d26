//! The tree that all know, and how its names are spelt.

use crate::library::{Choice, expect, expect_success, failed};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R15, Rax};
use processes::program::{Operand, Program};

/// The tree's root.
const ROOT: &str = "/tmp/n";
/// Descriptors that all have: of the root, and of what is in it.
pub const BASE: i32 = 20;
/// The directories in the root, their descriptors, and links to them, which are in the root, too.
const DIRECTORIES: [(&str, i32, &str); 3] = [("a", 21, "0"), ("b", 22, "1"), ("w", WATCHED_FD, "2")];
/// Two directories where names come and go, and one that is watched.
pub const A: usize = 0;
pub const B: usize = 1;
pub const WATCHED: usize = 2;
pub const WATCHED_FD: i32 = 23;
/// Descriptors of games and, from the last one on, of parties.
pub const TREE: i32 = 24;
pub const BALL: i32 = 30;
pub const LINKED: i32 = 31;
pub const INSTANCE: i32 = 32;
pub const UNNAMED: [i32; 3] = [33, 34, 35];
pub const PARTY: i32 = 40;
/// Who may search directories: all, so that paths are walked the short way, too.
pub const DIRECTORY_MODE: u32 = 0o755;
/// Files that are in both directories all the time.
pub const PERMANENT: [&str; 2] = ["P", "Q"];

/// A name: a descriptor and a path from there.
#[derive(Clone, Copy)]
pub struct Name {
    pub fd: i32,
    pub path: usize,
}

impl Name {
    /// A path from a descriptor.
    pub fn at(p: &mut Program, fd: i32, path: &str) -> Self {
        Self { fd, path: p.string(path) }
    }

    /// A name in one of the directories, spelt in some way.
    pub fn spell(p: &mut Program, choice: &mut Choice, directory: usize, name: &str) -> Self {
        let (home, fd, link) = DIRECTORIES[directory];
        let (_, other, _) = DIRECTORIES[(directory + 1) % 2];
        match choice.below(6) {
            0 | 1 => Self::at(p, fd, name),
            2 => Self::at(p, linux::AT_FDCWD, &format!("{ROOT}/{home}/{name}")),
            3 => Self::at(p, other, &format!("../{home}/{name}")),
            4 => Self::at(p, BASE, &format!("{link}//./{name}")),
            _ => Self::at(p, linux::AT_FDCWD, &format!("{ROOT}/{link}/../{home}/{name}")),
        }
    }

    fn operands(self) -> [Operand; 2] {
        [self.fd.into(), self.path.into()]
    }
}

/// A call about a name.
pub fn call(p: &mut Program, number: u32, name: Name, more: &[Operand]) {
    p.system(number, &[&name.operands(), more].concat());
}

/// A call about two names.
pub fn call_both(p: &mut Program, number: u32, one: Name, other: Name, flags: u32) {
    p.system(number, &[&one.operands()[..], &other.operands(), &[flags.into()]].concat());
}

/// Opens a name.
pub fn open(p: &mut Program, name: Name, flags: u32) {
    call(p, linux::__NR_openat, name, &[flags.into(), 0o600.into()]);
}

/// Opens it with a descriptor of this number. r15 is lost.
pub fn open_as(p: &mut Program, name: Name, flags: u32, number: i32) {
    open(p, name, flags);
    expect_success(p, Rax, 20);
    settle(p, number);
}

/// Has the descriptor rax have this number. r15 is lost.
pub fn settle(p: &mut Program, number: i32) {
    p.set(R15, Rax);
    p.system(linux::__NR_dup2, &[R15.into(), number.into()]);
    expect(p, Rax, &[number.into()], 21);
    p.system(linux::__NR_close, &[R15.into()]);
}

/// Renames a file.
pub fn rename(p: &mut Program, from: Name, to: Name, flags: u32) {
    call_both(p, linux::__NR_renameat2, from, to, flags);
}

/// Removes a name: that of a directory, or of anything else.
pub fn remove(p: &mut Program, name: Name, is_directory: bool) {
    let flags = if is_directory { linux::AT_REMOVEDIR } else { 0 };
    call(p, linux::__NR_unlinkat, name, &[flags.into()]);
}

/// The same of one that has to be there.
pub fn remove_own(p: &mut Program, name: Name, is_directory: bool, code: i32) {
    remove(p, name, is_directory);
    expect(p, Rax, &[0], code);
}

/// Bytes of `struct stat`, and where the number of the file and that of its links are.
const STAT: usize = 144;
pub const NUMBER: i64 = 8;
pub const LINKS: i64 = 16;

/// Asks for the attributes of a name. Says where they are.
pub fn look(p: &mut Program, name: Name, flags: u32) -> usize {
    let place = p.data(STAT);
    call(p, linux::__NR_newfstatat, name, &[place.into(), flags.into()]);
    place
}

/// The name must be there.
pub fn must_be(p: &mut Program, name: Name, code: i32) {
    look(p, name, linux::AT_SYMLINK_NOFOLLOW);
    expect(p, Rax, &[0], code);
}

/// rax is how many links there are to an open file.
pub fn links(p: &mut Program, fd: i32) {
    let place = p.data(STAT);
    p.system(linux::__NR_fstat, &[fd.into(), place.into()]);
    expect(p, Rax, &[0], 22);
    p.set(Rax, place);
    p.read8(Rax, Rax, LINKS);
}

/// Makes the tree.
pub fn plant(p: &mut Program) {
    let root = Name::at(p, linux::AT_FDCWD, ROOT);
    plant_one(p, root, BASE);
    for (home, fd, link) in DIRECTORIES {
        let (directory, link, target) = (Name::at(p, BASE, home), Name::at(p, BASE, link), p.string(home));
        plant_one(p, directory, fd);
        p.system(linux::__NR_symlinkat, &[target.into(), link.fd.into(), link.path.into()]);
        expect(p, Rax, &[0], 23);
    }
    for (_, fd, _) in &DIRECTORIES[..2] {
        for name in PERMANENT {
            let name = Name::at(p, *fd, name);
            call(p, linux::__NR_mknodat, name, &[(linux::S_IFREG | 0o600).into(), 0.into()]);
            expect(p, Rax, &[0], 24);
        }
    }
}

/// Makes a directory with a descriptor of this number.
pub fn plant_one(p: &mut Program, name: Name, number: i32) {
    call(p, linux::__NR_mkdirat, name, &[DIRECTORY_MODE.into()]);
    expect(p, Rax, &[0], 25);
    open_as(p, name, linux::O_DIRECTORY, number);
}

/// Removes the tree, in which there must be nothing more, but perhaps these: from the victims, who may have been killed
/// anywhere.
pub fn fell(p: &mut Program, leftover: &[&str]) {
    for (home, fd, link) in DIRECTORIES {
        for name in leftover {
            let name = Name::at(p, fd, name);
            for is_directory in [false, true] {
                remove(p, name, is_directory);
                let errors = [errno::ENOENT, errno::EISDIR, errno::ENOTDIR].map(failed);
                expect(p, Rax, &[&[0][..], &errors].concat(), 26);
            }
        }
        for name in PERMANENT.iter().filter(|_| home != DIRECTORIES[WATCHED].0) {
            let name = Name::at(p, fd, name);
            remove_own(p, name, false, 27);
        }
        let (directory, link) = (Name::at(p, BASE, home), Name::at(p, BASE, link));
        p.system(linux::__NR_close, &[fd.into()]);
        remove_own(p, directory, true, 28);
        remove_own(p, link, false, 29);
    }
    let root = Name::at(p, linux::AT_FDCWD, ROOT);
    remove_own(p, root, true, 30);
}
