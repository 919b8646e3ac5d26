//! Long texts: made part by part, as far as they are read, since most readers want something near the beginning.

use super::birth_of;
use crate::{Attributes, Inode, Op, Position, Result, Sink, Source, Written};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::any::Any;
use executor::sync::Mutex;
use syscalls::Errno;

/// A file with a long text.
pub trait LongText: Send + Sync + 'static {
    /// Begins the text as it is now. `ESRCH` for a process that is gone.
    fn begin(&self) -> Result<Box<dyn Parts>>;

    /// Permission bits.
    fn permissions(&self) -> u32 {
        0o444
    }
}

/// A text in the making.
pub trait Parts: Send + 'static {
    /// The next part; None at the end. An error is for this time: it may be asked again.
    fn next(&mut self) -> Op<'_, Result<Option<Vec<u8>>>>;
}

/// Such a file that was opened. A text begins with the first read, and another when the start is read again, so that a program
/// that reads it in pieces sees one text.
pub(super) struct OpenLongText {
    attributes: Attributes,
    source: Arc<dyn LongText>,
    text: Mutex<Option<Made>>,
}

/// As much of a text as has been made.
struct Made {
    /// The parts, each with its offset.
    parts: Vec<(u64, Vec<u8>)>,
    len: u64,
    /// Makes those that are missing.
    rest: Option<Box<dyn Parts>>,
}

impl Made {
    /// How much is read at once, or a part more.
    const MOST: usize = 16 << 10;

    /// Makes all up to an offset, as far as there is a text.
    async fn reach(&mut self, end: u64) -> Result<()> {
        while self.len < end
            && let Some(rest) = &mut self.rest
        {
            self.parts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            match rest.next().await? {
                Some(part) => {
                    let offset = self.len;
                    self.len += part.len() as u64;
                    self.parts.push((offset, part));
                }
                None => self.rest = None,
            }
        }
        Ok(())
    }

    /// Shows what there is from `offset` on, of [`MOST`](Self::MOST) or a part more.
    fn put(&self, offset: u64, sink: &mut dyn Sink) -> usize {
        let first = self.parts.partition_point(|(begin, _)| *begin <= offset).saturating_sub(1);
        let mut shown = 0;
        for (begin, part) in &self.parts[first..] {
            let from = (offset + shown as u64 - begin) as usize;
            let Some(part) = part.get(from..).filter(|part| !part.is_empty()) else { break };
            let wanted = part.len().min(sink.remaining());
            let count = sink.put(&part[..wanted]);
            shown += count;
            if count < part.len() || shown >= Self::MOST {
                break;
            }
        }
        shown
    }
}

impl OpenLongText {
    pub(super) fn new(file: &Attributes, source: Arc<dyn LongText>) -> Self {
        Self { attributes: Attributes::new(birth_of(file)), source, text: Mutex::new(None) }
    }
}

impl Inode for OpenLongText {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read_at<'a>(&'a self, offset: u64, sink: &'a mut dyn Sink) -> Op<'a, Result<usize>> {
        Op::waiting(async move {
            let mut text = self.text.lock().await;
            if offset == 0 {
                *text = None;
            }
            let made = match &mut *text {
                Some(made) => made,
                none => none.insert(Made { parts: Vec::new(), len: 0, rest: Some(self.source.begin()?) }),
            };
            let wanted = sink.remaining().min(Made::MOST) as u64;
            let reached = made.reach(offset.saturating_add(wanted)).await;
            match made.put(offset, sink) {
                0 => reached.map(|()| 0),
                // What went wrong goes wrong again for who comes there.
                shown => Ok(shown),
            }
        })
    }

    fn write_at<'a>(&'a self, _position: Position, _source: &'a mut dyn Source) -> Op<'a, Result<Written>> {
        Op::Ready(Err(Errno::EINVAL))
    }

    fn truncate(&self, _size: u64) -> Op<'_, Result<()>> {
        Op::Ready(Ok(()))
    }
}
