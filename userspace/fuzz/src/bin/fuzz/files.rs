//! The descriptors of a process, by their sort, as well as is known.
//!
//! Calls close and replace descriptors at any moment, so what is noted here may be closed by now, or be of another sort:
//! both are tests, too.

use crate::kind::File;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use support::cvt;
use support::random::Random;

/// Noted of each sort.
const ROOM: usize = 6;

/// Shared by the threads of a process; only hints, so nothing pairs with anything.
static NOTED: [[AtomicI32; ROOM]; File::COUNT] =
    [const { [const { AtomicI32::new(-1) }; ROOM] }; File::COUNT];

/// Notes that a descriptor is of a sort.
pub fn note(random: &mut Random, file: File, fd: i32) {
    let sort = if file == File::Any { random.below(File::COUNT as u64) as usize } else { file as usize };
    random.of(&NOTED[sort]).store(fd, Ordering::Relaxed);
}

/// A descriptor of a sort: mostly.
pub fn pick(random: &mut Random, file: File) -> i32 {
    let sort = if file == File::Any || random.one_in(12) {
        random.below(File::COUNT as u64) as usize
    } else {
        file as usize
    };
    for _ in 0..4 {
        let fd = random.of(&NOTED[sort]).load(Ordering::Relaxed);
        if fd >= 0 {
            return fd;
        }
    }
    3 + random.below(24) as i32
}

/// Opens one of most sorts.
pub fn open_all(random: &mut Random) -> io::Result<()> {
    // Of those that wait, all or none do.
    let flags = *random.of(&[0, libc::O_NONBLOCK]);
    let mut note = |file, fd: io::Result<i32>| fd.map(|fd| note(random, file, fd));
    let mut ends = [0; 2];
    // SAFETY: NUL-terminated paths, and arrays of two.
    unsafe {
        let null = cvt(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR))?;
        (0..3).try_for_each(|fd| cvt(libc::dup2(null, fd)).map(drop))?;
        let create = libc::O_RDWR | libc::O_CREAT;
        for name in [c"a", c"b"] {
            note(File::Regular, cvt(libc::open(name.as_ptr(), create, 0o666)))?;
        }
        note(File::Folder, cvt(libc::open(c".".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY)))?;
        cvt(libc::pipe2(ends.as_mut_ptr(), flags))?;
        note(File::Reader, Ok(ends[0]))?;
        note(File::Writer, Ok(ends[1]))?;
        for sort in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
            cvt(libc::socketpair(libc::AF_UNIX, sort | flags, 0, ends.as_mut_ptr()))?;
            note(File::Socket, Ok(ends[0]))?;
            note(File::Socket, Ok(ends[1]))?;
        }
        note(File::Listener, cvt(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | flags, 0)))?;
        note(File::Terminal, cvt(libc::open(c"/dev/ptmx".as_ptr(), libc::O_RDWR | libc::O_NOCTTY)))?;
        note(File::Nameless, cvt(libc::memfd_create(c"nameless".as_ptr(), libc::MFD_ALLOW_SEALING)))?;
        note(File::Epoll, cvt(libc::epoll_create1(0)))?;
        note(File::Event, cvt(libc::eventfd(1, 0)))?;
        note(File::Timer, cvt(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0)))?;
        note(File::Proc, cvt(libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY)))?;
    }
    Ok(())
}
