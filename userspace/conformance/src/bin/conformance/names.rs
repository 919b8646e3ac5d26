//! Names: links, renames, removal, symbolic links, permissions on the way.

use crate::check::{aside, outcome, path, show, sorted, sys, value};
use std::fs;
use std::io;

fn exists(name: &str) -> bool {
    fs::symlink_metadata(name).is_ok()
}

fn mkdir(name: &str) -> io::Result<i64> {
    sys!(SYS_mkdir, path(name).as_ptr(), 0o777)
}

fn rmdir(name: &str) -> io::Result<i64> {
    sys!(SYS_rmdir, path(name).as_ptr())
}

fn unlink(name: &str) -> io::Result<i64> {
    sys!(SYS_unlink, path(name).as_ptr())
}

fn rename(from: &str, to: &str) -> io::Result<i64> {
    sys!(SYS_rename, path(from).as_ptr(), path(to).as_ptr())
}

fn rename2(from: &str, to: &str, flags: u32) -> io::Result<i64> {
    let here = libc::AT_FDCWD;
    sys!(SYS_renameat2, here, path(from).as_ptr(), here, path(to).as_ptr(), flags)
}

fn link(from: &str, to: &str) -> io::Result<i64> {
    sys!(SYS_link, path(from).as_ptr(), path(to).as_ptr())
}

fn symlink(target: &str, name: &str) -> io::Result<i64> {
    sys!(SYS_symlink, path(target).as_ptr(), path(name).as_ptr())
}

fn write(name: &str, content: &str) {
    fs::write(name, content).expect("a file");
}

fn links_of(name: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(name).map_or(0, |data| data.nlink())
}

pub fn run() {
    folders();
    hard_links();
    renames();
    exchanges();
    symbolic_links();
    odd_paths();
    relative_to_folders();
    mounts_of_files();
    working_folder();
    permissions();
    sticky();
    aside("openat2", crate::open_how::run);
}

fn folders() {
    for (what, result) in [
        ("mkdir", mkdir("a")),
        ("mkdir again", mkdir("a")),
        ("mkdir with slash", mkdir("b/")),
        ("mkdir below missing", mkdir("missing/x")),
        ("mkdir .", mkdir(".")),
        ("mkdir ..", mkdir("..")),
        ("mkdir a/.", mkdir("a/.")),
        ("mkdir /", mkdir("/")),
        ("rmdir missing", rmdir("missing")),
        ("rmdir .", rmdir(".")),
        ("rmdir a/.", rmdir("a/.")),
        ("rmdir a/..", rmdir("a/..")),
        ("rmdir /", rmdir("/")),
        ("mkdir a/b", mkdir("a/b")),
        ("rmdir non-empty", rmdir("a")),
        ("unlink folder", unlink("a")),
        ("rmdir mount point", rmdir("/proc")),
    ] {
        outcome(what, result);
    }
    show("links of a", links_of("a"));
    outcome("rmdir a/b/", rmdir("a/b/"));
    show("links of a", links_of("a"));
    write("file", "x");
    outcome("rmdir file", rmdir("file"));
    outcome("mkdir below file", mkdir("file/x"));
    outcome("unlink file/", unlink("file/"));
    outcome("unlink missing", unlink("missing"));
    outcome(
        "unlink with AT_REMOVEDIR",
        sys!(SYS_unlinkat, libc::AT_FDCWD, path("b").as_ptr(), libc::AT_REMOVEDIR),
    );
}

fn hard_links() {
    write("one", "same");
    outcome("link", link("one", "two"));
    show("links", links_of("one"));
    outcome("link onto existing", link("one", "file"));
    outcome("link missing", link("missing", "three"));
    outcome("link folder", link("a", "a2"));
    outcome("link across file systems", link("one", "/dev/shm/one"));
    let _ = symlink("one", "to-one");
    outcome("link of a symbolic link", link("to-one", "to-one-too"));
    show("is a symbolic link", fs::read_link("to-one-too").is_ok());
    let here = libc::AT_FDCWD;
    let follow = libc::AT_SYMLINK_FOLLOW;
    let result = sys!(SYS_linkat, here, path("to-one").as_ptr(), here, path("followed").as_ptr(), follow);
    outcome("linkat following", result);
    show("links", links_of("one"));
    outcome("unlink", unlink("one"));
    show("content by the other name", fs::read_to_string("two").unwrap_or_default());
    show("links", links_of("two"));
}

