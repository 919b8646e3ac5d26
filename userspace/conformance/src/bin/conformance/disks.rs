//! A disk as a file. The machine has one whose contents nobody needs: SATA on Rusk, NVMe on Linux, whose kernel for clouds
//! has no driver for the other.

use crate::check::{BAD, outcome, show, sys, value};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use support::memory::Anonymous;
use support::patience::until;

/// `<linux/fs.h>`.
const BLKROGET: u32 = 0x125e;
const BLKGETSIZE: u32 = 0x1260;
const BLKFLSBUF: u32 = 0x1261;
const BLKSSZGET: u32 = 0x1268;
const BLKPBSZGET: u32 = 0x127b;
const BLKBSZGET: u32 = 0x8008_1270;
const BLKGETSIZE64: u32 = 0x8008_1272;

const PAGE: u64 = 4096;

pub fn run() {
    let Some(name) = ["sda", "nvme0n1"].into_iter().find(|name| Path::new("/dev").join(name).exists()) else {
        show("a disk", "none");
        return;
    };
    let path = format!("/dev/{name}");
    let path = path.as_str();
    identity(name, path);
    requests(path);
    edges(path);
    sharing(path);
    pieces(path);
    mapping(path);
    advice(path);
    storing(path);
    direct(path);
    refusals(path);
}

fn open(path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("the disk")
}

/// Bytes that tell where they are.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|at| (at * 31 + at / 251 + seed * 7) as u8).collect()
}

fn identity(name: &str, path: &str) {
    let data = fs::metadata(path).expect("it can be looked at");
    show("a block device", data.file_type().is_block_device());
    show("size", data.len());
    show("mode", format!("{:o}", data.mode() & 0o7777));
    let number = format!("{}:{}", libc::major(data.rdev()), libc::minor(data.rdev()));
    let text = |file: &str| {
        fs::read_to_string(file).map_or_else(|error| error.to_string(), |text| text.trim().into())
    };
    for file in ["size", "ro", "removable", "queue/logical_block_size", "queue/hw_sector_size"] {
        show(file, text(&format!("/sys/block/{name}/{file}")));
    }
    show("its number", text(&format!("/sys/class/block/{name}/dev")) == number);
    show("by number", text(&format!("/sys/dev/block/{number}/size")));
    let partitions = text("/proc/partitions");
    let line = partitions.lines().find(|line| line.ends_with(&format!(" {name}")));
    show("among partitions", line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or("no"));
    let statistics = text("/proc/diskstats");
    show("among statistics", statistics.lines().any(|line| line.contains(&format!(" {name} "))));
}

fn requests(path: &str) {
    let disk = open(path);
    for (name, request) in [
        ("sectors", BLKGETSIZE),
        ("bytes", BLKGETSIZE64),
        ("sector", BLKSSZGET),
        ("read only", BLKROGET),
        ("block", BLKBSZGET),
    ] {
        let mut answer = 0_u64;
        outcome(name, sys!(SYS_ioctl, disk.as_raw_fd(), request, &raw mut answer));
        show(name, answer);
    }
    let mut physical = 0_u32;
    outcome("physical sector", sys!(SYS_ioctl, disk.as_raw_fd(), BLKPBSZGET, &raw mut physical));
    outcome("bad address", sys!(SYS_ioctl, disk.as_raw_fd(), BLKGETSIZE64, BAD));
    outcome("flush", sys!(SYS_ioctl, disk.as_raw_fd(), BLKFLSBUF, 0));
    outcome("unknown", sys!(SYS_ioctl, disk.as_raw_fd(), 0x1299, 0));
    outcome("of a terminal", sys!(SYS_ioctl, disk.as_raw_fd(), libc::TCGETS, BAD));
}

fn size(disk: &File) -> u64 {
    let mut bytes = 0_u64;
    let _ = sys!(SYS_ioctl, disk.as_raw_fd(), BLKGETSIZE64, &raw mut bytes);
    bytes
}

