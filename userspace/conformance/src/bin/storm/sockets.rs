//! Sockets by the many: streams whose bytes are counted, servers whose clients come and go, descriptors passed round, and
//! sockets that are left in each other's queues.

use crate::{Deadline, Random, reap_all, stream};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use support::cvt;
use support::process::fork;

pub fn run(deadline: Deadline) -> Result<(), String> {
    let mut seed = 1;
    while deadline.ahead() {
        stream(seed).map_err(|problem| format!("stream: {problem}"))?;
        server(seed).map_err(|problem| format!("server: {problem}"))?;
        datagrams().map_err(|problem| format!("datagrams: {problem}"))?;
        round().map_err(|problem| format!("passing round: {problem}"))?;
        cycles(seed).map_err(|problem| format!("cycles: {problem}"))?;
        seed += 1;
    }
    Ok(())
}

fn pair(kind: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut files = [0; 2];
    // SAFETY: the kernel writes the two descriptors, which are then fresh and ours.
    unsafe {
        cvt(libc::socketpair(libc::AF_UNIX, kind, 0, files.as_mut_ptr()))?;
        Ok((OwnedFd::from_raw_fd(files[0]), OwnedFd::from_raw_fd(files[1])))
    }
}

fn send(file: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes are there.
    let sent =
        unsafe { libc::send(file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    cvt(sent as i64).map(|count| count as usize)
}

fn receive(file: &OwnedFd, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes no more than there is room for.
    let received = unsafe { libc::recv(file.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    cvt(received as i64).map(|count| count as usize)
}

/// A message of one byte with a control message for descriptors.
struct Message {
    byte: [u8; 1],
    control: [u64; 4],
}

impl Message {
    fn with(&mut self, call: impl FnOnce(*mut libc::msghdr) -> isize) -> io::Result<isize> {
        let mut piece = libc::iovec { iov_base: self.byte.as_mut_ptr().cast(), iov_len: 1 };
        // SAFETY: all zeros are a header without anything.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = self.control.as_mut_ptr().cast();
        header.msg_controllen = 24;
        cvt(call(&raw mut header) as i64).map(|count| count as isize)
    }
}

/// Sends a descriptor.
fn pass(file: &OwnedFd, what: &OwnedFd) -> io::Result<()> {
    let kind = u64::from(libc::SOL_SOCKET as u32) | u64::from(libc::SCM_RIGHTS as u32) << 32;
    let mut message = Message { byte: [b'r'], control: [20, kind, what.as_raw_fd() as u64, 0] };
    // SAFETY: the header and what it points to are there.
    message.with(|header| unsafe { libc::sendmsg(file.as_raw_fd(), header, libc::MSG_NOSIGNAL) }).map(drop)
}

/// Receives a descriptor; none at the end.
fn take(file: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut message = Message { byte: [0], control: [0; 4] };
    // SAFETY: the header and what it points to are there.
    let count =
        message.with(|header| unsafe { libc::recvmsg(file.as_raw_fd(), header, libc::MSG_CMSG_CLOEXEC) })?;
    if count == 0 || message.control[0] == 0 {
        return Ok(None);
    }
    // SAFETY: fresh and ours.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(message.control[2] as i32) }))
}

fn text<T>(result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn stream(seed: u64) -> Result<(), String> {
    stream::check(seed, 500_000, text(pair(libc::SOCK_STREAM))?, send, receive)
}

/// An abstract name, and its length as an address.
fn address(seed: u64) -> (libc::sockaddr_un, u32) {
    // SAFETY: all zeros are an address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    for (place, byte) in address.sun_path[1..].iter_mut().zip(format!("storm{seed}").bytes()) {
        *place = byte as libc::c_char;
    }
    (address, 16)
}

/// Clients connect, ask and go; some go without an answer, and some wait for a place.
fn server(seed: u64) -> Result<(), String> {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 20;
    let (name, len) = address(seed);
    // SAFETY: the kernel reads the address; the descriptor is fresh and ours.
    let door = unsafe {
        let door = OwnedFd::from_raw_fd(text(cvt(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)))?);
        text(cvt(libc::bind(door.as_raw_fd(), (&raw const name).cast(), len)))?;
        text(cvt(libc::listen(door.as_raw_fd(), 1)))?;
        door
    };
    for client in 0..CLIENTS {
        let child = fork(|| {
            for round in 0..ROUNDS {
                // SAFETY: as above.
                let socket = unsafe {
                    let Ok(socket) = cvt(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)) else { return 1 };
                    let socket = OwnedFd::from_raw_fd(socket);
                    if cvt(libc::connect(socket.as_raw_fd(), (&raw const name).cast(), len)).is_err() {
                        return 2;
                    }
                    socket
                };
                let question = [client as u8, round as u8];
                if send(&socket, &question).is_err() {
                    return 3;
                }
                let mut answer = [0; 2];
                if round % 3 != 0 && (receive(&socket, &mut answer).ok() != Some(2) || answer != question) {
                    return 4;
                }
            }
            0
        });
        text(child)?;
    }
    for _ in 0..CLIENTS * ROUNDS {
        // SAFETY: no memory is involved; the descriptor is fresh and ours.
        let accepted = unsafe {
            let null = std::ptr::null_mut();
            OwnedFd::from_raw_fd(text(cvt(libc::accept(door.as_raw_fd(), null, null.cast())))?)
        };
        let mut question = [0; 2];
        if text(receive(&accepted, &mut question))? != 2 {
            return Err("a question did not come whole".into());
        }
        // The client may be gone.
        let _ = send(&accepted, &question);
    }
    reap_all(0)
}

/// Several send to one whose queue is short; each message arrives whole, and all do.
fn datagrams() -> Result<(), String> {
    const EACH: usize = 200;
    let (reader, writer) = text(pair(libc::SOCK_DGRAM))?;
    for sender in 0..4_u8 {
        let child = fork(|| {
            let sent = (0..EACH).all(|number| {
                let len = 1 + number * 7 % 6000;
                send(&writer, &vec![sender; len]).ok() == Some(len)
            });
            i32::from(!sent)
        });
        text(child)?;
    }
    let mut lengths = [0; 4];
    let mut buffer = vec![0; 10_000];
    for _ in 0..4 * EACH {
        let count = text(receive(&reader, &mut buffer))?;
        let number = lengths[buffer[0] as usize];
        if count != 1 + number * 7 % 6000 || buffer[..count].iter().any(|byte| *byte != buffer[0]) {
            return Err(format!("message {number} came as {count} bytes"));
        }
        lengths[buffer[0] as usize] += 1;
    }
    reap_all(0)
}

/// A descriptor goes round through several processes, each of which writes to what it leads to.
fn round() -> Result<(), String> {
    const RING: usize = 5;
    let (counter, token) = text(pair(libc::SOCK_STREAM))?;
    let links: Vec<(OwnedFd, OwnedFd)> = text((0..RING).map(|_| pair(libc::SOCK_SEQPACKET)).collect())?;
    for place in 1..RING {
        let child = fork(|| {
            for _ in 0..20 {
                let Ok(Some(token)) = take(&links[place - 1].1) else { return 1 };
                if send(&token, b"x").is_err() || pass(&links[place].0, &token).is_err() {
                    return 2;
                }
            }
            0
        });
        text(child)?;
    }
    let mut token = Some(token);
    for _ in 0..20 {
        text(pass(&links[0].0, token.as_ref().ok_or("it is lost")?))?;
        drop(token.take());
        token = text(take(&links[RING - 1].1))?;
    }
    drop(token);
    let (mut count, mut buffer) = (0, [0; 100]);
    while let Ok(some @ 1..) = receive(&counter, &mut buffer) {
        count += some;
    }
    reap_all(0)?;
    if count == 20 * (RING - 1) { Ok(()) } else { Err(format!("{count} bytes came")) }
}

/// Processes leave sockets behind that are only in each other's queues.
fn cycles(seed: u64) -> Result<(), String> {
    let (reader, writer) = text(pair(libc::SOCK_STREAM))?;
    for child in 0..4 {
        let child = fork(|| {
            let mut random = Random::new(seed * 10 + child);
            for _ in 0..10 {
                let size = 1 + random.below(6) as usize;
                let Ok(ring) = (0..size).map(|_| pair(libc::SOCK_STREAM)).collect::<io::Result<Vec<_>>>()
                else {
                    return 1;
                };
                for place in 0..size {
                    let next = &ring[(place + 1) % size];
                    if pass(&ring[place].0, &next.1).is_err() || pass(&ring[place].0, &writer).is_err() {
                        return 2;
                    }
                    let _ = random.below(3) == 0 && pass(&ring[place].1, &ring[place].0).is_err();
                }
            }
            0
        });
        text(child)?;
    }
    drop(writer);
    reap_all(0)?;
    // Something that is closed makes the kernel look for what is lost, and with it the last writer goes.
    drop(text(pair(libc::SOCK_STREAM))?);
    match text(receive(&reader, &mut [0; 1]))? {
        0 => Ok(()),
        _ => Err("bytes came that nobody sent".into()),
    }
}
