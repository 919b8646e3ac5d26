//! The process tree: ids, parents and children, process groups, sessions.
//!
//! One table under one spin lock, held for a few dozen instructions: fork, exit, wait, `kill` and job control touch
//! it, nothing on a hotter path does. Records name each other by id, so the tree has no reference cycles.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::{iter, sync::atomic::Ordering};

use drivers::tty::Tty;
use executor::sync::{SpinMutex, SpinMutexGuard};
use syscalls::Errno;

use super::{Process, Thread, siblings::Links, wait::ExitStatus};

/// Ids are below this (Linux's limit on 64-bit machines).
pub const PID_MAX: u32 = 1 << 22;
/// The first process.
pub const INIT: u32 = 1;

/// Neighbouring ids for which the table has slots, or has none, together.
const CHUNK: usize = 256;

/// What a process's record says of it.
pub struct Node {
    /// The process itself.
    pub process: Arc<Process>,
    /// Who waits for it.
    pub parent: u32,
    /// Its places among its parent's children and before its own.
    pub links: Links,
    /// Whether an ancestor may have asked for orphans ([`reaper`](super::reaper)); all below it know the same.
    pub may_have_reaper: bool,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// Its threads that have not exited.
    pub threads: Vec<Arc<Thread>>,
    /// How it ended, once all its threads have.
    pub zombie: Option<ExitStatus>,
    /// A stop or continuation that the parent has not collected yet.
    pub job_event: Option<JobEvent>,
    /// The signal that tells the parent of the end; 0 for none (`clone`'s low byte).
    pub exit_signal: u8,
    /// Whether it has called `execve` since it was forked (`setpgid` by the parent then fails).
    pub has_execed: bool,
    /// Who traces its first thread; 0 for nobody.
    pub tracer: u32,
    /// The threads that its own trace ([`trace`](super::trace)). Those that have ended stay until they are waited for.
    pub tracees: Vec<Arc<Thread>>,
}

/// A change of a child that `wait4` reports besides its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobEvent {
    /// Stopped by this signal.
    Stopped(u8),
    /// Continued by SIGCONT.
    Continued,
}

/// A session: process groups that share a controlling terminal.
#[derive(Default)]
pub struct Session {
    /// Live processes in it.
    pub members: usize,
    /// The controlling terminal.
    pub terminal: Option<Arc<Tty>>,
    /// The group that was in the foreground when a hangup took the terminal away: it hears of that when the leader exits.
    pub former_foreground: Option<u32>,
}

#[derive(Default)]
struct Slot {
    node: Option<Box<Node>>,
    /// A thread by its id; the first thread of a process lives in its own slot.
    thread: Option<Arc<Thread>>,
    /// Processes that name this id as their group, and as their session: the id stays taken until none does.
    group_members: u32,
    session_members: u32,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.node.is_none() && self.thread.is_none() && self.group_members == 0 && self.session_members == 0
    }
}

/// Slots for neighbouring ids.
struct Chunk {
    slots: Box<[Slot; CHUNK]>,
    /// Which of them have a process, 64 to a word: most ids that ever were in use belong to nobody.
    taken: [u64; CHUNK / 64],
    /// How many are not free.
    used: usize,
}

impl Chunk {
    /// ENOMEM if there is no memory for it.
    fn new() -> Result<Self, Errno> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(CHUNK).map_err(|_| Errno::ENOMEM)?;
        slots.resize_with(CHUNK, Slot::default);
        let slots: Box<[Slot]> = slots.into_boxed_slice();
        let slots = slots.try_into().map_err(|_| Errno::ENOMEM)?;
        Ok(Self { slots, taken: [0; CHUNK / 64], used: 0 })
    }

    /// The first process here from a place on.
    fn next_node(&self, place: usize) -> Option<&Node> {
        let first = place / 64;
        let words = self.taken.iter().enumerate().skip(first);
        let mut masked =
            words.map(|(word, bits)| (word, if word == first { bits & (!0 << (place % 64)) } else { *bits }));
        let (word, bits) = masked.find(|(_, bits)| *bits != 0)?;
        self.slots[word * 64 + bits.trailing_zeros() as usize].node.as_deref()
    }
}

/// The table; [`lock`] gives it.
pub struct Tree {
    /// By the ids' upper part. There are those that are in use, and the one that ids are taken from: that one goes when
    /// ids are taken from another.
    chunks: Vec<Option<Chunk>>,
    next: u32,
    sessions: BTreeMap<u32, Session>,
    processes: usize,
    threads: usize,
    forks: u64,
}

static TREE: SpinMutex<Tree> = SpinMutex::new(Tree {
    chunks: Vec::new(),
    next: INIT,
    sessions: BTreeMap::new(),
    processes: 0,
    threads: 0,
    forks: 0,
});

