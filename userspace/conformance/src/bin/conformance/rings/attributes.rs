//! Requests about extended attributes.

use super::{file, one, read_end, ring};
use crate::check::{BAD, path, show};
use std::os::fd::AsRawFd;
use support::pipe::pipe;
use support::ring::{Entry, names::*};

/// Extended attributes, by path and by descriptor.
pub fn run() {
    let mut ring = ring();
    let file = file("/tmp/ring", b"");
    let (name, place, nowhere) = (path("trusted.colour"), path("/tmp/ring"), path("/tmp/ring/nothing"));
    let mut room = [0_u8; 16];
    let entry = |opcode, value: *const u8, len: usize| Entry {
        fd: file.as_raw_fd(),
        addr: name.as_ptr() as u64,
        off: value as u64,
        len: len as u32,
        addr3: if opcode == SETXATTR || opcode == GETXATTR { place.as_ptr() as u64 } else { 0 },
        ..Entry::new(opcode, 1)
    };
    let get = |opcode, room: &mut [u8]| entry(opcode, room.as_mut_ptr(), room.len());
    one(&mut ring, "none yet", get(FGETXATTR, &mut room));
    one(&mut ring, "set", entry(FSETXATTR, b"red".as_ptr(), 3));
    one(&mut ring, "only if there is none", Entry { op_flags: 1, ..entry(FSETXATTR, b"blue".as_ptr(), 4) });
    one(&mut ring, "only if there is one", Entry { op_flags: 2, ..entry(SETXATTR, b"green".as_ptr(), 5) });
    one(&mut ring, "strangely", Entry { op_flags: 8, ..entry(SETXATTR, b"green".as_ptr(), 5) });
    let by_path = get(GETXATTR, &mut room);
    one(&mut ring, "got", by_path);
    show("value", String::from_utf8_lossy(&room[..5]));
    one(&mut ring, "its length", entry(GETXATTR, std::ptr::null(), 0));
    one(&mut ring, "too small", get(FGETXATTR, &mut room[..2]));
    one(&mut ring, "flags", Entry { op_flags: 1, ..by_path });
    one(&mut ring, "nowhere", Entry { addr3: nowhere.as_ptr() as u64, ..by_path });
    one(&mut ring, "no path", Entry { addr3: BAD as u64, ..by_path });
    one(&mut ring, "no name", Entry { addr: BAD as u64, ..by_path });
    one(&mut ring, "no room", Entry { off: BAD as u64, ..by_path });
    one(&mut ring, "no file", Entry { fd: 777, ..get(FGETXATTR, &mut room) });
    one(&mut ring, "a registered file", get(FGETXATTR, &mut room).flags(FIXED_FILE));
    one(&mut ring, "a registered file, by path", by_path.flags(FIXED_FILE));
    one(&mut ring, "a registered file to set", entry(FSETXATTR, b"red".as_ptr(), 3).flags(FIXED_FILE));
    one(&mut ring, "a priority", Entry { ioprio: 1, ..by_path });
    one(&mut ring, "a large value", entry(FSETXATTR, b"red".as_ptr(), 65537));
    one(&mut ring, "a bad value", entry(FSETXATTR, BAD as *const u8, 3));
    let pipe = pipe().expect("a pipe");
    one(&mut ring, "of a pipe", Entry { fd: read_end(&pipe), ..get(FGETXATTR, &mut room) });
}
