//! `/proc/executor`: what the executor has done on each CPU. Writing 1 measures the lengths of polls from then on,
//! anew; writing 0 stops that.

use alloc::vec::Vec;
use core::fmt::Write;

use fs::{Op, procfs::Text};
use syscalls::Errno;

use super::text::{Made, TextBuffer};
use crate::{arch::clock, process::run};

/// `/proc/executor`.
pub struct Executor;

impl Text for Executor {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::Ready(TextBuffer::filled(show))
    }

    fn write(&self, data: Vec<u8>) -> Op<'_, Result<(), Errno>> {
        let on = match data.trim_ascii() {
            b"0" => false,
            b"1" => true,
            _ => return Op::Ready(Err(Errno::EINVAL)),
        };
        ::executor::set_accounting(on);
        Op::Ready(Ok(()))
    }

    fn permissions(&self) -> u32 {
        0o644
    }
}

fn show(out: &mut TextBuffer) -> Made {
    writeln!(out, "cpu      polls     spawns      wakes     steals      parks       ipis")?;
    let cpus = 0..::executor::cpus();
    for cpu in cpus.clone() {
        let s = ::executor::stats(cpu);
        writeln!(
            out,
            "{cpu:<3} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            s.polls, s.spawns, s.wakes, s.steals, s.parks, s.ipis
        )?;
    }
    let longest = cpus.clone().map(::executor::stats).max_by_key(|stats| stats.longest_poll);
    if let Some(longest) = longest.filter(|longest| longest.longest_poll > 0) {
        let cycles = longest.longest_poll;
        let ns = clock::span_ns(cycles);
        writeln!(out, "longest poll: {cycles} cycles, {ns} ns, {}", longest.longest_poll_name)?;
    }
    for bucket in 0..::executor::HISTOGRAM_BUCKETS {
        let polls: u64 = cpus.clone().map(|cpu| ::executor::poll_histogram(cpu)[bucket]).sum();
        if polls > 0 {
            writeln!(out, "polls below {} cycles: {polls}", 1_u64 << bucket)?;
        }
    }
    writeln!(out, "task cells: {} KiB", ::executor::slab_bytes() >> 10)?;
    writeln!(out, "a user thread's future: {} bytes", run::FUTURE_SIZE)?;
    Ok(())
}
