//! Taking entries from a ring.
//!
//! What can be done at once is done at once: nothing at all, and transfers from and to files in memory. They are attempts, as
//! those of the system calls are ([`attempt`]), and need neither a future nor a task. While a CPU is idle, transfers that
//! follow each other are gathered and carried out by all CPUs together, in whatever order; a ring promises none.
//! Everything else is a [`chain`].

use alloc::{sync::Arc, vec::Vec};
use core::{future::poll_fn, ops::Range, task::Poll};

use syscalls::Errno;

use super::{
    chain::{self, Chain},
    operations,
    perform::{self, check_buffer, file_of, offset_of},
    prepare::{self, Prepared},
};
use crate::{
    file::{
        File, Object,
        uring::{Entry, Ring, Submission, completion::Completion, entry::*},
    },
    memory,
    process::{
        Caller,
        deputy::{Deputy, Engagement},
    },
    syscall::attempt::{self, Pause},
    user_memory::SysResult,
};
use linux_raw_sys::io_uring::IORING_SETUP_SUBMIT_ALL;
use zerocopy::FromZeros;

/// The most transfers that are gathered.
const GATHERED: u32 = 64;

/// What one CPU takes of them at a time: so many, of no more bytes together than this, if it is more than one.
const SHARE: usize = 4;
const SHARED_BYTES: u32 = 16 << 10;

/// So many operations that do nothing are told of together, and make way together.
const TOGETHER: usize = 16;

/// Transfers of fewer bytes are not worth another CPU's while.
const WORTHWHILE: u32 = 2048;

/// Who submits: a thread, or the ring's poller in its name.
pub struct Submitter<'a> {
    /// Who acts at once.
    caller: &'a Caller,
    /// Who acts later, once there is something to do later.
    later: Option<(Arc<Caller>, Arc<Deputy>)>,
}

impl<'a> Submitter<'a> {
    /// A thread that submits.
    pub fn new(caller: &'a Caller) -> Self {
        Self { caller, later: None }
    }

    /// One that acts as a deputy even at once.
    pub fn deputy(caller: &'a Arc<Caller>, deputy: Arc<Deputy>) -> Self {
        Self { caller, later: Some((caller.clone(), deputy)) }
    }

    /// Who requests to a ring act as, and what keeps the thread from ending before them; ENOMEM.
    fn engage(&mut self, ring: &Arc<Ring>) -> Result<(Arc<Caller>, Engagement), Errno> {
        if self.later.is_none() {
            let deputy = self.caller.deputy()?;
            deputy.note(ring)?;
            self.later = Some((Arc::new(self.caller.deputised(&deputy)), deputy));
        }
        let (caller, deputy) = self.later.as_ref().ok_or(Errno::ENOMEM)?;
        Ok((caller.clone(), deputy.engage()))
    }
}

/// What is gathered: transfers in the same direction, whose entries follow each other. The program hears that they are taken
/// when all have been carried out, so each is read by who carries it out.
#[derive(Default)]
struct Gathering {
    /// Where the first is, and how many there are.
    head: u32,
    count: u32,
    writes: bool,
    /// Bytes of the largest.
    largest: u32,
    runs: Vec<Run>,
}

/// Transfers in a row that are for the same file.
struct Run {
    /// The place of the first.
    first: u32,
    /// How their entries name the file.
    name: FileName,
    file: Arc<File>,
}

/// Taking entries, as far as it has come.
struct Taking<'a> {
    ring: &'a Arc<Ring>,
    /// Who acts at once.
    caller: &'a Caller,
    /// Where the next entry is, and how many are left to take.
    head: u32,
    left: u32,
    gathering: Gathering,
    /// Whether there are completions that nobody has been woken for, and whether somebody waits for just these.
    is_quiet: bool,
    is_due: bool,
}

/// How requests are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// Not at all.
    None,
    /// Each by itself.
    Alone,
    /// Transfers are gathered for all CPUs.
    Gathering,
}