fn renames() {
    write("r1", "first");
    write("r2", "second");
    outcome("rename over file", rename("r1", "r2"));
    show("content", fs::read_to_string("r2").unwrap_or_default());
    show("old name exists", exists("r1"));
    outcome("rename missing", rename("r1", "r3"));
    outcome("rename to itself", rename("r2", "r2"));
    let _ = link("r2", "r2-link");
    outcome("rename onto a link of itself", rename("r2", "r2-link"));
    show("both exist", exists("r2") && exists("r2-link"));
    let _ = (mkdir("d1"), mkdir("d2"), mkdir("d2/full"), mkdir("d3"));
    outcome("folder over empty folder", rename("d1", "d3"));
    outcome("folder over full folder", rename("d3", "d2"));
    outcome("folder over file", rename("d3", "r2"));
    outcome("file over folder", rename("r2", "d3"));
    outcome("folder into itself", rename("d2", "d2/full/x"));
    outcome("folder onto its parent", rename("d2/full", "d2"));
    outcome("file with slash", rename("r2/", "r4"));
    outcome("file to name with slash", rename("r2", "r4/"));
    outcome("folder to name with slash", rename("d3", "d4/"));
    outcome("rename .", rename(".", "x"));
    outcome("rename ..", rename("..", "x"));
    outcome("rename to ..", rename("r2", "d4/.."));
    outcome("rename below file", rename("d4", "r2/x"));
    outcome("across file systems", rename("r2", "/dev/shm/r2"));
    outcome("a mount point", rename("/proc", "/proc2"));
    outcome("move", rename("d2/full", "d4/full"));
    show("links of old and new parent", format!("{} {}", links_of("d2"), links_of("d4")));
    outcome(".. of the moved", fs::metadata("d4/full/../full"));
    let _ = symlink("r2", "s1");
    outcome("rename of a symbolic link", rename("s1", "s2"));
    show("it is one still", fs::read_link("s2").is_ok());
}

fn exchanges() {
    write("e1", "one");
    let _ = mkdir("e2");
    outcome("NOREPLACE onto existing", rename2("e1", "e2", libc::RENAME_NOREPLACE));
    outcome("NOREPLACE", rename2("e1", "e3", libc::RENAME_NOREPLACE));
    outcome("EXCHANGE with missing", rename2("e3", "e4", libc::RENAME_EXCHANGE));
    outcome("EXCHANGE", rename2("e3", "e2", libc::RENAME_EXCHANGE));
    show("file and folder changed places", fs::read("e2").is_ok() && fs::read_dir("e3").is_ok());
    outcome("both flags", rename2("e3", "e2", libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE));
}

fn symbolic_links() {
    let _ = symlink("l2", "l1");
    let _ = symlink("l1", "l2");
    outcome("loop", fs::metadata("l1"));
    outcome("loop itself", fs::symlink_metadata("l1"));
    write("end", "reached");
    let _ = symlink("end", "chain0");
    for i in 1..=41 {
        let _ = symlink(&format!("chain{}", i - 1), &format!("chain{i}"));
    }
    outcome("40 links", fs::read("chain39"));
    outcome("41 links", fs::read("chain40"));
    outcome("empty target", symlink("", "empty"));
    outcome("onto existing", symlink("x", "end"));
    outcome("target of 4095", symlink(&"x".repeat(4095), "long"));
    outcome("target of 4096", symlink(&"x".repeat(4096), "longer"));
    let mut buffer = [0_u8; 8];
    value("readlink cut short", sys!(SYS_readlink, path("chain12").as_ptr(), buffer.as_mut_ptr(), 3));
    show("is", String::from_utf8_lossy(&buffer[..3]));
    outcome("readlink of a file", sys!(SYS_readlink, path("end").as_ptr(), buffer.as_mut_ptr(), 8));
    let _ = (mkdir("real"), symlink("real", "alias"), symlink("missing", "dead"));
    write("real/inside", "x");
    outcome("through a link", fs::read("alias/inside"));
    outcome("link with slash", fs::symlink_metadata("alias/").map(|data| data.is_dir()));
    outcome("mkdir onto dangling link", mkdir("dead"));
    outcome("rmdir of a link", rmdir("alias"));
    outcome("rmdir of a link with slash", rmdir("alias/"));
    outcome("unlink of a link", unlink("alias"));
    show("target stays", exists("real"));
    outcome("link to itself by .", symlink("./dot", "dot").and_then(|_| fs::metadata("dot")));
    let _ = symlink("/tmp/../tmp/./agent/end", "absolute");
    outcome(
        "absolute link with dots",
        fs::metadata("absolute").map(drop).or_else(|_| fs::metadata("end").map(drop)),
    );
}

