//! Loop devices: files as disks. Linux has them in a module, which the root image brings.

use crate::check::{BAD, outcome, path, show, sorted, sys, value};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

/// `<linux/loop.h>`.
const LOOP_SET_FD: u32 = 0x4c00;
const LOOP_CLR_FD: u32 = 0x4c01;
const LOOP_SET_STATUS: u32 = 0x4c02;
const LOOP_GET_STATUS: u32 = 0x4c03;
const LOOP_SET_STATUS64: u32 = 0x4c04;
const LOOP_GET_STATUS64: u32 = 0x4c05;
const LOOP_CHANGE_FD: u32 = 0x4c06;
const LOOP_SET_CAPACITY: u32 = 0x4c07;
const LOOP_SET_DIRECT_IO: u32 = 0x4c08;
const LOOP_SET_BLOCK_SIZE: u32 = 0x4c09;
const LOOP_CONFIGURE: u32 = 0x4c0a;
const LOOP_CTL_ADD: u32 = 0x4c80;
const LOOP_CTL_REMOVE: u32 = 0x4c81;
const LOOP_CTL_GET_FREE: u32 = 0x4c82;
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const PARTSCAN: u32 = 8;
const DIRECT_IO: u32 = 16;
/// `<linux/fs.h>`.
const BLKROGET: u32 = 0x125e;
const BLKRRPART: u32 = 0x125f;
const BLKFLSBUF: u32 = 0x1261;
const BLKSSZGET: u32 = 0x1268;
const BLKIOMIN: u32 = 0x1278;
const BLKIOOPT: u32 = 0x1279;
const BLKALIGNOFF: u32 = 0x127a;
const BLKPBSZGET: u32 = 0x127b;
const BLKGETSIZE64: u32 = 0x8008_1272;

/// `struct loop_info64`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    represented: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encryption: u32,
    key_size: u32,
    flags: u32,
    name: [u8; 64],
    encryption_name: [u8; 64],
    key: [u8; 32],
    words: [u64; 2],
}

/// `struct loop_info`.
#[derive(Clone, Copy)]
#[repr(C)]
struct OldInfo {
    number: i32,
    device: u64,
    inode: u64,
    represented: u64,
    offset: i32,
    encryption: i32,
    key_size: i32,
    flags: i32,
    name: [u8; 64],
    key: [u8; 32],
    words: [u64; 2],
    reserved: [u8; 4],
}

/// `struct loop_config`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// A structure of numbers, all zero.
fn zeroed<T: Copy>() -> T {
    // SAFETY: the structures above are numbers.
    unsafe { std::mem::zeroed() }
}

pub fn run() {
    if !Path::new("/dev/loop-control").exists() {
        insert("/usr/lib/tests/loop.ko").expect("Linux's module");
    }
    outcome("folder", fs::create_dir("/tmp/loops"));
    nodes();
    control();
    unbound();
    bound();
    status();
    old_status();
    configured();
    sizes();
    blocks();
    read_only();
    changed();
    contents();
    last_close();
    cleared();
    on_itself();
    partitions();
    full();
    outcome("folder", fs::remove_dir_all("/tmp/loops"));
}

fn insert(module: &str) -> io::Result<i64> {
    let file = File::open(module)?;
    let parameters = path("");
    sys!(SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0)
}

fn open(path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file of so many bytes that tell where they are.
fn file(name: &str, len: usize) -> File {
    let name = format!("/tmp/loops/{name}");
    fs::write(&name, pattern(len, 1)).expect("a file");
    open(&name)
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + seed * 7) as u8).collect()
}

fn request(file: &File, request: u32, argument: usize) -> io::Result<i64> {
    sys!(SYS_ioctl, file.as_raw_fd(), request, argument)
}

fn set(device: &File, file: &File) -> io::Result<i64> {
    request(device, LOOP_SET_FD, file.as_raw_fd() as usize)
}

fn configure(device: &File, file: &File, change: impl FnOnce(&mut Config)) -> io::Result<i64> {
    let mut config: Config = zeroed();
    config.fd = file.as_raw_fd() as u32;
    change(&mut config);
    sys!(SYS_ioctl, device.as_raw_fd(), LOOP_CONFIGURE, &raw const config)
}

