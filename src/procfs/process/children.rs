//! `children`: the processes that a thread has made (proc_tid_children(5)).

use alloc::vec::Vec;
use core::fmt::Write;

use fs::Op;
use syscalls::Errno;

use super::{Answer, Target};
use crate::{
    process::tree,
    procfs::text::{LongText, TextBuffer},
};

/// So many are looked up at a time.
const BATCH: usize = 256;

/// Their ids, oldest first. Which thread has made a process is not kept: the first thread has made them all.
pub fn children(target: &Target) -> Answer {
    let pid = target.process.pid;
    if target.id() != pid {
        return Op::Ready(Ok(Vec::new()));
    }
    Op::waiting(async move {
        let mut text = LongText::default();
        let mut batch = Vec::new();
        batch.try_reserve_exact(BATCH).map_err(|_| Errno::ENOMEM)?;
        let mut last = None;
        loop {
            batch.clear();
            {
                let tree = tree::lock();
                let oldest = tree.children(pid).next().map_or(0, |node| node.process.pid);
                let more = tree.siblings_since(last.unwrap_or(oldest)).skip(usize::from(last.is_some()));
                batch.extend(more.take(BATCH).map(|node| node.process.pid));
            }
            let Some(youngest) = batch.last() else { break };
            last = Some(*youngest);
            text.append(&TextBuffer::filled(|out| {
                batch.iter().try_for_each(|id| write!(out, "{id} "))?;
                Ok(())
            })?)?;
            executor::make_way().await;
        }
        text.into_bytes().await
    })
}
