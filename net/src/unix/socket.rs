//! A socket and its state.

use super::{Call, Credentials, Domain, Name, Obstacle, connect::Phase, message::Message};
use alloc::{
    collections::VecDeque,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::ops::Deref;
use executor::atomic::{
    AtomicBool, AtomicI32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use executor::sync::{Events, Readiness, SpinMutex};
use syscalls::Errno;

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes in order (`SOCK_STREAM`).
    Stream,
    /// Messages from anybody (`SOCK_DGRAM`).
    Datagram,
    /// Messages in order over a connection (`SOCK_SEQPACKET`).
    Sequenced,
}

impl Kind {
    /// Whether it is connected before anything is sent.
    #[inline(always)]
    pub fn is_connected(self) -> bool {
        self != Kind::Datagram
    }
}

/// The size of a new socket's buffers, bytes (`net.core.wmem_default`).
pub const BUFFER_DEFAULT: usize = 212_992;
/// The largest that a program may ask for (`net.core.wmem_max`); it gets twice what it asks for.
pub const BUFFER_MAX: usize = 212_992;
/// The smallest send and receive buffer that a socket is given.
const SEND_BUFFER_MIN: usize = 4608;
const RECEIVE_BUFFER_MIN: usize = 2304;
/// The largest piece whose memory is kept for the next.
const SPARE_MAX: usize = 512;
/// Messages that wait in a datagram socket's queue before those whom it does not answer must wait
/// (`net.unix.max_dgram_qlen`).
pub const DATAGRAMS_MAX: usize = 10;

pub(super) const READABLE: Events = Events::IN.union(Events::RDNORM);
pub(super) const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);
/// No more can be sent: wakes those who wait to send. Not for programs.
const SEND_CLOSED: Events = Events::from_bits_retain(1 << 16);
/// It is no end of a connection: to receive from it may be an error. Not for programs.
const UNCONNECTED: Events = Events::from_bits_retain(1 << 17);
/// Without any of these there is nothing to receive, and no other answer to who tries.
pub(super) const ANSWERS: Events = READABLE.union(Events::ERR).union(Events::HUP).union(UNCONNECTED);

/// What those wait for who want to send to a socket's peer.
pub const SENDING: Events = Events::OUT.union(SEND_CLOSED);

/// A socket. What others may hold of it; it is open as long as its [`OpenSocket`] lives.
pub struct Socket {
    /// Its type.
    pub kind: Kind,
    /// What tells it from all others of its domain: its inode's number.
    pub number: u64,
    pub(super) domain: &'static Domain,
    pub(super) state: SpinMutex<State>,
    pub(super) reader: SpinMutex<Reading>,
    pub(super) readiness: Readiness,
    /// `OUT` while others may put something into the queue.
    pub(super) room: Readiness,
    /// The memory of a small message that has been read, for the next that it sends: two that talk in turn neither
    /// allocate nor free.
    spare: SpinMutex<Vec<u8>>,
    /// Bytes charged for messages that it has sent and that nobody has read.
    charged: AtomicUsize,
    send_buffer: AtomicUsize,
    receive_buffer: AtomicUsize,
    /// Whether it tells, and is told, who sends (`SO_PASSCRED`).
    pub passes_credentials: AtomicBool,
    /// Where the next peek begins, bytes from the first unread; negative for "always there" (`SO_PEEK_OFF`).
    pub peek_offset: AtomicI32,
    /// How long one waits for something to read, ns; 0 for ever (`SO_RCVTIMEO`).
    pub receive_timeout: AtomicU64,
    /// How long one waits for room, ns; 0 for ever (`SO_SNDTIMEO`).
    pub send_timeout: AtomicU64,
}

/// What readers have under way.
#[derive(Default)]
pub(super) struct Reading {
    /// The message that is being read, taken out of the queue.
    pub message: Option<Message>,
    /// The [number](Call::number) of the call that has stopped in it, if nothing has been read since; 0 for none.
    pub stopped: usize,
}

impl Reading {
    /// A call stops in the message.
    #[cold]
    pub fn stop(&mut self, call: Call) -> Obstacle {
        self.stopped = call.number;
        Obstacle::Stopped
    }
}

