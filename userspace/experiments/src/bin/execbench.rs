//! `execbench`: exec of a large static program (the parallelism paper's section 2).
//!
//! The program is this one with a segment of many MiB more. Once it only starts and exits, once it reads a byte of each
//! page of the segment first. A kernel that prepares the pages on idle CPUs meanwhile gets faster with more of them.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr::null;
use support::arguments::{Options, fail};
use support::clock::now;
use support::memory::PAGE;
use support::process::fork;
use support::report;

const USAGE: &str = "execbench [--mib N (64)] [--times N (20)] [--in FOLDER (/tmp)]";
/// What the large program is told to do.
const START: &str = "start";
const READ: &str = "read";
/// A program header (elf(5)).
const HEADER: usize = size_of::<libc::Elf64_Phdr>();
/// Where a segment of this size may begin, in memory and in the file.
const ALIGNMENT: u64 = 2 << 20;

fn main() {
    let mut options = Options::parse(USAGE);
    let mib: u64 = options.value("--mib", 64);
    let times = options.value("--times", 20);
    let folder: String = options.value("--in", "/tmp".into());
    match options.rest().as_slice() {
        [] => {}
        [word] if word == START => return,
        [word] if word == READ => return read_segment(mib << 20),
        _ => fail("execbench", &io::Error::other(USAGE)),
    }
    let program = format!("{folder}/execbench-{mib}");
    let measured = make(&program, mib << 20).and_then(|()| {
        for (name, task) in [("exec_large", START), ("exec_large_read", READ)] {
            report::per_operation(name, runs(&program, task, mib, times)?, times);
        }
        fs::remove_file(&program)
    });
    measured.unwrap_or_else(|error| fail("execbench", &error));
}

/// Runs the program so many times, one after the other; nanoseconds for all.
fn runs(program: &str, task: &str, mib: u64, times: u64) -> io::Result<u64> {
    let words = [program, "--mib", &mib.to_string(), task].map(|word| CString::new(word).unwrap_or_default());
    let list = [words[0].as_ptr(), words[1].as_ptr(), words[2].as_ptr(), words[3].as_ptr(), null()];
    let begin = now();
    for _ in 0..times {
        let child = fork(|| {
            // SAFETY: NUL-terminated strings in null-terminated lists.
            unsafe { libc::execve(words[0].as_ptr(), list.as_ptr(), [null()].as_ptr()) };
            1
        });
        child?.wait_success()?;
    }
    Ok(now() - begin)
}

/// Writes the large program: our own file, a segment behind it, and the header of our notes, which nobody needs, turned
/// into the segment's.
fn make(path: &str, size: u64) -> io::Result<()> {
    let mut program = fs::read("/proc/self/exe")?;
    let word = |at: usize, program: &[u8]| {
        program[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    let table = word(32, &program) as usize;
    let headers: Vec<usize> = (0..usize::from(program[56])).map(|index| table + index * HEADER).collect();
    let kind = |at: usize, program: &[u8]| word(at, program) as u32;
    let loads = headers.iter().filter(|at| kind(**at, &program) == libc::PT_LOAD);
    let end = loads.map(|at| word(at + 16, &program) + word(at + 40, &program)).max().unwrap_or(0);
    let notes = headers.iter().rfind(|at| kind(**at, &program) == libc::PT_NOTE);
    let header = *notes.ok_or_else(|| io::Error::other("no program header to spare"))?;
    let (offset, address) =
        ((program.len() as u64).next_multiple_of(ALIGNMENT), end.next_multiple_of(ALIGNMENT));
    let first = u64::from(libc::PT_LOAD) | u64::from(libc::PF_R) << 32;
    for (field, value) in [first, offset, address, address, size, size, ALIGNMENT].into_iter().enumerate() {
        program[header + field * 8..][..8].copy_from_slice(&value.to_le_bytes());
    }
    program.resize(offset as usize, 0);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(path)?;
    file.write_all(&program)?;
    (0..size >> 20).try_for_each(|_| file.write_all(&[7; 1 << 20]))
}

/// Reads a byte of each page of this program's segment of this size.
fn read_segment(size: u64) {
    // SAFETY: the kernel says where the program's headers are and how many.
    let headers = unsafe {
        let at = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        std::slice::from_raw_parts(at, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    let moved = own.map_or(0, |own| headers.as_ptr() as u64 - own.p_vaddr);
    let Some(segment) = headers.iter().find(|header| header.p_filesz == size) else { std::process::exit(1) };
    let start = (segment.p_vaddr + moved) as usize;
    for page in (start..start + size as usize).step_by(PAGE) {
        // SAFETY: within the segment, which is mapped and only read.
        if unsafe { (page as *const u8).read_volatile() } != 7 {
            std::process::exit(1);
        }
    }
}
