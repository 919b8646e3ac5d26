//! Open files: flags, offsets, sparse contents, truncation, modes.

use crate::check::{aside, outcome, path, show, sorted, sys, value};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use support::memory::{Anonymous, PAGE};

pub fn run() {
    open_flags();
    offsets();
    appending();
    sparse();
    truncation();
    vectors();
    deleted_but_open();
    modes();
    folders();
    devices();
    copies();
    large_transfers();
    file_systems();
}

fn open(name: &str, flags: i32) -> io::Result<i64> {
    sys!(SYS_open, path(name).as_ptr(), flags, 0o666)
}

fn close(file: i64) {
    outcome("close", sys!(SYS_close, file));
}

fn stat(name: &str) -> io::Result<libc::stat> {
    let mut buffer = MaybeUninit::<libc::stat>::zeroed();
    sys!(SYS_stat, path(name).as_ptr(), buffer.as_mut_ptr())?;
    // SAFETY: the kernel has filled in the structure.
    Ok(unsafe { buffer.assume_init() })
}

/// A file's mode in octal.
fn mode(name: &str) -> String {
    stat(name).map_or_else(|error| support::errno::error_name(&error), |stat| format!("{:o}", stat.st_mode))
}

fn open_flags() {
    let _ = fs::create_dir("folder");
    let _ = fs::write("file", "content");
    let _ = std::os::unix::fs::symlink("file", "link");
    let _ = std::os::unix::fs::symlink("nowhere", "dangling");
    for (what, name, flags) in [
        ("missing", "missing", 0),
        ("O_CREAT|O_EXCL on file", "file", libc::O_CREAT | libc::O_EXCL),
        ("O_CREAT|O_EXCL on link", "link", libc::O_CREAT | libc::O_EXCL | libc::O_RDWR),
        ("O_CREAT|O_EXCL on dangling link", "dangling", libc::O_CREAT | libc::O_EXCL),
        ("O_DIRECTORY on file", "file", libc::O_DIRECTORY),
        ("O_DIRECTORY on folder", "folder", libc::O_DIRECTORY),
        ("O_DIRECTORY|O_CREAT on folder", "folder", libc::O_DIRECTORY | libc::O_CREAT),
        ("O_NOFOLLOW on link", "link", libc::O_NOFOLLOW),
        ("O_NOFOLLOW|O_DIRECTORY on link", "link", libc::O_NOFOLLOW | libc::O_DIRECTORY),
        ("O_PATH|O_NOFOLLOW on link", "link", libc::O_PATH | libc::O_NOFOLLOW),
        ("write folder", "folder", libc::O_WRONLY),
        ("O_CREAT folder", "folder", libc::O_CREAT),
        ("O_CREAT with slash", "new/", libc::O_CREAT),
        ("file with slash", "file/", 0),
        ("below file", "file/x", 0),
        ("link", "link", 0),
        ("dangling", "dangling", 0),
        ("unknown bits are ignored", "file", 1 << 28),
    ] {
        match open(name, flags) {
            Ok(file) => {
                let flags = sys!(SYS_fcntl, file, libc::F_GETFL).map(|flags| format!("ok, flags {flags:#o}"));
                value(what, flags);
                let _ = sys!(SYS_close, file);
            }
            Err(error) => outcome::<()>(what, Err(error)),
        }
    }
    // Through a dangling link, creation makes the link's target.
    outcome("O_CREAT through dangling link", open("dangling", libc::O_CREAT | libc::O_WRONLY));
    show("target exists", fs::exists("nowhere").unwrap_or(false));
    // O_TRUNC works even without write access asked for, and O_PATH files can do little.
    let by_path = open("file", libc::O_PATH).unwrap_or(-1);
    let mut byte = [0_u8; 4];
    outcome("read O_PATH", sys!(SYS_read, by_path, byte.as_mut_ptr(), 1));
    outcome("fstat O_PATH", sys!(SYS_fstat, by_path, MaybeUninit::<libc::stat>::zeroed().as_mut_ptr()));
    outcome("fchmod O_PATH", sys!(SYS_fchmod, by_path, 0o600));
    let read_only = open("file", libc::O_RDONLY).unwrap_or(-1);
    outcome("write read-only", sys!(SYS_write, read_only, byte.as_ptr(), 1));
    outcome("ftruncate read-only", sys!(SYS_ftruncate, read_only, 0));
    let write_only = open("file", libc::O_WRONLY).unwrap_or(-1);
    outcome("read write-only", sys!(SYS_read, write_only, byte.as_mut_ptr(), 1));
    outcome("O_TRUNC", open("file", libc::O_WRONLY | libc::O_TRUNC));
    value("size", stat("file").map(|stat| stat.st_size));
    let nameless = open(".", libc::O_TMPFILE | libc::O_RDWR);
    outcome("O_TMPFILE", nameless);
    outcome("creat", sys!(SYS_creat, path("created").as_ptr(), 0o640));
    show("its mode", mode("created"));
}

