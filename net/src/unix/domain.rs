//! What all sockets of a kernel share.

use super::{
    Kind, Socket, collect::Collector, connect::Phase, departure::Departures, flight::Flight,
    message::Credentials, name::Names,
};
use alloc::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};
use executor::atomic::{AtomicU64, Ordering::Relaxed};
use executor::sync::SpinMutex;

/// Parts that the table of sockets is in, so that CPUs that make sockets seldom meet.
const PARTS: usize = 16;

/// Sockets that can reach each other: a kernel has one of these, and each test.
pub struct Domain {
    pub(super) names: Names,
    pub(super) flight: SpinMutex<Flight>,
    pub(super) departures: Departures,
    pub(super) collector: Collector,
    sockets: [SpinMutex<BTreeMap<u64, Weak<Socket>>>; PARTS],
    next_number: AtomicU64,
}

impl Default for Domain {
    fn default() -> Self {
        Self::new()
    }
}

impl Domain {
    /// Without sockets.
    #[must_use]
    pub const fn new() -> Self {
        Domain {
            names: Names::new(),
            flight: SpinMutex::new(Flight::new()),
            departures: Departures::new(),
            collector: Collector::new(),
            sockets: [const { SpinMutex::new(BTreeMap::new()) }; PARTS],
            next_number: AtomicU64::new(1),
        }
    }

    /// A number that no other socket has or had.
    pub(super) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Relaxed)
    }

    pub(super) fn enter(&self, socket: &Arc<Socket>) {
        self.part(socket.number).lock().insert(socket.number, Arc::downgrade(socket));
    }

    pub(super) fn leave(&self, socket: &Socket) {
        let left = self.part(socket.number).lock().remove(&socket.number);
        drop(left);
    }

    fn part(&self, number: u64) -> &SpinMutex<BTreeMap<u64, Weak<Socket>>> {
        &self.sockets[number as usize % PARTS]
    }

    /// The sockets that there are, a few hundred at a time: those of a part with at least this number, lowest first.
    /// Parts are numbered from 0; `None` behind the last.
    pub fn list(&self, part: usize, from: u64) -> Option<Vec<Listed>> {
        const BATCH: usize = 256;
        let part = self.sockets.get(part)?;
        let mut sockets = Vec::new();
        // What there is no room for is not listed.
        if sockets.try_reserve_exact(BATCH).is_ok() {
            sockets.extend(part.lock().range(from..).filter_map(|(_, socket)| socket.upgrade()).take(BATCH));
        }
        let mut listed = Vec::new();
        if listed.try_reserve_exact(sockets.len()).is_ok() {
            listed.extend(sockets.iter().map(Listed::of));
        }
        Some(listed)
    }
}

/// What `/proc/net/unix` shows of a socket.
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// Whether a file has it: a connection that waits to be accepted is nobody's.
    pub has_file: bool,
    /// References to it.
    pub references: usize,
    /// Its type.
    pub kind: Kind,
    /// Whether it accepts connections.
    pub listens: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// Its name, if it is bound.
    pub name: Option<Arc<super::Name>>,
}

impl Listed {
    fn of(socket: &Arc<Socket>) -> Self {
        let state = socket.state.lock();
        Listed {
            number: socket.number,
            has_file: state.waits_in.is_none(),
            // Without the one that looks.
            references: Arc::strong_count(socket) - 1,
            kind: socket.kind,
            listens: state.phase == Phase::Listening,
            connected: state.phase == Phase::Connected,
            name: state.name.clone(),
        }
    }
}

/// Nobody: what a message says of its sender when neither side has asked for it.
impl Default for Credentials {
    fn default() -> Self {
        /// What Linux shows for an id that has no number (`overflowuid`).
        const OVERFLOW: u32 = 65534;
        Credentials { pid: 0, uid: OVERFLOW, gid: OVERFLOW }
    }
}