fn get(device: &File) -> io::Result<Info> {
    let mut info: Info = zeroed();
    sys!(SYS_ioctl, device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info).map(|_| info)
}

fn set_status(device: &File, change: impl FnOnce(&mut Info)) -> io::Result<i64> {
    let mut info: Info = zeroed();
    change(&mut info);
    sys!(SYS_ioctl, device.as_raw_fd(), LOOP_SET_STATUS64, &raw const info)
}

fn ask(device: &File, request: u32) -> u64 {
    let mut answer = 0_u64;
    let _ = sys!(SYS_ioctl, device.as_raw_fd(), request, &raw mut answer);
    answer
}

fn text(file: &str) -> String {
    fs::read_to_string(file)
        .map_or_else(|error| support::errno::error_name(&error), |text| text.trim().into())
}

fn show_info(what: &str, device: &File) {
    match get(device) {
        Ok(info) => {
            let name = String::from_utf8_lossy(&info.name).trim_end_matches('\0').to_owned();
            let Info { offset, size_limit, number, flags, .. } = info;
            show(what, format!("{number} {offset} {size_limit} {flags} {name:?} {}", info.encryption));
        }
        Err(error) => show(what, support::errno::error_name(&error)),
    }
}

fn nodes() {
    for node in ["/dev/loop-control", "/dev/loop0", "/dev/loop7"] {
        let data = fs::metadata(node).expect("it is there");
        let number = (libc::major(data.rdev()), libc::minor(data.rdev()));
        let kind = (data.file_type().is_block_device(), data.file_type().is_char_device());
        show(node, format!("{number:?} {kind:?}"));
    }
    show("the ninth", Path::new("/dev/loop8").exists());
    let devices = text("/proc/devices");
    for line in ["  7 loop", "259 blkext", " 10 misc"] {
        show(line, devices.lines().any(|known| known == line));
    }
    for file in ["size", "ro", "removable", "range", "dev", "queue/logical_block_size", "loop/offset"] {
        show(file, text(&format!("/sys/block/loop0/{file}")));
    }
    show("among partitions", text("/proc/partitions").contains("loop"));
    show("among statistics", text("/proc/diskstats").contains(" loop0 "));
}

fn control() {
    let control = open("/dev/loop-control");
    value("free", request(&control, LOOP_CTL_GET_FREE, 0));
    value("add", request(&control, LOOP_CTL_ADD, 12));
    value("again", request(&control, LOOP_CTL_ADD, 12));
    value("the first that there is not", request(&control, LOOP_CTL_ADD, usize::MAX));
    value("too high", request(&control, LOOP_CTL_ADD, 1 << 20));
    show("nodes", ["/dev/loop8", "/dev/loop12"].iter().filter(|node| Path::new(node).exists()).count());
    show("its number", text("/sys/block/loop12/dev"));
    let busy = open("/dev/loop12");
    value("in use", request(&control, LOOP_CTL_REMOVE, 12));
    drop(busy);
    value("remove", request(&control, LOOP_CTL_REMOVE, 12));
    value("again", request(&control, LOOP_CTL_REMOVE, 12));
    value("none", request(&control, LOOP_CTL_REMOVE, usize::MAX));
    value("remove", request(&control, LOOP_CTL_REMOVE, 8));
    show("nodes", ["/dev/loop8", "/dev/loop12"].iter().filter(|node| Path::new(node).exists()).count());
    show("its folder", Path::new("/sys/block/loop12").exists());
    value("unknown", request(&control, 0x4c99, 0));
    let mut byte = 0_u8;
    value("read", sys!(SYS_read, control.as_raw_fd(), &raw mut byte, 1));
    value("write", sys!(SYS_write, control.as_raw_fd(), &raw const byte, 1));
    // A node of a device that there is not makes it.
    let node = path("/tmp/loops/node");
    outcome("mknod", sys!(SYS_mknod, node.as_ptr(), libc::S_IFBLK | 0o600, libc::makedev(7, 20)));
    outcome("open", File::open("/tmp/loops/node").map(drop));
    show("made", text("/sys/block/loop20/size"));
    value("remove", request(&control, LOOP_CTL_REMOVE, 20));
}