/// Locks the tree. Signal locks may be taken while it is held, not the other way round.
pub fn lock() -> SpinMutexGuard<'static, Tree> {
    TREE.lock()
}

impl Tree {
    fn slot(&self, id: u32) -> Option<&Slot> {
        Some(&self.chunks.get(id as usize / CHUNK)?.as_ref()?.slots[id as usize % CHUNK])
    }

    /// Changes an id's slot; None if the table has none for it.
    fn change_slot<R>(&mut self, id: u32, change: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        let current = self.last_id() as usize / CHUNK;
        let place = self.chunks.get_mut(id as usize / CHUNK)?;
        let chunk = place.as_mut()?;
        let slot = &mut chunk.slots[id as usize % CHUNK];
        let was_free = slot.is_free();
        let result = change(slot);
        match (was_free, slot.is_free()) {
            (true, false) => chunk.used += 1,
            (false, true) => {
                chunk.used -= 1;
                if chunk.used == 0 && id as usize / CHUNK != current {
                    *place = None;
                }
            }
            _ => {}
        }
        Some(result)
    }

    /// Takes an unused id; EAGAIN when all are in use, ENOMEM when the table cannot grow.
    ///
    /// The id is not reserved until something is entered under it, so the caller keeps the lock until then.
    pub fn unused_id(&mut self) -> Result<u32, Errno> {
        let mut id = self.next;
        for _ in 0..PID_MAX {
            if id >= PID_MAX {
                id = 300; // the low ids stay with the programs that started first, as on Linux
            }
            if self.slot(id).is_none_or(Slot::is_free) {
                self.make_room(id)?;
                self.next = id + 1;
                return Ok(id);
            }
            id += 1;
        }
        Err(Errno::EAGAIN)
    }

    /// Takes ids from the chunk of `id` from now on.
    fn make_room(&mut self, id: u32) -> Result<(), Errno> {
        let (old, new) = (self.last_id() as usize / CHUNK, id as usize / CHUNK);
        if new >= self.chunks.len() {
            self.chunks.try_reserve(new + 1 - self.chunks.len()).map_err(|_| Errno::ENOMEM)?;
            self.chunks.resize_with(new + 1, || None);
        }
        if self.chunks[new].is_none() {
            self.chunks[new] = Some(Chunk::new()?);
        }
        if old != new {
            self.chunks[old].take_if(|chunk| chunk.used == 0);
        }
        Ok(())
    }

    /// Makes room for the first process's id.
    pub fn reserve_first(&mut self) -> Result<(), Errno> {
        self.next = INIT;
        self.unused_id().map(drop)
    }

    /// Enters a process with its first thread, as a child of `parent` in `group` and `session`.
    pub fn insert(&mut self, node: Node) {
        let id = node.process.pid;
        let (parent, group, session) = (node.parent, node.group, node.session);
        self.join(group, session);
        self.threads += node.threads.len();
        self.processes += 1;
        self.forks += 1;
        let first = node.threads.first().cloned();
        self.change_slot(id, |slot| {
            slot.thread = first;
            slot.node = Some(Box::new(node));
        });
        self.add_child(parent, id);
        self.mark_taken(id, true);
    }

    /// Notes whether `id` has a process.
    fn mark_taken(&mut self, id: u32, taken: bool) {
        let (chunk, place) = (id as usize / CHUNK, id as usize % CHUNK);
        let Some(Some(chunk)) = self.chunks.get_mut(chunk) else { return };
        let bit = 1 << (place % 64);
        if taken {
            chunk.taken[place / 64] |= bit;
        } else {
            chunk.taken[place / 64] &= !bit;
        }
    }

    fn join(&mut self, group: u32, session: u32) {
        self.change_slot(group, |slot| slot.group_members += 1);
        self.change_slot(session, |slot| slot.session_members += 1);
        self.sessions.entry(session).or_default().members += 1;
    }

