//! Files by handles: name_to_handle_at(2), open_by_handle_at(2), on a file system in memory.

use crate::check::{Argument, BAD, aside, outcome, path, show, sys, value};
use std::fs;
use std::io;

/// `struct file_handle` with as much room as any may have.
#[derive(Clone, Copy)]
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    body: [u8; 128],
}

impl Handle {
    const fn with_room(bytes: u32) -> Self {
        Self { bytes, kind: 0, body: [0; 128] }
    }
}

fn handle_of(directory: i32, name: &str, flags: i32) -> io::Result<(Handle, i32)> {
    let mut handle = Handle::with_room(128);
    let mut mount = -1;
    sys!(SYS_name_to_handle_at, directory, path(name).as_ptr(), &raw mut handle, &raw mut mount, flags)
        .map(|_| (handle, mount))
}

fn open(mount: impl Argument, handle: &Handle, flags: i32) -> io::Result<i32> {
    sys!(SYS_open_by_handle_at, mount, std::ptr::from_ref(handle), flags).map(|file| file as i32)
}

/// What there is to read by a handle, or to list.
fn contents(mount: i32, handle: &Handle) -> io::Result<String> {
    let file = open(mount, handle, libc::O_RDONLY)?;
    let mut buffer = [0_u8; 64];
    let read = sys!(SYS_read, file, buffer.as_mut_ptr(), buffer.len());
    let text = match read {
        Ok(count) => Ok(String::from_utf8_lossy(&buffer[..count as usize]).into_owned()),
        Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {
            let entries = fs::read_dir(format!("/proc/self/fd/{file}"))?;
            let names: io::Result<Vec<_>> =
                entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
            let mut names: Vec<_> =
                names?.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort();
            Ok(names.join(" "))
        }
        Err(error) => Err(error),
    };
    let _ = sys!(SYS_close, file);
    text
}

pub fn run() {
    let _ = fs::create_dir("mounted");
    let (kind, target) = (path("tmpfs"), path("mounted"));
    outcome("mount", sys!(SYS_mount, kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, 0));
    on_it();
    outcome("unmount", sys!(SYS_umount2, target.as_ptr(), 0));
}

fn on_it() {
    let here = sys!(SYS_open, path("mounted").as_ptr(), libc::O_RDONLY).expect("the mount") as i32;
    for directory in ["mounted/a", "mounted/a/b"] {
        fs::create_dir(directory).expect("a directory");
    }
    for file in ["mounted/a/b/one", "mounted/a/b/two", "mounted/three"] {
        fs::write(file, file).expect("a file");
    }
    std::os::unix::fs::symlink("three", "mounted/link").expect("a link");

    let mut known = Vec::new();
    for name in ["", "a", "a/b", "a/b/one", "a/b/two", "three", "link"] {
        let handle = handle_of(libc::AT_FDCWD, &format!("mounted/{name}"), 0);
        outcome(&format!("the handle of /{name}"), handle.as_ref().map_err(clone));
        known.push((name, handle.expect("a handle")));
    }
    show("one mount", known.iter().all(|(_, (_, mount))| *mount == known[0].1.1));
    for (name, (handle, _)) in &known {
        value(&format!("by that of /{name}"), contents(here, handle));
    }
    let find = |wanted: &str| known.iter().find(|(name, _)| *name == wanted).expect("known").1.0;
    let same = |one: &Handle, other: &Handle| one.body == other.body && one.kind == other.kind;
    let followed = handle_of(libc::AT_FDCWD, "mounted/link", libc::AT_SYMLINK_FOLLOW).expect("a handle").0;
    show("a link followed is its file", same(&followed, &find("three")));
    let by_descriptor = handle_of(here, "", libc::AT_EMPTY_PATH).expect("a handle").0;
    show("the mount's own", same(&by_descriptor, &find("")));

    outcome("renamed", fs::rename("mounted/a/b", "mounted/c"));
    value("one of those in it", contents(here, &find("a/b/one")));
    value("itself", contents(here, &find("a/b")));
    outcome("removed", fs::remove_file("mounted/c/one"));
    value("then", contents(here, &find("a/b/one")));
    let file = open(here, &find("three"), libc::O_WRONLY | libc::O_TRUNC).expect("the file");
    outcome("emptied", fs::read("mounted/three").map(|contents| assert!(contents.is_empty())));
    outcome("closed", sys!(SYS_close, file));
    value("a place", open(here, &find("link"), libc::O_PATH).map(|file| sys!(SYS_close, file).is_ok()));
    outcome("a directory to write", open(here, &find("a"), libc::O_WRONLY));
    outcome("a file as a directory", open(here, &find("three"), libc::O_DIRECTORY));
    outcome("made anew", open(here, &find("three"), libc::O_CREAT | libc::O_EXCL));

    refused(here, &find("three"));
    outcome("closed", sys!(SYS_close, here));
}

fn clone(error: &io::Error) -> io::Error {
    io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}

fn refused(here: i32, known: &Handle) {
    let (file, mut mount) = (path("mounted/three"), 0_i32);
    let ask = |name: &str, address: usize, mount: usize, flags: i32| {
        outcome(name, sys!(SYS_name_to_handle_at, libc::AT_FDCWD, file.as_ptr(), address, mount, flags));
    };
    let mut small = Handle::with_room(0);
    let place = &raw mut mount as usize;
    ask("no room", &raw mut small as usize, place, 0);
    show("as much is needed", small.bytes > 0 && small.bytes <= 128);
    show("the mount is told", mount != 0);
    let mut large = Handle::with_room(129);
    ask("too much room", &raw mut large as usize, place, 0);
    ask("a bad handle", BAD, place, 0);
    let mut right = Handle::with_room(128);
    ask("a bad place for the mount", &raw mut right as usize, BAD, 0);
    ask("strange flags", &raw mut large as usize, place, 1);
    outcome("of a process", handle_of(libc::AT_FDCWD, "/proc/self/status", 0));
    outcome("of nothing", handle_of(libc::AT_FDCWD, "mounted/nothing", 0));
    outcome("of an empty name", handle_of(libc::AT_FDCWD, "", 0));
    let mut pipe = [0_i32; 2];
    let _ = sys!(SYS_pipe, pipe.as_mut_ptr());
    outcome("of a pipe", handle_of(pipe[0], "", libc::AT_EMPTY_PATH));

    outcome("no bytes", open(here, &Handle { bytes: 0, ..*known }, 0));
    outcome("too many", open(here, &Handle { bytes: 129, ..*known }, 0));
    outcome("too few", open(here, &Handle { bytes: 4, ..*known }, 0));
    outcome("a file that is none", open(here, &Handle { body: [0x5a; 128], ..*known }, 0));
    outcome("on no file", open(77, known, 0));
    outcome("on processes", {
        let processes = sys!(SYS_open, path("/proc").as_ptr(), libc::O_RDONLY).expect("/proc");
        let opened = open(processes, known, 0);
        let _ = sys!(SYS_close, processes);
        opened
    });
    outcome("on a place", {
        let place = sys!(SYS_open, path("mounted").as_ptr(), libc::O_PATH).expect("a place");
        let opened = open(place, known, 0);
        let _ = sys!(SYS_close, place);
        opened
    });
    outcome("a bad address", sys!(SYS_open_by_handle_at, here, BAD, 0));
    aside("as a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("opened", open(here, known, 0));
        outcome("asked for", handle_of(libc::AT_FDCWD, "mounted/three", 0));
    });
    let _ = pipe.map(|end| sys!(SYS_close, end));
}
