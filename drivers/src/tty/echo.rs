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
        if self.operations.len() == CAPACITY || self.operations.try_reserve(1).is_err() {
            self.operations.pop_front();
        }
        if self.operations.len() == self.operations.capacity() {
            return;
        }
        self.operations.push_back(echo);
        self.has_news = true;
    }

    /// Whether anything was added since the last [`Self::drain`].
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Carries out operations in order until `run` says that there is no room. True when all are done.
    pub fn drain(&mut self, mut run: impl FnMut(Echo) -> bool) -> bool {
        self.has_news = false;
        while let Some(&echo) = self.operations.front() {
            if !run(echo) {
                return false;
            }
            self.operations.pop_front();
        }
        true
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.operations.clear();
    }
}
