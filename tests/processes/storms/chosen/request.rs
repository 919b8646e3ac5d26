//! Requests: what may be asked for, as templates that the seed chooses. Each request is one of them with a name.

use super::places::{READS, RINGS, SIZE, WORDS};
use super::{Shape, source};
use crate::library::{Choice, header};
use linux_raw_sys::io_uring::io_uring_op as op;
use linux_raw_sys::{io_uring, net};
use processes::program::Program;

const CHOOSES: u64 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_BUFFER_SELECT_BIT as u8;
const ASYNC: u64 = 1 << io_uring::io_uring_sqe_flags_bit::IOSQE_ASYNC_BIT as u8;

/// The number of the first group.
pub const FIRST_GROUP: u64 = 3;
/// More buffers than there are.
pub const ALL: u64 = 1 << 16;
/// What the name of a message has, where it arrives, that it does not have where it is sent.
pub const ARRIVES: u64 = 1 << 24;

/// Which requests are cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meant {
    /// The one that the observer says.
    Name,
    /// All that read a source.
    Source(usize),
    /// All.
    Any,
}

/// How a request reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    pub source: usize,
    pub group: usize,
    /// No more words than these.
    pub most: usize,
    /// It goes on until something ends it.
    pub repeats: bool,
    /// What it receives has a header before it.
    pub encloses: bool,
    /// It waits until there is something.
    pub waits: bool,
    /// By `read` or `readv`, which keep a buffer that they have chosen, whatever comes of it.
    pub keeps: bool,
}

impl Reading {
    /// For so many words there is room.
    pub fn room(&self) -> usize {
        self.most.min(if self.encloses { WORDS - 2 } else { WORDS })
    }
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Read(Reading),
    /// Provides buffers of a group.
    Provide(usize),
    /// Removes up to so many of one.
    Remove(usize, u64),
    Cancel(Meant),
    /// Sends a message to a ring.
    Message(usize),
}

/// A template.
pub struct Template {
    pub what: What,
    /// Where it is: an entry, and the template's number.
    pub at: usize,
}

/// The templates of a run: what submitters choose from, and others by what they ask for.
pub struct Plan {
    pub all: Vec<Template>,
    /// Those that submitters choose from.
    pub readings: Vec<usize>,
}

impl Plan {
    /// Those that a seed chooses.
    pub fn new(p: &mut Program, choice: &mut Choice, shape: &Shape) -> Self {
        let mut plan = Self { all: Vec::new(), readings: Vec::new() };
        for group in 0..shape.groups.len() {
            // For the end.
            plan.add_reading(p, choice, shape, (source::PIPE, group, 0));
            for _ in 0..2 + choice.below(3) {
                let sources = shape.sources.len() as u64;
                let source = shape.sources[choice.below(sources) as usize];
                let way = choice.below(4);
                let reading = plan.add_reading(p, choice, shape, (source, group, way));
                plan.readings.push(reading);
            }
            for count in [1, 2, ALL] {
                plan.add(
                    p,
                    What::Remove(group, count),
                    [op::IORING_OP_REMOVE_BUFFERS as u64 | count << 32, 0, 0, 0],
                    group,
                );
            }
            let count = shape.groups[group].count as u64;
            for (count, flags) in [(1, 0), (1, ASYNC), (count, 0)] {
                let first = op::IORING_OP_PROVIDE_BUFFERS as u64 | flags << 8 | count << 32;
                plan.add(p, What::Provide(group), [first, 0, 0, SIZE as u64], group);
            }
        }
        for flags in [0, ASYNC] {
            let nothing = u64::from(u32::MAX) << 32;
            let cancel = |fd: u64| op::IORING_OP_ASYNC_CANCEL as u64 | flags << 8 | fd;
            plan.add(p, What::Cancel(Meant::Name), [cancel(nothing), 0, 0, 0], 0);
            let all = u64::from(io_uring::IORING_ASYNC_CANCEL_ANY | io_uring::IORING_ASYNC_CANCEL_ALL) << 32;
            plan.add(p, What::Cancel(Meant::Any), [cancel(nothing), 0, 0, all], 0);
            for source in &shape.sources {
                let on =
                    u64::from(io_uring::IORING_ASYNC_CANCEL_FD | io_uring::IORING_ASYNC_CANCEL_ALL) << 32;
                let fd = (READS[*source] as u64) << 32;
                plan.add(p, What::Cancel(Meant::Source(*source)), [cancel(fd), 0, 0, on], 0);
            }
            for (ring, fd) in RINGS.iter().take(shape.rings.len()).enumerate() {
                let fd = (*fd as u64) << 32;
                plan.add(
                    p,
                    What::Message(ring),
                    [op::IORING_OP_MSG_RING as u64 | flags << 8 | fd, 0, 0, 0],
                    0,
                );
            }
        }
        plan
    }

