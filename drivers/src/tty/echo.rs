//! Echo that waits for room in the output queue.
//!
//! Input is echoed when it arrives, but the output queue may be full or stopped just then. So what to echo is kept
//! as operations, not bytes: how many columns a tab takes, for one, is only known when its turn comes.

use alloc::collections::VecDeque;

/// Operations kept, a wipe counted by its bytes; beyond that the oldest are dropped, so that the newest typing shows.
const CAPACITY: usize = 4096;

/// One thing to echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// A byte, through output processing.
    Byte(u8),
    /// A control character as `^X`.
    Control(u8),
    /// Blanks out columns before the cursor: so many bytes of [`WIPE`] are left, of which a last piece may be begun.
    Wipe(u16),
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

/// What blanks out one column.
pub const WIPE: [u8; 3] = [0x08, b' ', 0x08];

impl Echo {
    /// For how many operations it counts.
    pub fn weight(self) -> usize {
        if let Self::Wipe(bytes) = self { bytes.into() } else { 1 }
    }
}

/// How far a run of operations got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Operations that are over.
    pub operations: usize,
    /// What was done counts for so many, a wipe by its bytes.
    pub weight: usize,
}

/// Echo operations in the order they will appear.
#[derive(Default)]
pub struct EchoQueue {
    operations: VecDeque<Echo>,
    /// For how many they count.
    weight: usize,
    has_news: bool,
}

impl EchoQueue {
    /// Adds an operation, dropping the oldest when there are too many or no memory for more.
    pub fn push(&mut self, echo: Echo) {
        if self.operations.len() == self.operations.capacity() && self.operations.try_reserve(1).is_err() {
            let Some(oldest) = self.operations.pop_front() else { return };
            self.weight -= oldest.weight();
        }
        self.operations.push_back(echo);
        self.weight += echo.weight();
        self.has_news = true;
        if self.weight > CAPACITY {
            self.shed();
        }
    }

    /// As [`push`](Self::push) for each of some, none of which is a wipe.
    pub fn extend(&mut self, echoes: impl Iterator<Item = Echo>) {
        if self.operations.try_reserve(echoes.size_hint().0).is_err() {
            echoes.for_each(|echo| self.push(echo));
            return;
        }
        let before = self.operations.len();
        self.operations.extend(echoes);
        self.weight += self.operations.len() - before;
        self.has_news = true;
        self.shed();
    }

    /// Adds the wiping of so many columns.
    pub fn wipe(&mut self, columns: usize) {
        if columns == 0 {
            return;
        }
        let bytes = columns * WIPE.len();
        if let Some(Echo::Wipe(left)) = self.operations.back_mut() {
            // Of more than fit at all, the last count, which end as the first do.
            let together = (usize::from(*left) + bytes).min(CAPACITY);
            self.weight += together - usize::from(*left);
            *left = together as u16;
            self.has_news = true;
            self.shed();
        } else {
            self.push(Echo::Wipe(bytes.min(CAPACITY) as u16));
        }
    }

    /// Drops the oldest where there are too many.
    fn shed(&mut self) {
        while let Some(excess) = self.weight.checked_sub(CAPACITY).filter(|excess| *excess > 0) {
            match self.operations.front_mut() {
                Some(Echo::Wipe(left)) if usize::from(*left) > excess => {
                    *left -= excess as u16;
                    self.weight -= excess;
                }
                Some(oldest) => {
                    self.weight -= oldest.weight();
                    self.operations.pop_front();
                }
                None => return,
            }
        }
    }

    /// Whether anything was added since the last [`Self::drain`].
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Has operations carried out in order, several at a time: `run` says how many of them, and fewer than it is given when
    /// there is no room for the next; it notes in a wipe how much of it is left. True when all are done.
    pub fn drain(&mut self, mut run: impl FnMut(&mut [Echo]) -> Done) -> bool {
        self.has_news = false;
        loop {
            let (next, _) = self.operations.as_mut_slices();
            if next.is_empty() {
                return true;
            }
            let (wanted, done) = (next.len(), run(next));
            self.operations.drain(..done.operations);
            self.weight -= done.weight;
            if done.operations < wanted {
                return false;
            }
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.operations.clear();
        self.weight = 0;
    }
}
