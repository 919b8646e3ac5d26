//! Many threads that wait on epoll instances, while others write to the files in them, and close them.
//!
//! Nothing is lost: what is written by the deadline is read, though every reader sleeps until it is told.

use crate::{Deadline, Random};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use support::cvt;
use support::pipe::{Pipe, pipe, read, write};

const ET: u32 = libc::EPOLLET as u32;
const IN: u32 = libc::EPOLLIN as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> io::Result<Self> {
        // SAFETY: makes a descriptor, which is ours.
        unsafe { Ok(Self(OwnedFd::from_raw_fd(cvt(libc::epoll_create1(libc::EPOLL_CLOEXEC))?))) }
    }

    fn control(&self, operation: i32, file: RawFd, events: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: the event outlives the call.
        cvt(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, file, &raw mut event) }).map(drop)
    }

    fn add(&self, file: RawFd, events: u32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, file, events, data)
    }

    /// The names of the files that are ready, of at most four.
    fn wait(&self, milliseconds: i32) -> io::Result<Vec<u64>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        // SAFETY: room for four.
        let count =
            cvt(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 4, milliseconds) })?;
        Ok(events[..count as usize].iter().map(|event| event.u64).collect())
    }
}

/// A pipe whose reading end does not wait.
fn nonblocking() -> io::Result<Pipe> {
    let pipe = pipe()?;
    // SAFETY: no memory is involved.
    cvt(unsafe { libc::fcntl(pipe.reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(pipe)
}

/// Reads all that is there; how much that was.
fn drain(file: &impl AsRawFd) -> u64 {
    let mut buffer = [0_u8; 64];
    let mut total = 0;
    while let Ok(count @ 1..) = read(file, &mut buffer) {
        total += count as u64;
    }
    total
}

/// One instance on which all readers wait, or one for each, nested or not.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Shared,
    Exclusive,
    Nested,
}

pub fn run(deadline: Deadline) -> Result<(), String> {
    let mut round = 0;
    while deadline.ahead() {
        for shape in [Shape::Shared, Shape::Exclusive, Shape::Nested] {
            round += 1;
            deliver(shape, round).map_err(|problem| format!("{shape:?}, round {round}: {problem}"))?;
        }
        churn(round).map_err(|problem| format!("churn, round {round}: {problem}"))?;
    }
    Ok(())
}

/// Writers write a number of bytes to pipes by chance; readers, woken by edges alone, must find all of them.
fn deliver(shape: Shape, seed: u64) -> Result<(), String> {
    const PIPES: usize = 16;
    const READERS: usize = 6;
    const WRITERS: usize = 3;
    const BYTES: u64 = 300;
    let text = |error: io::Error| error.to_string();
    let pipes: Vec<Pipe> = (0..PIPES).map(|_| nonblocking()).collect::<io::Result<_>>().map_err(text)?;
    let counter = {
        // Tells all readers in the end that it is the end.
        // SAFETY: makes a descriptor, which is ours.
        unsafe { OwnedFd::from_raw_fd(cvt(libc::eventfd(0, libc::EFD_NONBLOCK)).map_err(text)?) }
    };
    let end = PIPES as u64;
    let count = if matches!(shape, Shape::Shared) { 1 } else { READERS };
    let mut instances = Vec::new();
    for _ in 0..count {
        let (instance, inner) = (Epoll::new().map_err(text)?, Epoll::new().map_err(text)?);
        let events = if matches!(shape, Shape::Exclusive) { IN | ET | EXCLUSIVE } else { IN | ET };
        let holder = if matches!(shape, Shape::Nested) { &inner } else { &instance };
        for (name, pipe) in pipes.iter().enumerate() {
            holder.add(pipe.reader.as_raw_fd(), events, name as u64).map_err(text)?;
        }
        if matches!(shape, Shape::Nested) {
            instance.add(inner.0.as_raw_fd(), IN | ET, u64::MAX).map_err(text)?;
        }
        instance.add(counter.as_raw_fd(), IN, end).map_err(text)?;
        instances.push((instance, inner));
    }
    let received = AtomicU64::new(0);
    let is_all = || received.load(Ordering::Relaxed) == WRITERS as u64 * BYTES;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (instance, inner) = &instances[reader % count];
                let (received, pipes, counter) = (&received, &pipes, &counter);
                scope.spawn(move || {
                    loop {
                        let mut names = instance.wait(10_000).map_err(text)?;
                        if names.is_empty() {
                            return Err("nothing came for ten seconds".to_owned());
                        }
                        if names.contains(&u64::MAX) {
                            names.retain(|name| *name != u64::MAX);
                            while let Ok(more @ [_, ..]) = inner.wait(0).as_deref() {
                                names.extend(more);
                            }
                        }
                        let is_over = names.contains(&end);
                        for name in names.into_iter().filter(|name| *name != end) {
                            received.fetch_add(drain(&pipes[name as usize].reader), Ordering::Relaxed);
                        }
                        if is_all() {
                            write(counter, &1_u64.to_ne_bytes()).map_err(text)?;
                        }
                        if is_over {
                            return Ok(());
                        }
                    }
                })
            })
            .collect();
        for writer in 0..WRITERS {
            let pipes = &pipes;
            scope.spawn(move || {
                let mut random = Random::new(seed * 10 + writer as u64);
                for _ in 0..BYTES {
                    let _ = write(&pipes[random.below(PIPES as u64) as usize].writer, b"x");
                    if random.below(8) == 0 {
                        thread::yield_now();
                    }
                }
            });
        }
        readers.into_iter().try_for_each(|reader| reader.join().unwrap_or(Err("a reader panicked".into())))
    })?;
    if is_all() { Ok(()) } else { Err(format!("{received:?} bytes of {}", WRITERS as u64 * BYTES)) }
}