    fn leave(&mut self, group: u32, session: u32) {
        self.change_slot(group, |slot| slot.group_members -= 1);
        self.change_slot(session, |slot| slot.session_members -= 1);
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.members -= 1;
            if entry.members == 0 {
                self.sessions.remove(&session);
            }
        }
    }

    /// Enters one more thread of an existing process; ENOMEM when its list cannot grow.
    pub fn insert_thread(&mut self, thread: Arc<Thread>) -> Result<(), Errno> {
        let (tid, pid) = (thread.tid(), thread.process.pid);
        let node = self.node_mut(pid).ok_or(Errno::ESRCH)?;
        node.threads.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        thread.place.store(node.threads.len() as u32, Ordering::Relaxed);
        node.threads.push(thread.clone());
        self.threads += 1;
        self.forks += 1;
        self.change_slot(tid, |slot| slot.thread = Some(thread));
        Ok(())
    }

    /// Takes a thread out; says how many of its process's threads remain.
    pub fn remove_thread(&mut self, thread: &Thread) -> usize {
        self.change_slot(thread.tid(), |slot| slot.thread = None);
        let Some(node) = self.node_mut(thread.process.pid) else { return 0 };
        let place = thread.place.load(Ordering::Relaxed) as usize;
        if node.threads.get(place).is_some_and(|found| core::ptr::eq(&**found, thread)) {
            node.threads.swap_remove(place);
            // The last one of the list has come here.
            if let Some(moved) = node.threads.get(place) {
                moved.place.store(place as u32, Ordering::Relaxed);
            }
        }
        let left = node.threads.len();
        self.threads -= 1;
        left
    }

    /// Gives the last thread of a process the process's id, as `execve` by another thread than the first does.
    pub fn make_first(&mut self, thread: &Arc<Thread>) {
        self.change_slot(thread.tid(), |slot| slot.thread = None);
        thread.become_first();
        self.change_slot(thread.tid(), |slot| slot.thread = Some(thread.clone()));
    }

    /// Takes out a process that has been waited for.
    pub fn remove(&mut self, pid: u32) -> Option<Box<Node>> {
        self.mark_taken(pid, false);
        let node = self.change_slot(pid, |slot| slot.node.take())??;
        self.remove_child(node.parent, &node.links);
        self.leave(node.group, node.session);
        self.processes -= 1;
        Some(node)
    }

    /// Moves a process to another group and session.
    pub fn set_group(&mut self, pid: u32, group: u32, session: u32) {
        let Some(node) = self.node_mut(pid) else { return };
        let old = (node.group, node.session);
        (node.group, node.session) = (group, session);
        // Join before leaving, so that an id which stays in use is never free in between.
        self.join(group, session);
        self.leave(old.0, old.1);
    }

    /// A process's record.
    pub fn node(&self, pid: u32) -> Option<&Node> {
        self.slot(pid)?.node.as_deref()
    }

    /// A process's record, to change.
    pub fn node_mut(&mut self, pid: u32) -> Option<&mut Node> {
        let chunk = self.chunks.get_mut(pid as usize / CHUNK)?.as_mut()?;
        chunk.slots[pid as usize % CHUNK].node.as_deref_mut()
    }

    /// A live process.
    pub fn process(&self, pid: u32) -> Option<Arc<Process>> {
        self.node(pid).map(|node| node.process.clone())
    }

    /// A live thread.
    pub fn thread(&self, tid: u32) -> Option<Arc<Thread>> {
        self.slot(tid)?.thread.clone()
    }

    /// Whether any process is in `group`.
    pub fn group_exists(&self, group: u32) -> bool {
        self.slot(group).is_some_and(|slot| slot.group_members > 0)
    }

    /// The session that `group`'s members are in.
    pub fn group_session(&self, group: u32) -> Option<u32> {
        self.nodes().find(|node| node.group == group).map(|node| node.session)
    }

    /// A session's record.
    pub fn session(&mut self, session: u32) -> Option<&mut Session> {
        self.sessions.get_mut(&session)
    }

    /// The live processes whose ids are at least `from`, by id: so that who changes the tree can go on behind.
    pub fn nodes_from(&self, from: u32) -> impl Iterator<Item = &Node> {
        iter::successors(self.next_node(from), |node| self.next_node(node.process.pid + 1))
    }

    /// All live processes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes_from(0)
    }

    fn next_node(&self, from: u32) -> Option<&Node> {
        let first = from as usize / CHUNK;
        let mut place = from as usize % CHUNK;
        self.chunks.get(first..)?.iter().find_map(|chunk| {
            let place = core::mem::take(&mut place);
            chunk.as_ref()?.next_node(place)
        })
    }

    /// Bytes of the table of ids: of the parts that are in use, and of the list of all that ever were.
    pub fn table_bytes(&self) -> (usize, usize) {
        let chunks = self.chunks.iter().flatten().count();
        (chunks * size_of::<[Slot; CHUNK]>(), self.chunks.capacity() * size_of::<Option<Chunk>>())
    }

    /// Processes, threads, and how many of either were ever made.
    pub fn counts(&self) -> (usize, usize, u64) {
        (self.processes, self.threads, self.forks)
    }

    /// The id that was given out last.
    pub fn last_id(&self) -> u32 {
        self.next.saturating_sub(1)
    }

    /// Whether a group is orphaned: no member has a parent in another group of the same session (POSIX 3.264).
    pub fn is_orphaned(&self, group: u32) -> bool {
        !self.nodes().filter(|node| node.group == group && node.zombie.is_none()).any(|node| {
            self.node(node.parent).is_some_and(|parent| {
                parent.group != group && parent.session == node.session && parent.process.pid != INIT
            })
        })
    }
}
