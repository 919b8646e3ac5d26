//! Arguments out of the grammar.

use crate::kind::{Call, File, Kind, Part, Request};
use crate::{arena, files, hostile, objects};
use std::os::fd::AsRawFd;
use support::memory::PAGE;
use support::random::Random;
use support::ring::{
    Entry, Parameters, Ring,
    names::{BUFFER_SELECT, SETUP_SQPOLL},
};

/// Numbers that make trouble as lengths, flags, descriptors or whatever.
const EXTREMES: [u64; 16] = [
    0,
    1,
    u64::MAX,
    u64::MAX - 4095,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 31,
    1 << 47,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    (1 << 63) + 1,
    0xffff_ffff_0000_0000,
    libc::AT_FDCWD as u64,
];

/// One argument in so many is not what it should be.
const SPOILT: u64 = 24;

/// Makes arguments.
pub struct Generator {
    pub random: Random,
    /// How many bytes or elements the latest pointer points to.
    extent: u64,
    /// Whether anything is spoilt.
    spoils: bool,
    /// The ring that entries are written to; none if it could not be made.
    ring: Option<Ring>,
    /// The address of a context for transfers; 0 if none could be made.
    context: u64,
}

/// What every entry may say of how it is to be carried out (`IOSQE_*`).
const MANNER: Kind = Kind::Either(&[NONE, NONE, Kind::Bits(&[1, 2, 4, 8, 4, 16, 64]), Kind::One(&[4])]);
/// What sockets' operations may say besides.
const PRIORITY: Kind = Kind::Either(&[NONE, NONE, NONE, NONE, NONE, NONE, Kind::Below(4)]);
const NONE: Kind = Kind::One(&[0]);

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), extent: 0, spoils: true, ring: None, context: 0 }
    }

    /// Makes the ring, of which some have a poller, and the context.
    pub fn make_queues(&mut self) {
        // SAFETY: writes a word of ours.
        unsafe { libc::syscall(libc::SYS_io_setup, 8, &raw mut self.context) };
        let flags = if self.random.one_in(4) { SETUP_SQPOLL } else { 0 };
        let parameters = Parameters { flags, sq_thread_idle: 1, ..Parameters::default() };
        self.ring = Ring::with(32, parameters).ok();
        if let Some(ring) = &self.ring {
            files::note(&mut self.random, File::Ring, ring.as_raw_fd());
        }
    }

    /// The arguments of a call; what they point to lies in the arena.
    pub fn arguments(&mut self, call: &Call) -> [u64; 6] {
        let mut words = [0; 6];
        self.extent = 0;
        self.spoils = !call.reaches;
        for (word, kind) in words.iter_mut().zip(call.arguments) {
            *word = self.word(*kind);
        }
        words
    }

    /// A word of a kind: mostly a good one.
    fn word(&mut self, kind: Kind) -> u64 {
        let good = self.good(kind);
        if self.spoils && self.random.one_in(SPOILT) { self.spoil(kind, good) } else { good }
    }

    fn spoil(&mut self, kind: Kind, good: u64) -> u64 {
        let points = matches!(
            kind,
            Kind::Buffer(_) | Kind::Block(_) | Kind::Array(..) | Kind::Text(_) | Kind::Texts(_)
        );
        match self.random.below(5) {
            _ if points => arena::misplace(&mut self.random, self.extent),
            0 => *self.random.of(&EXTREMES),
            1 => good ^ (1 << self.random.below(64)),
            2 => good.wrapping_neg(),
            3 => good.wrapping_add(1),
            _ => self.random.word() >> self.random.below(64),
        }
    }

    fn good(&mut self, kind: Kind) -> u64 {
        match kind {
            Kind::Gap => 0,
            Kind::One(list) => *self.random.of(list),
            Kind::Bits(list) => {
                let mut bits = 0;
                while self.random.below(5) < 3 {
                    bits |= *self.random.of(list);
                }
                bits
            }
            Kind::Below(limit) => self.random.below(limit),
            Kind::Range(first, count) => first + self.random.below(count),
            Kind::Fd(file) => files::pick(&mut self.random, file) as u64,
            Kind::Id(object) => objects::pick(&mut self.random, object) as u64,
            Kind::At if self.random.below(4) != 0 => libc::AT_FDCWD as u64,
            Kind::At => files::pick(&mut self.random, File::Folder) as u64,
            Kind::Context => self.context,
            Kind::Pid => hostile::some_task(&mut self.random) as u64,
            Kind::Signal => self.signal(),
            Kind::Handler => match self.random.below(6) {
                0 => libc::SIG_DFL as u64,
                1 => libc::SIG_IGN as u64,
                _ => hostile::handler(),
            },
            Kind::Restorer => hostile::restorer(),
            Kind::Page => arena::START + self.random.below(arena::PAGES) * PAGE as u64,
            Kind::Span => (1 + self.random.below(6)) * PAGE as u64,
            Kind::Length => self.extent,
            Kind::Buffer(most) => {
                let bytes = match self.random.below(4) {
                    0 => self.random.below(most.min(64) + 1),
                    1 => self.random.below(most + 1),
                    _ => most,
                };
                self.extent = bytes;
                arena::place(&mut self.random, bytes)
            }
            Kind::Block(parts) => self.block(1, parts),
            Kind::Array(most, parts) => {
                let count = self.random.below(most + 1);
                let at = self.block(count, parts);
                self.extent = count;
                at
            }
            Kind::Text(list) => {
                let text = *self.random.of(list);
                let at = self.text(text);
                self.extent = text.len() as u64;
                at
            }
            Kind::Texts(list) => {
                let count = self.random.below(5);
                let at = arena::place(&mut self.random, 8 * (count + 1));
                for index in 0..count {
                    let text = *self.random.of(list);
                    let pointer = self.text(text);
                    arena::store(at + 8 * index, 8, pointer);
                }
                arena::store(at + 8 * count, 8, 0);
                at
            }
            Kind::Entries(most, requests) => self.entries(most, requests),
            Kind::Either(kinds) => {
                let kind = *self.random.of(kinds);
                self.good(kind)
            }
        }
    }

    /// Any, but seldom one that only ends the process.
    fn signal(&mut self) -> u64 {
        const DEADLY: [u64; 4] =
            [libc::SIGSEGV as u64, libc::SIGBUS as u64, libc::SIGKILL as u64, libc::SIGSTOP as u64];
        loop {
            let signal = 1 + self.random.below(64);
            if !DEADLY.contains(&signal) || self.random.one_in(16) {
                return signal;
            }
        }
    }

    fn text(&mut self, text: &str) -> u64 {
        let at = arena::place(&mut self.random, text.len() as u64 + 1);
        for (index, byte) in text.bytes().chain([0]).enumerate() {
            arena::store(at + index as u64, 1, u64::from(byte));
        }
        at
    }

    /// Writes some entries to the ring, from which some completions are taken to make room; its descriptor.
    fn entries(&mut self, most: u64, requests: &[Request]) -> u64 {
        let entries: Vec<Entry> = (0..self.random.below(most + 1)).map(|_| self.entry(requests)).collect();
        let Some(ring) = &mut self.ring else { return files::pick(&mut self.random, File::Ring) as u64 };
        for entry in entries {
            ring.push(entry);
        }
        while !self.random.one_in(16) && ring.pop().is_some() {}
        ring.as_raw_fd() as u64
    }

    fn entry(&mut self, requests: &[Request]) -> Entry {
        let request = self.random.of(requests);
        let chooses = if request.chooses { !self.random.one_in(8) } else { self.random.one_in(60) };
        Entry {
            opcode: *self.random.of(request.opcodes),
            flags: self.word(MANNER) as u8 | if chooses { BUFFER_SELECT } else { 0 },
            ioprio: self.word(PRIORITY) as u16,
            fd: self.word(request.fd) as i32,
            off: self.word(request.off),
            addr: self.word(request.addr),
            len: self.word(request.len) as u32,
            op_flags: self.word(request.flags) as u32,
            user_data: self.random.below(Request::NAMES),
            buf_index: self.random.below(3) as u16,
            personality: u16::from(self.random.one_in(40)),
            file_index: self.word(request.other) as i32,
            addr3: self.word(request.third),
            ..Entry::default()
        }
    }

    /// Lays out some equal blocks one after the other; their address.
    fn block(&mut self, count: u64, parts: &[Part]) -> u64 {
        let bytes: u64 = count * parts.iter().map(|(width, _)| u64::from(*width)).sum::<u64>();
        let at = arena::place(&mut self.random, bytes);
        let mut here = at;
        for _ in 0..count {
            for (width, kind) in parts {
                if let Kind::Gap = kind {
                    (0..u64::from(*width)).for_each(|byte| arena::store(here + byte, 1, 0));
                } else {
                    let word = self.word(*kind);
                    arena::store(here, *width, word);
                }
                here += u64::from(*width);
            }
        }
        self.extent = bytes;
        at
    }
}