/// What stands in the way of taking entries and doing at once what they ask for.
enum Obstacle {
    /// There are no more.
    End,
    /// Others want the CPU.
    Others,
    /// There is no memory for whatever comes.
    Memory,
    /// The number of an entry was none.
    Wrong,
    /// What is gathered has to be carried out, so that the last entry's request can be.
    Gathered,
    /// The last entry's request may have to wait.
    Waiting,
}

/// What [`submit_now`] has done.
pub struct Taken {
    /// Entries that have been taken, and carried out.
    pub count: u32,
    /// Whether that is all there is to be done.
    pub is_all: bool,
}

/// Takes up to `count` entries, as long as what they ask for can be done at once.
pub fn submit_now(ring: &Arc<Ring>, caller: &Caller, count: u32) -> Taken {
    let others_may_help = count > 1 && executor::idle_cpus() > 0;
    let lock = if others_may_help || ring.defers() { None } else { ring.submission.try_lock() };
    let Some(mut submission) = lock.filter(|submission| !submission.drains_next) else {
        return Taken { count: 0, is_all: false };
    };
    let mut taking = Taking::new(ring, caller, submission.head, count);
    let there = taking.left;
    let mut entry = Entry::new_zeroed();
    let obstacle = taking.take(Trial::Alone, &mut entry);
    taking.announce();
    if let Obstacle::Waiting = obstacle {
        // It has not been carried out, so it has not been taken.
        taking.head = taking.head.wrapping_sub(1);
        taking.left += 1;
    }
    submission.head = taking.head;
    ring.memory.tell_submitted(taking.head);
    Taken { count: there - taking.left, is_all: matches!(obstacle, Obstacle::End | Obstacle::Wrong) }
}

/// Takes up to `count` entries; says how many. EAGAIN if there is no memory for the first.
pub async fn submit(ring: &Arc<Ring>, submitter: &mut Submitter<'_>, count: u32) -> SysResult {
    let mut submission = ring.submission.lock().await;
    let mut taking = Taking::new(ring, submitter.caller, submission.head, count);
    let count = taking.left;
    let mut chain: Vec<Prepared> = Vec::new();
    let mut failed = None;
    let mut entry = Entry::new_zeroed();
    let is_free = !ring.is_restricted();
    let mut is_plain = is_free && !submission.drains_next && !ring.defers();
    loop {
        let trial = match is_plain && chain.is_empty() {
            false => Trial::None,
            true if taking.gathering.count > 0 || executor::idle_cpus() > 0 => Trial::Gathering,
            true => Trial::Alone,
        };
        let mut obstacle = taking.take(trial, &mut entry);
        taking.announce();
        submission.head = taking.head;
        if let Obstacle::Gathered = obstacle {
            taking.gathering.carry_out(ring, submitter).await;
            match taking.attempt_alone(&entry) {
                None => {
                    taking.announce();
                    continue;
                }
                Some(_) => obstacle = Obstacle::Waiting,
            }
        }
        match obstacle {
            Obstacle::Others => {
                executor::yield_now().await;
                continue;
            }
            Obstacle::Waiting => {}
            _ => break,
        }
        taking.gathering.carry_out(ring, submitter).await;
        let ok = read(ring, submitter, &mut submission, entry, &mut chain, &mut failed).await;
        // A chain is whole whatever is wrong with one of it.
        if entry.is_linked() {
            continue;
        }
        launch(ring, submitter, &mut chain, &mut failed).await;
        is_plain = is_free && !submission.drains_next && !ring.defers();
        if !ok && ring.flags & IORING_SETUP_SUBMIT_ALL == 0 {
            break;
        }
    }
    taking.gathering.carry_out(ring, submitter).await;
    launch(ring, submitter, &mut chain, &mut failed).await;
    ring.memory.tell_submitted(submission.head);
    let taken = (count - taking.left) as usize;
    if taken == 0 && count > 0 && memory::check_wait().is_err() { Err(Errno::EAGAIN) } else { Ok(taken) }
}