fn offsets() {
    fs::write("offsets", "0123456789").expect("a file");
    let file = open("offsets", libc::O_RDWR).expect("the file");
    let seek = |what: &str, offset: i64, whence: i32| value(what, sys!(SYS_lseek, file, offset, whence));
    seek("end", 0, libc::SEEK_END);
    seek("three before the end", -3, libc::SEEK_END);
    seek("before the start", -20, libc::SEEK_CUR);
    seek("relative", 1, libc::SEEK_CUR);
    seek("far past the end", 1 << 40, libc::SEEK_SET);
    seek("too far", i64::MAX, libc::SEEK_END);
    let mut buffer = [0_u8; 8];
    value("read past the end", sys!(SYS_read, file, buffer.as_mut_ptr(), 8));
    value("pread does not move", sys!(SYS_pread64, file, buffer.as_mut_ptr(), 8, 4));
    show("read", String::from_utf8_lossy(&buffer[..6]));
    seek("still there", 0, libc::SEEK_CUR);
    value("pwrite past the end", sys!(SYS_pwrite64, file, b"x".as_ptr(), 1, 20));
    value("size", stat("offsets").map(|stat| stat.st_size));
    seek("back", 0, libc::SEEK_SET);
    let twin = sys!(SYS_dup, file).expect("dup");
    value("read by one", sys!(SYS_read, file, buffer.as_mut_ptr(), 4));
    value("offset of its duplicate", sys!(SYS_lseek, twin, 0, libc::SEEK_CUR));
    let other = open("offsets", libc::O_RDONLY).expect("the file");
    value("offset of another open", sys!(SYS_lseek, other, 0, libc::SEEK_CUR));
    [file, twin, other].into_iter().for_each(close);
}

fn appending() {
    fs::write("append", "start").expect("a file");
    let file = open("append", libc::O_WRONLY | libc::O_APPEND).expect("the file");
    value("lseek", sys!(SYS_lseek, file, 0, libc::SEEK_SET));
    value("write", sys!(SYS_write, file, b"+end".as_ptr(), 4));
    value("offset", sys!(SYS_lseek, file, 0, libc::SEEK_CUR));
    value("pwrite appends on Linux", sys!(SYS_pwrite64, file, b"!".as_ptr(), 1, 0));
    show("content", fs::read_to_string("append").unwrap_or_default());
    value("clear O_APPEND", sys!(SYS_fcntl, file, libc::F_SETFL, 0));
    value("write", sys!(SYS_pwrite64, file, b"S".as_ptr(), 1, 0));
    show("content", fs::read_to_string("append").unwrap_or_default());
    // Two processes append: every line is whole.
    let children = (0..4).map(|name| {
        support::process::fork(move || {
            let file = open("append", libc::O_WRONLY | libc::O_APPEND).expect("the file");
            let line = format!("{}\n", name.to_string().repeat(99));
            (0..50).for_each(|_| drop(sys!(SYS_write, file, line.as_ptr(), line.len())));
            0
        })
    });
    children.collect::<Vec<_>>().into_iter().for_each(|child| drop(child.expect("fork").wait()));
    let content = fs::read_to_string("append").unwrap_or_default();
    let whole = |line: &&str| line.len() == 99 && line.bytes().all(|byte| byte == line.as_bytes()[0]);
    show("whole lines", content.lines().filter(whole).count());
    close(file);
}