/// What a socket's lock guards.
pub(super) struct State {
    pub phase: Phase,
    /// The number of the listener in which it waits to be accepted; until then no file has it.
    pub waits_in: Option<u64>,
    /// It has been closed.
    pub dead: bool,
    pub receive_closed: bool,
    pub send_closed: bool,
    /// What the next call that asks is told.
    pub error: Option<Errno>,
    pub peer: Option<Arc<Socket>>,
    pub peer_credentials: Option<Credentials>,
    pub name: Option<Arc<Name>>,
    /// Messages, or waiting connections, beyond which others must wait.
    pub backlog: usize,
    pub queue: VecDeque<Message>,
    /// Connections that have not been accepted.
    pub pending: VecDeque<OpenSocket>,
    /// Datagram sockets that send to this one, and have been told that its queue is full.
    pub followers: Vec<Weak<Socket>>,
    /// The next of the sockets that are being taken apart.
    pub departing: Option<Arc<Socket>>,
}

impl State {
    /// Whether others must wait before they put something into the queue.
    pub fn is_crowded(&self) -> bool {
        self.queue.len().max(self.pending.len()) > self.backlog
    }

    /// The error that a call reports, and that is then gone.
    pub fn take_error(&mut self, readiness: &Readiness) -> Result<(), Errno> {
        match self.error.take() {
            None => Ok(()),
            Some(errno) => {
                readiness.clear(Events::ERR);
                Err(errno)
            }
        }
    }

    /// What the state says of the events, but for `OUT`. `IN` is left as it is where only the reader knows.
    fn events(&self, kind: Kind, before: Events) -> Events {
        let mut events = before & READABLE;
        events.set(Events::ERR, self.error.is_some());
        events.set(SEND_CLOSED, self.send_closed);
        if self.receive_closed {
            events |= READABLE | Events::RDHUP;
        }
        let unconnected = kind.is_connected() && self.phase == Phase::Idle;
        events.set(UNCONNECTED, self.phase != Phase::Connected);
        events.set(Events::HUP, self.receive_closed && self.send_closed || unconnected);
        events
    }
}

/// An open socket; closed when it is dropped.
pub struct OpenSocket(pub(super) Arc<Socket>);

impl Deref for OpenSocket {
    type Target = Arc<Socket>;

    #[inline(always)]
    fn deref(&self) -> &Arc<Socket> {
        &self.0
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl OpenSocket {
    /// A socket without name and peer.
    pub fn new(domain: &'static Domain, kind: Kind) -> Self {
        let socket = Arc::new(Socket {
            kind,
            number: domain.number(),
            domain,
            state: SpinMutex::new(State {
                phase: Phase::Idle,
                waits_in: None,
                dead: false,
                receive_closed: false,
                send_closed: false,
                error: None,
                peer: None,
                peer_credentials: None,
                name: None,
                backlog: DATAGRAMS_MAX,
                queue: VecDeque::new(),
                pending: VecDeque::new(),
                followers: Vec::new(),
                departing: None,
            }),
            reader: SpinMutex::default(),
            readiness: Readiness::with(if kind.is_connected() {
                WRITABLE.union(Events::HUP).union(UNCONNECTED)
            } else {
                WRITABLE.union(UNCONNECTED)
            }),
            room: Readiness::with(Events::OUT),
            spare: SpinMutex::new(Vec::new()),
            charged: AtomicUsize::new(0),
            send_buffer: AtomicUsize::new(BUFFER_DEFAULT),
            receive_buffer: AtomicUsize::new(BUFFER_DEFAULT),
            passes_credentials: AtomicBool::new(false),
            peek_offset: AtomicI32::new(-1),
            receive_timeout: AtomicU64::new(0),
            send_timeout: AtomicU64::new(0),
        });
        domain.enter(&socket);
        OpenSocket(socket)
    }
}

impl Socket {
    /// What poll(2) sees, brought up to date by [`events`](Self::events).
    #[inline(always)]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// What those wait on whose way is barred by [`Obstacle::Crowded`]: for `OUT`.
    pub fn room(&self) -> &Readiness {
        &self.room
    }

    /// The events there are.
    pub fn events(self: &Arc<Self>) -> Events {
        if self.kind == Kind::Datagram {
            self.look_ahead();
        }
        loop {
            let events = self.readiness.events();
            if !events.contains(WRITABLE) || self.is_writable() {
                return Events::from_bits_truncate(events.bits());
            }
            // An offer from before it was filled, which whoever makes it is about to see.
            self.withdraw_writing();
        }
    }

    /// A datagram socket that would have to wait for the one that it is connected to is not writable.
    fn look_ahead(self: &Arc<Self>) {
        let peer = self.state.lock().peer.clone();
        if let Some(peer) = peer.filter(|peer| !Arc::ptr_eq(peer, self)) {
            self.follow(&peer);
        }
    }

    /// Is not writable until its peer, which keeps it waiting, tells it that there is room. False if it need not wait.
    pub(super) fn follow(self: &Arc<Self>, peer: &Arc<Self>) -> bool {
        let mut theirs = peer.state.lock();
        if !self.bars(&theirs) {
            return false;
        }
        let this = Arc::downgrade(self);
        if !theirs.followers.iter().any(|follower| follower.ptr_eq(&this)) {
            // Who cannot be told stays writable.
            if theirs.followers.try_reserve(1).is_err() {
                return true;
            }
            theirs.followers.push(this);
        }
        self.readiness.clear(WRITABLE);
        drop(theirs);
        if !self.has_peer(peer) {
            // It has been connected to another meanwhile, and has nothing to wait for.
            self.offer_writing();
        }
        true
    }

    /// Whether this is its peer.
    pub(super) fn has_peer(&self, other: &Arc<Self>) -> bool {
        self.state.lock().peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, other))
    }