/// Where the disk ends.
fn edges(path: &str) {
    let disk = open(path);
    let end = size(&disk);
    value("end", sys!(SYS_lseek, disk.as_raw_fd(), 0, libc::SEEK_END));
    value("beyond", sys!(SYS_lseek, disk.as_raw_fd(), end + 1, libc::SEEK_SET));
    let mut bytes = [1; 100];
    value("read at the end", sys!(SYS_pread64, disk.as_raw_fd(), bytes.as_mut_ptr(), 100, end));
    value("read behind it", sys!(SYS_pread64, disk.as_raw_fd(), bytes.as_mut_ptr(), 100, end + 5000));
    value("read across it", sys!(SYS_pread64, disk.as_raw_fd(), bytes.as_mut_ptr(), 100, end - 30));
    value("write at the end", sys!(SYS_pwrite64, disk.as_raw_fd(), bytes.as_ptr(), 100, end));
    value("write behind it", sys!(SYS_pwrite64, disk.as_raw_fd(), bytes.as_ptr(), 100, end + 5000));
    value("write across it", sys!(SYS_pwrite64, disk.as_raw_fd(), bytes.as_ptr(), 100, end - 30));
    value("write of nothing", sys!(SYS_pwrite64, disk.as_raw_fd(), bytes.as_ptr(), 0, end));
    bytes = [0; 100];
    value("read across it", sys!(SYS_pread64, disk.as_raw_fd(), bytes.as_mut_ptr(), 100, end - 50));
    show("what is there", bytes.iter().filter(|byte| **byte == 1).count());
}

/// All openers see the same bytes.
fn sharing(path: &str) {
    let (one, two) = (open(path), open(path));
    let bytes = pattern(10_000, 1);
    outcome("write", one.write_all_at(&bytes, 1 << 20));
    let mut seen = vec![0; bytes.len()];
    outcome("read", two.read_exact_at(&mut seen, 1 << 20));
    show("the same", seen == bytes);
    let appending = OpenOptions::new().append(true).open(path).expect("the disk");
    value("appending", sys!(SYS_write, appending.as_raw_fd(), bytes.as_ptr(), 10));
}

/// Lengths and places that are no multiples of anything.
fn pieces(path: &str) {
    let disk = open(path);
    let start = 3 << 20;
    let mut expected = vec![0; 64 << 10];
    outcome("clear", disk.write_all_at(&expected, start));
    for (seed, at, len) in
        [(1, 0, 1), (2, 511, 2), (3, 4095, 2), (4, 5000, 9000), (5, 4096, 4096), (6, 60_001, 5000)]
    {
        let bytes = pattern(len, seed);
        outcome("write", disk.write_all_at(&bytes, start + at));
        expected.resize(expected.len().max(at as usize + len), 0);
        expected[at as usize..at as usize + len].copy_from_slice(&bytes);
    }
    let mut seen = vec![0; expected.len()];
    outcome("read", disk.read_exact_at(&mut seen, start));
    show("as written", seen == expected);
    let mut vector = vec![0; 10_000];
    let (front, back) = vector.split_at_mut(777);
    let parts = [
        libc::iovec { iov_base: front.as_mut_ptr().cast(), iov_len: front.len() },
        libc::iovec { iov_base: back.as_mut_ptr().cast(), iov_len: back.len() },
    ];
    value("preadv", sys!(SYS_preadv, disk.as_raw_fd(), parts.as_ptr(), 2, start + 4000));
    show("as written", vector == expected[4000..14_000]);
}

