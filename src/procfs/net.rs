//! `/proc/net`: what there is of the network (proc_net(5)).

use alloc::{sync::Arc, vec::Vec};
use core::fmt::{self, Write};

use fs::{
    Op,
    procfs::{Fixed, Node, Text},
};
use net::unix::{Kind, Listed};
use syscalls::Errno;

use super::text::TextBuffer;
use crate::file::socket::DOMAIN;

/// The directory. Every process sees the same one.
pub(super) fn directory() -> Node {
    Node::Directory(Fixed::new([("unix", Node::Text(Arc::new(UnixSockets)))], None))
}

/// `unix`: the sockets of the Unix domain, one a line. There may be many, so they are listed some at a time.
struct UnixSockets;

impl Text for UnixSockets {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::waiting(list())
    }
}

async fn list() -> Result<Vec<u8>, Errno> {
    let mut text = TextBuffer::default();
    let mut written = text.write_str("Num       RefCount Protocol Flags    Type St Inode Path\n");
    let (mut part, mut from) = (0, 0);
    while let Some(sockets) = DOMAIN.list(part, from) {
        (part, from) = match sockets.last() {
            Some(last) => (part, last.number + 1),
            None => (part + 1, 0),
        };
        written = written.and_then(|()| sockets.iter().try_for_each(|socket| line(&mut text, socket)));
        written.map_err(|_| Errno::ENOMEM)?;
        executor::make_way().await;
    }
    Ok(text.into_bytes())
}

fn line(text: &mut TextBuffer, socket: &Listed) -> fmt::Result {
    const ACCEPTS: u32 = 1 << 16;
    let flags = if socket.listens { ACCEPTS } else { 0 };
    let kind = match socket.kind {
        Kind::Stream => 1,
        Kind::Datagram => 2,
        Kind::Sequenced => 5,
    };
    // Linux's `socket_state`; what is connected and nobody's waits to be accepted.
    let (state, inode) = match (socket.connected, socket.has_file) {
        (true, true) => (3, socket.number),
        (true, false) => (2, 0),
        (false, true) => (1, socket.number),
        (false, false) => (4, 0),
    };
    let references = socket.references;
    // Where Linux shows an address in the kernel, zeros stand as for those who may not see it.
    write!(text, "{:016x}: {references:08X} 00000000 {flags:08X} {kind:04X} {state:02X} {inode:5}", 0)?;
    if let Some(name) = &socket.name {
        text.write_str(" ")?;
        // The NUL at the end of a path is none of the name's.
        let len = name.bytes().len() - usize::from(!name.is_abstract());
        let mut shown = [0; net::unix::NAME_MAX + 1];
        for (place, byte) in shown.iter_mut().zip(name.bytes()) {
            *place = if *byte == 0 { b'@' } else { *byte };
        }
        text.append(&shown[..len])?;
    }
    text.write_str("\n")
}