    /// Whether the state of the socket that this one sends to keeps it waiting: only those that it is not connected to wait
    /// for its queue, as the others have their send buffers to bound them.
    pub(super) fn bars(self: &Arc<Self>, theirs: &State) -> bool {
        let answers = theirs.peer.as_ref().is_some_and(|peer| Arc::ptr_eq(peer, self));
        !theirs.dead && !answers && theirs.is_crowded()
    }

    /// Adjusts the events to the state, after one of its steps, and wakes everybody who may have to see that.
    pub(super) fn show(&self, state: &State) {
        let there = state.events(self.kind, self.readiness.events());
        let known = READABLE | Events::RDHUP | Events::HUP | Events::ERR | SEND_CLOSED | UNCONNECTED;
        self.readiness.clear(known - there);
        if state.phase == Phase::Listening {
            self.readiness.clear(WRITABLE);
        } else {
            self.offer_writing();
        }
        self.readiness.set(there);
    }

    /// After something has left the queue: lets others in.
    #[inline]
    pub(super) fn make_room(&self, state: &mut State) -> Vec<Weak<Socket>> {
        if !self.room.events().contains(Events::OUT) && !state.is_crowded() {
            self.room.set(Events::OUT);
        }
        if state.followers.is_empty() || state.is_crowded() {
            return Vec::new();
        }
        core::mem::take(&mut state.followers)
    }

    /// Tells those that [`make_room`](Self::make_room) has returned, with no lock held.
    pub(super) fn tell(followers: &[Weak<Socket>]) {
        for follower in followers.iter().filter_map(Weak::upgrade) {
            follower.offer_writing();
        }
    }

    // What it may have under way.

    /// Whether the send buffer has room for a message, however large.
    #[inline(always)]
    pub(super) fn has_room(&self) -> bool {
        self.charged.load(Relaxed) < self.send_buffer.load(Relaxed)
    }

