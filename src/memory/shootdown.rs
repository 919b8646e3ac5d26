//! Asking other CPUs to flush their TLBs, and awaiting that they have.
//!
//! ```text
//!   requester: claim a ticket ─► ticket.pending = CPUs ─► set the ticket's bit in each CPU's requests ─► IPI ─► await
//!   each CPU:  take all requests ─► flush ─► clear own bit in each ticket.pending ─► the last one wakes the requester
//! ```
//!
//! All memory is static: the handler takes no lock and allocates nothing, and requests that meet share one interrupt.

use crate::arch::cpu::{self, MAX_CPUS};
use crate::arch::interrupts::{self, vector};
use crate::arch::ipi;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use core::task::{Context, Poll};
use executor::sync::WakeCell;

/// Requests under way at a time.
const TICKETS: usize = 64;

struct Ticket {
    /// CPUs that have not answered.
    pending: AtomicU64,
    requester: WakeCell,
}

static TICKET: [Ticket; TICKETS] =
    [const { Ticket { pending: AtomicU64::new(0), requester: WakeCell::new() } }; TICKETS];
/// Bit per ticket that nobody uses.
static UNUSED: AtomicU64 = AtomicU64::new(u64::MAX);
/// Per CPU, a bit per ticket that waits for it.
static REQUESTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// A request to other CPUs. Ready when all have flushed. Dropped earlier, it waits for them spinning: what the caller
/// frees afterwards is free of TLB entries in any case.
#[must_use = "other CPUs may still use what was taken away"]
pub(super) struct Shootdown {
    ticket: Option<usize>,
}

/// Registers the interrupt's handler. Once.
pub(super) fn init() {
    interrupts::register(vector::TLB_SHOOTDOWN, on_interrupt)
        .expect("the shootdown vector has no other handler");
}

/// Sends a request to the CPUs of a mask, which does not contain this one.
#[cold]
pub(super) fn request(cpus: u64) -> Shootdown {
    let ticket = claim();
    // Relaxed: ordered by the requests' bits below.
    TICKET[ticket].pending.store(cpus, Relaxed);
    let mut left = cpus;
    while left != 0 {
        let cpu = left.trailing_zeros() as usize;
        left &= left - 1;
        // SeqCst: pairs with the swap in `on_interrupt`. Whoever finds bits there already knows that an interrupt is
        // on its way that will see the new bit, too.
        if REQUESTS[cpu].fetch_or(1 << ticket, SeqCst) == 0 {
            ipi::tlb_shootdown(cpu);
        }
    }
    Shootdown { ticket: Some(ticket) }
}

/// Takes an unused ticket; spins while all are in use, which ends as soon as some CPU answers.
fn claim() -> usize {
    loop {
        let unused = UNUSED.load(Relaxed);
        if unused == 0 {
            core::hint::spin_loop();
            continue;
        }
        let ticket = unused.trailing_zeros() as usize;
        // Acquire: pairs with the release when it was given back.
        if UNUSED.fetch_and(!(1 << ticket), Acquire) & 1 << ticket != 0 {
            return ticket;
        }
    }
}

/// The interrupt's handler, on each CPU that was asked.
fn on_interrupt(_vector: u8) {
    let cpu = cpu::id();
    // SeqCst: requests that come after this swap send another interrupt.
    let mut requests = REQUESTS[cpu].swap(0, SeqCst);
    if requests == 0 {
        return;
    }
    super::space::obey();
    super::heap::obey();
    while requests != 0 {
        let ticket = &TICKET[requests.trailing_zeros() as usize];
        requests &= requests - 1;
        // AcqRel: the flush comes before the requester's freeing.
        if ticket.pending.fetch_and(!(1 << cpu), AcqRel) == 1 << cpu {
            ticket.requester.wake();
        }
    }
}

impl Shootdown {
    /// Nothing to wait for.
    #[inline(always)]
    pub(super) fn done() -> Self {
        Self { ticket: None }
    }

    /// Whether all CPUs have answered.
    #[inline(always)]
    pub(super) fn is_done(&self) -> bool {
        // Acquire: pairs with the answers.
        self.ticket.is_none_or(|ticket| TICKET[ticket].pending.load(Acquire) == 0)
    }

    /// Waits spinning.
    pub(super) fn finish(self) {
        drop(self);
    }
}

impl Future for Shootdown {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(ticket) = self.ticket else { return Poll::Ready(()) };
        if TICKET[ticket].pending.load(Acquire) == 0 {
            return Poll::Ready(());
        }
        TICKET[ticket].requester.register(context.waker());
        if self.is_done() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Shootdown {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            while TICKET[ticket].pending.load(Acquire) != 0 {
                core::hint::spin_loop();
            }
            // Release: the ticket's next user finds it quiet.
            UNUSED.fetch_or(1 << ticket, core::sync::atomic::Ordering::Release);
        }
    }
}
