//! openat2(2): what its argument may say, and where a path may lead.

use crate::check::{outcome, path, show, sys, value};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;

const NO_XDEV: u64 = 1;
const NO_MAGICLINKS: u64 = 2;
const NO_SYMLINKS: u64 = 4;
const BENEATH: u64 = 8;
const IN_ROOT: u64 = 16;

fn open(directory: i64, name: &str, flags: i32, mode: u64, resolve: u64) -> io::Result<i64> {
    let how = [flags as u32 as u64, mode, resolve];
    sys!(SYS_openat2, directory, path(name).as_ptr(), how.as_ptr(), 24)
}

pub fn run() {
    flags();
    places();
}

fn flags() {
    let here = i64::from(libc::AT_FDCWD);
    let tries = |what: &str, flags: i32, mode: u64, resolve: u64| {
        let opened = open(here, ".", flags, mode, resolve);
        value(what, opened.map(|file| sys!(SYS_close, file).unwrap_or(1)));
    };
    let with_path = [
        ("alone", 0),
        ("O_CLOEXEC", libc::O_CLOEXEC),
        ("O_DIRECTORY", libc::O_DIRECTORY),
        ("O_NOFOLLOW", libc::O_NOFOLLOW),
        ("O_RDWR", libc::O_RDWR),
        ("O_CREAT", libc::O_CREAT),
        ("O_EXCL", libc::O_EXCL),
        ("O_NOCTTY", libc::O_NOCTTY),
        ("O_TRUNC", libc::O_TRUNC),
        ("O_APPEND", libc::O_APPEND),
        ("O_NONBLOCK", libc::O_NONBLOCK),
        ("O_SYNC", libc::O_SYNC),
        ("O_DIRECT", libc::O_DIRECT),
        ("O_LARGEFILE", 0o100_000),
        ("O_NOATIME", libc::O_NOATIME),
        ("O_TMPFILE", libc::O_TMPFILE | libc::O_RDWR),
    ];
    for (name, flag) in with_path {
        tries(&format!("O_PATH, {name}"), libc::O_PATH | flag, 0, 0);
    }
    for bit in [2, 3, 4, 5, 22, 23, 24, 27, 31] {
        tries(&format!("flag {bit}"), 1 << bit, 0, 0);
    }
    for (mode, flags) in
        [(0o644, 0), (0o644, libc::O_PATH), (0o10_000, libc::O_CREAT), (1 << 40, libc::O_CREAT)]
    {
        tries(&format!("mode {mode:o}"), flags, mode, 0);
    }
    for resolve in [0, 1, 2, 4, 8, 16, 8 | 16, 32 | 64, 64, 1 << 40] {
        tries(&format!("resolve {resolve:#x}"), libc::O_PATH, 0, resolve);
    }
    tries("no directory to write to", libc::O_TMPFILE, 0o600, 0);
    tries("no directory to make a file in", libc::O_TMPFILE & !libc::O_DIRECTORY | libc::O_RDWR, 0o600, 0);
    tries("a directory to be made", libc::O_CREAT | libc::O_DIRECTORY, 0o600, 0);
}

/// Directories and links that lead about, and away.
fn places() {
    // Apart from all that is outside.
    fs::create_dir("tree").expect("a directory");
    sys!(SYS_mount, 0, c"tree".as_ptr(), c"tmpfs".as_ptr(), 0, 0).expect("a file system");
    fs::create_dir_all("tree/etc/deep").expect("directories");
    fs::write("tree/etc/file", "x").expect("a file");
    let here = std::env::current_dir().expect("a working directory");
    let here = here.display().to_string();
    for (name, target) in [
        ("to_root", "/".to_owned()),
        ("absolute", "/etc/file".to_owned()),
        ("out", "../outside".to_owned()),
        ("out_and_in", "../tree/etc/file".to_owned()),
        ("within", "etc/deep/../file".to_owned()),
        ("chain", "within".to_owned()),
        ("itself", "itself".to_owned()),
        ("whole", format!("{here}/tree/etc/file")),
        ("magic", "/proc/self/cwd".to_owned()),
        ("etc/up", "../etc/file".to_owned()),
    ] {
        symlink(target, format!("tree/{name}")).expect("a link");
    }
    fs::write("outside", "y").expect("a file");
    let tree = sys!(SYS_open, c"tree".as_ptr(), libc::O_PATH | libc::O_DIRECTORY).expect("the tree");
    let real =
        |file: i64| fs::read_link(format!("/proc/self/fd/{file}")).map(|path| path.display().to_string());
    for (what, resolve) in [
        ("beneath", BENEATH),
        ("in root", IN_ROOT),
        ("no links", NO_SYMLINKS),
        ("no magic links", NO_MAGICLINKS),
        ("no other file system", NO_XDEV),
        ("in root, no links", IN_ROOT | NO_SYMLINKS),
        ("beneath, no magic links", BENEATH | NO_MAGICLINKS),
    ] {
        println!("{what}");
        for name in [
            ".",
            "..",
            "/",
            "etc/file",
            "etc/deep/../file",
            "etc/../../outside",
            "../tree/etc/file",
            "/etc/file",
            "to_root",
            "absolute",
            "out",
            "out_and_in",
            "within",
            "chain",
            "itself",
            "whole",
            "magic",
            "magic/outside",
            "etc/up",
            "etc/file/",
            "none",
            "/proc",
            "/proc/self/cwd",
            "/proc/self/exe",
            "/dev/null",
        ] {
            let opened = open(tree, name, libc::O_PATH, 0, resolve);
            let place = opened.map(|file| {
                let place = real(file).unwrap_or_default();
                let _ = sys!(SYS_close, file);
                place.strip_prefix(&here).map_or(place.clone(), |rest| format!("HERE {rest}"))
            });
            // What our program is called differs.
            value(name, place.map(|place| if name.ends_with("exe") { String::new() } else { place }));
            if name == "chain" {
                let opened = open(tree, name, libc::O_PATH | libc::O_NOFOLLOW, 0, resolve);
                value("itself", opened.map(|file| sys!(SYS_close, file).unwrap_or(1)));
            }
        }
    }
    for (name, resolve) in [("new", BENEATH), ("/new", IN_ROOT), ("../new", BENEATH), ("../other", IN_ROOT)] {
        let made = open(tree, name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o600, resolve);
        value(&format!("make {name}"), made.map(|file| sys!(SYS_close, file).unwrap_or(1)));
    }
    show("made inside", fs::metadata("tree/new").is_ok() && fs::metadata("tree/other").is_ok());
    let _ = sys!(SYS_close, tree);
    // Else nobody could remove the directory.
    outcome("unmount", sys!(SYS_umount2, c"tree".as_ptr(), libc::MNT_DETACH));
}