    /// Whether so much has room that those who wait are woken.
    #[inline(always)]
    fn is_writable(&self) -> bool {
        self.charged.load(Relaxed) * 4 <= self.send_buffer.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn charge(&self, bytes: usize) {
        self.charged.fetch_add(bytes, SeqCst);
        if !self.is_writable() {
            self.withdraw_writing();
        }
    }

    #[cold]
    fn withdraw_writing(&self) {
        // Either whoever makes an offer sees the charge, or we see the offer.
        fence(SeqCst);
        self.readiness.clear(WRITABLE);
        // Either whoever reads sees that the offer is withdrawn, or we see the charge that he has taken away.
        fence(SeqCst);
        self.offer_writing();
    }

    #[inline(always)]
    pub(super) fn uncharge(&self, bytes: usize) {
        // SeqCst: before the look at the events; pairs with the fence in `withdraw_writing`.
        self.charged.fetch_sub(bytes, SeqCst);
        if !self.readiness.events().contains(WRITABLE) {
            self.offer_writing();
        }
    }

    /// Offers to write if there is room. If the buffer is filled meanwhile, by who finds no offer to withdraw, there is none
    /// afterwards: nobody who waits for room would sleep.
    #[cold]
    pub(super) fn offer_writing(&self) {
        while self.is_writable() {
            self.readiness.set(WRITABLE);
            fence(SeqCst);
            if self.is_writable() {
                return;
            }
            self.readiness.clear(WRITABLE);
            fence(SeqCst);
        }
    }

    /// An empty piece for the next message, which may have memory.
    #[inline(always)]
    pub(super) fn take_spare(&self) -> Vec<u8> {
        core::mem::take(&mut self.spare.lock())
    }

    /// Takes over a piece's memory that is worth keeping, if it has none.
    #[inline(always)]
    pub(super) fn keep_spare(&self, piece: &mut Vec<u8>) {
        if piece.capacity() > SPARE_MAX {
            return;
        }
        let mut spare = self.spare.lock();
        if spare.capacity() == 0 {
            piece.clear();
            core::mem::swap(&mut *spare, piece);
        }
    }

    // Options.

    /// The size of the send buffer (`SO_SNDBUF`).
    pub fn send_buffer(&self) -> usize {
        self.send_buffer.load(Relaxed)
    }

    /// Sets it: to twice what is asked, as half is for what describes the bytes.
    pub fn set_send_buffer(&self, bytes: usize) {
        self.send_buffer.store((bytes * 2).max(SEND_BUFFER_MIN), SeqCst);
        let state = self.state.lock();
        self.readiness.clear(WRITABLE);
        self.show(&state);
    }

    /// The size of the receive buffer (`SO_RCVBUF`), which bounds nothing: what is sent is charged to who sends it.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer.load(Relaxed)
    }

    /// Sets it, as [`set_send_buffer`](Self::set_send_buffer).
    pub fn set_receive_buffer(&self, bytes: usize) {
        self.receive_buffer.store((bytes * 2).max(RECEIVE_BUFFER_MIN), Relaxed);
    }

    /// Bytes that are charged for what it has sent and nobody has read (`SIOCOUTQ`).
    pub fn unread_by_others(&self) -> usize {
        self.charged.load(Relaxed)
    }

    /// The pending error, which is then gone (`SO_ERROR`).
    pub fn take_error(&self) -> Option<Errno> {
        self.state.lock().take_error(&self.readiness).err()
    }

    /// Whether it accepts connections.
    pub fn is_listening(&self) -> bool {
        self.state.lock().phase == Phase::Listening
    }

    /// Whether it has not been closed.
    pub fn is_open(&self) -> bool {
        !self.state.lock().dead
    }

    /// Whether it has a peer, or had one that has been closed.
    pub fn is_connected(&self) -> bool {
        self.state.lock().phase == Phase::Connected
    }

    /// Who is at the other end (`SO_PEERCRED`).
    pub fn peer_credentials(&self) -> Option<Credentials> {
        self.state.lock().peer_credentials
    }

    /// Its name, if it is bound (getsockname(2)).
    pub fn name(&self) -> Option<Arc<Name>> {
        self.state.lock().name.clone()
    }

    /// The socket at the other end, which may have been closed. ENOTCONN.
    pub fn peer(&self) -> Result<Arc<Socket>, Errno> {
        self.state.lock().peer.clone().ok_or(Errno::ENOTCONN)
    }

    /// Bytes that can be read: of all messages, for datagrams of the first (`SIOCINQ`). EINVAL where it listens.
    pub fn unread(&self) -> Result<usize, Errno> {
        let reader = self.reader.lock();
        let state = self.state.lock();
        if state.phase == Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let mut unread = reader.message.iter().chain(&state.queue).map(Message::unread);
        Ok(if self.kind == Kind::Datagram { unread.next().unwrap_or(0) } else { unread.sum() })
    }
}
