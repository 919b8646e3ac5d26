//! The registers of a thread that waits, as others see them.
//!
//! They lie in the thread's future, where only its own polls touch them, and no thread spends an instruction or a byte on
//! telling others what they are. Whoever looks reads them in place, and counts what it has read only if the thread was not
//! polled meanwhile.

use super::UserContext;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

/// Where in the cell of a thread's task its registers lie: the same for all threads, whose futures are of one type. 0 until
/// one has run. Relaxed: whoever looks at a thread has found it by a lock that was taken since.
static OFFSET: AtomicUsize = AtomicUsize::new(0);

/// What a call looks like from outside; of a thread that has not called, only the last two count.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse {
    /// The call's number; none for a thread that is in no call.
    pub call: Option<u64>,
    /// The call's arguments.
    pub arguments: [u64; 6],
    /// The stack pointer.
    pub stack: u64,
    /// Where it will go on.
    pub instruction: u64,
}

impl From<&UserContext> for Glimpse {
    fn from(context: &UserContext) -> Self {
        Self {
            call: Some(context.orig_rax).filter(|call| *call != u64::MAX),
            arguments: [context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9],
            stack: context.rsp,
            instruction: context.rip,
        }
    }
}

/// Notes where the registers of threads are: these are those of the thread whose task has this cell.
pub fn note(cell: usize, context: &UserContext) {
    let offset = core::ptr::from_ref(context).addr().wrapping_sub(cell);
    let before = OFFSET.load(Ordering::Relaxed);
    if before == 0 {
        OFFSET.store(offset, Ordering::Relaxed);
    }
    debug_assert!(before == 0 || before == offset, "the futures of threads are of one type");
}

/// Looks at a thread's registers, in the cell of its task. `turn` answers which of the thread's polls was the last, None
/// while it is being polled or has no registers any more. None if that was so at any time.
///
/// # Safety
/// The cell is that of a thread's task whose first poll has begun, or was: it is never given back. Whoever polls the thread
/// makes `turn` answer otherwise, with a full fence, before it writes a register.
pub unsafe fn look(cell: usize, turn: impl Fn() -> Option<u32>) -> Option<Glimpse> {
    let before = turn()?;
    let offset = OFFSET.load(Ordering::Relaxed);
    if offset == 0 {
        return None;
    }
    let context = core::ptr::with_exposed_provenance::<UserContext>(cell + offset);
    // SAFETY: readable for ever. Volatile, as a poll may begin at any moment; then what is read here is not used. Any bits
    // are a number.
    let glimpse = unsafe {
        let call = (&raw const (*context).orig_rax).read_volatile();
        let arguments = [
            (&raw const (*context).rdi).read_volatile(),
            (&raw const (*context).rsi).read_volatile(),
            (&raw const (*context).rdx).read_volatile(),
            (&raw const (*context).r10).read_volatile(),
            (&raw const (*context).r8).read_volatile(),
            (&raw const (*context).r9).read_volatile(),
        ];
        let stack = (&raw const (*context).rsp).read_volatile();
        let instruction = (&raw const (*context).rip).read_volatile();
        Glimpse { call: Some(call).filter(|call| *call != u64::MAX), arguments, stack, instruction }
    };
    // Who has not seen a poll begin has seen nothing above that it has written.
    fence(Ordering::SeqCst);
    (turn() == Some(before)).then_some(glimpse)
}
