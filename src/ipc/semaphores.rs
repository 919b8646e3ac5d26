//! Sets of semaphores (semget(2), semop(2)).
//!
//! An operation on a set is tried whole, under the set's lock; whoever cannot have it waits for any change of the set and
//! tries again. What a process has to give back when it ends is kept with the set, by its process.

use alloc::{collections::BTreeMap, vec::Vec};

use executor::sync::{SpinMutex, WaitQueue};
use syscalls::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::{
    now,
    table::{Entry, NO_WAIT, Table},
};

/// Most sets, semaphores in a set, and operations in a call (`SEMMNI`, `SEMMSL`, `SEMOPM`).
pub const COUNT_MAX: usize = 32000;
/// See [`COUNT_MAX`].
pub const SIZE_MAX: usize = 32000;
/// See [`COUNT_MAX`].
pub const OPERATIONS_MAX: usize = 500;
/// The highest value (`SEMVMX`).
pub const VALUE_MAX: i32 = 32767;

/// All sets.
pub static SETS: Table<Set> = Table::new(COUNT_MAX);

/// `struct sembuf`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Operation {
    /// Which semaphore of the set.
    pub number: u16,
    /// What to add; 0 waits until the value is that.
    pub change: i16,
    /// `IPC_NOWAIT`, [`UNDO`].
    pub flags: u16,
}

/// The change is taken back when the process ends (`SEM_UNDO`).
pub const UNDO: u16 = 0x1000;

/// A set.
pub struct Set {
    state: SpinMutex<State>,
    /// Woken when a value changes, and when the set is removed.
    changed: WaitQueue,
}

/// A semaphore.
#[derive(Clone, Copy, Debug, Default)]
pub struct Semaphore {
    /// Its value.
    pub value: u16,
    /// Who changed it last.
    pub pid: u32,
}

struct State {
    semaphores: Vec<Semaphore>,
    /// When the last operation was, and the last change by semctl(2); seconds since 1970.
    times: [i64; 2],
    /// What is to be added when a process ends, by its id.
    undo: BTreeMap<u32, Vec<i16>>,
    /// What is waited for, by semaphore: that it grows, or that it is 0.
    waits: Vec<(u16, bool)>,
}

/// Why an operation cannot be had.
enum Refusal {
    /// Not before this semaphore grows, or is 0.
    Waits(u16, bool),
    Failed(Errno),
}

/// Somebody's wait, counted as long as this lives.
struct Waiting<'a> {
    set: &'a Set,
    what: (u16, bool),
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waits = &mut self.set.state.lock().waits;
        if let Some(place) = waits.iter().position(|wait| *wait == self.what) {
            waits.swap_remove(place);
        }
    }
}

impl Set {
    /// A set of `count` semaphores, which are 0.
    pub fn new(count: usize) -> Result<Self, Errno> {
        let mut semaphores = Vec::new();
        semaphores.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        semaphores.resize(count, Semaphore::default());
        let state = State { semaphores, times: [0, now()], undo: BTreeMap::new(), waits: Vec::new() };
        Ok(Self { state: SpinMutex::new(state), changed: WaitQueue::new() })
    }

    /// How many semaphores there are.
    pub fn len(&self) -> usize {
        self.state.lock().semaphores.len()
    }

    /// When the last operation was, and the last change by semctl(2).
    pub fn times(&self) -> [i64; 2] {
        self.state.lock().times
    }

    /// A semaphore; EINVAL if there is none of this number.
    pub fn get(&self, number: usize) -> Result<Semaphore, Errno> {
        self.state.lock().semaphores.get(number).copied().ok_or(Errno::EINVAL)
    }

    /// How many wait for a semaphore to grow, or `for_zero`.
    pub fn waiting(&self, number: usize, for_zero: bool) -> usize {
        let state = self.state.lock();
        state.waits.iter().filter(|wait| **wait == (number as u16, for_zero)).count()
    }

    /// All values.
    pub fn values(&self) -> Result<Vec<u16>, Errno> {
        let state = self.state.lock();
        let mut values = Vec::new();
        values.try_reserve_exact(state.semaphores.len()).map_err(|_| Errno::ENOMEM)?;
        values.extend(state.semaphores.iter().map(|semaphore| semaphore.value));
        Ok(values)
    }

    /// Sets values, from the semaphore `first` on. Nobody takes anything back from these any more.
    ///
    /// # Errors
    /// EINVAL if there is no such semaphore; ERANGE for a value that none can have.
    pub fn set_values(&self, pid: u32, first: usize, values: &[u16]) -> Result<(), Errno> {
        if values.iter().any(|value| i32::from(*value) > VALUE_MAX) {
            return Err(Errno::ERANGE);
        }
        let mut state = self.state.lock();
        let State { semaphores, undo, times, .. } = &mut *state;
        let targets = semaphores.get_mut(first..first + values.len()).ok_or(Errno::EINVAL)?;
        for (semaphore, value) in targets.iter_mut().zip(values) {
            *semaphore = Semaphore { value: *value, pid };
        }
        for adjustments in undo.values_mut() {
            adjustments[first..first + values.len()].fill(0);
        }
        times[1] = now();
        drop(state);
        self.changed.wake_all();
        Ok(())
    }

    /// Notes a change of owner or rights.
    pub fn note_change(&self) {
        self.state.lock().times[1] = now();
    }

