//! Calls that a thread has given up (seccomp(2)): programs that judge each call before it is served.
//!
//! ```text
//!   call ──► tracer's stop ──► newest layer ─► the one under it ─► ... ──► the strictest answer
//!                                                                            │
//!               served ◄── allow, log ──┤
//!        an error, SIGSYS ◄── errno, trap ──┤ ◄── trace: a tracer's stop, then judged once more
//!                  the end ◄── kill ──┘
//! ```
//!
//! A thread's confinement is a chain of layers that only grows. Children and new threads share it, `execve` keeps it,
//! and a thread may put its own on all threads of its process. Who is confined has [`Attention::CONFINED`] up, and takes
//! the [watched](super::trace::watch) way through user mode, as one that is traced; all others pay nothing.
//!
//! `program` is the machine that the programs run on. Nobody can be asked by `SECCOMP_RET_USER_NOTIF` here: such calls are
//! answered as on Linux where nobody listens.
//!
//! Locks: the tree's, where layers are added or inherited, then that of a process's [`Confinements`]; for a call that alone.

mod program;

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc};

use executor::sync::SpinMutex;
use linux_raw_sys::ptrace as linux;
use once_cell::race::OnceBox;
use syscalls::{Errno, Sysno};

use super::{
    Caller, Thread, exit,
    run::suspending,
    signal::{SigInfo, numbers::*, send},
    thread::Attention,
    trace::points,
    tree,
    wait::ExitStatus,
};
use crate::{arch::user::UserContext, syscall};

pub use program::{Instruction, MAX, Program};

/// `AUDIT_ARCH_X86_64`.
pub const ARCHITECTURE: u32 = 0xc000_003e;
/// The most instructions of all layers together, each of which counts as four more than it has.
const TOTAL: usize = (1 << 18) / size_of::<Instruction>();
/// What a layer counts beside its instructions.
const LAYER: usize = 4;

/// What is judged: the words of a `struct seccomp_data`, which are the call's number, the architecture, the address behind
/// the instruction, and the arguments.
pub struct Data([u32; 16]);

impl Data {
    fn of(context: &UserContext) -> Self {
        let mut words = [0; 16];
        (words[0], words[1]) = (context.orig_rax as u32, ARCHITECTURE);
        let long =
            [context.rip(), context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9];
        for (pair, long) in words[2..].chunks_exact_mut(2).zip(long) {
            pair.copy_from_slice(&[long as u32, (long >> 32) as u32]);
        }
        Self(words)
    }

    fn word(&self, index: u8) -> u32 {
        self.0[usize::from(index) % 16]
    }
}

/// What a thread has put on itself at once.
pub enum Rule {
    /// Nothing but `read`, `write`, `exit` and `rt_sigreturn` (`SECCOMP_MODE_STRICT`).
    Strict,
    /// What a program says.
    Program(Program),
}

/// A rule over those that were there before.
struct Layer {
    rule: Rule,
    under: Option<Arc<Layer>>,
    /// Instructions of this and all under it, with what each layer counts.
    total: usize,
    depth: u32,
}

impl Layer {
    /// The answer with the highest precedence, of several the newest layer's. All programs together may take hundreds of
    /// thousands of instructions, so others get their turn in between.
    async fn judge(&self, data: &Data) -> u32 {
        // As Linux compares them: with its highest bit, an answer is below 0.
        let rank = |answer: u32| (answer & linux::SECCOMP_RET_ACTION_FULL) as i32;
        let mut strictest = linux::SECCOMP_RET_ALLOW;
        let (mut next, mut in_turn) = (Some(self), 0);
        while let Some(layer) = next {
            if let Rule::Program(program) = &layer.rule {
                in_turn += program.len();
                if in_turn > MAX {
                    in_turn = program.len();
                    executor::yield_now().await;
                }
                let answer = program.run(data);
                strictest = if rank(answer) < rank(strictest) { answer } else { strictest };
            }
            next = layer.under.as_deref();
        }
        strictest
    }

    fn is_strict(&self) -> bool {
        matches!(self.rule, Rule::Strict)
    }
}

impl Drop for Layer {
    /// Layer by layer, as there may be thousands, and the stack is small.
    fn drop(&mut self) {
        let mut next = self.under.take();
        while let Some(mut layer) = next.and_then(Arc::into_inner) {
            next = layer.under.take();
        }
    }
}

/// The layers of a process's threads, by [`Thread::key`]. Few ever have any, and all others have a word for it.
#[derive(Default)]
pub struct Confinements(OnceBox<SpinMutex<BTreeMap<usize, Arc<Layer>>>>);

impl Thread {
    /// Its layers; none for most.
    fn confinement(&self) -> Option<Arc<Layer>> {
        self.process.confinements.0.get()?.lock().get(&self.key()).cloned()
    }

    /// `SECCOMP_MODE_*`, and how many programs there are.
    pub fn confinement_mode(&self) -> (u32, u32) {
        match self.confinement() {
            None => (linux::SECCOMP_MODE_DISABLED, 0),
            Some(layer) if layer.is_strict() => (linux::SECCOMP_MODE_STRICT, 0),
            Some(layer) => (linux::SECCOMP_MODE_FILTER, layer.depth),
        }
    }

    /// Whether it is where another has been, or where it is now.
    fn is_confined_before(&self, other: Option<&Arc<Layer>>) -> bool {
        let Some(own) = self.confinement() else { return true };
        let mut layers = core::iter::successors(other, |layer| layer.under.as_ref());
        layers.any(|layer| Arc::ptr_eq(layer, &own))
    }

