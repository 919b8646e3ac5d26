//! What lies in a socket's queue.

use super::{Rights, Socket};
use crate::{Sink, Source};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use syscalls::Errno;

/// Who sent a message, or is at the other end (`struct ucred`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Bytes in a piece of a body: a page, so that each is found even where memory is in small pieces.
pub(super) const PIECE: usize = 4096;

/// The bytes of a message: one piece for most, more for a large datagram.
#[derive(Default)]
struct Body {
    first: Vec<u8>,
    rest: Vec<Vec<u8>>,
}

impl Body {
    /// The next `len` bytes of `source`: `None` if it stops. ENOBUFS.
    #[inline]
    fn gather(source: &mut impl Source, len: usize) -> Result<Option<Self>, Errno> {
        let mut body = Body::default();
        if !fill(&mut body.first, source, len.min(PIECE))? {
            return Ok(None);
        }
        if len > PIECE && !body.gather_rest(source, len - PIECE)? {
            source.give_back(body.len());
            return Ok(None);
        }
        Ok(Some(body))
    }

    #[cold]
    fn gather_rest(&mut self, source: &mut impl Source, mut len: usize) -> Result<bool, Errno> {
        self.rest.try_reserve_exact(len.div_ceil(PIECE)).map_err(|_| Errno::ENOBUFS)?;
        while len > 0 {
            let mut piece = Vec::new();
            if !fill(&mut piece, source, len.min(PIECE))? {
                return Ok(false);
            }
            len -= piece.len();
            self.rest.push(piece);
        }
        Ok(true)
    }

    fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Vec::len).sum::<usize>()
    }

    fn pieces(&self) -> impl Iterator<Item = &Vec<u8>> {
        core::iter::once(&self.first).chain(&self.rest)
    }
}

#[inline(always)]
fn fill(piece: &mut Vec<u8>, source: &mut impl Source, len: usize) -> Result<bool, Errno> {
    piece.try_reserve_exact(len).map_err(|_| Errno::ENOBUFS)?;
    Ok(source.append_to(piece, len))
}

/// A message. When it is dropped, its sender is no longer charged for it, and rights in it depart.
pub(super) struct Message {
    body: Body,
    len: usize,
    /// How many bytes have been read.
    read: usize,
    pub sender: Arc<Socket>,
    /// What its sender is charged.
    charge: usize,
    pub credentials: Option<Credentials>,
    pub rights: Option<Box<Rights>>,
}

impl Message {
    /// A message of the next `len` bytes of `source`, charged to `sender`; `None` if the source stops. ENOBUFS.
    #[inline]
    pub fn gather(sender: &Arc<Socket>, source: &mut impl Source, len: usize) -> Result<Option<Self>, Errno> {
        let Some(body) = Body::gather(source, len)? else { return Ok(None) };
        let charge = charge_for(len);
        sender.charge(charge);
        Ok(Some(Message {
            body,
            len,
            read: 0,
            sender: sender.clone(),
            charge,
            credentials: None,
            rights: None,
        }))
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that have not been read.
    #[inline(always)]
    pub fn unread(&self) -> usize {
        self.len - self.read
    }

    /// Copies bytes from `from` on, of those that have not been read; false if the sink stops, and then it has taken none that
    /// counts.
    #[inline]
    pub fn copy(&self, from: usize, len: usize, sink: &mut impl Sink) -> bool {
        let start = self.read + from;
        match self.body.first.get(start..start + len) {
            Some(part) => sink.put(part),
            None => self.copy_pieces(start, len, sink),
        }
    }

    #[cold]
    fn copy_pieces(&self, mut start: usize, mut len: usize, sink: &mut impl Sink) -> bool {
        for piece in self.body.pieces() {
            let skipped = start.min(piece.len());
            let part = len.min(piece.len() - skipped);
            if part > 0 && !sink.put(&piece[skipped..skipped + part]) {
                return false;
            }
            start -= skipped;
            len -= part;
        }
        true
    }

    /// Counts bytes as read.
    #[inline(always)]
    pub fn advance(&mut self, len: usize) {
        self.read += len;
    }
}

impl Drop for Message {
    #[inline]
    fn drop(&mut self) {
        self.sender.uncharge(self.charge);
        if let Some(rights) = self.rights.take() {
            self.sender.domain.dismiss_rights(rights);
        }
    }
}

/// What a message of `len` bytes is charged: what Linux needs for one on x86_64 (the `truesize` of its buffer), so that
/// as many fit as there.
#[inline]
fn charge_for(len: usize) -> usize {
    /// What describes a buffer: a `struct sk_buff`, and at the end of its memory a `struct skb_shared_info`.
    const BUFFER: usize = 256;
    const TRAILER: usize = 320;
    /// The most that lies in that memory itself; what is more lies in pages.
    const HEAD: usize = PIECE - TRAILER;
    let in_pages = len.saturating_sub(HEAD).next_multiple_of(PIECE);
    let head = len.saturating_sub(in_pages).next_multiple_of(64) + TRAILER;
    BUFFER + head.next_power_of_two() + in_pages
}
