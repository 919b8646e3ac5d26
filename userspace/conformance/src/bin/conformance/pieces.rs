//! readv and writev and their kin: bytes in several pieces, of files and of pipes.

use crate::check::{BAD, describe, in_child, outcome, show, sys, value};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use support::memory::{Anonymous, PAGE};
use support::patience::child_in_call;
use support::pipe::{pipe, write};
use support::process::fork;

/// Pieces of these lengths, one behind the other from `start` on.
fn pieces(start: *mut u8, lengths: &[usize]) -> Vec<libc::iovec> {
    let mut at = start as usize;
    let next = |&length: &usize| {
        let piece = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: length };
        at += length;
        piece
    };
    lengths.iter().map(next).collect()
}

pub fn run() {
    files();
    wrong_ones();
    pipes();
    full_pipes();
    records();
    fresh_memory();
    overwritten_ones();
}

fn files() {
    let file = File::options().read(true).write(true).create(true).truncate(true).open("/tmp/pieces");
    let file = file.expect("a file");
    let fd = file.as_raw_fd();
    let mut text = *b"the quick brown fox jumps over the lazy dog";
    let position = || sys!(SYS_lseek, fd, 0, libc::SEEK_CUR);
    for lengths in [&[][..], &[0], &[0, 0], &[9], &[1, 2, 3], &[0, 5, 0, 7], &[1; 8], &[2; 9], &[1; 20]] {
        let out = pieces(text.as_mut_ptr(), lengths);
        let what = format!("{lengths:?}");
        value(&format!("{what} written"), sys!(SYS_writev, fd, out.as_ptr(), out.len()));
        value("position", position());
        value("at 3", sys!(SYS_pwritev, fd, out.as_ptr(), out.len(), 3));
        value("position", position());
        let mut found = [b'.'; 43];
        let back = pieces(found.as_mut_ptr(), lengths);
        value("read from 2", sys!(SYS_preadv, fd, back.as_ptr(), back.len(), 2));
        show("bytes", String::from_utf8_lossy(&found));
        let _ = sys!(SYS_lseek, fd, 1, libc::SEEK_SET);
        value("read from 1", sys!(SYS_readv, fd, back.as_ptr(), back.len()));
        value("position", position());
        show("bytes", String::from_utf8_lossy(&found));
        value("the same with flags", sys!(SYS_preadv2, fd, back.as_ptr(), back.len(), -1, 0, 0));
        value("position", position());
        let _ = sys!(SYS_lseek, fd, 0, libc::SEEK_END);
    }
    show("size", file.metadata().map_or(0, |metadata| metadata.len()));
    // The end of the file is in the second piece.
    let mut found = [b'.'; 43];
    let back = pieces(found.as_mut_ptr(), &[4, 30, 5]);
    let _ = sys!(SYS_lseek, fd, -10, libc::SEEK_END);
    value("over the end", sys!(SYS_readv, fd, back.as_ptr(), 3));
    value("behind it", sys!(SYS_readv, fd, back.as_ptr(), 3));
    value("far behind it", sys!(SYS_preadv, fd, back.as_ptr(), 3, 1_i64 << 40));
    let append = File::options().append(true).open("/tmp/pieces").expect("the file");
    value("appended", sys!(SYS_writev, append.as_raw_fd(), back.as_ptr(), 3));
    value("appended at 0", sys!(SYS_pwritev, append.as_raw_fd(), back.as_ptr(), 3, 0));
    value("to the end", sys!(SYS_pwritev2, fd, back.as_ptr(), 3, -1, 0, libc::RWF_APPEND));
    value("position", position());
    show("size", file.metadata().map_or(0, |metadata| metadata.len()));
    in_child("beyond the limit of a file's size", || {
        // SAFETY: sets this child's limit, and what it does about the signal.
        unsafe {
            let limit = libc::rlimit { rlim_cur: 1000, rlim_max: 1000 };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        }
        value("half of it fits", sys!(SYS_pwritev, fd, back.as_ptr(), 3, 990));
        value("nothing fits", sys!(SYS_pwritev, fd, back.as_ptr(), 3, 1000));
        0
    });
}