/// What is mapped is what is read.
fn mapping(path: &str) {
    let disk = open(path);
    let start = 8 << 20;
    outcome("write", disk.write_all_at(&pattern(3 * PAGE as usize, 3), start));
    let map = |protection: i32, flags: i32| {
        sys!(SYS_mmap, 0, 3 * PAGE, protection, flags, disk.as_raw_fd(), start).expect("a mapping") as *mut u8
    };
    let shared = map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let private = map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
    // SAFETY: three pages each.
    let (shared, private) = unsafe {
        (
            std::slice::from_raw_parts_mut(shared, 3 * PAGE as usize),
            std::slice::from_raw_parts_mut(private, 3 * PAGE as usize),
        )
    };
    show("mapped", shared[..] == pattern(3 * PAGE as usize, 3));
    shared[5000] = 77;
    private[5001] = 78;
    let mut seen = [0; 2];
    outcome("read", disk.read_exact_at(&mut seen, start + 5000));
    show("what the mapping wrote", seen[0]);
    show("what the private one wrote", seen[1] == 78);
    outcome("write", disk.write_all_at(&[99], start + 9000));
    show("seen in the mapping", shared[9000]);
    outcome("msync", sys!(SYS_msync, shared.as_ptr(), 3 * PAGE, libc::MS_SYNC));
    shared[5002] = 79;
    outcome("read", disk.read_exact_at(&mut seen, start + 5001));
    show("written after it", seen[1]);
}

/// What is in memory of a part of the disk, which mincore(2) tells.
fn advice(path: &str) {
    const PAGES: usize = 32;
    let (disk, start, len) = (open(path), 24 << 20, PAGES as u64 * PAGE);
    outcome("write", disk.write_all_at(&pattern(len as usize, 4), start));
    let fd = disk.as_raw_fd();
    let shared = sys!(SYS_mmap, 0, len, libc::PROT_READ, libc::MAP_SHARED, fd, start).expect("a mapping");
    let in_memory = || {
        let mut there = [0_u8; PAGES];
        sys!(SYS_mincore, shared, len, there.as_mut_ptr()).expect("mincore");
        there.iter().map(|byte| usize::from(byte & 1)).sum::<usize>()
    };
    // What is read ahead comes in a moment.
    let come = || until(|| in_memory() == PAGES);
    show("written", in_memory());
    outcome("fsync", disk.sync_all());
    let advise =
        |name: &str, start: u64, len: u64, advice| outcome(name, sys!(SYS_fadvise64, fd, start, len, advice));
    advise("not needed", start, len, libc::POSIX_FADV_DONTNEED);
    show("left", in_memory());
    advise("needed", start, len, libc::POSIX_FADV_WILLNEED);
    show("come", come());
    advise("not needed, parts of pages", start + 1, 3 * PAGE - 2, libc::POSIX_FADV_DONTNEED);
    show("left", in_memory());
    advise("not needed, to the end", start, 0, libc::POSIX_FADV_DONTNEED);
    show("left", in_memory());
    outcome("readahead", sys!(SYS_readahead, fd, start, len));
    show("come", come());
    advise("not needed", start, len, libc::POSIX_FADV_DONTNEED);
    outcome("madvise", sys!(SYS_madvise, shared, len, libc::MADV_WILLNEED));
    show("come", come());
    // SAFETY: within the mapping, which is not changed.
    let used = unsafe { (shared as *const u8).add(5 * PAGE as usize).read_volatile() };
    show("a byte", used == pattern(len as usize, 4)[5 * PAGE as usize]);
    advise("not needed, but one is mapped", start, len, libc::POSIX_FADV_DONTNEED);
    show("some left", in_memory() > 0);
    outcome("munmap", sys!(SYS_munmap, shared, len));
}

fn storing(path: &str) {
    let disk = open(path);
    let bytes = pattern(1 << 20, 9);
    outcome("write", disk.write_all_at(&bytes, 16 << 20));
    outcome("fsync", disk.sync_all());
    outcome("fdatasync", disk.sync_data());
    outcome("sync_file_range", sys!(SYS_sync_file_range, disk.as_raw_fd(), 16 << 20, 1 << 20, 7));
    outcome("syncfs", sys!(SYS_syncfs, disk.as_raw_fd()));
    outcome("sync", sys!(SYS_sync));
    outcome("give up", fs::write("/proc/sys/vm/drop_caches", "3"));
    let mut seen = vec![0; bytes.len()];
    outcome("read", disk.read_exact_at(&mut seen, 16 << 20));
    show("as written", seen == bytes);
    let at_once = OpenOptions::new().write(true).custom_flags(libc::O_SYNC).open(path).expect("the disk");
    outcome("O_SYNC", at_once.write_all_at(&bytes[..5000], 20 << 20));
}

