//! What each CPU has for itself, by the kernel's names. Who the current CPU is, the simulator knows; before it runs, it is the
//! first.

use super::tlb::Tlb;
use std::cell::{Cell, RefCell};
use std::ptr::null;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// Most CPUs that a simulated machine has.
const MOST: usize = 8;

struct Processor {
    tlb: RefCell<Tlb>,
    /// The slots of `percpu`.
    thread: Cell<*const ()>,
    answers: Cell<*const super::answers::Answers>,
    is_answering: Cell<bool>,
    magazines: Cell<*const ()>,
    address_space: Cell<*const ()>,
    /// Whether it holds registers of a user thread.
    holds_user: Cell<bool>,
}

thread_local! {
    static PROCESSORS: [Processor; MOST] = std::array::from_fn(|_| Processor {
        tlb: RefCell::new(Tlb::new()),
        thread: Cell::new(null()),
        answers: Cell::new(null()),
        is_answering: Cell::new(true),
        magazines: Cell::new(null()),
        address_space: Cell::new(null()),
        holds_user: Cell::new(false),
    });
    /// Who the current CPU is outside of the simulator's coroutines.
    static SETTING_UP: Cell<usize> = const { Cell::new(0) };
}

/// Number of CPUs. Relaxed, as all here: there is one thread.
static COUNT: AtomicUsize = AtomicUsize::new(1);
/// Whether the CPUs have process-context identifiers.
static TAGGED: AtomicBool = AtomicBool::new(false);

/// Nothing in `work` may be a place to switch: it holds what belongs to a CPU.
fn here<T>(work: impl FnOnce(&Processor) -> T) -> T {
    PROCESSORS.with(|processors| work(&processors[cpu::id()]))
}

/// Where the current CPU finds `address` for an access; None is a page fault.
pub(super) fn translate(address: usize, write: bool) -> Option<*mut u8> {
    let frame = here(|this| this.tlb.borrow_mut().translate(address, write))?;
    Some(std::ptr::with_exposed_provenance_mut(super::layout::phys_to_virt(frame) + address % paging::PAGE))
}

/// The processors.
pub mod cpu {
    use super::{COUNT, MOST, Relaxed, SETTING_UP, TAGGED};

    pub const MAX_CPUS: usize = 64;

    /// What the kernel asks a processor for.
    pub struct Features {
        /// Process-context identifiers.
        pub pcid: bool,
    }

    pub fn features() -> Features {
        Features { pcid: TAGGED.load(Relaxed) }
    }

    pub fn id() -> usize {
        executor::sim::cpu().unwrap_or_else(|| SETTING_UP.get())
    }

    pub fn count() -> usize {
        COUNT.load(Relaxed)
    }

    /// There are so many, of such a kind; what each needs, `set_up` does there.
    pub fn start(count: usize, tagged: bool, set_up: impl Fn(usize)) {
        assert!(count <= MOST, "not so many CPUs");
        COUNT.store(count, Relaxed);
        TAGGED.store(tagged, Relaxed);
        for cpu in 0..count {
            SETTING_UP.set(cpu);
            set_up(cpu);
        }
        SETTING_UP.set(0);
    }

    /// There is no generator of random numbers: a run is to be repeated.
    pub fn random() -> Option<u64> {
        None
    }

    pub fn hwcap() -> usize {
        0
    }

    pub fn hwcap2() -> usize {
        0
    }
}

/// The per-CPU block.
pub mod percpu {
    use super::here;
    use crate::arch::answers::Answers;

    macro_rules! slot {
        ($get:ident, $set:ident) => {
            pub fn $get() -> *const () {
                here(|this| this.$get.get())
            }

            pub fn $set(value: *const ()) {
                here(|this| this.$get.set(value));
            }
        };
    }

    slot!(thread, set_thread);
    slot!(magazines, set_magazines);
    slot!(address_space, set_address_space);

    pub fn set_answers(answers: &Answers) {
        here(|this| this.answers.set(answers));
    }

    /// Whether the entry code answers calls.
    pub(in crate::arch) fn set_answering(answering: bool) {
        here(|this| this.is_answering.set(answering));
    }

    /// What the entry code would answer to a call, if it would.
    pub(in crate::arch) fn answer(number: u32) -> Option<u32> {
        let answers = here(|this| this.is_answering.get().then(|| this.answers.get()))?;
        // SAFETY: noted in the poll of the thread that is in user mode here.
        unsafe { answers.as_ref() }?.get(number)
    }

    pub(in crate::arch) fn holds_user() -> bool {
        here(|this| this.holds_user.get())
    }

    pub(in crate::arch) fn set_holds_user(holds: bool) {
        here(|this| this.holds_user.set(holds));
    }

