//! A virtio disk at the level of its registers and its queue, in the executor's simulator. It fails the test when the driver
//! breaks a rule.

mod registers;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use executor::sim::{interrupt_after, random};

use crate::disk::memory::Memory;
use crate::requests::{Disk, Lie, Model, OK, SEG_MAX, SIZE_MAX, happens};
use crate::ring::{Chain, Ring};

pub use registers::{NOTIFY_MULTIPLIER, Part, Window};

const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const NEEDS_RESET: u8 = 64;

const NO_VECTOR: u16 = 0xffff;

/// The device.
#[derive(Clone)]
pub struct Device(Arc<Shared>);

struct Shared {
    memory: Memory,
    cpus: usize,
    state: Mutex<State>,
    /// The driver's interrupt handler.
    handler: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// How it does not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    RefusesFeatures,
    HasNoVectors,
    HasNoQueue,
    Changes,
    BreaksDown,
    NeverAnswers,
    DoorbellElsewhere,
}

pub struct State {
    pub disk: Disk,
    pub defect: Option<Defect>,
    /// It does not come out of a reset any more.
    pub is_stuck: bool,
    /// One in so many register reads gives anything.
    pub noise: u64,
    halves: [u32; 2],
    features: u64,
    vectors: [u16; 2],
    status: u8,
    generation: u8,
    queue: u16,
    is_enabled: bool,
    ring: Ring,
    /// Chains that it has, by head.
    held: BTreeSet<u16>,
    /// Counts what makes everything under way void.
    epoch: u64,
    is_resetting: bool,
    pub resets: usize,
    /// Requests in its hands at once, at most.
    pub deepest: usize,
    pub interrupts: usize,
    pub notifications: usize,
}

impl Device {
    pub fn new(memory: Memory, cpus: usize, model: Model) -> Self {
        let state = State {
            disk: Disk::new(model),
            defect: None,
            is_stuck: false,
            noise: 0,
            halves: [0; 2],
            features: 0,
            vectors: [NO_VECTOR; 2],
            // As the firmware has left it.
            status: ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
            generation: 0,
            queue: 0,
            is_enabled: false,
            ring: Ring::default(),
            held: BTreeSet::new(),
            epoch: 0,
            is_resetting: false,
            resets: 0,
            deepest: 0,
            interrupts: 0,
            notifications: 0,
        };
        Self(Arc::new(Shared { memory, cpus, state: Mutex::new(state), handler: OnceLock::new() }))
    }

    /// Calls this at interrupts.
    pub fn connect(&self, handler: impl Fn() + Send + Sync + 'static) {
        assert!(self.0.handler.set(Box::new(handler)).is_ok());
    }

    pub fn with<R>(&self, access: impl FnOnce(&mut State) -> R) -> R {
        access(&mut self.0.state.lock().expect("whole"))
    }

    pub fn disk<R>(&self, access: impl FnOnce(&mut Disk) -> R) -> R {
        self.with(|state| access(&mut state.disk))
    }

    /// If it works, it does not any more until it is reset, and says so.
    pub fn break_down(&self) {
        let is_told = self.with(|state| {
            let is_working = state.status & DRIVER_OK != 0;
            if is_working {
                state.epoch += 1;
                state.status |= NEEDS_RESET;
            }
            is_working && state.vectors[0] == 0
        });
        if is_told {
            self.interrupt();
        }
    }

    /// Sends a message to some CPU, unless it is lost.
    fn interrupt(&self) {
        let is_lost = self.with(|state| {
            state.interrupts += 1;
            happens(state.disk.faults.loses)
        });
        if !is_lost {
            let shared = self.0.clone();
            interrupt_after(random(self.0.cpus as u64) as usize, random(500), move || {
                if let Some(handler) = shared.handler.get() {
                    handler();
                }
            });
        }
    }

    fn after(&self, delay: u64, what: impl FnOnce(&Self) + Send + 'static) {
        let device = self.clone();
        interrupt_after(random(self.0.cpus as u64) as usize, delay, move || what(&device));
    }

    /// Takes what is in the queue.
    fn service(&self, epoch: u64) {
        let memory = &self.0.memory;
        loop {
            let chains = self.with(|state| {
                let mut chains = Vec::new();
                while state.epoch == epoch
                    && let Some(chain) = state.ring.take(memory)
                {
                    chains.push(chain);
                }
                chains
            });
            let found = chains.len();
            for chain in chains {
                self.begin(epoch, chain);
            }
            if self.with(|state| state.epoch != epoch) {
                return;
            }
            if found > 0 && random(2) == 0 {
                // It looks again by itself, and need not be told until then.
                self.with(|state| state.ring.want_notifications(memory, false));
                return self.after(random(20_000), move |device| device.service(epoch));
            }
            self.with(|state| state.ring.want_notifications(memory, true));
            if found == 0 {
                return;
            }
        }
    }