fn unbound() {
    let device = open("/dev/loop0");
    show("bytes", ask(&device, BLKGETSIZE64));
    show_info("status", &device);
    outcome("set status", set_status(&device, |_| ()));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    outcome("capacity", request(&device, LOOP_SET_CAPACITY, 0));
    outcome("direct", request(&device, LOOP_SET_DIRECT_IO, 1));
    outcome("block size", request(&device, LOOP_SET_BLOCK_SIZE, 1024));
    outcome("change", request(&device, LOOP_CHANGE_FD, device.as_raw_fd() as usize));
    outcome("partitions", request(&device, BLKRRPART, 0));
    outcome("unknown", request(&device, 0x1299, 0));
    outcome("of a terminal", sys!(SYS_ioctl, device.as_raw_fd(), libc::TCGETS, BAD));
    let mut byte = 0_u8;
    value("read", sys!(SYS_pread64, device.as_raw_fd(), &raw mut byte, 1, 0));
    value("write", sys!(SYS_pwrite64, device.as_raw_fd(), &raw const byte, 1, 0));
    value("end", sys!(SYS_lseek, device.as_raw_fd(), 0, libc::SEEK_END));
    outcome("no descriptor", request(&device, LOOP_SET_FD, 99));
    let (reader, _writer) = io::pipe().expect("a pipe");
    outcome("a pipe", request(&device, LOOP_SET_FD, reader.as_raw_fd() as usize));
    let folder = File::open("/tmp/loops").expect("the folder");
    outcome("a folder", set(&device, &folder));
    outcome("nothing", set(&device, &open("/dev/null")));
    outcome("bad address", request(&device, LOOP_CONFIGURE, BAD));
}

fn bound() {
    let device = open("/dev/loop0");
    let backing = file("bound", 100_000);
    outcome("set", set(&device, &backing));
    outcome("again", set(&device, &backing));
    show("bytes", ask(&device, BLKGETSIZE64));
    show("sector", ask(&device, BLKSSZGET));
    show("physical sector", ask(&device, BLKPBSZGET));
    show("at best", ask(&device, BLKIOOPT));
    show("off by", ask(&device, BLKALIGNOFF));
    show("read only", ask(&device, BLKROGET));
    show_info("status", &device);
    let (info, data) = (get(&device).expect("a status"), backing.metadata().expect("a file"));
    show("of the file", (info.device, info.inode, info.represented) == (data.dev(), data.ino(), 0));
    for file in ["backing_file", "offset", "sizelimit", "autoclear", "partscan", "dio"] {
        show(file, text(&format!("/sys/block/loop0/loop/{file}")));
    }
    let mut names: Vec<String> = fs::read_dir("/sys/block/loop0/loop")
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    sorted("the folder", names);
    show("size", text("/sys/block/loop0/size"));
    let line = text("/proc/partitions");
    show("among partitions", line.lines().find(|line| line.ends_with(" loop0")).unwrap_or("no"));
    outcome("direct", request(&device, LOOP_SET_DIRECT_IO, 1));
    outcome("not direct", request(&device, LOOP_SET_DIRECT_IO, 0));
    outcome("unknown", request(&device, 0x4c77, 0));
    outcome("partitions", request(&device, BLKRRPART, 0));
    outcome("unlink", fs::remove_file("/tmp/loops/bound"));
    show("backing_file", text("/sys/block/loop0/loop/backing_file"));
    let control = open("/dev/loop-control");
    value("free", request(&control, LOOP_CTL_GET_FREE, 0));
    value("remove", request(&control, LOOP_CTL_REMOVE, 0));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    show_info("status", &device);
    show("bytes", ask(&device, BLKGETSIZE64));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    show("the folder", Path::new("/sys/block/loop0/loop").exists());
}

