//! Ways to make a name, of which only one can succeed while the name is not there; and to be rid of it again.

use super::place::{A, B, DIRECTORY_MODE, Name, call, call_both, open, remove, remove_own, rename};
use crate::library::{Choice, close, expect, expect_success};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R14, R15, Rax, Rcx};
use processes::program::Program;

/// How a name is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    Fifo,
    Symlink,
    Directory,
    /// The party's own file gets another name.
    Link,
    /// A file that never had one gets a name.
    Unnamed,
    /// The party's own file or directory is moved there.
    Move,
    MoveDirectory,
}

/// All of them.
pub const ALL: [Way; 8] = [
    Way::Open,
    Way::Fifo,
    Way::Symlink,
    Way::Directory,
    Way::Link,
    Way::Unnamed,
    Way::Move,
    Way::MoveDirectory,
];

impl Way {
    /// One of these.
    pub fn any(choice: &mut Choice, ways: &[Way]) -> Way {
        ways[choice.below(ways.len() as u64) as usize]
    }

    fn moves(self) -> bool {
        matches!(self, Way::Move | Way::MoveDirectory)
    }

    fn makes_directory(self) -> bool {
        matches!(self, Way::Directory | Way::MoveDirectory)
    }
}

/// What a party has for itself: the names of a file and of a directory.
#[derive(Clone, Copy)]
pub struct Own {
    pub file: Name,
    pub directory: Name,
}

/// The names of what a party has for itself.
pub fn own_names(who: usize) -> [String; 2] {
    [char::from(b'0' + who as u8), char::from(b'A' + who as u8)].map(String::from)
}

impl Own {
    /// Those of a party.
    pub fn of(p: &mut Program, choice: &mut Choice, who: usize) -> Self {
        let [file, directory] = own_names(who);
        let home = [A, B][choice.below(2) as usize];
        let file = Name::spell(p, choice, home, &file);
        let home = [A, B][choice.below(2) as usize];
        Self { file, directory: Name::spell(p, choice, home, &directory) }
    }

    /// Makes both.
    pub fn make(self, p: &mut Program) {
        self.make_file(p);
        call(p, linux::__NR_mkdirat, self.directory, &[DIRECTORY_MODE.into()]);
        expect(p, Rax, &[0], 40);
    }

    /// Makes the file.
    pub fn make_file(self, p: &mut Program) {
        call(p, linux::__NR_mknodat, self.file, &[0o600.into(), 0.into()]);
        expect(p, Rax, &[0], 41);
    }

    /// Removes both.
    pub fn remove(self, p: &mut Program) {
        remove_own(p, self.file, false, 42);
        remove_own(p, self.directory, true, 43);
    }
}

/// Makes a name; rax is 0 or an error. r14 and r15 are lost.
pub fn make(p: &mut Program, way: Way, name: Name, own: Own) {
    match way {
        Way::Open => {
            let failed = p.label();
            open(p, name, linux::O_CREAT | linux::O_EXCL | linux::O_RDWR);
            p.set(Rcx, 0);
            p.if_less(Rax, Rcx, failed);
            close(p, Rax);
            p.put(failed);
        }
        Way::Fifo => call(p, linux::__NR_mknodat, name, &[(linux::S_IFIFO | 0o600).into(), 0.into()]),
        Way::Directory => call(p, linux::__NR_mkdirat, name, &[DIRECTORY_MODE.into()]),
        Way::Symlink => {
            let target = p.string("nowhere");
            p.system(linux::__NR_symlinkat, &[target.into(), name.fd.into(), name.path.into()]);
        }
        Way::Link => call_both(p, linux::__NR_linkat, own.file, name, 0),
        Way::Unnamed => {
            // In the directory of the party's own, which is there.
            open(p, own.directory, linux::__O_TMPFILE | linux::O_DIRECTORY | linux::O_RDWR);
            expect_success(p, Rax, 44);
            p.set(R15, Rax);
            give_name(p, name);
            p.set(R14, Rax);
            close(p, R15);
            p.set(Rax, R14);
        }
        Way::Move => rename(p, own.file, name, linux::RENAME_NOREPLACE),
        Way::MoveDirectory => rename(p, own.directory, name, linux::RENAME_NOREPLACE),
    }
}

/// Gives the open file r15 a name.
pub fn give_name(p: &mut Program, name: Name) {
    let none = p.string("");
    let flags = linux::AT_EMPTY_PATH;
    p.system(linux::__NR_linkat, &[R15.into(), none.into(), name.fd.into(), name.path.into(), flags.into()]);
}

/// Takes away the name that was made so; rax is 0 or an error.
pub fn unmake(p: &mut Program, way: Way, name: Name, own: Own) {
    match way {
        _ if !way.moves() => remove(p, name, way.makes_directory()),
        Way::Move => rename(p, name, own.file, 0),
        _ => rename(p, name, own.directory, linux::RENAME_NOREPLACE),
    }
}
