//! Signals between processes and threads, and timers, while the targets compute, sleep and read.

use crate::Deadline;
use std::sync::atomic::{AtomicU64, Ordering};
use support::cvt;
use support::pipe::{pipe, read, write};
use support::process::fork;

/// Signals handled in this process. Relaxed: handler and reader are the same thread.
static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_signal: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn handle(signal: i32, flags: i32) {
    let handler: extern "C" fn(i32) = count;
    // SAFETY: an all-zero sigaction is valid; the handler touches one atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

pub fn run(deadline: Deadline) -> Result<(), String> {
    while deadline.ahead() {
        queued()?;
        interrupted()?;
        computing()?;
    }
    Ok(())
}

/// Real-time signals queue: none of five hundred is lost, whatever the receiver does.
fn queued() -> Result<(), String> {
    const SENT: u64 = 500;
    let ready = pipe().map_err(|error| error.to_string())?;
    let signal = libc::SIGRTMIN();
    let receiver = fork(|| {
        handle(signal, libc::SA_RESTART);
        let _ = write(&ready.writer, b"r");
        // A signal that comes between the test and the sleep only costs a millisecond.
        while HANDLED.load(Ordering::Relaxed) < SENT {
            support::clock::sleep_ms(1);
        }
        i32::from(HANDLED.load(Ordering::Relaxed) != SENT)
    })
    .map_err(|error| error.to_string())?;
    read(&ready.reader, &mut [0]).map_err(|error| error.to_string())?;
    for number in 0..SENT {
        let value = libc::sigval { sival_ptr: number as *mut _ };
        // The queue has a limit; when it is full the receiver gets time to empty it.
        // SAFETY: no memory is involved.
        while let Err(error) = cvt(unsafe { libc::sigqueue(receiver.pid, signal, value) }) {
            if error.raw_os_error() != Some(libc::EAGAIN) {
                return Err(format!("sigqueue: {error}"));
            }
            support::clock::sleep_ms(1);
        }
    }
    match receiver.wait() {
        Ok(ended) if ended.success() => Ok(()),
        other => Err(format!("queued signals: the receiver ended with {other:?}")),
    }
}

/// A read that is interrupted again and again, and restarted, still gets every byte in order.
fn interrupted() -> Result<(), String> {
    let stream = pipe().map_err(|error| error.to_string())?;
    let ready = pipe().map_err(|error| error.to_string())?;
    let reader = fork(|| {
        handle(libc::SIGUSR1, libc::SA_RESTART);
        let _ = write(&ready.writer, b"r");
        for expected in 0..200_u8 {
            let mut byte = [0];
            if read(&stream.reader, &mut byte).ok() != Some(1) || byte[0] != expected {
                return 1;
            }
        }
        0
    })
    .map_err(|error| error.to_string())?;
    read(&ready.reader, &mut [0]).map_err(|error| error.to_string())?;
    for byte in 0..200_u8 {
        let _ = reader.kill(libc::SIGUSR1);
        write(&stream.writer, &[byte]).map_err(|error| error.to_string())?;
    }
    match reader.wait() {
        Ok(ended) if ended.success() => Ok(()),
        other => Err(format!("interrupted reads: the reader ended with {other:?}")),
    }
}

/// Timer signals at arbitrary instructions leave a computation's result alone.
fn computing() -> Result<(), String> {
    let child = fork(|| {
        handle(libc::SIGALRM, libc::SA_RESTART);
        let interval = libc::timeval { tv_sec: 0, tv_usec: 300 };
        let timer = libc::itimerval { it_interval: interval, it_value: interval };
        // SAFETY: a valid timer value.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
        let first = compute();
        let same = (0..20).all(|_| compute() == first);
        i32::from(!same)
    });
    match child.and_then(support::process::Child::wait) {
        Ok(ended) if ended.success() => Ok(()),
        other => Err(format!("a computation under timer signals ended with {other:?}")),
    }
}

fn compute() -> (u64, u64) {
    let (mut integer, mut float) = (1_u64, 1.0_f64);
    for i in 1..5000_u64 {
        integer = integer.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i);
        float = (float + i as f64).sqrt() * 1.5;
    }
    (integer, float.to_bits())
}