impl<'a> Taking<'a> {
    /// Up to `count` entries from `head` on, or all that there are.
    fn new(ring: &'a Arc<Ring>, caller: &'a Caller, head: u32, count: u32) -> Self {
        let there = ring.memory.submissions().wrapping_sub(head);
        let left = count.min(there).min(ring.memory.submission_count());
        Self { ring, caller, head, left, gathering: Gathering::default(), is_quiet: false, is_due: false }
    }

    /// Takes entries and does at once what they ask for, if they are to be tried; until something is in the way. The last entry
    /// is then in `entry`.
    #[inline(never)]
    fn take(&mut self, trial: Trial, entry: &mut Entry) -> Obstacle {
        let (tries, gathers) = (trial != Trial::None, trial == Trial::Gathering);
        let mut done = [Completion::default(); TOGETHER];
        let mut count = 0;
        let obstacle = loop {
            if count == TOGETHER {
                self.complete(&done);
                count = 0;
            }
            if self.left == 0 {
                break Obstacle::End;
            }
            if count == 0 && (self.gathering.count as usize).is_multiple_of(TOGETHER) {
                if executor::should_yield() {
                    break Obstacle::Others;
                }
                if memory::check_wait().is_err() {
                    break Obstacle::Memory;
                }
            }
            let shared = self.ring.memory.entry(self.head);
            self.head = self.head.wrapping_add(1);
            let Some(shared) = shared else { break Obstacle::Wrong };
            self.left -= 1;
            let glance = Glance::at(shared);
            if tries && glance.is_null() {
                done[count].user_data = Entry::user_data(shared);
                count += 1;
                continue;
            }
            if gathers && self.gather(glance, shared) {
                continue;
            }
            entry.copy(shared);
            if !tries {
                break Obstacle::Waiting;
            }
            self.complete(&done[..count]);
            count = 0;
            if let Some(obstacle) = self.attempt_alone(entry) {
                break obstacle;
            }
        };
        self.complete(&done[..count]);
        obstacle
    }

    /// Tells what has become of entries.
    #[inline]
    fn complete(&mut self, done: &[Completion]) {
        if !done.is_empty() {
            self.is_due |= self.ring.complete_quietly(done);
            self.is_quiet = true;
        }
    }

    /// Wakes who looks at the completions.
    fn announce(&mut self) {
        if core::mem::take(&mut self.is_quiet) {
            self.ring.announce(core::mem::take(&mut self.is_due));
        }
    }

    /// Gathers a request for several CPUs, if it is a transfer that is worth it and more may come. Its entry is the last that was
    /// taken.
    #[inline(never)]
    fn gather(&mut self, glance: Glance, shared: &SharedEntry) -> bool {
        let Some(transfer) = glance.transfer(Entry::len(shared)) else { return false };
        let gathering = &mut self.gathering;
        if transfer.len < WORTHWHILE || (gathering.count == 0 && self.left == 0) {
            return false;
        }
        let head = self.head.wrapping_sub(1);
        if gathering.count == 0 {
            (gathering.head, gathering.writes) = (head, transfer.writes);
        }
        let follows = head == gathering.head.wrapping_add(gathering.count);
        let admits = follows && gathering.count < GATHERED && gathering.writes == transfer.writes;
        if !admits || !gathering.knows(self.ring, self.caller, transfer.file) {
            return false;
        }
        gathering.count += 1;
        gathering.largest = gathering.largest.max(transfer.len);
        true
    }

    /// Does at once what an entry asks for, if that can be. None if that is all.
    #[inline(never)]
    fn attempt_alone(&mut self, entry: &Entry) -> Option<Obstacle> {
        if entry.transfer().is_none() {
            return Some(Obstacle::Waiting);
        }
        if self.gathering.count > 0 {
            return Some(Obstacle::Gathered);
        }
        let Ok(file) = file_of(self.ring, self.caller, entry) else { return Some(Obstacle::Waiting) };
        match transfer(self.ring, self.caller, entry, &file) {
            Some(result) => {
                let result = chain::encode(result);
                self.complete(&[Completion { user_data: entry.user_data, result, flags: 0 }]);
                None
            }
            None => Some(Obstacle::Waiting),
        }
    }
}

