//! Open sockets: how a thread waits to send, to receive, to connect and to accept.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use executor::{
    Instant,
    sync::{Events, Readiness, SpinMutex},
    timeout,
};
use fs::Path;
use linux_raw_sys::{general as linux, net as constants};
use net::unix::{Call, Cargo, Delivery, Domain, How, Kind, Obstacle, OpenSocket, Passenger, SENDING, Socket};
use syscalls::Errno;

use super::{File, Node, Object};
use crate::{
    memory,
    process::{Caller, between_attempts, signal::send},
    user_memory::{SysResult, UserVectors},
};

/// The sockets of this kernel.
pub static DOMAIN: Domain = Domain::new();

/// What an open file that is a socket has.
pub struct SocketFile {
    /// The socket.
    pub socket: OpenSocket,
    /// The node that it is bound to, which it keeps mounted.
    pub place: SpinMutex<Option<Path>>,
    /// Options that are remembered and change nothing, as nothing here depends on them ([`flag_of`]).
    pub flags: AtomicU32,
    /// How many bytes of a stream a reader waits for (`SO_RCVLOWAT`).
    pub receive_low_water: AtomicUsize,
    /// What `fstat` says.
    pub node: Arc<Node>,
}

/// The bit of an option that is on or off, and is only remembered.
pub fn flag_of(option: u32) -> Option<u32> {
    use constants::*;
    const KNOWN: [u32; 12] = [
        SO_DEBUG,
        SO_REUSEADDR,
        SO_DONTROUTE,
        SO_BROADCAST,
        SO_KEEPALIVE,
        SO_OOBINLINE,
        SO_TIMESTAMP,
        SO_NO_CHECK,
        SO_RXQ_OVFL,
        SO_WIFI_STATUS,
        SO_NOFCS,
        SO_SELECT_ERR_QUEUE,
    ];
    KNOWN.iter().position(|known| *known == option).map(|place| 1 << place)
}

/// The open file of a socket; `flags` may have `O_NONBLOCK`.
pub fn open(caller: &Caller, socket: OpenSocket, flags: u32) -> Arc<File> {
    let node = Node::of_socket(socket.number, &caller.credentials.fs);
    let file = SocketFile {
        socket,
        place: SpinMutex::new(None),
        flags: AtomicU32::new(0),
        receive_low_water: AtomicUsize::new(1),
        node,
    };
    File::new(Object::Socket(file), flags & linux::O_NONBLOCK | linux::O_RDWR)
}

impl Passenger for File {
    fn socket(&self) -> Option<&Arc<Socket>> {
        File::socket(self).map(|file| &*file.socket)
    }
}

/// Whom a message names by itself: the process, its real user and group.
#[inline(always)]
pub fn sender(caller: &Caller) -> net::unix::Credentials {
    let credentials = &caller.credentials;
    net::unix::Credentials {
        pid: caller.process().pid,
        uid: credentials.users[0],
        gid: credentials.groups[0],
    }
}

/// Whom the other end of a connection is shown: the process, its effective user and group.
pub fn peer(caller: &Caller) -> net::unix::Credentials {
    let credentials = &caller.credentials;
    net::unix::Credentials {
        pid: caller.process().pid,
        uid: credentials.users[1],
        gid: credentials.groups[1],
    }
}

/// How long a call may wait.
#[derive(Clone, Copy)]
pub struct Patience {
    /// Not at all.
    none: bool,
    /// Until then; [`Instant::FAR_FUTURE`] for ever.
    end: Instant,
}

impl Patience {
    /// That of a call with these `MSG_*` flags, for which the socket has a time limit, ns, 0 for none.
    pub fn new(file: &File, flags: u32, limit: u64) -> Self {
        let end =
            if limit == 0 { Instant::FAR_FUTURE } else { Instant(Instant::now().0.saturating_add(limit)) };
        Self { none: flags & constants::MSG_DONTWAIT != 0 || file.is_nonblocking(), end }
    }