    pub fn worker_of_this_cpu() -> Option<&'static executor::Worker> {
        executor::hooks::worker()
    }
}

/// Page tables and the TLB.
pub mod paging {
    use super::here;
    pub use crate::arch::hardware::{Entry, Flags, PAGE, PageTable, index, map, phys_to_virt};

    /// Physical address of the kernel's root table: the page before the memory that is handed out.
    pub fn kernel_root() -> u64 {
        0xff000
    }

    /// # Safety
    /// None needed in the simulation.
    pub unsafe fn load_root(root: u64, tag: u16, keep: bool) {
        here(|this| this.tlb.borrow_mut().load(root, tag, keep));
    }

    pub fn flush_page(address: usize) {
        here(|this| this.tlb.borrow_mut().forget_page(address));
    }

    pub fn flush_all() {
        here(|this| this.tlb.borrow_mut().forget_tag());
    }

    pub fn flush_everything() {
        here(|this| this.tlb.borrow_mut().forget_everything());
    }
}

/// The CPUs' names for one another.
pub mod smp {
    /// The APIC ID of a CPU: its number.
    pub fn apic_id(cpu: usize) -> u32 {
        cpu as u32
    }
}

/// Interrupts: the simulator's.
pub mod interrupts {
    use super::{AtomicPtr, Relaxed};

    pub mod vector {
        pub const TLB_SHOOTDOWN: u8 = 0xe2;
        pub const WAKE: u8 = 0xe0;
        pub const KICK: u8 = 0xe1;
        pub const TIMER: u8 = 0xef;
        pub const APIC_ERROR: u8 = 0xfe;
        pub const SPURIOUS: u8 = 0xff;
    }

    /// What has a device vector: nothing does.
    pub struct Source {
        pub wiring: Wiring,
        pub name: &'static str,
    }

    #[allow(dead_code, reason = "there are no devices")]
    pub enum Wiring {
        Line { line: u32, is_level: bool },
        Message,
    }

    /// Of vectors, only the shootdown's has a handler that is the kernel's own business.
    static HANDLER: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

    pub fn register(vector: u8, handler: fn(u8)) -> Result<(), ()> {
        assert_eq!(vector, vector::TLB_SHOOTDOWN, "there is no such device");
        HANDLER.store(handler as *mut (), Relaxed);
        Ok(())
    }

    /// Runs it.
    pub(super) fn on_shootdown() {
        // SAFETY: only `register` stores here, before anybody sends one.
        let handler = unsafe { core::mem::transmute::<*mut (), fn(u8)>(HANDLER.load(Relaxed)) };
        handler(vector::TLB_SHOOTDOWN);
    }

    pub fn without<T>(body: impl FnOnce() -> T) -> T {
        executor::sim::without_interrupts(body)
    }

    /// No sample is taken here that would ask.
    pub fn came_in_kernel_mode() -> bool {
        unreachable!("no timer's handler takes samples")
    }

    pub fn count(_cpu: usize, _vector: u8) -> u64 {
        0
    }

    pub fn count_all(_cpu: usize) -> u64 {
        0
    }

    pub fn sources() -> impl Iterator<Item = (u8, Source)> {
        std::iter::empty()
    }
}

/// Interrupts to other CPUs.
pub mod ipi {
    use super::interrupts;

    /// As the handler of wake-ups would: the worker looks up.
    pub fn kick(cpu: usize) {
        executor::sim::interrupt_after(cpu, 0, || {
            if let Some(worker) = executor::hooks::worker() {
                worker.on_wake_interrupt();
            }
        });
        executor::sim::point();
    }

    pub fn tlb_shootdown(cpu: usize) {
        executor::sim::interrupt_after(cpu, 0, interrupts::on_shootdown);
        executor::sim::point();
    }
}

/// Time: the simulator's.
pub mod clock {
    /// How time follows from cycles: they are nanoseconds.
    pub struct Parameters {
        /// Cycles per second.
        pub frequency: u64,
        /// The wall clock at time 0: nanoseconds since 1970, UTC.
        pub boot_time: u64,
    }

    pub fn parameters() -> Parameters {
        Parameters { frequency: 1_000_000_000, boot_time: 1_700_000_000_000_000_000 }
    }

    pub fn cycles() -> u64 {
        executor::hooks::cycles()
    }

    pub fn now_ns() -> u64 {
        executor::hooks::now()
    }

    pub fn to_ns(cycles: u64) -> u64 {
        cycles
    }

    pub fn span_ns(cycles: u64) -> u64 {
        cycles
    }

    pub fn machine_wall_ns() -> u64 {
        parameters().boot_time + now_ns()
    }
}