fn sparse() {
    let file = open("sparse", libc::O_RDWR | libc::O_CREAT).expect("a file");
    value("write at 1 GiB", sys!(SYS_pwrite64, file, b"end".as_ptr(), 3, 1_i64 << 30));
    value("size", stat("sparse").map(|stat| stat.st_size));
    value("few blocks", stat("sparse").map(|stat| stat.st_blocks < 100));
    let mut buffer = [9_u8; 5000];
    value("read a hole", sys!(SYS_pread64, file, buffer.as_mut_ptr(), 5000, 1 << 20));
    show("zeros", buffer.iter().all(|byte| *byte == 0));
    value("data from 0", sys!(SYS_lseek, file, 0, libc::SEEK_DATA));
    value("hole from 0", sys!(SYS_lseek, file, 0, libc::SEEK_HOLE));
    value("data past the end", sys!(SYS_lseek, file, 1_i64 << 31, libc::SEEK_DATA));
    value("hole in the last page", sys!(SYS_lseek, file, 1_i64 << 30, libc::SEEK_HOLE));
    outcome("fallocate", sys!(SYS_fallocate, file, 0, 0, 8192));
    outcome("punch hole without keep size", sys!(SYS_fallocate, file, libc::FALLOC_FL_PUNCH_HOLE, 0, 4096));
    close(file);
}

fn truncation() {
    fs::write("truncate", vec![b'x'; 10_000]).expect("a file");
    for size in [5000, 4096, 1, 0, 9000] {
        outcome("truncate", sys!(SYS_truncate, path("truncate").as_ptr(), size));
        let content = fs::read("truncate").unwrap_or_default();
        let old = content.iter().filter(|byte| **byte == b'x').count();
        show("size, old bytes", format!("{} {old}", content.len()));
    }
    outcome("truncate missing", sys!(SYS_truncate, path("no-such").as_ptr(), 0));
    outcome("truncate folder", sys!(SYS_truncate, path("folder").as_ptr(), 0));
    aside("file size limit", || {
        let limit = [6000_u64; 2];
        outcome("setrlimit", sys!(SYS_setrlimit, libc::RLIMIT_FSIZE, limit.as_ptr()));
        // SAFETY: ignoring involves no handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let file = open("limited", libc::O_RDWR | libc::O_CREAT).expect("a file");
        let buffer = vec![1_u8; 5000];
        value("write below", sys!(SYS_write, file, buffer.as_ptr(), 5000));
        value("write across", sys!(SYS_write, file, buffer.as_ptr(), 5000));
        value("write above", sys!(SYS_write, file, buffer.as_ptr(), 5000));
        outcome("ftruncate above", sys!(SYS_ftruncate, file, 7000));
        // The limit is on the file's end, wherever the descriptor is.
        fs::write("appended", &buffer).expect("a file");
        let file = open("appended", libc::O_RDWR | libc::O_APPEND).expect("a file");
        value("append across", sys!(SYS_write, file, buffer.as_ptr(), 5000));
        value("append above", sys!(SYS_write, file, buffer.as_ptr(), 5000));
        value("lseek back", sys!(SYS_lseek, file, 0, libc::SEEK_SET));
        value("append above, from the start", sys!(SYS_write, file, buffer.as_ptr(), 1));
        value("pwrite at the start", sys!(SYS_pwrite64, file, buffer.as_ptr(), 1, 0));
        value("size", stat("appended").map(|stat| stat.st_size));
        outcome("room below", sys!(SYS_fallocate, file, 0, 0, 6000));
        outcome("room across", sys!(SYS_fallocate, file, 0, 5000, 1001));
        outcome(
            "room behind the end across",
            sys!(SYS_fallocate, file, libc::FALLOC_FL_KEEP_SIZE, 5000, 1001),
        );
        let hole = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE;
        outcome("a hole across", sys!(SYS_fallocate, file, hole, 5000, 5000));
        // What was larger before there was a limit may get smaller, and have room where it is.
        let limit = [1000_u64, 6000];
        outcome("setrlimit lower", sys!(SYS_setrlimit, libc::RLIMIT_FSIZE, limit.as_ptr()));
        outcome("room where it is", sys!(SYS_fallocate, file, 0, 0, 6000));
        outcome("smaller, above", sys!(SYS_ftruncate, file, 3000));
        outcome("as large, above", sys!(SYS_truncate, path("appended").as_ptr(), 3000));
        outcome("larger, above", sys!(SYS_ftruncate, file, 3001));
        value("size", stat("appended").map(|stat| stat.st_size));
    });
}

