//! What the calls work on: some open files, and memory of every kind.

use crate::check::{path, sys};
use std::ffi::CString;
use support::memory::PAGE;

/// Descriptors that are open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// A file, for reading and writing.
    File,
    /// A file, for reading.
    Input,
    /// A file, for writing.
    Output,
    /// A folder.
    Folder,
    /// The reading end of a pipe; reading does not wait.
    Reader,
    /// The writing end of the same pipe.
    Writer,
    /// /dev/null, for both.
    Null,
    /// A file, by its place alone.
    Place,
}

impl Open {
    pub const ALL: [Self; 8] = [
        Self::File,
        Self::Input,
        Self::Output,
        Self::Folder,
        Self::Reader,
        Self::Writer,
        Self::Null,
        Self::Place,
    ];

    /// A word for it.
    pub fn name(self) -> &'static str {
        ["file", "input", "output", "folder", "reader", "writer", "null", "place"][self as usize]
    }
}

/// See the module.
pub struct Stage {
    descriptors: [i32; 8],
    /// Two pages, and nothing mapped after them.
    memory: usize,
    read_only: usize,
    no_access: usize,
    long_name: CString,
    /// Each ends with its NUL at the last byte of the memory that holds it.
    paths: [(usize, CString); 2],
}

fn open(name: &str, flags: i32) -> i32 {
    sys!(SYS_open, path(name).as_ptr(), flags | libc::O_CREAT, 0o644).expect("a file") as i32
}

/// Far from where programs and mappings go by themselves.
const LONELY: usize = 1 << 40;

fn map(hint: usize, pages: usize, protection: i32) -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    sys!(SYS_mmap, hint, pages * PAGE, protection, flags, -1, 0).expect("memory") as usize
}

/// A path of 4095 or 4096 bytes that leads to the file.
fn path_of(length: usize) -> (usize, CString) {
    let start = if length.is_multiple_of(2) { "" } else { ".//" };
    let steps = (length - start.len() - "file".len()) / 2;
    (length, path(&format!("{start}{}file", "./".repeat(steps))))
}

impl Stage {
    /// Opens and maps everything, in the working folder.
    pub fn new() -> Self {
        std::fs::create_dir_all("folder").expect("a folder");
        let _ = std::os::unix::fs::symlink("loop", "loop");
        std::fs::write("file", [b'x'; 64]).expect("a file");
        let mut ends = [0; 2];
        sys!(SYS_pipe2, ends.as_mut_ptr(), libc::O_NONBLOCK).expect("a pipe");
        let folder = sys!(SYS_open, c"folder".as_ptr(), 0).expect("the folder") as i32;
        let memory = map(LONELY, 2, libc::PROT_READ | libc::PROT_WRITE);
        Self {
            descriptors: [
                open("file", libc::O_RDWR),
                open("file", libc::O_RDONLY),
                open("file", libc::O_WRONLY),
                folder,
                ends[0],
                ends[1],
                sys!(SYS_open, c"/dev/null".as_ptr(), libc::O_RDWR).expect("/dev/null") as i32,
                sys!(SYS_open, c"file".as_ptr(), libc::O_PATH).expect("the file's place") as i32,
            ],
            memory,
            read_only: map(0, 1, libc::PROT_READ),
            no_access: map(0, 1, libc::PROT_NONE),
            long_name: path(&"n".repeat(256)),
            paths: [path_of(4095), path_of(4096)],
        }
    }

    pub fn descriptor(&self, open: Open) -> i32 {
        self.descriptors[open as usize]
    }

    /// Memory for the input in one place among the arguments, which holds `words` and then zeros.
    pub fn input(&self, place: usize, words: &[usize]) -> usize {
        let at = self.memory + place * 512;
        // SAFETY: six places fit in the first page.
        let memory = unsafe { std::slice::from_raw_parts_mut(at as *mut usize, 512 / size_of::<usize>()) };
        memory.fill(0);
        memory[..words.len()].copy_from_slice(words);
        at
    }

    /// Memory for the output in one place among the arguments.
    pub fn output(&self, place: usize) -> usize {
        self.memory + PAGE + place * 512
    }

    /// The first byte that is not mapped, after two pages that are.
    pub fn edge(&self) -> usize {
        self.memory + 2 * PAGE
    }

    pub fn read_only(&self) -> usize {
        self.read_only
    }

    pub fn no_access(&self) -> usize {
        self.no_access
    }

    /// A name that is one byte too long.
    pub fn long_name(&self) -> usize {
        self.long_name.as_ptr() as usize
    }

    /// A path with so many bytes and a NUL: 4095, the most there may be, or 4096.
    pub fn path_of(&self, length: usize) -> usize {
        let found = self.paths.iter().find(|(known, _)| *known == length);
        found.expect("one of the paths").1.as_ptr() as usize
    }

    /// The start of a path that does not end before the memory does.
    pub fn unended_path(&self) -> usize {
        let at = self.edge() - 8;
        // SAFETY: the last eight bytes that are mapped.
        unsafe { (at as *mut [u8; 8]).write(*b"unended/") };
        at
    }
}
