//! `numa_maps`: where a process's memory is, and where it is to come from (numa(7)).

use alloc::vec::Vec;
use core::fmt::{self, Write};

use fs::Op;

use super::{Answer, Target, memory::identity, smaps::steps};
use crate::{
    memory::{
        AddressSpace, MemoryPolicy, PAGE_SIZE, RegionFlags,
        space::{Owner, Region, Resident},
    },
    procfs::text::{LongText, TextBuffer},
};

/// A line per region. Empty for a process that has exited. How many programs have a page is not told, nor which were used of
/// late: nothing is known of either.
pub fn maps(target: &Target) -> Answer {
    if let Err(errno) = target.check_access() {
        return Op::Ready(Err(errno));
    }
    let Some(space) = target.process.space.lock().clone() else { return Op::Ready(Ok(Vec::new())) };
    let usual = target.thread.as_ref().map_or(MemoryPolicy::default(), |thread| thread.memory_policy());
    Op::waiting(async move {
        let mut text = LongText::default();
        for region in space.regions().await?.iter().rev() {
            let counts = Counts::of(&space, region).await;
            let line = TextBuffer::filled(|out| {
                name(out, region, usual)?;
                if counts.all > 0 {
                    for (what, count) in [("anon", counts.anonymous), ("dirty", counts.dirty)] {
                        if count > 0 {
                            write!(out, " {what}={count}")?;
                        }
                    }
                    if counts.all != counts.anonymous && counts.all != counts.dirty {
                        write!(out, " mapped={}", counts.all)?;
                    }
                    write!(out, " N0={} kernelpagesize_kB={}", counts.all, PAGE_SIZE / 1024)?;
                }
                Ok(writeln!(out)?)
            })?;
            text.append(&line)?;
        }
        text.into_bytes().await
    })
}

/// Counts of pages.
#[derive(Default)]
struct Counts {
    /// Those that are there.
    all: usize,
    /// Of them, those that are no file's.
    anonymous: usize,
    /// Those that were written to.
    dirty: usize,
}

impl Counts {
    async fn of(space: &AddressSpace, region: &Region) -> Self {
        let mut counts = Self::default();
        for part in steps(region) {
            let count = |page: Resident| {
                counts.all += 1;
                counts.anonymous += usize::from(page.owner != Owner::Object);
                counts.dirty += usize::from(page.is_dirty);
            };
            space.census(&part, count).await;
            executor::make_way().await;
        }
        counts
    }
}

/// Address, policy and what is mapped; `usual` is the policy of what has none.
fn name(out: &mut TextBuffer, region: &Region, usual: MemoryPolicy) -> fmt::Result {
    let own = region.policy();
    let policy = if own == MemoryPolicy::default() { usual } else { own };
    write!(out, "{:08x} {policy}", region.start)?;
    if region.flags.contains(RegionFlags::HEAP) {
        write!(out, " heap")
    } else if region.flags.contains(RegionFlags::STACK) {
        write!(out, " stack")
    } else if region.object.is_some() {
        let name = identity(region).name;
        // What is in brackets is no file.
        if name.is_empty() || name.starts_with('[') {
            return Ok(());
        }
        write!(out, " file=")?;
        for part in name.chars() {
            match part {
                '\n' | '\t' | ' ' | '=' | '\\' => write!(out, "\\{:03o}", u32::from(part))?,
                _ => out.write_char(part)?,
            }
        }
        Ok(())
    } else {
        Ok(())
    }
}
