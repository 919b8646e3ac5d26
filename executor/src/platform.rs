//! What the executor needs from the machine, and how it finds it.
//!
//! The hooks are bound at link time, as the crate `critical-section` does it: one program has one
//! machine, so nothing here is generic over it, and with link-time optimisation a hook is inlined.

use crate::worker::Worker;

/// The machine under the executor. Implement it once per program and name the type in
/// [`platform!`](crate::platform!).
pub trait Platform {
    /// Nanoseconds since boot: monotonic, and the same on all CPUs.
    fn now() -> u64;
    /// The cheapest running counter (the time-stamp counter on x86), for the lengths of polls.
    fn cycles() -> u64;
    /// The worker that this CPU runs; `None` before [`Worker::run`] was called here.
    fn worker() -> Option<&'static Worker>;
    /// Is the caller an interrupt handler?
    fn in_interrupt() -> bool;
    /// Halt this CPU until the next interrupt or [`unpark`](Self::unpark).
    ///
    /// With interrupts off, call `recheck`. If it answers `true` (still idle), enable interrupts
    /// and halt in one step (`sti; hlt`), so that a wake between the two is not lost. Return with
    /// interrupts on after any wake, or at once if `recheck` answered `false`.
    fn park(cpu: usize, recheck: &mut dyn FnMut() -> bool);
    /// Bring `cpu` back from [`park`](Self::park) or from user mode: an IPI whose handler calls
    /// [`Worker::on_wake_interrupt`]. Callable from interrupt handlers.
    fn unpark(cpu: usize);
    /// Set this CPU's one-shot timer to a time of [`now`](Self::now), replacing an earlier setting.
    /// Its handler calls [`Worker::on_timer_interrupt`]. A time that is past fires at once.
    fn arm_timer(deadline_ns: Option<u64>);
    /// Called every few dozen polls. A platform without timer interrupts looks at its clock here.
    fn tick() {}
    /// One round of waiting for a short lock or for work.
    fn relax() {
        core::hint::spin_loop();
    }
}

/// The link-time hooks that [`platform!`](crate::platform!) defines. Safe to call; of use to
/// crates that want the executor's clock without a runtime of their own.
pub mod hooks {
    use crate::worker::Worker;

    unsafe extern "Rust" {
        safe fn __rusk_executor_now() -> u64;
        safe fn __rusk_executor_cycles() -> u64;
        safe fn __rusk_executor_worker() -> Option<&'static Worker>;
        safe fn __rusk_executor_in_interrupt() -> bool;
        safe fn __rusk_executor_park(cpu: usize, recheck: &mut dyn FnMut() -> bool);
        safe fn __rusk_executor_unpark(cpu: usize);
        safe fn __rusk_executor_arm_timer(deadline_ns: Option<u64>);
        safe fn __rusk_executor_tick();
        safe fn __rusk_executor_relax();
    }

    /// [`Platform::now`](super::Platform::now).
    #[inline(always)]
    pub fn now() -> u64 {
        __rusk_executor_now()
    }
    /// [`Platform::cycles`](super::Platform::cycles).
    #[inline(always)]
    pub fn cycles() -> u64 {
        __rusk_executor_cycles()
    }
    /// [`Platform::worker`](super::Platform::worker).
    #[inline(always)]
    pub fn worker() -> Option<&'static Worker> {
        __rusk_executor_worker()
    }
    /// [`Platform::in_interrupt`](super::Platform::in_interrupt).
    #[inline(always)]
    pub fn in_interrupt() -> bool {
        __rusk_executor_in_interrupt()
    }
    #[inline]
    pub(crate) fn park(cpu: usize, recheck: &mut dyn FnMut() -> bool) {
        __rusk_executor_park(cpu, recheck);
    }
    #[inline]
    pub(crate) fn unpark(cpu: usize) {
        __rusk_executor_unpark(cpu);
    }
    #[inline]
    pub(crate) fn arm_timer(deadline_ns: Option<u64>) {
        __rusk_executor_arm_timer(deadline_ns);
    }
    #[inline]
    pub(crate) fn tick() {
        __rusk_executor_tick();
    }
    #[inline]
    pub(crate) fn relax() {
        __rusk_executor_relax();
    }
}

/// Make a type that implements [`Platform`] the machine under the executor. Once per program.
///
/// ```ignore
/// struct Pc;
/// impl executor::Platform for Pc { /* ... */ }
/// executor::platform!(Pc);
/// ```
#[macro_export]
macro_rules! platform {
    ($machine:ty) => {
        const _: () = {
            use $crate::{Platform, Worker};
            // SAFETY (of the unmangled names): the macro is used once per program, and these are
            // exactly the signatures that `executor::hooks` declares.
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_now() -> u64 {
                <$machine as Platform>::now()
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_cycles() -> u64 {
                <$machine as Platform>::cycles()
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_worker() -> Option<&'static Worker> {
                <$machine as Platform>::worker()
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_in_interrupt() -> bool {
                <$machine as Platform>::in_interrupt()
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_park(cpu: usize, recheck: &mut dyn FnMut() -> bool) {
                <$machine as Platform>::park(cpu, recheck)
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_unpark(cpu: usize) {
                <$machine as Platform>::unpark(cpu)
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_arm_timer(deadline_ns: Option<u64>) {
                <$machine as Platform>::arm_timer(deadline_ns)
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_tick() {
                <$machine as Platform>::tick()
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn __rusk_executor_relax() {
                <$machine as Platform>::relax()
            }
        };
    };
}