/// Past the page cache.
fn direct(path: &str) {
    let open =
        |flags| OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT | flags).open(path);
    let (disk, cached) = (open(0).expect("the disk"), self::open(path));
    let end = size(&cached);
    let mut memory = Anonymous::map(4 * PAGE as usize).expect("memory");
    let start = memory.start();
    cached.write_all_at(&pattern(10_000, 40), PAGE).expect("written");
    let mut read = |what: &str, at: u64, from: usize, len: usize| {
        memory.bytes().fill(1);
        value(what, disk.read_at(&mut memory.bytes()[from..from + len], at));
        let there = memory.bytes()[from..from + len].iter().map(|byte| u64::from(*byte)).sum::<u64>();
        show("bytes", there);
    };
    read("what is in the cache", PAGE, 0, 8192);
    read("a sector", PAGE + 1536, 512, 512);
    read("an odd offset", PAGE + 1, 0, 512);
    read("an odd length", PAGE, 0, 1000);
    read("an odd place", PAGE, 1, 512);
    read("nothing", PAGE, 1, 0);
    read("over the end", end - PAGE, 0, 8192);
    read("at the end", end, 0, 8192);
    let write = |what: &str, at: u64, bytes: &[u8]| {
        // SAFETY: the memory is as long, and nobody else looks.
        unsafe { start.copy_from(bytes.as_ptr(), bytes.len()) };
        value(what, sys!(SYS_pwrite64, disk.as_raw_fd(), start, bytes.len(), at));
    };
    write("over what is in the cache", PAGE + 512, &pattern(4096, 41));
    let mut found = [0; 12_288];
    cached.read_exact_at(&mut found, PAGE).expect("read");
    show("through the cache", found.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    write("an odd length", PAGE, &pattern(1000, 42));
    write("an odd offset", PAGE + 3, &pattern(512, 42));
    write("over the end", end - 512, &pattern(4096, 43));
    write("at the end", end, &pattern(512, 44));
    let stable = open(libc::O_DSYNC).expect("the disk");
    value("stable", sys!(SYS_pwrite64, stable.as_raw_fd(), start, 4096, 0));
    let flags = sys!(SYS_fcntl, cached.as_raw_fd(), libc::F_SETFL, libc::O_DIRECT);
    outcome("asked for later", flags);
    value("an odd length then", cached.read_at(&mut [0; 100], 0));
    let name = CString::new(path).expect("a name");
    let mut answer = [0_u32; 64];
    outcome("statx", sys!(SYS_statx, libc::AT_FDCWD, name.as_ptr(), 0, 0x2000, answer.as_mut_ptr()));
    show("alignment", answer[0] & 0x2000 != 0 && answer[39] == 512);
}

fn refusals(path: &str) {
    let reading = File::open(path).expect("the disk");
    outcome("write by a reader", reading.write_all_at(b"x", 0));
    outcome("ftruncate", open(path).set_len(4096));
    outcome("O_TRUNC", OpenOptions::new().write(true).truncate(true).open(path).map(drop));
    show("still there", size(&reading) > 0);
    outcome("as a directory", fs::read_dir(path).map(drop));
    outcome("executed", std::process::Command::new(path).status());
    let node = CString::new("/tmp/no_disk").expect("a name");
    outcome("mknod", sys!(SYS_mknod, node.as_ptr(), libc::S_IFBLK | 0o600, libc::makedev(240, 7)));
    outcome("of nothing", File::open("/tmp/no_disk").map(drop));
    outcome("unlink", fs::remove_file("/tmp/no_disk"));
    let epoll = sys!(SYS_epoll_create1, 0).expect("an epoll");
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    outcome("epoll", sys!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_ADD, reading.as_raw_fd(), &raw mut event));
}