fn odd_paths() {
    for name in [
        "",
        ".",
        "..",
        "/",
        "//",
        "///tmp",
        "/..",
        "/../tmp",
        "./././end",
        "real/./../end",
        "end/",
        "end/.",
        "end/..",
        "missing/..",
        "real/missing/..",
        "real//inside",
        "/tmp/",
    ] {
        outcome(&format!("stat {name:?}"), sys!(SYS_stat, path(name).as_ptr(), [0_u8; 256].as_mut_ptr()));
    }
    let limit = "n".repeat(255);
    outcome("name of 255", fs::write(&limit, ""));
    outcome("name of 256", fs::write("n".repeat(256), ""));
    outcome("path of 4095", fs::metadata(format!("{}end", "./".repeat(2046))));
    outcome("path of 4096", fs::metadata(format!("{}.end", "./".repeat(2046))));
    for name in ["with space", "with\nnewline", "with\u{fc}mlaut", "with\\backslash", "-dash", "\u{1}"] {
        outcome(&format!("create {name:?}"), fs::write(name, "").and_then(|()| fs::remove_file(name)));
    }
    let raw = std::ffi::CString::new(vec![0xff, 0xfe, b'x']).expect("no NUL");
    outcome("bytes that are no text", sys!(SYS_creat, raw.as_ptr(), 0o644));
    outcome("again", sys!(SYS_unlink, raw.as_ptr()));
}

fn relative_to_folders() {
    let folder = sys!(SYS_open, path("real").as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY).expect("a folder");
    outcome("openat", sys!(SYS_openat, folder, path("inside").as_ptr(), 0));
    outcome("mkdirat", sys!(SYS_mkdirat, folder, path("sub").as_ptr(), 0o755));
    outcome("symlinkat", sys!(SYS_symlinkat, path("inside").as_ptr(), folder, path("link").as_ptr()));
    let mut buffer = [0_u8; 16];
    value("readlinkat", sys!(SYS_readlinkat, folder, path("link").as_ptr(), buffer.as_mut_ptr(), 16));
    outcome("faccessat", sys!(SYS_faccessat, folder, path("sub").as_ptr(), libc::R_OK));
    outcome("fstatat empty path", {
        sys!(SYS_newfstatat, folder, path("").as_ptr(), [0_u8; 256].as_mut_ptr(), libc::AT_EMPTY_PATH)
    });
    outcome(
        "linkat",
        sys!(SYS_linkat, folder, path("inside").as_ptr(), libc::AT_FDCWD, path("out").as_ptr(), 0),
    );
    outcome(
        "renameat",
        sys!(SYS_renameat, libc::AT_FDCWD, path("out").as_ptr(), folder, path("in").as_ptr()),
    );
    outcome("unlinkat folder without flag", sys!(SYS_unlinkat, folder, path("sub").as_ptr(), 0));
    outcome("unlinkat file with flag", sys!(SYS_unlinkat, folder, path("in").as_ptr(), libc::AT_REMOVEDIR));
    sorted("entries", list("real"));
    let file = sys!(SYS_open, path("end").as_ptr(), 0).expect("a file");
    outcome("openat below a file", sys!(SYS_openat, file, path("x").as_ptr(), 0));
    outcome("rename the folder under us", rename("real", "renamed"));
    outcome("openat still works", sys!(SYS_openat, folder, path("inside").as_ptr(), 0));
    let mut statx = [0_u8; 256];
    let basic = 0x7ff;
    outcome("statx", sys!(SYS_statx, folder, path("inside").as_ptr(), 0, basic, statx.as_mut_ptr()));
    show("its size and mode", format!("{} {:o}", statx[40], u16::from_ne_bytes([statx[28], statx[29]])));
}