fn wrong_ones() {
    let file = File::create("/tmp/pieces").expect("a file");
    let (fd, only) = (file.as_raw_fd(), File::open("/tmp/pieces").expect("the file"));
    let mut text = *b"0123456789";
    let mut some = pieces(text.as_mut_ptr(), &[3, 3, 3]);
    value("not for reading", sys!(SYS_readv, fd, some.as_ptr(), 3));
    value("not for writing", sys!(SYS_writev, only.as_raw_fd(), some.as_ptr(), 3));
    value("not for writing, from nowhere", sys!(SYS_writev, only.as_raw_fd(), BAD, 3));
    value("from nowhere", sys!(SYS_writev, fd, BAD, 3));
    value("none, from nowhere", sys!(SYS_writev, fd, BAD, 0));
    value("negative", sys!(SYS_pwritev, fd, some.as_ptr(), 3, -1));
    value("negative, closed", sys!(SYS_pwritev, 99, some.as_ptr(), 3, -1));
    value("strange flags", sys!(SYS_pwritev2, fd, some.as_ptr(), 3, 0, 0, 1 << 20));
    value("offset of -2", sys!(SYS_pwritev2, fd, some.as_ptr(), 3, -2, -1, 0));
    value("as large as can be", sys!(SYS_pwritev, fd, some.as_ptr(), 3, i64::MAX));
    some[2].iov_base = 0xffff_8000_0000_0000_usize as *mut libc::c_void;
    value("the last is far away", sys!(SYS_writev, fd, some.as_ptr(), 3));
    show("size", file.metadata().map_or(0, |metadata| metadata.len()));
    some[2].iov_base = BAD as *mut libc::c_void;
    value("the last is nowhere", sys!(SYS_writev, fd, some.as_ptr(), 3));
    show("size", file.metadata().map_or(0, |metadata| metadata.len()));
    some[0].iov_base = BAD as *mut libc::c_void;
    value("the first is nowhere", sys!(SYS_writev, fd, some.as_ptr(), 3));
    let folder = File::open("/tmp").expect("a folder");
    value("a folder", sys!(SYS_readv, folder.as_raw_fd(), some.as_ptr(), 3));
}

fn pipes() {
    let pipe = pipe().expect("a pipe");
    let (reader, writer) = (pipe.reader.as_raw_fd(), pipe.writer.as_raw_fd());
    let mut text = *b"the quick brown fox jumps over the lazy dog";
    let mut found = [b'.'; 43];
    for (out, back) in
        [(&[5, 6][..], &[3, 3, 3][..]), (&[9], &[4, 4, 4]), (&[0, 3, 0], &[0, 0, 9]), (&[8], &[2; 4])]
    {
        let (out, back) = (pieces(text.as_mut_ptr(), out), pieces(found.as_mut_ptr(), back));
        value("written", sys!(SYS_writev, writer, out.as_ptr(), out.len()));
        value("read", sys!(SYS_readv, reader, back.as_ptr(), back.len()));
        show("bytes", String::from_utf8_lossy(&found[..12]));
    }
    let mut rest = [0; 8];
    let some = pieces(text.as_mut_ptr(), &[3, 3, 3]);
    value("a pipe has no offsets", sys!(SYS_preadv, reader, some.as_ptr(), 3, 0));
    value("but its own", sys!(SYS_pwritev2, writer, some.as_ptr(), 3, -1, -1, 0));
    let mut wrong = some.clone();
    wrong[1].iov_base = BAD as *mut libc::c_void;
    // What comes before it may have been moved, or not: Linux asks page by page.
    let short = |moved: std::io::Result<i64>| match moved {
        Ok(moved) => moved == 3,
        Err(error) => error.raw_os_error() == Some(libc::EFAULT),
    };
    show("a bad piece to read", short(sys!(SYS_readv, reader, wrong.as_ptr(), 3)));
    show("a bad piece to write", short(sys!(SYS_writev, writer, wrong.as_ptr(), 3)));
    let _ = sys!(SYS_fcntl, reader, libc::F_SETFL, libc::O_NONBLOCK);
    while sys!(SYS_read, reader, rest.as_mut_ptr(), 8).is_ok_and(|count| count > 0) {}
    value("nothing there", sys!(SYS_readv, reader, some.as_ptr(), 3));
    value("of no bytes", sys!(SYS_readv, reader, pieces(text.as_mut_ptr(), &[0, 0]).as_ptr(), 2));
    let writer_end = pipe.writer.as_raw_fd();
    in_child("nobody reads", || {
        // SAFETY: this child's copy of the end, and what it does about the signal.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            let mut ends = [0; 2];
            libc::pipe(ends.as_mut_ptr());
            libc::close(ends[0]);
            value("written", sys!(SYS_writev, ends[1], some.as_ptr(), 3));
        }
        0
    });
    write(&pipe.writer, b"last").expect("written");
    let _ = sys!(SYS_close, writer_end);
    std::mem::forget(pipe.writer);
    value("what is left", sys!(SYS_readv, reader, some.as_ptr(), 3));
    value("the end", sys!(SYS_readv, reader, some.as_ptr(), 3));
}

