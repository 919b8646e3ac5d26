//! What lies in a socket's queue.

use super::{Socket, flight::Place};
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

/// A message. When it is dropped, its sender is no longer charged for it, and rights in it depart.
pub(super) struct Message {
    /// Its first bytes: for most, all.
    first: Vec<u8>,
    /// How many bytes have been read.
    read: u32,
    /// What its sender is charged.
    charge: u32,
    pub sender: Arc<Socket>,
    /// What few messages have, so that the others are small.
    more: Option<Box<More>>,
}

/// What a message may have besides a piece of bytes.
#[derive(Default)]
struct More {
    /// The pieces behind the first, of a large datagram.
    rest: Vec<Vec<u8>>,
    credentials: Option<Credentials>,
    rights: Option<Place>,
}

/// Appends the next `len` bytes of `source` to an empty piece; false if it stops. ENOBUFS.
#[inline(always)]
fn fill(piece: &mut Vec<u8>, source: &mut impl Source, len: usize) -> Result<bool, Errno> {
    if piece.capacity() < len {
        piece.try_reserve_exact(len).map_err(|_| Errno::ENOBUFS)?;
    }
    Ok(source.append_to(piece, len))
}

#[cold]
fn gather_rest(source: &mut impl Source, mut len: usize) -> Result<Option<Vec<Vec<u8>>>, Errno> {
    let mut rest = Vec::new();
    rest.try_reserve_exact(len.div_ceil(PIECE)).map_err(|_| Errno::ENOBUFS)?;
    let mut done = 0;
    while len > 0 {
        let mut piece = Vec::new();
        if !fill(&mut piece, source, len.min(PIECE))? {
            source.give_back(done);
            return Ok(None);
        }
        len -= piece.len();
        done += piece.len();
        rest.push(piece);
    }
    Ok(Some(rest))
}

impl Message {
    /// A message of the next `len` bytes of `source`, charged to `sender`; `None` if the source stops. ENOBUFS. `first` is an
    /// empty piece, which may have memory.
    #[inline(always)]
    pub fn gather(
        sender: &Arc<Socket>,
        mut first: Vec<u8>,
        source: &mut impl Source,
        len: usize,
    ) -> Result<Option<Self>, Errno> {
        if !fill(&mut first, source, len.min(PIECE))? {
            return Ok(None);
        }
        let mut more = None;
        if len > PIECE {
            let Some(rest) = gather_rest(source, len - PIECE)? else {
                source.give_back(PIECE);
                return Ok(None);
            };
            more = Some(Box::new(More { rest, ..More::default() }));
        }
        let charge = charge_for(len);
        sender.charge(charge);
        Ok(Some(Message { first, read: 0, charge: charge as u32, sender: sender.clone(), more }))
    }

    /// Bytes in it.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.first.len() + self.more.as_ref().map_or(0, |more| more.rest.iter().map(Vec::len).sum())
    }

    /// Bytes that have not been read.
    #[inline(always)]
    pub fn unread(&self) -> usize {
        self.len() - self.read as usize
    }

    /// Who has sent it, if it tells.
    #[inline(always)]
    pub fn credentials(&self) -> Option<Credentials> {
        self.more.as_ref().and_then(|more| more.credentials)
    }

    /// Has it tell who has sent it.
    pub fn set_credentials(&mut self, credentials: Credentials) {
        self.more.get_or_insert_default().credentials = Some(credentials);
    }

    /// Where the open files in it lie.
    #[inline(always)]
    pub fn rights(&self) -> Option<Place> {
        self.more.as_ref().and_then(|more| more.rights)
    }

    /// The same, to be changed.
    pub fn rights_mut(&mut self) -> Option<&mut Place> {
        self.more.as_mut().and_then(|more| more.rights.as_mut())
    }

    /// Puts open files into it.
    pub fn set_rights(&mut self, place: Place) {
        self.more.get_or_insert_default().rights = Some(place);
    }

    /// Takes the open files out of it.
    #[inline(always)]
    pub fn take_rights(&mut self) -> Option<Place> {
        self.more.as_mut().and_then(|more| more.rights.take())
    }

    /// Copies bytes from `from` on, of those that have not been read; false if the sink stops, and then it has taken none.
    #[inline(always)]
    pub fn copy(&self, from: usize, len: usize, sink: &mut impl Sink) -> bool {
        let start = self.read as usize + from;
        match self.first.get(start..start + len) {
            Some(part) => sink.put(part),
            None => self.copy_pieces(start, len, sink),
        }
    }

    #[cold]
    fn copy_pieces(&self, mut start: usize, mut len: usize, sink: &mut impl Sink) -> bool {
        let rest = self.more.iter().flat_map(|more| &more.rest);
        let mut done = 0;
        for piece in core::iter::once(&self.first).chain(rest) {
            let skipped = start.min(piece.len());
            let part = len.min(piece.len() - skipped);
            if part > 0 && !sink.put(&piece[skipped..skipped + part]) {
                sink.take_back(done);
                return false;
            }
            start -= skipped;
            len -= part;
            done += part;
        }
        true
    }

    /// Counts bytes as read.
    #[inline(always)]
    pub fn advance(&mut self, len: usize) {
        self.read += len as u32;
    }
}

impl Drop for Message {
    #[inline(always)]
    fn drop(&mut self) {
        self.sender.uncharge(self.charge as usize);
        self.sender.keep_spare(&mut self.first);
        if let Some(place) = self.take_rights() {
            self.sender.domain.dismiss(place);
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