fn vectors() {
    let file = open("vectors", libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).expect("a file");
    let part = |text: &'static str| libc::iovec { iov_base: text.as_ptr() as *mut _, iov_len: text.len() };
    let parts = [part("one "), part(""), part("two "), part("three")];
    value("writev", sys!(SYS_writev, file, parts.as_ptr(), 4));
    show("content", fs::read_to_string("vectors").unwrap_or_default());
    let (mut first, mut second) = ([0_u8; 5], [0_u8; 20]);
    let parts = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: 5 },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: 20 },
    ];
    value("preadv", sys!(SYS_preadv, file, parts.as_ptr(), 2, 2, 0));
    show(
        "parts",
        format!("{:?} {:?}", String::from_utf8_lossy(&first), String::from_utf8_lossy(&second[..6])),
    );
    let bad = [parts[0], libc::iovec { iov_base: crate::check::BAD as *mut _, iov_len: 4 }];
    value("readv into good and bad", sys!(SYS_preadv, file, bad.as_ptr(), 2, 0, 0));
    value("pwritev", sys!(SYS_pwritev, file, parts.as_ptr(), 1, 100, 0));
    value("size", stat("vectors").map(|stat| stat.st_size));
    close(file);
}

fn deleted_but_open() {
    let file = open("doomed", libc::O_RDWR | libc::O_CREAT).expect("a file");
    value("write", sys!(SYS_write, file, b"still here".as_ptr(), 10));
    outcome("unlink", sys!(SYS_unlink, path("doomed").as_ptr()));
    outcome("stat", stat("doomed"));
    let mut buffer = [0_u8; 10];
    value("read", sys!(SYS_pread64, file, buffer.as_mut_ptr(), 10, 0));
    show("content", String::from_utf8_lossy(&buffer));
    let mut data = MaybeUninit::<libc::stat>::zeroed();
    outcome("fstat", sys!(SYS_fstat, file, data.as_mut_ptr()));
    // SAFETY: zeroed, then filled in.
    show("links", unsafe { data.assume_init() }.st_nlink);
    let link = fs::read_link(format!("/proc/self/fd/{file}")).unwrap_or_default();
    show("its name now", link.to_string_lossy().rsplit('/').next().unwrap_or_default());
    close(file);
}

