//! What something was, and may have been: a word, whether a page is there, what a page of a window allows.
//!
//! ```text
//!   write 1 ├───┤     write 2 ├───┤     write 3 ├─────...
//!                  load ├───────────────────┤                may have found 1, 2 or 3
//!                                     load ├─┤               may not have found 1: all of write 2 was behind it, and before
//! ```

/// One time at which it became something.
#[derive(Clone, Debug)]
struct Write {
    value: u64,
    begin: u64,
    /// When it had done so at the latest.
    end: u64,
    /// When this was over, if it is known otherwise than by what was written behind.
    over: u64,
}

/// All that it became.
#[derive(Clone, Debug)]
pub struct History(Vec<Write>);

impl History {
    /// What it is at first.
    pub fn new(value: u64) -> Self {
        Self(vec![Write { value, begin: 0, end: 0, over: u64::MAX }])
    }

    /// It begins to become something.
    pub fn begin(&mut self, value: u64, now: u64) {
        self.0.push(Write { value, begin: now, end: u64::MAX, over: u64::MAX });
    }

    /// It has, since `begin`.
    pub fn end(&mut self, begin: u64, now: u64) {
        self.of(begin).end = self.of(begin).end.min(now);
    }

    /// It has not. Whether nobody has seen it.
    pub fn take_back(&mut self, begin: u64) -> bool {
        let was_unseen = self.of(begin).end == u64::MAX;
        self.0.retain(|write| write.begin != begin);
        was_unseen
    }

    fn of(&mut self, begin: u64) -> &mut Write {
        self.0.iter_mut().find(|write| write.begin == begin).expect("it has begun")
    }

    /// Whether it may have been one of these between two times.
    pub fn may_be(&self, is_one: impl Fn(u64) -> bool, from: u64, to: u64) -> bool {
        let before = |write: &&Write| write.end < from;
        let last = self.0.iter().filter(before).map(|write| write.begin).max().unwrap_or(0);
        self.0
            .iter()
            .any(|write| is_one(write.value) && write.begin < to && write.end >= last && write.over >= from)
    }

    /// Whether all writes of a value had ended by then.
    pub fn had_ended(&self, value: u64, then: u64) -> bool {
        self.0.iter().all(|write| write.value != value || write.end < then)
    }

    /// Whatever it has become is over now, but for zero.
    pub fn is_wiped(&mut self, now: u64) {
        self.0
            .iter_mut()
            .filter(|write| write.value != 0 && write.end != u64::MAX)
            .for_each(|write| write.over = write.over.min(now));
    }

    /// Whether it ever was this.
    pub fn has_been(&self, value: u64) -> bool {
        self.0.iter().any(|write| write.value == value)
    }

    /// Somebody has seen a value that no two writes have.
    pub fn seen(&mut self, value: u64, now: u64) {
        if let Some(write) = self.0.iter_mut().find(|write| write.value == value) {
            write.end = write.end.min(now);
        }
    }
}