    fn begin(&self, epoch: u64, chain: Chain) {
        let delay = self.with(|state| {
            assert!(state.held.insert(chain.head), "descriptor {} is used twice", chain.head);
            state.deepest = state.deepest.max(state.held.len());
            let is_own = state.check(&self.0.memory, &chain) == 8;
            let faults = &mut state.disk.faults;
            let hangs = !is_own && (faults.hang_next > 0 || happens(faults.hangs));
            faults.hang_next = faults.hang_next.saturating_sub(u64::from(hangs));
            let hangs = hangs || state.defect == Some(Defect::NeverAnswers);
            (!hangs).then(|| 1_000 + random(state.disk.faults.slowness.max(20_000)))
        });
        let Some(delay) = delay else { return };
        let lie = self.with(|state| {
            let faults = &state.disk.faults;
            let kinds = faults.repertoire.len() as u64;
            happens(faults.lies).then(|| faults.repertoire[random(kinds) as usize])
        });
        if lie == Some(Lie::Early) {
            let head = chain.head;
            self.after(random(delay), move |device| device.answer(epoch, head.into(), 1));
        }
        self.after(delay, move |device| device.finish(epoch, &chain, lie));
    }

    /// Moves the data and tells the driver.
    fn finish(&self, epoch: u64, chain: &Chain, lie: Option<Lie>) {
        if self.with(|state| state.epoch != epoch) {
            return;
        }
        let memory = &self.0.memory;
        let header = memory.read(chain.readable[0].0, 16);
        let kind = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
        let sector = u64::from_le_bytes(header[8..].try_into().expect("eight bytes"));
        let data: Vec<u8> =
            chain.readable[1..].iter().flat_map(|&(address, len)| memory.read(address, len)).collect();
        let (&(status_at, _), into) = chain.writable.split_last().expect("a place for the status");
        let room = into.iter().map(|piece| piece.1).sum();
        let (mut status, read) = self.with(|state| {
            let features = state.features;
            state.disk.carry_out(kind, sector, &data, room, features)
        });
        let mut rest = &read[..];
        for &(address, len) in into {
            let (part, behind) = rest.split_at(len.min(rest.len()));
            memory.write(address, part);
            rest = behind;
        }
        if lie == Some(Lie::StrangeStatus) && status == OK {
            status = 3 + random(252) as u8;
        }
        if lie != Some(Lie::NoStatus) {
            memory.write(status_at, &[status]);
        }
        self.with(|state| state.held.remove(&chain.head));
        // Some say how much they have written, some do not.
        let written = if random(4) == 0 { 0 } else { read.len() as u32 + 1 };
        let head = u32::from(chain.head);
        match lie {
            Some(Lie::StrangeHead) => self.answer(epoch, random(1 << 32) as u32 | 1 << 12, written),
            Some(Lie::NoHead) => self.answer(epoch, head + 1, written),
            Some(Lie::LongLength) => {
                let most = room as u32 + 1;
                self.answer(epoch, head, most + 1 + random(u64::from(u32::MAX - most - 1)) as u32);
            }
            Some(Lie::Twice) => {
                self.answer(epoch, head, written);
                self.answer(epoch, head, written);
            }
            Some(Lie::IndexAhead) => self.advance(epoch, 65 + random(30_000) as u16),
            Some(Lie::IndexBehind) => self.advance(epoch, 0u16.wrapping_sub(1 + random(300) as u16)),
            Some(Lie::NeedsReset) => self.break_down(),
            Some(Lie::Scribble) => {
                let ring = self.with(|state| state.ring);
                let bytes: Vec<u8> = (0..4 + 8 * ring.size).map(|_| random(256) as u8).collect();
                memory.write(ring.used, &bytes);
                self.interrupt();
            }
            _ => self.answer(epoch, head, written),
        }
    }

    fn answer(&self, epoch: u64, head: u32, written: u32) {
        let memory = &self.0.memory;
        if self.with(|state| state.epoch == epoch && state.ring.give_back(memory, head, written)) {
            self.interrupt();
        }
    }

    fn advance(&self, epoch: u64, count: u16) {
        let memory = &self.0.memory;
        self.with(|state| state.epoch == epoch && state.ring.advance(memory, count));
        self.interrupt();
    }

    fn begin_reset(&self) {
        let is_at_once = self.with(|state| {
            state.is_resetting = true;
            state.status == 0
        });
        let finish = |device: &Self| device.with(State::reset);
        if is_at_once { finish(self) } else { self.after(random(200_000), finish) }
    }
}

impl State {
    /// A request has the form that requests have. Its type.
    fn check(&self, memory: &Memory, chain: &Chain) -> u32 {
        let (header, status) = (chain.readable.first(), chain.writable.last());
        assert_eq!(header.map(|piece| piece.1), Some(16), "no header");
        assert_eq!(status.map(|piece| piece.1), Some(1), "no status");
        let pieces = chain.readable[1..].iter().chain(&chain.writable[..chain.writable.len() - 1]);
        let most = if self.features & SEG_MAX != 0 { self.disk.model.seg_max.max(1) } else { 1 };
        self.rule(pieces.clone().count() <= most as usize, "more pieces than the disk takes");
        if self.features & SIZE_MAX != 0 {
            let most = self.disk.model.size_max as usize;
            self.rule(pieces.clone().all(|piece| piece.1 <= most), "a piece too large");
        }
        memory.read32(chain.readable[0].0)
    }

    fn reset(&mut self) {
        self.epoch += 1;
        if self.is_stuck || !self.is_resetting {
            return;
        }
        (self.is_resetting, self.status, self.features) = (false, 0, 0);
        (self.vectors, self.is_enabled, self.ring) = ([NO_VECTOR; 2], false, Ring::default());
        self.held.clear();
        self.resets += 1;
    }

    /// A rule for drivers that have not been lied to.
    fn rule(&self, is_kept: bool, what: &str) {
        assert!(is_kept || self.noise > 0, "{what}");
    }
}