fn modes() {
    // SAFETY: no memory is involved.
    let umask = |mask| unsafe { libc::umask(mask) };
    show("umask", format!("{:o}", umask(0o027)));
    fs::write("masked", "").expect("a file");
    show("created with 027", mode("masked"));
    let _ = sys!(SYS_mkdir, path("masked-folder").as_ptr(), 0o1777);
    show("folder with 027", mode("masked-folder"));
    umask(0o022);
    for bits in [0o4755, 0o2755, 0o7777, 0o100_644, 0] {
        outcome("chmod", sys!(SYS_chmod, path("masked").as_ptr(), bits));
        show("mode", mode("masked"));
    }
    outcome("chmod 6777", sys!(SYS_chmod, path("masked").as_ptr(), 0o6777));
    outcome("chown", sys!(SYS_chown, path("masked").as_ptr(), 1000, 1000));
    show("set-id bits after chown by root", mode("masked"));
    value("owner", stat("masked").map(|stat| format!("{} {}", stat.st_uid, stat.st_gid)));
    outcome("chown only group", sys!(SYS_chown, path("masked").as_ptr(), -1, 5));
    value("owner", stat("masked").map(|stat| format!("{} {}", stat.st_uid, stat.st_gid)));
    outcome("lchown link", sys!(SYS_lchown, path("link").as_ptr(), 7, 7));
    value("link's target keeps owner", stat("file").map(|stat| stat.st_uid));
    outcome("access missing", sys!(SYS_access, path("missing").as_ptr(), 0));
    outcome("root may read 0", sys!(SYS_access, path("file").as_ptr(), libc::R_OK | libc::W_OK));
    outcome("root may not execute", sys!(SYS_access, path("file").as_ptr(), libc::X_OK));
}

fn folders() {
    let _ = fs::create_dir("many");
    for i in 0..300 {
        fs::write(format!("many/{i:03}"), "").expect("a file");
    }
    let file = open("many", libc::O_RDONLY | libc::O_DIRECTORY).expect("the folder");
    let mut names = Vec::new();
    let mut buffer = [0_u8; 1024];
    let mut reads = 0;
    loop {
        let length = sys!(SYS_getdents64, file, buffer.as_mut_ptr(), 1024).expect("entries") as usize;
        if length == 0 {
            break;
        }
        reads += 1;
        let mut at = 0;
        while at < length {
            let size = usize::from(u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]));
            let name: Vec<u8> =
                buffer[at + 19..at + size].iter().copied().take_while(|byte| *byte != 0).collect();
            names.push(format!("{}:{}", String::from_utf8_lossy(&name), buffer[at + 18]));
            at += size;
        }
    }
    show("entries", names.len());
    show("in several reads", reads > 5);
    names.sort();
    names.dedup();
    show("different", names.len());
    show("first", names[..4].join(" "));
    value("at the end", sys!(SYS_getdents64, file, buffer.as_mut_ptr(), 1024));
    value("rewind", sys!(SYS_lseek, file, 0, libc::SEEK_SET));
    value("again", sys!(SYS_getdents64, file, buffer.as_mut_ptr(), 1024).map(|length| length > 0));
    // Removing entries while reading skips none of the others.
    let mut left = 0;
    for entry in fs::read_dir("many").expect("the folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
        left += 1;
    }
    show("removed while reading", left);
    outcome("folder is empty", fs::remove_dir("many"));
    value("read of a removed folder", sys!(SYS_getdents64, file, buffer.as_mut_ptr(), 1024));
    close(file);
}