fn status() {
    let device = open("/dev/loop0");
    let backing = file("status", 100_000);
    outcome("set", set(&device, &backing));
    let name = |info: &mut Info, text: &[u8]| info.name[..text.len()].copy_from_slice(text);
    outcome(
        "status",
        set_status(&device, |info| {
            (info.offset, info.size_limit) = (5000, 20_000);
            name(info, b"a name");
        }),
    );
    show_info("status", &device);
    show("bytes", ask(&device, BLKGETSIZE64));
    outcome("long name", set_status(&device, |info| name(info, &[b'x'; 64])));
    show_info("status", &device);
    for flags in [AUTOCLEAR, PARTSCAN, 0, READ_ONLY, DIRECT_IO, 1 << 20] {
        outcome("flags", set_status(&device, |info| info.flags = flags));
        show_info("status", &device);
    }
    outcome("too far", set_status(&device, |info| info.offset = 1 << 63));
    outcome("too long", set_status(&device, |info| info.size_limit = 1 << 63));
    outcome("encrypted", set_status(&device, |info| info.encryption = 1));
    outcome("encrypted", set_status(&device, |info| info.encryption = 18));
    outcome("a key", set_status(&device, |info| info.key_size = 33));
    outcome("behind the end", set_status(&device, |info| info.offset = 1 << 40));
    show("bytes", ask(&device, BLKGETSIZE64));
    outcome("limit behind the end", set_status(&device, |info| info.size_limit = 1 << 40));
    show("bytes", ask(&device, BLKGETSIZE64));
    outcome("bad address", request(&device, LOOP_SET_STATUS64, BAD));
    outcome("no address", request(&device, LOOP_GET_STATUS64, 0));
    outcome("bad address", request(&device, LOOP_GET_STATUS64, BAD));
    let reading = File::open("/dev/loop0").expect("the device");
    outcome("by a reader", set_status(&reading, |_| ()));
    outcome("clear by a reader", request(&reading, LOOP_CLR_FD, 0));
    show_info("with two users", &device);
    drop(reading);
    show_info("with one", &device);
    drop(device);
    let device = open("/dev/loop0");
    show_info("with none", &device);
}

fn old_status() {
    let device = open("/dev/loop0");
    let backing = file("old", 50_000);
    outcome("set", set(&device, &backing));
    let get = || {
        let mut info: OldInfo = zeroed();
        let got = sys!(SYS_ioctl, device.as_raw_fd(), LOOP_GET_STATUS, &raw mut info);
        got.map(|_| format!("{} {} {} {:?}", info.number, info.offset, info.flags, &info.name[..3]))
    };
    value("old status", get());
    let mut info: OldInfo = zeroed();
    (info.offset, info.flags) = (1024, AUTOCLEAR as i32);
    info.name[..2].copy_from_slice(b"hi");
    outcome("set", sys!(SYS_ioctl, device.as_raw_fd(), LOOP_SET_STATUS, &raw const info));
    value("old status", get());
    show_info("new", &device);
    info.offset = -1;
    outcome("negative", sys!(SYS_ioctl, device.as_raw_fd(), LOOP_SET_STATUS, &raw const info));
    outcome("far", set_status(&device, |info| info.offset = 1 << 33));
    value("old status", get());
    outcome("no address", request(&device, LOOP_GET_STATUS, 0));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
}

fn configured() {
    let backing = file("configured", 100_000);
    let device = open("/dev/loop1");
    outcome("unknown flag", configure(&device, &backing, |config| config.info.flags = 2));
    outcome("odd block", configure(&device, &backing, |config| config.block_size = 1000));
    outcome("small block", configure(&device, &backing, |config| config.block_size = 256));
    outcome("large block", configure(&device, &backing, |config| config.block_size = 8192));
    outcome("too far", configure(&device, &backing, |config| config.info.offset = 1 << 63));
    outcome("no descriptor", configure(&device, &backing, |config| config.fd = 99));
    outcome(
        "configure",
        configure(&device, &backing, |config| {
            config.block_size = 2048;
            config.info.offset = 512;
            config.info.size_limit = 50_000;
            config.info.flags = READ_ONLY | AUTOCLEAR | DIRECT_IO;
            config.info.name[0] = b'n';
        }),
    );
    show_info("status", &device);
    show("sector", ask(&device, BLKSSZGET));
    show("bytes", ask(&device, BLKGETSIZE64));
    show("read only", ask(&device, BLKROGET));
    outcome("again", configure(&device, &backing, |_| ()));
    drop(device);
    let device = open("/dev/loop1");
    show_info("after the last close", &device);
    show("sector", ask(&device, BLKSSZGET));
}

