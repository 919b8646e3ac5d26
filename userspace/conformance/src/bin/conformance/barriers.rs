//! membarrier(2): who may ask for which, and that stores and loads keep their order across it.

use crate::check::{aside, outcome, show, sys, value};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, compiler_fence};
use std::thread;

fn membarrier(command: i32, flags: u32, cpu: i32) -> io::Result<i64> {
    sys!(SYS_membarrier, command, flags, cpu)
}

const PRIVATE: i32 = 8;
const REGISTER_PRIVATE: i32 = 16;
/// Each kind of barrier and its registration.
const KINDS: [(&str, i32, i32); 3] =
    [("plain", PRIVATE, REGISTER_PRIVATE), ("of code", 32, 64), ("of sequences", 128, 256)];

pub fn run() {
    // Later ones are none of 6.1's.
    value("commands", membarrier(0, 0, 0).map(|commands| commands & 0x1ff));
    outcome("unknown", membarrier(3, 0, 0));
    outcome("negative", membarrier(-1, 0, 0));
    outcome("flags", membarrier(PRIVATE, 1, 0));
    outcome("flags of a query", membarrier(0, 1, 0));
    outcome("unknown flags", membarrier(128, 2, 0));
    outcome("global", membarrier(1, 0, 0));
    outcome("global, expedited", membarrier(2, 0, 0));
    outcome("registered for it", membarrier(4, 0, 0));
    for (name, command, register) in KINDS {
        aside(name, || {
            outcome("not registered", membarrier(command, 0, 0));
            outcome("registered", membarrier(register, 0, 0));
            outcome("again", membarrier(register, 0, 0));
            for (name, other, _) in KINDS {
                outcome(name, membarrier(other, 0, 0));
            }
            aside("a child", || outcome("a child's", membarrier(command, 0, 0)));
        });
    }
    aside("of one CPU", || {
        outcome("not registered", membarrier(128, 1, 0));
        let _ = membarrier(256, 0, 0);
        for cpu in [0, -1, 4095] {
            outcome("of one CPU", membarrier(128, 1, cpu));
        }
    });
    order();
}

/// Two threads each write a word and then read the other's. One keeps the processor from reading early by a barrier on all
/// CPUs; the other need not even know. So not both can have missed what the other wrote.
fn order() {
    const ROUNDS: usize = 3000;
    let words = || (0..ROUNDS).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
    let (here, there) = (words(), words());
    let round = AtomicUsize::new(0);
    outcome("register", membarrier(REGISTER_PRIVATE, 0, 0));
    let (seen_here, seen_there) = thread::scope(|scope| {
        let fast = scope.spawn(|| {
            let mut seen = Vec::new();
            for index in 0..ROUNDS {
                let mut looks = 0;
                while round.load(Ordering::Relaxed) < index {
                    looks += 1;
                    if looks % 1000 == 0 {
                        thread::yield_now();
                    }
                }
                here[index].store(1, Ordering::Relaxed);
                compiler_fence(Ordering::SeqCst);
                seen.push(there[index].load(Ordering::Relaxed));
            }
            seen
        });
        let mut seen = Vec::new();
        for index in 0..ROUNDS {
            round.store(index, Ordering::Relaxed);
            there[index].store(1, Ordering::Relaxed);
            let _ = membarrier(PRIVATE, 0, 0);
            seen.push(here[index].load(Ordering::Relaxed));
        }
        (fast.join().expect("no panic"), seen)
    });
    let missed = seen_here.iter().zip(&seen_there).filter(|pair| *pair == (&0, &0)).count();
    show("both missed the other", missed);
}