    /// Waits. EAGAIN when the time is up, ERESTARTSYS for a signal; EINTR if there is a limit, as what is left of it
    /// would be lost.
    async fn wait(self, caller: &Caller, readiness: &Readiness, events: Events) -> Result<(), Errno> {
        if self.none {
            return Err(Errno::EAGAIN);
        }
        if self.end == Instant::FAR_FUTURE {
            return between_attempts(&caller.thread, readiness.wait(events)).await.map(drop);
        }
        match between_attempts(&caller.thread, timeout(readiness.wait(events), self.end)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Errno::EAGAIN),
            Err(_) => Err(Errno::EINTR),
        }
    }
}

/// Sends all of `source`, waiting for room, with these `MSG_*` flags. What has been sent counts, whatever stops the rest.
pub async fn send(
    caller: &Caller,
    file: &File,
    source: &mut UserVectors<'_>,
    cargo: &mut Cargo,
    flags: u32,
) -> SysResult {
    let socket = &file.socket().ok_or(Errno::ENOTSOCK)?.socket;
    memory::check_pressure().await.map_err(|_| Errno::ENOBUFS)?;
    let patience = Patience::new(file, flags, socket.send_timeout.load(Relaxed));
    let mut sent = 0;
    loop {
        let waited = match socket.try_send(source, cargo, &mut sent) {
            Ok(()) => return Ok(sent),
            Err(Obstacle::Stopped) => source.resolve(caller).await,
            Err(Obstacle::Crowded(other)) => patience.wait(caller, other.room(), Events::OUT).await,
            Err(Obstacle::Full) => {
                cargo.has_waited = true;
                patience.wait(caller, socket.readiness(), SENDING).await
            }
            Err(Obstacle::Broken) => {
                if sent == 0 {
                    signal_broken(caller, flags);
                }
                Err(Errno::EPIPE)
            }
            Err(Obstacle::Empty { .. }) => Err(Errno::EAGAIN),
            Err(Obstacle::Failed(errno)) => Err(errno),
        };
        match waited {
            Ok(()) => {}
            Err(_) if sent > 0 => return Ok(sent),
            Err(errno) => return Err(errno),
        }
    }
}

/// The signal for who sends what nobody will receive.
pub fn signal_broken(caller: &Caller, flags: u32) {
    if flags & constants::MSG_NOSIGNAL == 0 {
        send::broken_pipe(&caller.thread);
    }
}

/// Receives into `sink`, waiting for something, or with `MSG_WAITALL` for as much as it takes.
pub async fn receive(
    caller: &Caller,
    file: &File,
    sink: &mut UserVectors<'_>,
    delivery: &mut Delivery,
    flags: u32,
    name: bool,
) -> SysResult {
    use net::Sink;
    let this = file.socket().ok_or(Errno::ENOTSOCK)?;
    let socket = &this.socket;
    let patience = Patience::new(file, flags, socket.receive_timeout.load(Relaxed));
    let mut received = 0;
    let mut call = Call { number: (&raw const received).addr(), resumes: false };
    let how = How { peek: flags & constants::MSG_PEEK != 0, name };
    let is_stream = socket.kind == Kind::Stream;
    let least = this.receive_low_water.load(Relaxed);
    let enough = if flags & constants::MSG_WAITALL != 0 { usize::MAX } else { least };
    let enough = enough.min(sink.remaining()).max(1);
    loop {
        let outcome = socket.try_receive(sink, how, call, delivery, &mut received);
        call.resumes = received > 0 && matches!(outcome, Err(Obstacle::Stopped));
        let waited = match outcome {
            Ok(()) => return Ok(received),
            Err(Obstacle::Empty { .. }) if is_stream && received >= enough => return Ok(received),
            Err(Obstacle::Empty { ended: true }) if socket.kind == Kind::Sequenced => return Ok(0),
            Err(Obstacle::Empty { ended: true }) if !patience.none => return Ok(0),
            Err(Obstacle::Empty { .. }) => patience.wait(caller, socket.readiness(), Events::IN).await,
            Err(Obstacle::Stopped) => sink.resolve(caller).await.inspect_err(|_| {
                if !is_stream && !how.peek {
                    socket.discard(call);
                }
            }),
            Err(Obstacle::Failed(errno)) => Err(errno),
            Err(_) => Err(Errno::EAGAIN),
        };
        match waited {
            Ok(()) => {}
            Err(_) if received > 0 => return Ok(received),
            Err(errno) => return Err(errno),
        }
    }
}