fn devices() {
    let zero = open("/dev/zero", libc::O_RDWR).expect("/dev/zero");
    let mut buffer = [9_u8; 10];
    value("read zero", sys!(SYS_read, zero, buffer.as_mut_ptr(), 10));
    show("zeros", buffer == [0; 10]);
    value("write zero", sys!(SYS_write, zero, buffer.as_ptr(), 10));
    let null = open("/dev/null", libc::O_RDWR).expect("/dev/null");
    value("read null", sys!(SYS_read, null, buffer.as_mut_ptr(), 10));
    value("write null", sys!(SYS_write, null, buffer.as_ptr(), 10));
    let full = open("/dev/full", libc::O_RDWR).expect("/dev/full");
    value("read full", sys!(SYS_read, full, buffer.as_mut_ptr(), 10));
    value("write full", sys!(SYS_write, full, buffer.as_ptr(), 10));
    let random = open("/dev/urandom", libc::O_RDONLY).expect("/dev/urandom");
    value("read urandom", sys!(SYS_read, random, buffer.as_mut_ptr(), 10));
    // Up to where the memory ends.
    let memory = Anonymous::map(2 * PAGE).expect("mmap");
    let end = memory.start() as usize + PAGE;
    let _ = sys!(SYS_munmap, end, PAGE);
    for (name, file) in [("zero", zero), ("full", full), ("urandom", random)] {
        value(&format!("{name} over the end"), sys!(SYS_read, file, end - 1024, 4096));
        value(&format!("{name} behind it"), sys!(SYS_read, file, end, 16));
    }
    value("getrandom over the end", sys!(SYS_getrandom, end - 1024, 4096, 0));
    value("getrandom behind it", sys!(SYS_getrandom, end, 16, 0));
    std::mem::forget(memory);
    for name in
        ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random", "/dev/tty", "/dev/ptmx"]
    {
        value(
            name,
            stat(name).map(|stat| {
                let (major, minor) = (libc::major(stat.st_rdev), libc::minor(stat.st_rdev));
                format!("{:o} {major}:{minor}", stat.st_mode & libc::S_IFMT)
            }),
        );
    }
    outcome("tty without a terminal", open("/dev/tty", libc::O_RDWR));
    outcome("mknod null", sys!(SYS_mknod, path("null").as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 3)));
    outcome(
        "mknod unknown device",
        sys!(SYS_mknod, path("unknown").as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(200, 7)),
    );
    outcome("open unknown device", open("unknown", libc::O_RDONLY));
    outcome("mknod file", sys!(SYS_mknod, path("node").as_ptr(), libc::S_IFREG | 0o600, 0));
    outcome("mknod fifo", sys!(SYS_mknod, path("fifo").as_ptr(), libc::S_IFIFO | 0o600, 0));
    show("fifo", mode("fifo"));
    // However much is asked for at a time.
    let mut large = vec![9_u8; 3_000_001];
    for (name, file) in [("zero", zero), ("null", null), ("full", full), ("urandom", random)] {
        value(&format!("read much of {name}"), sys!(SYS_read, file, large.as_mut_ptr(), large.len()));
        let halves = large.split_at_mut(1_000_000);
        let vectors: [libc::iovec; 2] = [halves.0, halves.1]
            .map(|half: &mut [u8]| libc::iovec { iov_base: half.as_mut_ptr().cast(), iov_len: half.len() });
        value(&format!("in pieces of {name}"), sys!(SYS_readv, file, vectors.as_ptr(), 2));
        value(&format!("somewhere in {name}"), sys!(SYS_pread64, file, large.as_mut_ptr(), 500_000, 77));
        if name == "full" {
            show("all are zeros", large.iter().all(|byte| *byte == 0));
        }
    }
    let random = [random, open("/dev/urandom", libc::O_WRONLY).expect("/dev/urandom")];
    for (name, file) in [("zero", zero), ("null", null), ("urandom", random[1])] {
        value(&format!("write much to {name}"), sys!(SYS_write, file, large.as_ptr(), large.len()));
    }
    [zero, null, full, random[0], random[1]].into_iter().for_each(close);
}

fn copies() {
    fs::write("from", "some content to copy").expect("a file");
    let from = open("from", libc::O_RDONLY).expect("the file");
    let to = open("to", libc::O_RDWR | libc::O_CREAT).expect("a file");
    let mut offset = 5_i64;
    value("sendfile from 5", sys!(SYS_sendfile, to, from, &raw mut offset, 7));
    show("offset after", offset);
    value("sendfile without offset", sys!(SYS_sendfile, to, from, 0, 100));
    value("at the end", sys!(SYS_sendfile, to, from, 0, 100));
    show("content", fs::read_to_string("to").unwrap_or_default());
    [from, to].into_iter().for_each(close);
}

