//! A queue in chunks: it may hold as much as memory has room for, and one that grows as a whole is moved as a whole.

use alloc::collections::{TryReserveError, VecDeque};

/// A queue.
pub struct Chunks<T> {
    chunks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T> Chunks<T> {
    /// So many are in a chunk.
    const CHUNK: usize = 2048;

    /// How many it holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one behind all others; nothing is done if there is no memory for it.
    pub fn push(&mut self, item: T) -> Result<(), TryReserveError> {
        if self.chunks.back().is_none_or(|last| last.len() >= Self::CHUNK) {
            self.chunks.try_reserve(1)?;
            self.chunks.push_back(VecDeque::new());
        }
        if let Some(last) = self.chunks.back_mut() {
            last.try_reserve(1)?;
            last.push_back(item);
            self.len += 1;
        }
        Ok(())
    }

    /// Adds one before all others; as [`push`](Self::push).
    pub fn push_first(&mut self, item: T) -> Result<(), TryReserveError> {
        if self.chunks.is_empty() {
            return self.push(item);
        }
        if let Some(first) = self.chunks.front_mut() {
            first.try_reserve(1)?;
            first.push_front(item);
            self.len += 1;
        }
        Ok(())
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let item = first.pop_front();
        if first.is_empty() {
            self.chunks.pop_front();
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes a chunk of the first. There may be very many, and they go a chunk at a time.
    pub fn pop_chunk(&mut self) -> Option<impl Sized> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len();
        Some(chunk)
    }
}
