//! Rings whose requests race with each other, with cancels and closes, and with the end of those who have made them.

use crate::{Deadline, Random, reap_all};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use support::clock::sleep_ms;
use support::pipe::{Pipe, pipe, write};
use support::process::{Child, fork};
use support::ring::{Entry, Parameters, Ring, names::*};

pub fn run(deadline: Deadline) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    wrong_tail()?;
    let mut round = 0;
    while deadline.ahead() {
        round += 1;
        deliver(round).map_err(|problem| format!("round {round}: {problem}"))?;
        own_memory().map_err(|problem| format!("round {round}: {problem}"))?;
        // Victims are killed at any moment, and end at others.
        let victims: Vec<_> = (0..4)
            .map(|victim| {
                fork(move || {
                    let mut random = Random::new(round * 10 + victim);
                    for _ in 0..=random.below(4) {
                        let _ = churn(&mut random);
                    }
                    0
                })
            })
            .collect::<io::Result<_>>()
            .map_err(text)?;
        sleep_ms(round % 7);
        for (number, victim) in victims.into_iter().enumerate() {
            if number == 2 {
                // The others have had time to end, unless they wait for what never comes.
                sleep_ms(20);
            }
            victim.kill(libc::SIGKILL).map_err(text)?;
            victim.wait().map_err(text)?;
        }
        reap_all(0)?;
    }
    Ok(())
}

/// A tail that is far ahead, and a request that waits for one before it that never ends: the ring's poller stops when a good
/// many of those behind it wait, too, for each of them takes memory.
fn wrong_tail() -> Result<(), String> {
    const FAR_TOO_MANY: u32 = 100_000;
    let text = |error: io::Error| error.to_string();
    let parameters = Parameters { flags: SETUP_SQPOLL, sq_thread_idle: 1000, ..Parameters::default() };
    let (pipe, mut ring) = (pipe().map_err(text)?, Ring::with(16, parameters).map_err(text)?);
    ring.push(Entry { fd: pipe.reader.as_raw_fd(), op_flags: 1, ..Entry::new(POLL_ADD, 0) });
    ring.push(Entry::new(NOP, 1).flags(DRAIN));
    ring.repeat(1 << 30);
    let (mut taken, mut same) = (0, 0);
    while taken == 0 || same < 50 {
        let _ = ring.enter(0, 0, SQ_WAKEUP);
        sleep_ms(1);
        let now = ring.word(ring.parameters.sq_off[0]).load(Relaxed);
        same = if now == taken { same + 1 } else { 0 };
        taken = now;
        if taken > FAR_TOO_MANY {
            return Err(format!("{taken} entries were taken behind one that waits"));
        }
    }
    Ok(())
}

/// A process that has a ring in its memory, and in the ring files that it has begun to read and that tell of its memory: all of it
/// ends with the process.
fn own_memory() -> Result<(), String> {
    const REGISTER_FILES: u32 = 2;
    let register = || -> io::Result<()> {
        let ring = Ring::new(4)?;
        let mut byte = [0];
        let files = [
            "/proc/self/maps",
            "/proc/self/smaps",
            "/proc/self/numa_maps",
            "/proc/self/mem",
            "/proc/self/pagemap",
        ]
        .into_iter()
        .map(|name| {
            let mut file = File::open(name)?;
            // Of the last two there is nothing at the beginning.
            let _ = file.read(&mut byte);
            Ok(file)
        })
        .collect::<io::Result<Vec<File>>>()?;
        let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
        // SAFETY: the numbers are there for as long.
        unsafe { ring.register(REGISTER_FILES, numbers.as_ptr(), numbers.len() as u32)? };
        // What is mapped stays so until the end.
        std::mem::forget((ring, files));
        Ok(())
    };
    let child = fork(|| register().is_err().into());
    child.and_then(Child::wait_success).map_err(|error| error.to_string())
}

