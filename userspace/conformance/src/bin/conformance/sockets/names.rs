//! Names of sockets: paths, abstract names, names of the kernel's choice.

use super::{DATAGRAM, STREAM, address, bind, close, connect, listener, send_to, show_name, socket};
use crate::check::{aside, outcome, path, show, sys, value};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

pub fn run() {
    paths();
    permissions();
    abstract_names();
    chosen_names();
    lengths();
    listed();
}

fn paths() {
    let file = socket(STREAM);
    show_name("no name", libc::SYS_getsockname, file);
    outcome("no peer", sys!(SYS_getpeername, file, [0_u8; 16].as_mut_ptr(), [16_i32].as_mut_ptr()));
    // SAFETY: no memory is involved.
    unsafe { libc::umask(0o027) };
    outcome("bind", bind(file, b"door"));
    let node = std::fs::symlink_metadata("door").expect("the node");
    show("mode", format!("{:#o} {}", node.mode(), node.file_type().is_socket()));
    show_name("its name", libc::SYS_getsockname, file);
    outcome("bind to another", bind(file, b"door2"));
    show("which leaves nothing behind", std::fs::symlink_metadata("door2").is_err());
    outcome("bind another to it", bind(socket(STREAM), b"door"));
    outcome("connect before it listens", connect(socket(STREAM), b"door"));
    outcome("listen", sys!(SYS_listen, file, 3));
    outcome("connect", connect(socket(STREAM), b"door"));
    outcome("with a NUL behind", connect(socket(STREAM), b"door\0rest"));
    outcome("another type", connect(socket(DATAGRAM), b"door"));
    outcome("send to it", send_to(socket(DATAGRAM), b"x", b"door"));
    let _ = std::os::unix::fs::symlink("door", "link");
    outcome("by a link", connect(socket(STREAM), b"link"));
    outcome("bind where a link is", bind(socket(STREAM), b"link"));
    outcome("rename", std::fs::rename("door", "gate"));
    outcome("by the old name", connect(socket(STREAM), b"door"));
    outcome("by the new name", connect(socket(STREAM), b"gate"));
    show_name("it shows the old", libc::SYS_getsockname, file);
    outcome("open", sys!(SYS_open, c"gate".as_ptr(), 2));
    outcome("unlink", sys!(SYS_unlink, c"gate".as_ptr()));
    outcome("connect", connect(socket(STREAM), b"gate"));
    outcome("the name is free again", bind(socket(STREAM), b"door"));
    outcome("whose node does not listen", connect(socket(STREAM), b"door"));
    let _ = (std::fs::remove_file("door"), std::fs::remove_file("link"));
    close(file);
    let file = listener(STREAM, b"left", 1);
    close(file);
    outcome("a node whose socket is gone", connect(socket(STREAM), b"left"));
    outcome("is in the way", bind(socket(STREAM), b"left"));
    let _ = std::fs::remove_file("left");
    let _ = std::fs::write("plain", "");
    outcome("a plain file", connect(socket(STREAM), b"plain"));
    outcome("bind to it", bind(socket(STREAM), b"plain"));
    outcome("no folder", bind(socket(STREAM), b"nowhere/door"));
    outcome("below a file", bind(socket(STREAM), b"plain/door"));
    outcome("nothing there", connect(socket(STREAM), b"nothing"));
    outcome("a folder", connect(socket(STREAM), b"/"));
    let _ = std::fs::remove_file("plain");
    outcome("mknod", sys!(SYS_mknod, c"made".as_ptr(), libc::S_IFSOCK | 0o600, 0));
    outcome("connect to what mknod made", connect(socket(STREAM), b"made"));
    let _ = std::fs::remove_file("made");
    // SAFETY: no memory is involved.
    unsafe { libc::umask(0o022) };
}

fn permissions() {
    let file = listener(STREAM, b"guarded", 5);
    for mode in [0o600, 0o622, 0o644, 0o620] {
        let _ = sys!(SYS_chmod, path("guarded").as_ptr(), mode);
        aside("as another user", || {
            let _ = (sys!(SYS_setgid, 1000), sys!(SYS_setuid, 1000));
            outcome(&format!("connect, {mode:o}"), connect(socket(STREAM), b"guarded"));
        });
        outcome("as root", connect(socket(STREAM), b"guarded"));
    }
    close(file);
    let _ = std::fs::remove_file("guarded");
    let _ = std::fs::create_dir("closed");
    aside("as another user", || {
        let _ = (sys!(SYS_setgid, 1000), sys!(SYS_setuid, 1000));
        outcome("bind in a folder of root's", bind(socket(STREAM), b"closed/door"));
    });
    let _ = std::fs::remove_dir("closed");
}