/// Takes a connection; None while there is none to wait for.
pub fn try_accept(file: &File) -> Result<Option<OpenSocket>, Errno> {
    let socket = &file.socket().ok_or(Errno::ENOTSOCK)?.socket;
    match socket.try_accept() {
        Ok(accepted) => Ok(Some(accepted)),
        Err(Obstacle::Empty { ended: true }) if !file.is_nonblocking() => Err(Errno::EINVAL),
        Err(Obstacle::Failed(errno)) => Err(errno),
        Err(_) => Ok(None),
    }
}

/// How long a call that accepts may wait.
pub fn patience_to_accept(file: &File) -> Result<Patience, Errno> {
    let socket = &file.socket().ok_or(Errno::ENOTSOCK)?.socket;
    Ok(Patience::new(file, 0, socket.receive_timeout.load(Relaxed)))
}

/// Waits for a connection.
pub async fn wait_to_accept(caller: &Caller, file: &File, patience: Patience) -> Result<(), Errno> {
    let socket = &file.socket().ok_or(Errno::ENOTSOCK)?.socket;
    patience.wait(caller, socket.readiness(), Events::IN).await
}

/// Tries to connect; the socket that has no room for one more connection, if that is what stands in the way.
pub fn try_connect(caller: &Caller, file: &File, other: &Arc<Socket>) -> Result<Option<Arc<Socket>>, Errno> {
    let socket = &file.socket().ok_or(Errno::ENOTSOCK)?.socket;
    if socket.kind == Kind::Datagram {
        return socket.connect_datagrams(Some(other.clone())).map(|()| None);
    }
    match socket.try_connect(other, peer(caller)) {
        Ok(()) => Ok(None),
        Err(Obstacle::Crowded(listener)) => Ok(Some(listener)),
        Err(Obstacle::Failed(errno)) => Err(errno),
        Err(_) => Err(Errno::EAGAIN),
    }
}

/// Waits until another socket's queue has room.
pub async fn wait_for_room(caller: &Caller, other: &Socket, patience: Patience) -> Result<(), Errno> {
    patience.wait(caller, other.room(), Events::OUT).await
}

/// Starts the tasks that take apart what is left of closed sockets. Once, when the executor runs.
pub fn start_background_tasks() {
    executor::Builder::new().name("sockets").spawn(DOMAIN.run_departures()).detach();
    executor::Builder::new().name("collector").spawn(DOMAIN.run_collector()).detach();
}

/// Sends bytes that are in the kernel, for `sendfile`; a page's worth of them in each message.
pub async fn send_kernel(caller: &Caller, file: &File, bytes: &[u8]) -> SysResult {
    let socket = &file.socket().ok_or(Errno::ENOTSOCK)?.socket;
    memory::check_pressure().await.map_err(|_| Errno::ENOBUFS)?;
    let patience = Patience::new(file, 0, socket.send_timeout.load(Relaxed));
    let mut cargo = Cargo::none(sender(caller));
    let mut sent = 0;
    while sent < bytes.len() {
        let part = &bytes[sent..bytes.len().min(sent + memory::PAGE_SIZE)];
        let waited = match socket.try_send(&mut net::Bytes::from(part), &mut cargo, &mut sent) {
            Ok(()) => Ok(()),
            Err(Obstacle::Crowded(other)) => patience.wait(caller, other.room(), Events::OUT).await,
            Err(Obstacle::Full) => {
                cargo.has_waited = true;
                patience.wait(caller, socket.readiness(), SENDING).await
            }
            Err(Obstacle::Broken) => {
                // `sendfile` sends the signal, whatever has been sent before.
                signal_broken(caller, 0);
                Err(Errno::EPIPE)
            }
            Err(Obstacle::Failed(errno)) => Err(errno),
            Err(_) => Err(Errno::EAGAIN),
        };
        match waited {
            Ok(()) => {}
            Err(_) if sent > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(sent)
}
