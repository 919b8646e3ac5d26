//! What is read: a pipe, a stream and datagrams, and the units that are written there.

use super::Shape;
use super::places::{READS, SPARES, WRITES};
use crate::library::{expect, load, place_descriptor};
use linux_raw_sys::{general as linux, net};
use processes::instruction::Register::Rax;
use processes::program::Program;

pub const PIPE: usize = 0;
pub const STREAM: usize = 1;
pub const DATAGRAM: usize = 2;
/// How many there are.
pub const SOURCES: usize = 3;
/// How many may write to one; the last of them writes in the end.
pub const WRITERS: usize = 3;
pub const LAST_WRITER: usize = WRITERS - 1;

/// A unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unit {
    pub source: usize,
    pub writer: usize,
    /// Which one of the writer's.
    pub index: usize,
}

impl Unit {
    /// As it is written.
    pub fn word(self) -> u64 {
        (self.source as u64 + 1) << 24 | (self.writer as u64) << 16 | self.index as u64
    }

    /// The one of a word, if it is one.
    pub fn of(word: u64) -> Option<Self> {
        let source = (word >> 24).wrapping_sub(1) as usize;
        let (writer, index) = ((word >> 16 & 0xff) as usize, (word & 0xffff) as usize);
        (source < SOURCES && writer < WRITERS).then_some(Self { source, writer, index })
    }

    /// So many from this one on, as bytes.
    pub fn run(self, p: &mut Program, count: usize) -> usize {
        let words: Vec<u64> =
            (0..count).map(|more| Self { index: self.index + more, ..self }.word()).collect();
        p.words(&words)
    }
}

/// Makes all of them: there is always the pipe, which is needed in the end.
pub fn make_all(p: &mut Program, shape: &Shape) {
    let pair = p.data(8);
    for source in 0..SOURCES {
        let kind = match source {
            PIPE => None,
            STREAM => Some(net::SOCK_STREAM),
            _ => Some(net::SOCK_DGRAM),
        };
        match kind {
            None => p.system(linux::__NR_pipe2, &[pair.into(), 0.into()]),
            Some(kind) => {
                let operands = [net::AF_UNIX.into(), kind.into(), 0.into(), pair.into()];
                p.system(linux::__NR_socketpair, &operands);
            }
        }
        expect(p, Rax, &[0], 10);
        for (offset, number) in [(0, READS[source]), (4, WRITES[source])] {
            load(p, Rax, pair + offset);
            place_descriptor(p, Rax, number);
        }
        p.system(linux::__NR_dup2, &[READS[source].into(), SPARES[source].into()]);
        expect(p, Rax, &[SPARES[source].into()], 11);
        if shape.is_nonblocking {
            do_not_wait(p, source);
        }
    }
}

/// Has nobody wait for a source.
pub fn do_not_wait(p: &mut Program, source: usize) {
    let operands = [SPARES[source].into(), linux::F_SETFL.into(), linux::O_NONBLOCK.into()];
    p.system(linux::__NR_fcntl, &operands);
    expect(p, Rax, &[0], 12);
}