/// A writer that has to wait in the middle of its pieces, or may not.
fn full_pipes() {
    let pipe = pipe().expect("a pipe");
    let (reader, writer) = (pipe.reader.as_raw_fd(), pipe.writer.as_raw_fd());
    let mut bytes: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    let all = pieces(bytes.as_mut_ptr(), &[30_000, 30_000, 7, 30_000, 9_993]);
    let wrote_all = || sys!(SYS_writev, writer, all.as_ptr(), 5).is_ok_and(|count| count == 100_000).into();
    let child = child_in_call(libc::SYS_writev, wrote_all);
    let mut found = vec![0; 100_000];
    let mut count = 0;
    while count < found.len() {
        count +=
            sys!(SYS_read, reader, found[count..].as_mut_ptr(), found.len() - count).expect("read") as usize;
    }
    show("all comes", found == bytes);
    show("the writer", describe(child.wait().expect("waited")));
    let _ = sys!(SYS_fcntl, writer, libc::F_SETFL, libc::O_NONBLOCK);
    value("what fits", sys!(SYS_writev, writer, all.as_ptr(), 5));
    value("nothing fits", sys!(SYS_writev, writer, all.as_ptr(), 5));
    let mut some = [0; 5000];
    value("room", sys!(SYS_read, reader, some.as_mut_ptr(), 5000));
    value("pieces of less than a page", sys!(SYS_writev, writer, all[2..].as_ptr(), 1));
}

/// Pieces that together are no more than `PIPE_BUF` stay together, whoever else writes.
fn records() {
    const PIECES: usize = 5;
    const LENGTH: usize = 40;
    const EACH: usize = 3000;
    let pipe = pipe().expect("a pipe");
    let writer = pipe.writer.as_raw_fd();
    let write_all = |byte: u8| {
        let mut record = [byte; LENGTH];
        let parts = pieces(record.as_mut_ptr(), &[LENGTH / PIECES; PIECES]);
        (0..EACH).all(|_| {
            sys!(SYS_writev, writer, parts.as_ptr(), PIECES).is_ok_and(|count| count == LENGTH as i64)
        })
    };
    let children: Vec<_> =
        (0..4).map(|number| fork(|| i32::from(!write_all(b'a' + number))).expect("fork")).collect();
    drop(pipe.writer);
    let mut all = Vec::new();
    File::from(pipe.reader).read_to_end(&mut all).expect("read");
    show("bytes", all.len());
    show(
        "records in one piece",
        all.chunks(LENGTH).all(|record| record.iter().all(|byte| *byte == record[0])),
    );
    children.into_iter().for_each(|child| show("writer", describe(child.wait().expect("waited"))));
}

/// What is read lands where it is told where to read to, before a page of the next piece is there: who looks there again finds
/// something else.
fn overwritten_ones() {
    for lengths in [[0, 0], [1, PAGE], [usize::MAX, 7]] {
        let pipe = pipe().expect("a pipe");
        let fresh = Anonymous::map(2 * PAGE).expect("memory");
        let mut told = pieces(fresh.start(), &[32, 16]);
        told[1].iov_base = fresh.start().cast();
        told[0].iov_base = told.as_mut_ptr().cast();
        let other = [0, lengths[0], fresh.start() as usize + PAGE, lengths[1]].map(usize::to_ne_bytes);
        write(&pipe.writer, other.as_flattened()).expect("written");
        write(&pipe.writer, b"the quick brown fox").expect("written");
        value("read", sys!(SYS_readv, pipe.reader.as_raw_fd(), told.as_ptr(), 2));
        // SAFETY: its memory is there for as long.
        let bytes = unsafe { std::slice::from_raw_parts(fresh.start(), 2 * PAGE) };
        show("bytes", String::from_utf8_lossy(&bytes[..16]));
        show("no others", bytes[16..].iter().all(|byte| *byte == 0));
        show("the first piece", told[1].iov_len == lengths[1]);
    }
}

/// Pieces in memory that has never been touched.
fn fresh_memory() {
    let memory = Anonymous::map(8 * PAGE).expect("memory");
    let lengths = [PAGE - 3, PAGE, 10, 2 * PAGE];
    let zeros = pieces(memory.start(), &lengths);
    let file = File::options().read(true).write(true).create(true).truncate(true).open("/tmp/pieces");
    let file = file.expect("a file");
    let fd = file.as_raw_fd();
    value("written", sys!(SYS_writev, fd, zeros.as_ptr(), 4));
    let other = Anonymous::map(8 * PAGE).expect("memory");
    let back = pieces(other.start(), &lengths);
    value("read", sys!(SYS_preadv, fd, back.as_ptr(), 4, 0));
    outcome("position", sys!(SYS_lseek, fd, 0, libc::SEEK_CUR).map(drop));
    let pipe = pipe().expect("a pipe");
    let third = Anonymous::map(8 * PAGE).expect("memory");
    let through = pieces(third.start(), &lengths);
    value("into a pipe", sys!(SYS_writev, pipe.writer.as_raw_fd(), through.as_ptr(), 4));
    let fourth = Anonymous::map(8 * PAGE).expect("memory");
    let out = pieces(fourth.start(), &lengths);
    value("out of it", sys!(SYS_readv, pipe.reader.as_raw_fd(), out.as_ptr(), 4));
    let _ = std::fs::remove_file("/tmp/pieces");
}