fn sizes() {
    let device = open("/dev/loop0");
    let backing = file("sizes", 10_000);
    outcome("set", set(&device, &backing));
    outcome("longer", backing.set_len(30_000));
    show("bytes", ask(&device, BLKGETSIZE64));
    outcome("capacity", request(&device, LOOP_SET_CAPACITY, 0));
    show("bytes", ask(&device, BLKGETSIZE64));
    value("end", sys!(SYS_lseek, device.as_raw_fd(), 0, libc::SEEK_END));
    outcome("write", device.write_all_at(&[7; 512], 29_000 / 512 * 512));
    outcome("shorter", backing.set_len(5000));
    show("bytes", ask(&device, BLKGETSIZE64));
    outcome("flush", request(&device, BLKFLSBUF, 0));
    outcome("fsync", device.sync_all());
    outcome("capacity", request(&device, LOOP_SET_CAPACITY, 0));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    drop(device);
    // What is not there any more reads as zeros.
    let device = open("/dev/loop0");
    let backing = file("shorter", 40_960);
    outcome("set", set(&device, &backing));
    outcome("shorter", backing.set_len(8192));
    let mut seen = vec![1; 4096];
    outcome("read", device.read_exact_at(&mut seen, 4096));
    show("as written", seen == pattern(8192, 1)[4096..]);
    outcome("read behind", device.read_exact_at(&mut seen, 36_864));
    show("zeros", seen.iter().all(|byte| *byte == 0));
    outcome("write behind", device.write_all_at(&pattern(4096, 2), 32_768));
    outcome("fsync", device.sync_all());
    show("the file", backing.metadata().expect("a file").len());
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
}

fn blocks() {
    let device = open("/dev/loop0");
    let backing = file("blocks", 65_536);
    outcome("set", set(&device, &backing));
    for size in [4096, 512, 1024, 2048, 0, 256, 600, 8192, 1 << 32] {
        outcome("block size", request(&device, LOOP_SET_BLOCK_SIZE, size));
        show("sector", ask(&device, BLKSSZGET));
        show("physical", text("/sys/block/loop0/queue/physical_block_size"));
        show("at least", ask(&device, BLKIOMIN));
        show("at least", text("/sys/block/loop0/queue/minimum_io_size"));
    }
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
}

fn read_only() {
    let backing = file("read_only", 20_000);
    let reading = File::open("/tmp/loops/read_only").expect("the file");
    let device = open("/dev/loop0");
    outcome("set", set(&device, &reading));
    show_info("status", &device);
    show("read only", ask(&device, BLKROGET));
    show("ro", text("/sys/block/loop0/ro"));
    value("write", sys!(SYS_pwrite64, device.as_raw_fd(), b"x".as_ptr(), 1, 0));
    outcome("open for writing", OpenOptions::new().write(true).open("/dev/loop0").map(drop));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    drop(device);
    let device = File::open("/dev/loop0").expect("the device");
    outcome("set by a reader", set(&device, &backing));
    show_info("status", &device);
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    drop(device);
    // The file is in use as a program that is written to is.
    let device = open("/dev/loop0");
    outcome("copy", fs::copy("/bin/busybox", "/tmp/loops/program").map(drop));
    outcome("set", set(&device, &open("/tmp/loops/program")));
    outcome("execute", std::process::Command::new("/tmp/loops/program").arg("true").status().map(drop));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
}

fn changed() {
    let (one, two) = (file("one", 8192), file("two", 8192));
    outcome("write", two.write_all_at(&pattern(8192, 5), 0));
    let short = file("short", 4096);
    let device = open("/dev/loop0");
    outcome("set", set(&device, &one));
    outcome("change", request(&device, LOOP_CHANGE_FD, two.as_raw_fd() as usize));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    drop(device);
    let device = open("/dev/loop0");
    outcome("configure", configure(&device, &one, |config| config.info.flags = READ_ONLY));
    let mut seen = vec![0; 8192];
    outcome("read", device.read_exact_at(&mut seen, 0));
    show("the first", seen == pattern(8192, 1));
    outcome("shorter", request(&device, LOOP_CHANGE_FD, short.as_raw_fd() as usize));
    outcome("none", request(&device, LOOP_CHANGE_FD, 99));
    outcome("change", request(&device, LOOP_CHANGE_FD, two.as_raw_fd() as usize));
    show("backing_file", text("/sys/block/loop0/loop/backing_file"));
    outcome("read", device.read_exact_at(&mut seen, 0));
    show("the second", seen == pattern(8192, 5));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
}

