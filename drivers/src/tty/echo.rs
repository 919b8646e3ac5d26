//! Echo that waits for room in the output queue.
//!
//! Input is echoed when it arrives, but the output queue may be full or stopped just then. So what to echo is kept
//! as operations, not bytes: how many columns a tab takes, for one, is only known when its turn comes.

use alloc::collections::VecDeque;

/// Operations kept; beyond that the oldest are dropped, so that the newest typing shows.
const CAPACITY: usize = 4096;

/// One thing to echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// A byte, through output processing.
    Byte(u8),
    /// A control character as `^X`.
    Control(u8),
    /// Nothing printed: the line being typed starts at the cursor's column.
    SetLineColumn,
    /// Nothing printed: the byte before was part of a multi-byte character.
    MoveBack,
    /// Backspaces over a tab.
    EraseTab {
        /// Columns that the characters before the tab take, modulo 8.
        columns: u8,
        /// They are counted from an earlier tab, not from the start of the line.
        after_tab: bool,
    },
}

/// Echo operations in the order they will appear.
#[derive(Default)]
pub struct EchoQueue {
    operations: VecDeque<Echo>,
    has_news: bool,
}

impl EchoQueue {
    /// Adds an operation, dropping the oldest when there are too many or no memory for more.
    pub fn push(&mut self, echo: Echo) {
        if self.operations.len() >= self.operations.capacity().min(CAPACITY) && !self.make_room() {
            return;
        }
        self.operations.push_back(echo);
        self.has_news = true;
    }

    /// Makes room for one more, at the expense of the oldest if need be. False where there was none at all.
    #[cold]
    fn make_room(&mut self) -> bool {
        if self.operations.len() < CAPACITY && self.operations.try_reserve(1).is_ok() {
            return true;
        }
        self.operations.pop_front().is_some()
    }

    /// Whether anything was added since the last [`Self::drain`].
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Has operations carried out in order, several at a time: `run` says how many of them, and fewer than it is given when
    /// there is no room for the next. True when all are done.
    pub fn drain(&mut self, mut run: impl FnMut(&[Echo]) -> usize) -> bool {
        self.has_news = false;
        loop {
            let (next, _) = self.operations.as_slices();
            if next.is_empty() {
                return true;
            }
            let (wanted, done) = (next.len(), run(next));
            self.operations.drain(..done);
            if done < wanted {
                return false;
            }
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.operations.clear();
    }
}