/// Moves bytes from or to a file with contents, if it is one and that can be done at once.
#[inline]
fn transfer(ring: &Ring, caller: &Caller, entry: &Entry, file: &File) -> Option<SysResult> {
    if !matches!(file.object(), Object::Inode(..)) {
        return None;
    }
    let opcode = u32::from(entry.opcode);
    let (address, len) = (entry.address as usize, entry.len as usize);
    let offset = offset_of(entry).filter(|offset| offset | offset.wrapping_add(len as i64) >= 0)?;
    if matches!(opcode, operations::READ_FIXED | operations::WRITE_FIXED)
        && let Err(errno) = check_buffer(ring, caller, entry)
    {
        return Some(Err(errno));
    }
    let outcome = match opcode {
        operations::READ | operations::READ_FIXED => attempt::read_at(file, address, len, offset),
        _ => attempt::write_at(caller, file, address, len, offset),
    };
    match outcome {
        Ok(moved) => Some(Ok(moved)),
        Err(Pause::Failed(errno)) => Some(Err(errno)),
        Err(_) => None,
    }
}

impl Gathering {
    /// Whether the file of one more is known, and one with contents.
    #[inline]
    fn knows(&mut self, ring: &Ring, caller: &Caller, name: FileName) -> bool {
        if self.runs.last().is_some_and(|last| last.name == name) {
            return true;
        }
        let Ok(file) = perform::file_named(ring, caller, name) else { return false };
        let has_room = matches!(file.object(), Object::Inode(..)) && self.runs.try_reserve(1).is_ok();
        if has_room {
            self.runs.push(Run { first: self.count, name, file });
        }
        has_room
    }

    /// The run that one of them is in.
    fn run(&self, place: u32) -> &Run {
        &self.runs[self.runs.partition_point(|run| run.first <= place) - 1]
    }

    /// Carries out what is there, on this CPU and on idle ones.
    async fn carry_out(&mut self, ring: &Arc<Ring>, submitter: &mut Submitter<'_>) {
        if self.count == 0 {
            return;
        }
        let gathering = core::mem::take(self);
        let engaged = submitter.engage(ring);
        let share = (SHARED_BYTES / gathering.largest).clamp(1, SHARE as u32);
        let shares = gathering.count.div_ceil(share) as usize;
        let ring = ring.clone();
        let carry_out = move |index: usize| {
            let first = index as u32 * share;
            gathering.carry_out_some(&ring, &engaged, first..gathering.count.min(first + share));
        };
        executor::fan_out(shares, carry_out).await;
    }

    /// Carries out some of them, on whatever CPU this is, as who is engaged for it.
    fn carry_out_some(
        &self,
        ring: &Arc<Ring>,
        engaged: &Result<(Arc<Caller>, Engagement), Errno>,
        places: Range<u32>,
    ) {
        let mut done = [Completion::default(); SHARE];
        let mut count = 0;
        if let Ok((caller, _)) = engaged {
            caller.space.activate();
        }
        for place in places {
            let Some(shared) = ring.memory.entry(self.head.wrapping_add(place)) else { continue };
            let mut entry = Entry::new_zeroed();
            entry.copy(shared);
            let result = match engaged {
                Ok((caller, engagement)) => self.carry_out_one(ring, caller, engagement, place, entry),
                Err(errno) => Some(Err(*errno)),
            };
            if let Some(result) = result {
                done[count] =
                    Completion { user_data: entry.user_data, result: chain::encode(result), flags: 0 };
                count += 1;
            }
        }
        if count > 0 {
            let is_due = ring.complete_quietly(&done[..count]);
            ring.announce(is_due);
        }
    }

