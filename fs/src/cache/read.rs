//! Reading through the cache.

use super::{PageCache, Stop, within};
use crate::{
    Op, PAGE_SIZE, Result, Sink,
    tree::{index_of, pages_to},
};
use alloc::sync::Arc;
use executor::rcu;

impl PageCache {
    /// Moves bytes from `offset` on into `sink`, until it is full or stops, or the file ends. What is in memory is moved at
    /// once. After an error that comes when something was moved, the bytes before it count; who goes on meets it again.
    pub fn read<'a>(self: &'a Arc<Self>, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        match self.copy_out(offset, sink) {
            (done, Stop::Done) => Op::Ready(Ok(done)),
            (done, _) => Op::waiting(self.read_on(offset, done, sink)),
        }
    }

    /// What is in memory of the page that holds the byte at `offset`, from that byte on; [`Inode::cached`](crate::Inode::cached).
    #[inline]
    pub fn cached<'g>(&self, offset: u64, guard: &'g rcu::ReadGuard) -> Option<&'g [u8]> {
        let entry = self.tree.get(index_of(offset), guard)?.target();
        // Who comes to the end of what was read ahead has more to do.
        let plain = entry.is_readable() && !entry.is_ahead();
        plain.then(|| &entry.page().bytes()[within(offset)..])
    }

    /// Goes on with a read that has come to a page that is not there.
    async fn read_on(self: &Arc<Self>, offset: u64, mut done: usize, sink: &mut dyn Sink) -> Result<usize> {
        loop {
            let here = offset + done as u64;
            let want = (sink.remaining() as u64).min(self.size().saturating_sub(here));
            if let Err(error) = self.bring_for_reader(index_of(here)..pages_to(here + want)).await {
                return if done == 0 { Err(error) } else { Ok(done) };
            }
            let (more, stop) = self.copy_out(here, sink);
            done += more;
            if matches!(stop, Stop::Done) {
                return Ok(done);
            }
        }
    }

    /// Moves what is in memory.
    fn copy_out(self: &Arc<Self>, offset: u64, sink: &mut dyn Sink) -> (usize, Stop) {
        let end = self.size();
        let mut done = 0;
        while offset + (done as u64) < end && sink.remaining() > 0 {
            let here = offset + done as u64;
            let start = within(here);
            let part = ((PAGE_SIZE - start) as u64).min(end - here) as usize;
            let part = part.min(sink.remaining());
            match self.copy_page(here, start..start + part, sink) {
                None => return (done, Stop::Missing),
                Some(moved) => {
                    done += moved;
                    if moved < part {
                        break;
                    }
                }
            }
        }
        (done, Stop::Done)
    }

    /// Moves a part of a page, if it is there.
    #[inline]
    fn copy_page(
        self: &Arc<Self>,
        offset: u64,
        part: core::ops::Range<usize>,
        sink: &mut dyn Sink,
    ) -> Option<usize> {
        let guard = rcu::read();
        let entry = self.tree.get(index_of(offset), &guard)?.target();
        if !entry.is_readable() {
            return None;
        }
        let moved = sink.put(&entry.page().bytes()[part]);
        if entry.take_ahead() {
            self.read_further(index_of(offset));
        }
        Some(moved)
    }
}
