//! The commands that are in the hands of a device.

use executor::Instant;

use super::table::Command;

struct Slot {
    command: Command,
    deadline: Instant,
}

/// Commands by the number that the device knows them by, below `SLOTS`, which is 64 at most; each with the time at which it
/// is late. Giving and taking costs the same however many there are.
pub(crate) struct InFlight<const SLOTS: usize> {
    slots: [Option<Slot>; SLOTS],
    /// Those that are in use.
    busy: u64,
    /// None of them is late before; it may be too early, as it is not set back by what is taken.
    first_deadline: Instant,
}

impl<const SLOTS: usize> InFlight<SLOTS> {
    /// None.
    pub fn new() -> Self {
        const { assert!(SLOTS <= 64) };
        Self { slots: [const { None }; SLOTS], busy: 0, first_deadline: Instant::FAR_FUTURE }
    }

    /// A bit for each.
    pub fn busy(&self) -> u64 {
        self.busy
    }

    pub fn is_empty(&self) -> bool {
        self.busy == 0
    }

    /// The first number below `depth` that no command has.
    pub fn vacant(&self, depth: u32) -> Option<u32> {
        let slot = (!self.busy).trailing_zeros();
        (slot < depth.min(SLOTS as u32)).then_some(slot)
    }

    /// The device gets a command under a number that is vacant.
    pub fn insert(&mut self, slot: u32, command: Command, deadline: Instant) {
        self.first_deadline = if self.is_empty() { deadline } else { self.first_deadline.min(deadline) };
        self.slots[slot as usize] = Some(Slot { command, deadline });
        self.busy |= 1 << slot;
    }

    /// The one with this number.
    pub fn get(&self, slot: u32) -> Option<&Command> {
        Some(&self.slots.get(slot as usize)?.as_ref()?.command)
    }

    /// Takes one back; None if the device has none with this number.
    pub fn take_one(&mut self, slot: u32) -> Option<Command> {
        let slot = self.slots.get_mut(slot as usize)?.take().inspect(|_| self.busy &= !(1 << slot));
        slot.map(|slot| slot.command)
    }

    /// Takes some back.
    pub fn take(&mut self, which: u64) -> impl Iterator<Item = Command> {
        let mut left = which & self.busy;
        core::iter::from_fn(move || {
            let slot = (left != 0).then(|| left.trailing_zeros())?;
            left &= left - 1;
            self.take_one(slot)
        })
    }

    /// A time before which none is late; None if there is none.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.first_deadline)
    }

    /// Those that are late.
    pub fn overdue(&mut self, now: Instant) -> u64 {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return 0;
        }
        let deadlines = || self.slots.iter().map(|slot| slot.as_ref().map(|slot| slot.deadline));
        self.first_deadline = deadlines().flatten().min().unwrap_or(Instant::FAR_FUTURE);
        let late = deadlines().enumerate().filter(|(_, deadline)| deadline.is_some_and(|at| at <= now));
        late.fold(0, |mask, (slot, _)| mask | 1 << slot)
    }
}