    /// Carries out one of them. None if it had to be made a task, as it has to wait.
    #[inline]
    fn carry_out_one(
        &self,
        ring: &Arc<Ring>,
        caller: &Arc<Caller>,
        engagement: &Engagement,
        place: u32,
        mut entry: Entry,
    ) -> Option<SysResult> {
        let Run { name, file, .. } = self.run(place);
        // A program that writes to an entry that it has submitted has not asked for anything that could be told.
        let is_as_before =
            |now: Transfer| now.writes == self.writes && now.file == *name && now.len <= self.largest;
        if !entry.transfer().is_some_and(is_as_before) {
            return Some(Err(Errno::EINVAL));
        }
        if let Some(result) = transfer(ring, caller, &entry, file) {
            return Some(result);
        }
        entry.flags |= ASYNC;
        let mut requests = Vec::new();
        if requests.try_reserve_exact(1).is_err() {
            return Some(Err(Errno::ENOMEM));
        }
        requests.push(Prepared { file: Some(Ok(file.clone())), ..Prepared::plain(entry) });
        let chain =
            Chain { caller: caller.clone(), engagement: engagement.another(), requests, failed: None };
        chain::submit(ring, chain, &mut core::task::Context::from_waker(core::task::Waker::noop()));
        None
    }
}

/// Reads an entry, and adds it to a chain. False if it is wrong.
async fn read(
    ring: &Arc<Ring>,
    submitter: &mut Submitter<'_>,
    submission: &mut Submission,
    entry: Entry,
    chain: &mut Vec<Prepared>,
    failed: &mut Option<(usize, Errno)>,
) -> bool {
    let limits = u32::from(entry.opcode) == operations::LINK_TIMEOUT;
    let after_limit = |last: &Prepared| u32::from(last.entry.opcode) == operations::LINK_TIMEOUT;
    let prepared = match prepare::check(ring, &entry) {
        Ok(()) if entry.has(DRAIN) && submission.skips => Err(Errno::EOPNOTSUPP),
        Ok(()) if limits && chain.last().is_none_or(after_limit) => Err(Errno::EINVAL),
        Ok(()) => prepare::read(submitter.caller, ring, entry).await,
        Err(errno) => Err(errno),
    };
    submission.skips |= entry.has(SKIP_SUCCESS);
    let prepared = match prepared {
        Ok(mut prepared) => {
            // The file of what begins now is the one that is there now.
            if chain.is_empty() && perform::has_file(entry.opcode) {
                prepared.file = Some(file_of(ring, submitter.caller, &entry));
            }
            Ok(prepared)
        }
        Err(errno) => Err(errno),
    };
    let (mut prepared, error) = match prepared {
        Ok(prepared) => (prepared, None),
        Err(errno) => (Prepared::plain(entry), Some(errno)),
    };
    if !chain.is_empty() {
        submission.drains_next |= entry.has(DRAIN);
    } else if core::mem::take(&mut submission.drains_next) {
        prepared.entry.flags |= DRAIN;
    }
    if chain.try_reserve(1).is_err() {
        ring.complete(entry.user_data, -Errno::ENOMEM.into_raw(), 0);
        return false;
    }
    if let Some(errno) = error
        && failed.is_none()
    {
        *failed = Some((chain.len(), errno));
    }
    chain.push(prepared);
    error.is_none()
}

/// Submits a chain that is whole.
async fn launch(
    ring: &Arc<Ring>,
    submitter: &mut Submitter<'_>,
    chain: &mut Vec<Prepared>,
    failed: &mut Option<(usize, Errno)>,
) {
    if chain.is_empty() {
        return;
    }
    let mut requests = core::mem::take(chain);
    requests.reverse();
    let failed = failed.take().map(|(place, errno)| (requests.len() - 1 - place, errno));
    let (caller, engagement) = match submitter.engage(ring) {
        Ok(engaged) => engaged,
        Err(errno) => {
            requests.iter().for_each(|request| ring.complete(request.entry.user_data, -errno.into_raw(), 0));
            return;
        }
    };
    let mut chain = Some(Chain { caller, engagement, requests, failed });
    poll_fn(|context| {
        if let Some(chain) = chain.take() {
            chain::submit(ring, chain, context);
        }
        Poll::Ready(())
    })
    .await;
}