/// Bytes that are read by way of a ring while another thread writes them, some of the reads cancelled: none is lost.
fn deliver(seed: u64) -> Result<(), String> {
    const BYTES: usize = 300;
    let text = |error: io::Error| error.to_string();
    let (pipe, mut ring) = (pipe().map_err(text)?, Ring::new(32).map_err(text)?);
    let mut random = Random::new(seed);
    let buffers = [0_u8; 64];
    let (mut received, mut waiting, mut name) = (0, 0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..BYTES {
                let _ = write(&pipe.writer, b"x");
                thread::yield_now();
            }
        });
        while received < BYTES {
            if waiting < 8 {
                let buffer = &buffers[name as usize % 64..][..1];
                ring.push(Entry::transfer(READ, name, pipe.reader.as_raw_fd(), buffer, -1));
                waiting += 1;
                name += 1;
            }
            if random.below(4) == 0 {
                let of = name.saturating_sub(random.below(8));
                ring.push(Entry { addr: of, ..Entry::new(ASYNC_CANCEL, u64::MAX) });
            }
            ring.submit(u32::from(random.below(2) == 0)).map_err(text)?;
            while let Some(completion) = ring.pop() {
                match completion.res {
                    _ if completion.user_data == u64::MAX => continue,
                    1 => received += 1,
                    result if result == -libc::ECANCELED => {}
                    result => return Err(format!("a read came to {result}")),
                }
                waiting -= 1;
            }
        }
        Ok(())
    })
}

/// A ring with requests of all kinds, by chance, from two threads, left as it is.
fn churn(random: &mut Random) -> io::Result<()> {
    let flags = if random.below(3) == 0 { SETUP_SQPOLL } else { 0 };
    let mut ring = Ring::with(16, Parameters { flags, sq_thread_idle: 1, ..Parameters::default() })?;
    let pipes: Vec<Pipe> = (0..3).map(|_| pipe()).collect::<io::Result<_>>()?;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open("/tmp/storm.ring")?;
    // Never freed: an entry that the ring still has may be taken at any time, when somebody has spoilt its tail.
    let buffer: &'static [u8] = Vec::leak(vec![0; 1 << 16]);
    static TIME: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 300_000 };
    let number = ring.as_raw_fd();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..20 {
                // SAFETY: no memory is involved that is not the ring's.
                unsafe { libc::syscall(libc::SYS_io_uring_enter, number, 4, 0, 1, 0_usize, 8_usize) };
                thread::yield_now();
            }
        });
        for name in 0..60 {
            let pipe = &pipes[random.below(3) as usize];
            let (reader, writer) = (pipe.reader.as_raw_fd(), pipe.writer.as_raw_fd());
            let size = random.below(buffer.len() as u64) as usize;
            let entry = match random.below(10) {
                0 => Entry::transfer(READ, name, reader, &buffer[..64], -1),
                1 => Entry::transfer(WRITE, name, writer, &buffer[..64], -1),
                2 => Entry::transfer(READ, name, file.as_raw_fd(), &buffer[..size], 0),
                3 => Entry::transfer(WRITE, name, file.as_raw_fd(), &buffer[..size], 0),
                4 => Entry {
                    fd: reader,
                    op_flags: 1,
                    len: random.below(2) as u32,
                    ..Entry::new(POLL_ADD, name)
                },
                5 => {
                    let addr = &raw const TIME as u64;
                    Entry { addr, len: 1, off: random.below(3), ..Entry::new(TIMEOUT, name) }
                }
                6 => Entry { addr: random.below(60), ..Entry::new(ASYNC_CANCEL, name) },
                7 => Entry { addr: &raw const TIME as u64, len: 1, ..Entry::new(LINK_TIMEOUT, name) },
                8 => Entry { fd: reader, op_flags: 4, ..Entry::new(ASYNC_CANCEL, name) },
                _ => Entry::new(NOP, name),
            };
            let flags = [0, 0, 0, LINK, HARDLINK, ASYNC, DRAIN, LINK | ASYNC][random.below(8) as usize];
            ring.push(entry.flags(flags));
            if random.below(4) == 0 {
                let least = u32::from(random.below(4) == 0);
                let _ = ring.enter(16, least, if flags & DRAIN == 0 { 1 } else { 0 } | SQ_WAKEUP);
            }
            if random.below(16) == 0 {
                // What no program should write.
                let offset = ring.parameters.sq_off[random.below(7) as usize];
                ring.word(offset).store(random.below(1 << 32) as u32, Relaxed);
            }
            while ring.pop().is_some() && random.below(50) > 0 {}
        }
    });
    Ok(())
}