/// Where the mount with an id is, by `/proc/self/mountinfo`.
fn mount_point(id: u64) -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a table of mounts");
    let line = table.lines().find(|line| line.split(' ').next() == Some(&id.to_string()))?;
    line.split(' ').nth(4).map(str::to_owned)
}

fn mounts_of_files() {
    const MNT_ID: u32 = 0x1000;
    const MOUNT_ROOT: u64 = 0x2000;
    let tell = |name: &str, fd: i32, file: &str| {
        // SAFETY: a structure of numbers.
        let mut statx: libc::statx = unsafe { std::mem::zeroed() };
        outcome(name, sys!(SYS_statx, fd, path(file).as_ptr(), libc::AT_EMPTY_PATH, MNT_ID, &raw mut statx));
        show("on", mount_point(statx.stx_mnt_id).unwrap_or_default());
        let is_root = statx.stx_attributes & statx.stx_attributes_mask & MOUNT_ROOT != 0;
        show("told", statx.stx_mask & MNT_ID != 0);
        show("its root", is_root);
    };
    tell("the root", libc::AT_FDCWD, "/");
    tell("a folder", libc::AT_FDCWD, "/bin");
    tell("here", libc::AT_FDCWD, "");
    tell("of processes", libc::AT_FDCWD, "/proc");
    tell("of this one", libc::AT_FDCWD, "/proc/self/status");
    let folder = sys!(SYS_open, path("/proc").as_ptr(), libc::O_PATH).expect("a folder");
    tell("by a descriptor", folder as i32, "");
    outcome("closed", sys!(SYS_close, folder));
}