    fn put_under(&self, layer: Arc<Layer>) {
        let old = self.process.confinements.0.get_or_init(Box::default).lock().insert(self.key(), layer);
        drop(old);
        self.raise(Attention::CONFINED);
    }

    /// Is confined like its maker. Under the tree's lock, so that no rule for all threads misses it; and before it runs.
    pub(super) fn inherit_confinement(&self, maker: &Self) {
        if let Some(layer) = maker.confinement() {
            self.put_under(layer);
        }
    }
}

impl Drop for Thread {
    /// Before its key is another's.
    fn drop(&mut self) {
        if self.attention().contains(Attention::CONFINED)
            && let Some(confinements) = self.process.confinements.0.get()
        {
            let old = confinements.lock().remove(&self.key());
            drop(old);
        }
    }
}

/// Puts a rule over those of the calling thread; with `everywhere`, puts the outcome on all threads of its process. The
/// thread with layers that the caller does not have, if that keeps it from doing so: then nothing is done.
///
/// # Errors
/// EINVAL if it is of the other mode, ENOMEM if there are too many instructions.
pub fn confine(caller: &Caller, rule: Rule, everywhere: bool) -> Result<Option<u32>, Errno> {
    let tree = tree::lock();
    let under = caller.thread.confinement();
    let is_strict = matches!(rule, Rule::Strict);
    if under.as_ref().is_some_and(|layer| layer.is_strict() != is_strict) {
        return Err(Errno::EINVAL);
    }
    let own = match &rule {
        Rule::Strict => 0,
        Rule::Program(program) => program.len(),
    };
    let (below, depth) = under.as_ref().map_or((0, 0), |layer| (layer.total, layer.depth));
    if below + own > TOTAL {
        return Err(Errno::ENOMEM);
    }
    let node = tree.node(caller.process().pid).ok_or(Errno::ESRCH)?;
    let others = || node.threads.iter().filter(|thread| everywhere && !Arc::ptr_eq(thread, &caller.thread));
    if let Some(other) = others().find(|thread| !thread.is_confined_before(under.as_ref())) {
        return Ok(Some(other.tid()));
    }
    let layer = Arc::new(Layer { rule, under, total: below + own + LAYER, depth: depth + 1 });
    others().for_each(|thread| thread.put_under(layer.clone()));
    caller.thread.put_under(layer);
    Ok(None)
}

/// Whether an answer of programs is known here (`SECCOMP_GET_ACTION_AVAIL`).
pub fn is_known(answer: u32) -> bool {
    matches!(
        answer,
        linux::SECCOMP_RET_KILL_PROCESS
            | linux::SECCOMP_RET_KILL_THREAD
            | linux::SECCOMP_RET_TRAP
            | linux::SECCOMP_RET_ERRNO
            | linux::SECCOMP_RET_TRACE
            | linux::SECCOMP_RET_LOG
            | linux::SECCOMP_RET_ALLOW
    )
}

/// Judges a call that begins. If it is not to be served, what becomes of it is done: its result is in the registers, a
/// signal is pending, or the thread is to end.
pub async fn admits(caller: &mut Caller, context: &mut UserContext) -> bool {
    let Some(layer) = caller.thread.confinement() else { return true };
    if layer.is_strict() {
        let number = Sysno::new(context.orig_rax as usize);
        if matches!(number, Some(Sysno::read | Sysno::write | Sysno::exit | Sysno::rt_sigreturn)) {
            return true;
        }
        end(caller, SIGKILL, false);
        return false;
    }
    let mut is_seen = false;
    loop {
        let data = Data::of(context);
        let answer = suspending(context, layer.judge(&data)).await;
        if context.is_suspended() {
            caller.thread.note_interruption();
        }
        let data = (answer & linux::SECCOMP_RET_DATA) as u16;
        match answer & linux::SECCOMP_RET_ACTION_FULL {
            linux::SECCOMP_RET_ALLOW | linux::SECCOMP_RET_LOG => return true,
            linux::SECCOMP_RET_TRACE if is_seen => return true,
            linux::SECCOMP_RET_TRACE if points::judged(caller, context, data).await => {
                if caller.thread.is_killed() || (context.orig_rax as i32) < 0 {
                    return false;
                }
                // The tracer may have made another of it.
                is_seen = true;
                continue;
            }
            // Nobody is there to be asked.
            linux::SECCOMP_RET_TRACE | linux::SECCOMP_RET_USER_NOTIF => context.rax = syscall::unserved(),
            linux::SECCOMP_RET_ERRNO => context.rax = (-i64::from(data.min(MAX_ERRNO))) as u64,
            linux::SECCOMP_RET_TRAP => {
                context.rax = context.orig_rax;
                let call = (context.rip(), context.orig_rax as u32);
                send::force(&caller.thread, SigInfo::call(call, data, ARCHITECTURE));
            }
            action => {
                // As a debugger is to see it.
                context.rax = context.orig_rax;
                end(caller, SIGSYS, action != linux::SECCOMP_RET_KILL_THREAD);
            }
        }
        return false;
    }
}

/// The largest number that is an error.
const MAX_ERRNO: u16 = 4095;

/// Ends the calling thread as if by a signal that nobody can handle, or its whole process.
fn end(caller: &Caller, signal: u8, whole: bool) {
    let status = ExitStatus::killed(signal);
    if whole || exit::is_alone(caller) {
        exit::group(caller, status);
    } else {
        exit::alone(caller, status);
    }
}