/// Threads that add, change, remove, write to and close files of one instance, and instances of one file, while others
/// wait.
fn churn(seed: u64) -> Result<(), String> {
    const SLOTS: usize = 8;
    let text = |error: io::Error| error.to_string();
    let instance = Epoll::new().map_err(text)?;
    let lasting = nonblocking().map_err(text)?;
    let slots: Vec<Mutex<Option<Pipe>>> = (0..SLOTS).map(|_| Mutex::new(None)).collect();
    let is_over = AtomicBool::new(false);
    instance.add(lasting.reader.as_raw_fd(), IN, SLOTS as u64).map_err(text)?;
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        for name in instance.wait(20).map_err(text)? {
                            match slots.get(name as usize) {
                                Some(slot) => {
                                    let slot = slot.lock().map_err(|error| error.to_string())?;
                                    slot.as_ref().map(|pipe| drain(&pipe.reader));
                                }
                                None if name == SLOTS as u64 => drop(drain(&lasting.reader)),
                                None => return Err(format!("a strange name: {name}")),
                            }
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let changers: Vec<_> = (0..4)
            .map(|changer| {
                let (instance, slots, lasting) = (&instance, &slots, &lasting);
                scope.spawn(move || {
                    let mut random = Random::new(seed * 100 + changer);
                    for _ in 0..200 {
                        let name = random.below(SLOTS as u64);
                        let mut slot = slots[name as usize].lock().map_err(|error| error.to_string())?;
                        let reader = slot.as_ref().map(|pipe| pipe.reader.as_raw_fd());
                        match (random.below(6), reader) {
                            (0, _) | (_, None) => {
                                // The old one closes, with its interest.
                                let pipe = nonblocking().map_err(text)?;
                                instance.add(pipe.reader.as_raw_fd(), IN | ET, name).map_err(text)?;
                                *slot = Some(pipe);
                            }
                            (1, Some(reader)) => {
                                instance.control(libc::EPOLL_CTL_DEL, reader, 0, 0).map_err(text)?;
                                *slot = None;
                            }
                            (2, Some(reader)) => {
                                let events = IN | if random.below(2) == 0 { ET } else { 0 };
                                instance.control(libc::EPOLL_CTL_MOD, reader, events, name).map_err(text)?;
                            }
                            (3, _) => {
                                drop(slot);
                                let short = Epoll::new().map_err(text)?;
                                short.add(lasting.reader.as_raw_fd(), IN | EXCLUSIVE, 0).map_err(text)?;
                                short.wait(0).map_err(text)?;
                            }
                            _ => {
                                let pipe = slot.as_ref().map_or(&lasting.writer, |pipe| &pipe.writer);
                                write(pipe, b"x").map_err(text)?;
                                write(&lasting.writer, b"x").map_err(text)?;
                            }
                        }
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        let changed: Result<(), String> = changers
            .into_iter()
            .try_for_each(|changer| changer.join().unwrap_or(Err("a changer panicked".into())));
        is_over.store(true, Ordering::Relaxed);
        let waited = waiters
            .into_iter()
            .try_for_each(|waiter| waiter.join().unwrap_or(Err("a waiter panicked".into())));
        changed.and(waited)
    })
}