fn list(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn working_folder() {
    aside("working folder", || {
        let here = std::env::current_dir().expect("a working folder");
        let below = |name: &str| {
            let now = std::env::current_dir();
            value(
                name,
                now.map(|now| {
                    now.strip_prefix(&here).map_or("elsewhere".into(), |p| p.display().to_string())
                }),
            );
        };
        let _ = (mkdir("deep"), mkdir("deep/er"));
        outcome("chdir", sys!(SYS_chdir, path("deep/er").as_ptr()));
        below("now");
        outcome("renamed above us", rename("../../deep", "../../depth"));
        below("now");
        outcome("chdir ..", sys!(SYS_chdir, path("..").as_ptr()));
        outcome("chdir file", sys!(SYS_chdir, path("../end").as_ptr()));
        outcome("chdir missing", sys!(SYS_chdir, path("missing").as_ptr()));
        outcome("chdir er", sys!(SYS_chdir, path("er").as_ptr()));
        outcome("remove it", rmdir("../er"));
        outcome("getcwd", std::env::current_dir());
        outcome("create in it", fs::write("x", ""));
        outcome("stat .", fs::metadata("."));
        outcome("stat ..", fs::metadata(".."));
        outcome("list it", fs::read_dir(".").map(Iterator::count));
    });
    aside("chroot", || {
        let _ = (mkdir("jail"), mkdir("jail/cell"));
        outcome("chroot", sys!(SYS_chroot, path("jail").as_ptr()));
        outcome("chdir /", sys!(SYS_chdir, path("/").as_ptr()));
        sorted("entries", list("/"));
        sorted("entries of ..", list("/../.."));
        value("getcwd", std::env::current_dir().map(|now| now.display().to_string()));
        outcome("file outside", fs::metadata("/bin/sh"));
    });
}

fn permissions() {
    let _ = (mkdir("closed"), mkdir("list-only"), mkdir("search-only"), mkdir("open"));
    for folder in ["closed", "list-only", "search-only", "open"] {
        write(&format!("{folder}/file"), "content");
    }
    write("secret", "x");
    write("group", "x");
    let chmod = |name: &str, mode: u32| drop(sys!(SYS_chmod, path(name).as_ptr(), mode));
    chmod("closed", 0o700);
    chmod("list-only", 0o744);
    chmod("search-only", 0o711);
    chmod("open", 0o777);
    chmod("secret", 0o600);
    chmod("group", 0o040);
    let _ = sys!(SYS_chown, path("group").as_ptr(), 1001, 1000);
    aside("as a user", || {
        let _ = sys!(SYS_setgroups, 0, 0);
        let _ = (sys!(SYS_setgid, 1000), sys!(SYS_setuid, 1000));
        for (what, result) in [
            ("read secret", fs::read("secret").map(drop)),
            ("read by group", fs::read("group").map(drop)),
            ("write by group", fs::OpenOptions::new().append(true).open("group").map(drop)),
            ("in closed", fs::read("closed/file").map(drop)),
            ("stat in closed", fs::metadata("closed/file").map(drop)),
            ("list list-only", fs::read_dir("list-only").map(drop)),
            ("stat in list-only", fs::metadata("list-only/file").map(drop)),
            ("list search-only", fs::read_dir("search-only").map(drop)),
            ("read in search-only", fs::read("search-only/file").map(drop)),
            ("create in search-only", fs::write("search-only/new", "")),
            ("create in open", fs::write("open/new", "")),
            ("unlink another's file in open", fs::remove_file("open/file")),
            ("chmod another's file", sys!(SYS_chmod, path("secret").as_ptr(), 0o777).map(drop)),
            ("chmod own file", sys!(SYS_chmod, path("open/new").as_ptr(), 0o600).map(drop)),
            ("chown own file away", sys!(SYS_chown, path("open/new").as_ptr(), 0, -1).map(drop)),
            ("chown own file to own group", sys!(SYS_chown, path("open/new").as_ptr(), -1, 1000).map(drop)),
            ("chown to another group", sys!(SYS_chown, path("open/new").as_ptr(), -1, 5).map(drop)),
            ("truncate secret", sys!(SYS_truncate, path("secret").as_ptr(), 0).map(drop)),
            ("touch secret", sys!(SYS_utimensat, libc::AT_FDCWD, path("secret").as_ptr(), 0, 0).map(drop)),
            ("rename in another's folder", rename("search-only/file", "search-only/x").map(drop)),
            ("mknod device", sys!(SYS_mknod, path("open/dev").as_ptr(), libc::S_IFCHR, 0x103).map(drop)),
            ("chroot", sys!(SYS_chroot, path("open").as_ptr()).map(drop)),
            ("mount", sys!(SYS_mount, 0, path("open").as_ptr(), path("tmpfs").as_ptr(), 0, 0).map(drop)),
            ("reboot", sys!(SYS_reboot, 0xfee1_dead_u32, 672_274_793, 0x4321_fedc, 0).map(drop)),
        ] {
            outcome(what, result);
        }
    });
}

/// In a sticky folder only a file's owner, the folder's owner and root may remove or rename.
fn sticky() {
    let _ = mkdir("sticky");
    let _ = sys!(SYS_chmod, path("sticky").as_ptr(), 0o1777);
    write("sticky/roots", "x");
    aside("sticky", || {
        let _ = (sys!(SYS_setgid, 1000), sys!(SYS_setuid, 1000));
        write("sticky/mine", "x");
        outcome("unlink root's", unlink("sticky/roots"));
        outcome("rename root's", rename("sticky/roots", "sticky/other"));
        outcome("rename own over root's", rename("sticky/mine", "sticky/roots"));
        outcome("unlink own", unlink("sticky/mine"));
    });
    // A set-group-id folder gives its group to what is made in it.
    let _ = mkdir("shared");
    let _ = sys!(SYS_chown, path("shared").as_ptr(), -1, 1000);
    let _ = sys!(SYS_chmod, path("shared").as_ptr(), 0o2777);
    write("shared/file", "x");
    let _ = mkdir("shared/folder");
    use std::os::unix::fs::MetadataExt;
    for name in ["shared/file", "shared/folder"] {
        value(name, fs::metadata(name).map(|data| format!("{} {:o}", data.gid(), data.mode())));
    }
}