/// What is written goes to the file, and what is in the file is read.
fn contents() {
    let backing = file("contents", 1 << 20);
    let device = open("/dev/loop0");
    outcome("configure", configure(&device, &backing, |config| config.info.offset = 1536));
    let mut seen = vec![0; 100_000];
    outcome("read", device.read_exact_at(&mut seen, 777));
    show("as in the file", seen[..] == pattern(1 << 20, 1)[1536 + 777..][..100_000]);
    let bytes = pattern(200_001, 9);
    outcome("write", device.write_all_at(&bytes, 5001));
    outcome("fsync", device.sync_all());
    let mut there = vec![0; bytes.len()];
    outcome("read the file", backing.read_exact_at(&mut there, 1536 + 5001));
    show("as written", there == bytes);
    let end = ask(&device, BLKGETSIZE64);
    show("bytes", end);
    value("write across the end", sys!(SYS_pwrite64, device.as_raw_fd(), bytes.as_ptr(), 1000, end - 300));
    value("write at the end", sys!(SYS_pwrite64, device.as_raw_fd(), bytes.as_ptr(), 1000, end));
    // Programs may map it.
    let flags = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let mapped =
        sys!(SYS_mmap, 0, 8192, flags.0, flags.1, device.as_raw_fd(), 0).expect("a mapping") as *mut u8;
    // SAFETY: two pages.
    let mapped = unsafe { std::slice::from_raw_parts_mut(mapped, 8192) };
    mapped[4000] = 201;
    outcome("msync", sys!(SYS_msync, mapped.as_ptr(), 8192, libc::MS_SYNC));
    outcome("read the file", backing.read_exact_at(&mut there[..1], 1536 + 4000));
    show("as mapped", there[0]);
    outcome("unmap", sys!(SYS_munmap, mapped.as_ptr(), 8192));
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
}

/// With the last close what was written is in the file, and what others write to it is read afterwards.
fn last_close() {
    let backing = file("closed", 65_536);
    outcome("set", set(&open("/dev/loop0"), &backing));
    outcome("write", open("/dev/loop0").write_all_at(b"written", 4000));
    let mut seen = [0; 7];
    outcome("read the file", backing.read_exact_at(&mut seen, 4000));
    show("there", String::from_utf8_lossy(&seen));
    outcome("write the file", backing.write_all_at(b"changed", 4000));
    outcome("read", open("/dev/loop0").read_exact_at(&mut seen, 4000));
    show("there", String::from_utf8_lossy(&seen));
    let device = open("/dev/loop0");
    show_info("status", &device);
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
}

/// A device that was cleared can be used again.
fn cleared() {
    let backing = file("cleared", 65_536);
    let device = open("/dev/loop0");
    outcome("set", set(&device, &backing));
    outcome("write", device.write_all_at(b"before", 0));
    outcome("fsync", device.sync_all());
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    let mut seen = [0; 6];
    value("read", sys!(SYS_pread64, device.as_raw_fd(), seen.as_mut_ptr(), 6, 0));
    outcome("read the file", backing.read_exact_at(&mut seen, 0));
    show("there", String::from_utf8_lossy(&seen));
    drop(device);
    for times in 0..3 {
        let device = open("/dev/loop0");
        outcome("configure", configure(&device, &backing, |config| config.info.flags = AUTOCLEAR));
        outcome("write", device.write_all_at(format!("time {times}").as_bytes(), 0));
        let other = open("/dev/loop0");
        drop(device);
        show_info("kept", &other);
        drop(other);
        show("gone", Path::new("/sys/block/loop0/loop").exists());
        outcome("read the file", backing.read_exact_at(&mut seen, 0));
        show("there", String::from_utf8_lossy(&seen));
    }
}