    /// Tells all who wait that the set has been removed.
    pub fn wake(&self) {
        self.changed.wake_all();
    }

    /// Takes back what a process has done, as it ends.
    fn take_back(&self, pid: u32) {
        let mut state = self.state.lock();
        let Some(adjustments) = state.undo.remove(&pid) else { return };
        for (semaphore, change) in state.semaphores.iter_mut().zip(adjustments) {
            if change != 0 {
                let value = (i32::from(semaphore.value) + i32::from(change)).clamp(0, VALUE_MAX);
                *semaphore = Semaphore { value: value as u16, pid };
            }
        }
        state.times[0] = now();
        drop(state);
        self.changed.wake_all();
    }
}

impl Entry<Set> {
    /// Does all operations or waits until that is possible. The caller has checked that the semaphores are there, and its
    /// rights.
    ///
    /// # Errors
    /// EAGAIN, ERANGE, ENOMEM; EIDRM when the set has been removed.
    pub async fn operate(&self, pid: u32, operations: &[Operation]) -> Result<(), Errno> {
        let set = &self.object;
        let mut waiting: Option<Waiting<'_>> = None;
        set.changed
            .wait_until(|| {
                if self.is_removed() {
                    return Some(Err(Errno::EIDRM));
                }
                let mut state = set.state.lock();
                match state.operate(pid, operations) {
                    Err(Refusal::Waits(number, for_zero)) => {
                        let what = (number, for_zero);
                        if waiting.as_ref().is_none_or(|waiting| waiting.what != what) {
                            if state.waits.try_reserve(1).is_err() {
                                return Some(Err(Errno::ENOMEM));
                            }
                            state.waits.push(what);
                            drop(state);
                            // The old one is taken back with the lock free.
                            waiting = Some(Waiting { set, what });
                        }
                        None
                    }
                    Err(Refusal::Failed(errno)) => Some(Err(errno)),
                    Ok(changes) => {
                        drop(state);
                        if changes {
                            set.changed.wake_all();
                        }
                        Some(Ok(()))
                    }
                }
            })
            .await
    }
}

impl State {
    /// Does all operations, or none. Whether any value has changed.
    fn operate(&mut self, pid: u32, operations: &[Operation]) -> Result<bool, Refusal> {
        let undoes = operations.iter().any(|operation| operation.flags & UNDO != 0);
        if undoes && !self.undo.contains_key(&pid) {
            let mut adjustments = Vec::new();
            let len = self.semaphores.len();
            adjustments.try_reserve_exact(len).map_err(|_| Refusal::Failed(Errno::ENOMEM))?;
            adjustments.resize(len, 0);
            self.undo.insert(pid, adjustments);
        }
        for (done, operation) in operations.iter().enumerate() {
            if let Err(refusal) = self.step(pid, *operation) {
                for operation in operations[..done].iter().rev() {
                    self.step_back(pid, *operation);
                }
                return Err(refusal);
            }
        }
        for operation in operations {
            self.semaphores[usize::from(operation.number)].pid = pid;
        }
        self.times[0] = now();
        Ok(operations.iter().any(|operation| operation.change != 0))
    }

    fn step(&mut self, pid: u32, operation: Operation) -> Result<(), Refusal> {
        let Operation { number, change, flags } = operation;
        let semaphore = &mut self.semaphores[usize::from(number)];
        let value = i32::from(semaphore.value) + i32::from(change);
        let must_wait = if change == 0 { semaphore.value != 0 } else { value < 0 };
        if must_wait && u32::from(flags) & NO_WAIT != 0 {
            return Err(Refusal::Failed(Errno::EAGAIN));
        }
        if must_wait {
            return Err(Refusal::Waits(number, change == 0));
        }
        if value > VALUE_MAX {
            return Err(Refusal::Failed(Errno::ERANGE));
        }
        if flags & UNDO != 0
            && let Some(adjustments) = self.undo.get_mut(&pid)
        {
            let adjustment = &mut adjustments[usize::from(number)];
            // Half the range is enough for what can be undone (`SEMAEM`).
            let new = i32::from(*adjustment) - i32::from(change);
            if !(-VALUE_MAX - 1..=VALUE_MAX).contains(&new) {
                return Err(Refusal::Failed(Errno::ERANGE));
            }
            *adjustment = new as i16;
        }
        semaphore.value = value as u16;
        Ok(())
    }

    fn step_back(&mut self, pid: u32, operation: Operation) {
        let Operation { number, change, flags } = operation;
        let semaphore = &mut self.semaphores[usize::from(number)];
        semaphore.value = (i32::from(semaphore.value) - i32::from(change)) as u16;
        if flags & UNDO != 0
            && let Some(adjustments) = self.undo.get_mut(&pid)
        {
            adjustments[usize::from(number)] = adjustments[usize::from(number)].wrapping_add(change);
        }
    }
}

/// Takes back what a process has done to all sets.
#[cold]
pub fn take_back(pid: u32) {
    let mut from = 0;
    while let Some((index, set)) = SETS.next(from) {
        set.object.take_back(pid);
        from = index + 1;
    }
}

/// Semaphores in all sets.
pub fn total() -> usize {
    let (mut total, mut from) = (0, 0);
    while let Some((index, set)) = SETS.next(from) {
        total += set.object.len();
        from = index + 1;
    }
    total
}