fn abstract_names() {
    let file = socket(STREAM);
    outcome("bind", bind(file, b"\0one\0two"));
    show_name("its name", libc::SYS_getsockname, file);
    outcome("again", bind(file, b"\0other"));
    outcome("taken", bind(socket(STREAM), b"\0one\0two"));
    outcome("a part of it is another", bind(socket(STREAM), b"\0one"));
    outcome("listen", sys!(SYS_listen, file, 3));
    outcome("connect to the part", connect(socket(STREAM), b"\0on"));
    outcome("connect", connect(socket(STREAM), b"\0one\0two"));
    close(file);
    outcome("it goes with its socket", connect(socket(STREAM), b"\0one\0two"));
    let file = socket(STREAM);
    outcome("and is free", bind(file, b"\0one\0two"));
    close(file);
    outcome("the empty name", bind(socket(DATAGRAM), b"\0"));
    outcome("is taken", bind(socket(DATAGRAM), b"\0"));
    // A connection shows its listener's name, and may go before it.
    let door = listener(STREAM, b"\0stays", 3);
    let client = socket(STREAM);
    let _ = connect(client, b"\0stays");
    let accepted = super::accept(door).expect("a connection");
    show_name("name of the accepted", libc::SYS_getsockname, accepted);
    close(accepted);
    outcome("the listener stays", connect(socket(STREAM), b"\0stays"));
    [door, client].into_iter().for_each(close);
}

fn chosen_names() {
    let chosen = |file: i32| {
        let (mut bytes, mut len) = ([0xff_u8; 128], 128_i32);
        let _ = sys!(SYS_getsockname, file, bytes.as_mut_ptr(), &raw mut len);
        let digits = bytes[3..8].iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        show("chosen", format!("{len} {} {}", bytes[2], len == 8 && digits));
    };
    let file = socket(STREAM);
    outcome("bind to nothing", bind(file, b""));
    chosen(file);
    outcome("again", bind(file, b""));
    outcome("to something", bind(file, b"\0x"));
    let file = socket(DATAGRAM);
    let server = socket(DATAGRAM);
    let _ = bind(server, b"\0server");
    let _ = super::set_option(file, libc::SO_PASSCRED, 1);
    show_name("before", libc::SYS_getsockname, file);
    outcome("send with credentials", send_to(file, b"x", b"\0server"));
    chosen(file);
    let file = socket(STREAM);
    let _ = super::set_option(file, libc::SO_PASSCRED, 1);
    outcome("connect with credentials", connect(file, b"\0nobody"));
    chosen(file);
    close(server);
}

fn lengths() {
    let long = [b'n'; 120];
    for len in [0, 1, 2, 3, 109, 110, 111, 128, 129, -1_i32] {
        let bytes = address(&long);
        outcome(&format!("bind of length {len}"), sys!(SYS_bind, socket(STREAM), bytes.as_ptr(), len));
    }
    // The longest has no room for a NUL.
    let file = socket(STREAM);
    let _ = std::fs::remove_file(String::from_utf8_lossy(&long[..108]).as_ref());
    let _ = std::fs::remove_file(String::from_utf8_lossy(&long[..107]).as_ref());
    outcome("longest", bind(file, &long[..108]));
    let (mut bytes, mut len) = ([0_u8; 128], 128_i32);
    outcome("getsockname", sys!(SYS_getsockname, file, bytes.as_mut_ptr(), &raw mut len));
    show("length", len);
    for name in [&long[..108], &long[..107], &long[..1]] {
        let _ = std::fs::remove_file(String::from_utf8_lossy(name).as_ref());
    }
    for room in [0, 1, 2, 5, -1_i32] {
        let file = socket(STREAM);
        let _ = bind(file, b"\0name");
        let (mut bytes, mut len) = ([0xff_u8; 8], room);
        outcome("getsockname", sys!(SYS_getsockname, file, bytes.as_mut_ptr(), &raw mut len));
        show("told", format!("{len} {bytes:x?}"));
        close(file);
    }
    let inet = [2_u8, 0, 1, 2, 127, 0, 0, 1];
    for kind in [STREAM, DATAGRAM] {
        outcome("bind to another family", sys!(SYS_bind, socket(kind), inet.as_ptr(), 8));
        outcome("connect to another family", sys!(SYS_connect, socket(kind), inet.as_ptr(), 8));
        let nobody = [0_u8; 16];
        for len in [1, 2, 16] {
            value(
                &format!("connect to nobody, {len}"),
                sys!(SYS_connect, socket(kind), nobody.as_ptr(), len),
            );
        }
    }
}

/// `/proc/net/unix`.
fn listed() {
    let door = listener(STREAM, b"\0listed", 1);
    let file = listener(STREAM, b"listed", 1);
    let (a, b) = super::pair(DATAGRAM);
    let _ = bind(a, b"\0pair\0of");
    let client = socket(STREAM);
    let _ = connect(client, b"\0listed");
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    show("heading", text.lines().next().unwrap_or_default());
    let inode = |file: i32| {
        let link = std::fs::read_link(format!("/proc/self/fd/{file}")).unwrap_or_default();
        link.to_string_lossy().trim_matches(|c: char| !c.is_ascii_digit()).to_owned()
    };
    for (what, file) in
        [("abstract", door), ("path", file), ("named datagrams", a), ("nameless", b), ("client", client)]
    {
        let number = inode(file);
        let line = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = line
            .into_iter()
            .find(|words| words.get(6).is_some_and(|word| *word == number))
            .unwrap_or_default();
        show(
            what,
            [line.get(2..6).unwrap_or_default(), line.get(7..).unwrap_or_default()].concat().join(" "),
        );
    }
    let waiting = text
        .lines()
        .filter(|line| line.contains(" 0001 02 "))
        .map(|line| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" "));
    crate::check::sorted("not accepted", waiting.collect());
    let _ = std::fs::remove_file("listed");
    [door, file, a, b, client].into_iter().for_each(close);
}