/// No device lies on itself.
fn on_itself() {
    let backing = file("itself", 65_536);
    let (zero, one) = (open("/dev/loop0"), open("/dev/loop1"));
    outcome("itself", set(&zero, &zero));
    outcome("without a file", set(&zero, &one));
    outcome("set", set(&zero, &backing));
    outcome("the other", set(&one, &zero));
    show_info("status", &one);
    show("backing_file", text("/sys/block/loop1/loop/backing_file"));
    outcome("write", one.write_all_at(b"through two", 100));
    outcome("fsync", one.sync_all());
    let mut seen = [0; 11];
    outcome("read the file", backing.read_exact_at(&mut seen, 100));
    show("there", String::from_utf8_lossy(&seen));
    outcome("clear", request(&one, LOOP_CLR_FD, 0));
    drop(one);
    outcome("clear", request(&zero, LOOP_CLR_FD, 0));
}

/// A partition of a DOS table.
fn entry(start: u32, sectors: u32) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[4] = 0x83;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..].copy_from_slice(&sectors.to_le_bytes());
    entry
}

fn partitions() {
    let backing = file("parts", 1 << 20);
    outcome("clear", backing.write_all_at(&[0; 512], 0));
    outcome("table", backing.write_all_at(&entry(64, 100), 446));
    outcome("table", backing.write_all_at(&entry(200, 1000), 462));
    outcome("table", backing.write_all_at(&[0x55, 0xaa], 510));
    let there = || {
        let node = |number: &u32| Path::new(&format!("/dev/loop0p{number}")).exists();
        (1..5).filter(node).map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
    };
    let device = open("/dev/loop0");
    outcome("set", set(&device, &backing));
    show("partitions", there());
    outcome("scan", set_status(&device, |info| info.flags = PARTSCAN));
    show("partitions", there());
    for file in ["start", "size", "partition", "ro"] {
        show(file, text(&format!("/sys/block/loop0/loop0p2/{file}")));
    }
    let major = fs::metadata("/dev/loop0p2").map(|data| libc::major(data.rdev()));
    value("major", major);
    let lines = text("/proc/partitions");
    let lines: Vec<_> = lines.lines().filter(|line| line.contains("loop")).collect();
    for line in lines {
        let words: Vec<_> = line.split_whitespace().collect();
        show("among partitions", format!("{} {} {}", words[0], words[2], words[3]));
    }
    let part = open("/dev/loop0p2");
    show("bytes", ask(&part, BLKGETSIZE64));
    let mut seen = vec![0; 5000];
    outcome("read", part.read_exact_at(&mut seen, 100));
    show("as in the file", seen[..] == pattern(1 << 20, 1)[200 * 512 + 100..][..5000]);
    outcome("write", part.write_all_at(b"in a part", 77));
    outcome("fsync", part.sync_all());
    let mut there_now = [0; 9];
    outcome("read the file", backing.read_exact_at(&mut there_now, 200 * 512 + 77));
    show("there", String::from_utf8_lossy(&there_now));
    show_info("status by the part", &part);
    outcome("scan in use", request(&device, BLKRRPART, 0));
    outcome("scan of a part", request(&part, BLKRRPART, 0));
    outcome("clear in use", request(&device, LOOP_CLR_FD, 0));
    show_info("status", &device);
    outcome("stays", set_status(&device, |info| info.flags = 0));
    show_info("status", &device);
    drop(part);
    outcome("table", device.write_all_at(&entry(300, 50), 478));
    outcome("scan", request(&device, BLKRRPART, 0));
    show("partitions", there());
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    drop(device);
    show("partitions", there());
    let device = open("/dev/loop0");
    outcome("configure", configure(&device, &backing, |config| config.info.flags = PARTSCAN | AUTOCLEAR));
    show("partitions", there());
    drop(device);
    show("partitions", there());
}

/// A file for which there is no room.
fn full() {
    outcome("folder", fs::create_dir("/tmp/loops/small"));
    let (target, kind, options) = (path("/tmp/loops/small"), path("tmpfs"), path("size=256k"));
    outcome("mount", sys!(SYS_mount, kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr()));
    let backing = file("small/file", 0);
    outcome("length", backing.set_len(1 << 20));
    let device = open("/dev/loop0");
    outcome("set", set(&device, &backing));
    outcome("write", device.write_all_at(&pattern(1 << 20, 3), 0));
    outcome("fsync", device.sync_all());
    outcome("fsync again", device.sync_all());
    outcome("clear", request(&device, LOOP_CLR_FD, 0));
    drop((device, backing));
    outcome("unmount", sys!(SYS_umount2, target.as_ptr(), 0));
}
