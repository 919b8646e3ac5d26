//! What is in use and what is merely kept: `/proc/rusk/in_use`, and `/proc/sys/vm/drop_caches`, which gives up what is kept
//! (proc_sys_vm(5)).
//!
//! After a program has ended, everything it used is back, and the two together show that: caches dropped, the counts are
//! what they were before.

use alloc::vec::Vec;
use core::fmt::Write;

use fs::{Op, cache, dcache, procfs::Text};
use syscalls::Errno;

use super::text::{Made, TextBuffer};
use crate::{
    memory::{self, PAGE_SIZE},
    process::{futex, tree},
};

/// Names looked at, or pages given up, before other tasks get their turn.
const BATCH: usize = 64;

/// `NAME COUNT` in each line. Exact while nothing else runs.
pub(super) fn in_use(out: &mut TextBuffer) -> Made {
    let memory = memory::stats();
    // Task cells are as many as there ever were at once; the table of process ids has some for the next ones, and is
    // listed up to the highest that ever was; that of futexes has some room.
    let cells = executor::slab_bytes();
    let frames = (memory.total_bytes - memory.free_bytes).saturating_sub(memory.heap_taken_bytes) / PAGE_SIZE;
    let ((ids, id_list), (processes, threads, _)) = {
        let tree = tree::lock();
        (tree.table_bytes(), tree.counts())
    };
    writeln!(out, "frames {frames}")?;
    let futexes = futex::table_bytes();
    writeln!(out, "heap_bytes {}", memory.heap_bytes.saturating_sub(cells + ids + id_list + futexes))?;
    writeln!(out, "task_cell_bytes {cells}")?;
    writeln!(out, "process_id_bytes {ids}")?;
    writeln!(out, "process_id_list_bytes {id_list}")?;
    writeln!(out, "futex_table_bytes {futexes}")?;
    writeln!(out, "tasks {}", executor::live_tasks())?;
    writeln!(out, "processes {processes}")?;
    writeln!(out, "threads {threads}")?;
    writeln!(out, "cached_names {}", dcache::stats().entries)?;
    writeln!(out, "cached_pages {}", cache::cached_pages())?;
    Ok(())
}

/// The file. Writing 1 gives up pages of disks that nobody uses and that are stored, 2 forgets names that nobody uses, 3 does
/// both.
pub(super) struct DropCaches;

impl Text for DropCaches {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::Ready(Err(Errno::EINVAL))
    }

    fn write(&self, data: Vec<u8>) -> Op<'_, Result<(), Errno>> {
        match data.trim_ascii() {
            which @ (b"1" | b"2" | b"3") => {
                let (pages, names) = (which != b"2", which != b"1");
                Op::waiting(async move {
                    if pages {
                        drop_pages().await;
                    }
                    if names {
                        drop_names().await;
                    }
                    Ok(())
                })
            }
            _ => Op::Ready(Err(Errno::EINVAL)),
        }
    }

    fn permissions(&self) -> u32 {
        0o200
    }
}

/// Gives up pages of disks.
async fn drop_pages() {
    while cache::shrink(BATCH).await > 0 {}
}

/// Forgets the names that are not in use, from the leaves up.
async fn drop_names() {
    let mut without = 0;
    // A name that was looked up lately survives the first look at it; a directory goes after what is in it.
    while without < 3 {
        let mut left = dcache::stats().entries;
        let mut dropped = 0;
        while left > 0 {
            dropped += dcache::shrink(BATCH.min(left));
            left = left.saturating_sub(BATCH);
            executor::yield_now().await;
        }
        without = if dropped == 0 { without + 1 } else { 0 };
    }
    memory::heap::shrink();
}