    /// The templates that ask for this.
    pub fn of(&self, what: What) -> Vec<usize> {
        (0..self.all.len()).filter(|number| self.all[*number].what == what).collect()
    }

    /// The one that reads single units out of the pipe in the end.
    pub fn last_reading(&self, group: usize) -> usize {
        let is_it = |template: &Template| matches!(template.what, What::Read(Reading { source: source::PIPE, group: its, .. }) if its == group);
        self.all.iter().position(is_it).expect("each group has one")
    }

    fn add(&mut self, p: &mut Program, what: What, words: [u64; 4], group: usize) -> usize {
        let number = self.all.len();
        let in_group = matches!(what, What::Read(_) | What::Provide(_) | What::Remove(..));
        let group = if in_group { FIRST_GROUP + group as u64 } else { 0 };
        let [first, offset, address, sizes] = words;
        let at = p.words(&[first, offset, address, sizes, 0, group, 0, 0, number as u64]);
        self.all.push(Template { what, at });
        number
    }

    /// Adds one that reads, in one of the ways that there are for the source.
    fn add_reading(
        &mut self,
        p: &mut Program,
        choice: &mut Choice,
        shape: &Shape,
        (source, group, way): (usize, usize, u64),
    ) -> usize {
        let repeats = shape.groups[group].repeats && way > 1 && source != source::PIPE;
        let is_message = way % 2 == 1 && (source == source::DATAGRAM || !repeats);
        // Messages that repeat have a header before them.
        let encloses = repeats && is_message;
        let most = if repeats || choice.below(2) == 0 { 0 } else { 1 + choice.below(3) as usize };
        let len = 8 * most as u64;
        let waits = source == source::PIPE || repeats || choice.below(6) > 0;
        let keeps = source == source::PIPE || source == source::STREAM && way == 2 && !repeats;
        let waiting = if waits { 0 } else { u64::from(net::MSG_DONTWAIT) << 32 };
        let (opcode, offset, address, sizes) = match (keeps, way % 2) {
            (true, 0) => (op::IORING_OP_READ, u64::MAX, 0, len),
            (true, _) => {
                let len = if most == 0 { SIZE as u64 } else { len };
                (op::IORING_OP_READV, u64::MAX, p.words(&[0, len]), 1)
            }
            (false, _) if is_message && most == 0 => {
                let none = p.words(&[0, 0, 0, 0, 0, 0, 0]);
                (op::IORING_OP_RECVMSG, 0, none, 1 | waiting)
            }
            (false, _) if is_message => (op::IORING_OP_RECVMSG, 0, header(p, 0, len as usize).0, 1 | waiting),
            (false, _) => (op::IORING_OP_RECV, 0, 0, len | waiting),
        };
        let waits = waits || keeps;
        let flags = CHOOSES | if choice.below(4) == 0 { ASYNC } else { 0 };
        let multishot = if repeats { u64::from(io_uring::IORING_RECV_MULTISHOT) } else { 0 };
        let first = opcode as u64 | flags << 8 | multishot << 16 | (READS[source] as u64) << 32;
        let most = if most == 0 { WORDS } else { most };
        let what = What::Read(Reading { source, group, most, repeats, encloses, waits, keeps });
        self.add(p, what, [first, offset, address as u64, sizes], group)
    }
}