/// Bytes that one call moves, on several CPUs where the kernel can.
const LARGE: usize = (1 << 20) + 1234;

fn large_transfers() {
    let byte_at = |at: usize| (at % 251) as u8;
    let file = open("large", libc::O_RDWR | libc::O_CREAT).expect("a file");
    let data: Vec<u8> = (0..LARGE).map(byte_at).collect();
    value("write", sys!(SYS_pwrite64, file, data.as_ptr(), LARGE, 100));
    value("size", stat("large").map(|stat| stat.st_size));
    // Into memory that is not there yet, and at the end of the file.
    let mut fresh = Anonymous::map(2 * LARGE).expect("memory");
    value("read", sys!(SYS_pread64, file, fresh.start(), 2 * LARGE, 0));
    show("head", fresh.bytes()[..100].iter().all(|byte| *byte == 0));
    show("same", fresh.bytes()[100..100 + LARGE] == data[..]);
    show("rest", fresh.bytes()[100 + LARGE..].iter().all(|byte| *byte == 0));
    value("lseek", sys!(SYS_lseek, file, 4096, libc::SEEK_SET));
    value("read by offset", sys!(SYS_read, file, fresh.start(), LARGE));
    value("offset after", sys!(SYS_lseek, file, 0, libc::SEEK_CUR));
    show("same", fresh.bytes()[..100].iter().enumerate().all(|(at, byte)| *byte == byte_at(4096 - 100 + at)));
    // Memory that ends in the middle.
    let hole = 400 << 10;
    value("mprotect", sys!(SYS_mprotect, fresh.start() as usize + hole, 4096, libc::PROT_NONE));
    value("read up to bad memory", sys!(SYS_pread64, file, fresh.start(), LARGE, 0));
    outcome("truncate", sys!(SYS_ftruncate, file, 5));
    value("write up to bad memory", sys!(SYS_pwrite64, file, fresh.start(), LARGE, 0));
    value("size", stat("large").map(|stat| stat.st_size));
    outcome("grow", sys!(SYS_ftruncate, file, LARGE));
    let content = fs::read("large").unwrap_or_default();
    show("nothing behind it", content[hole..].iter().all(|byte| *byte == 0));
    // Two processes append: every block is whole.
    fs::write("blocks", "").expect("a file");
    let block = 600 << 10;
    let children = [b'a', b'b'].map(|letter| {
        support::process::fork(move || {
            let file = open("blocks", libc::O_WRONLY | libc::O_APPEND).expect("the file");
            let data = vec![letter; block];
            (0..4).for_each(|_| drop(sys!(SYS_write, file, data.as_ptr(), block)));
            0
        })
    });
    children.into_iter().for_each(|child| drop(child.expect("fork").wait()));
    let content = fs::read("blocks").unwrap_or_default();
    show("blocks", content.len() / block);
    show("whole", content.chunks(block).all(|part| part.iter().all(|byte| *byte == part[0])));
    close(file);
}

fn file_systems() {
    let kind = |name: &str| {
        let mut data = MaybeUninit::<libc::statfs>::zeroed();
        let result = sys!(SYS_statfs, path(name).as_ptr(), data.as_mut_ptr());
        // SAFETY: zeroed, and perhaps filled in; any bytes are valid.
        let data = unsafe { data.assume_init() };
        value(
            name,
            result.map(|_| format!("{:#x} block {} name {}", data.f_type, data.f_bsize, data.f_namelen)),
        );
    };
    ["/tmp", "/proc", "/dev/pts", "/no/such"].into_iter().for_each(kind);
    outcome("sync", sys!(SYS_sync));
    let names = fs::read_dir("/proc/self/fd").expect("our descriptors");
    let names = names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let standard: Vec<String> = names.filter(|name| name.parse::<u32>().is_ok_and(|file| file < 3)).collect();
    sorted("standard descriptors", standard);
}
