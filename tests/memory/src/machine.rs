//! A simulated machine, under the names of the kernel's `arch`.
//!
//! The thread of a test is one of several simulated CPUs at a time ([`switch`]); an interrupt to another CPU runs its
//! handler at once, with that CPU as the current one. Other threads (of the executor) are CPUs of their own.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Simulated CPUs that a test's thread can be.
pub const SIMULATED: usize = 4;
/// Bytes of physical memory.
const MEMORY: usize = 96 << 20;

pub mod layout {
    pub const USER_END: usize = 0x0000_7fff_ffff_f000;
    pub const PAGE: usize = 4096;
    pub const LARGE_PAGE: usize = 2 << 20;
    pub const SCATTERED: usize = 0xffff_d000_0000_0000;
    pub const DEVICES: usize = 0xffff_e000_0000_0000;

    /// Where the test process has the simulated memory.
    pub fn phys_to_virt(physical: u64) -> usize {
        super::memory() + physical as usize
    }
}

pub mod cpu {
    pub const MAX_CPUS: usize = 64;

    pub struct Features {
        pub pcid: bool,
    }

    pub fn features() -> Features {
        Features { pcid: super::TAGGED.load(super::Ordering::Relaxed) }
    }

    pub fn id() -> usize {
        super::CPU.get()
    }

    pub fn count() -> usize {
        super::SIMULATED
    }
}

pub mod mem {
    /// # Safety
    /// As the kernel's.
    pub unsafe fn clear_page(page: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { page.write_bytes(0, 4096) }
    }

    /// # Safety
    /// As the kernel's.
    pub unsafe fn copy_page(to: *mut u8, from: *const u8) {
        // SAFETY: the caller's promise.
        unsafe { to.copy_from_nonoverlapping(from, 4096) }
    }
}

pub mod user {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Access {
        Read,
        Write,
        Execute,
    }
}

mod tlb;
use tlb::Tlb;

/// The kernel's own entries and tables.
#[path = "../../../src/arch/paging.rs"]
mod hardware;

pub mod paging {
    pub use super::hardware::{Entry, Flags, PAGE, PageTable, index, map, phys_to_virt};

    /// Physical address of the kernel's root table: the page before the memory that is handed out.
    pub fn kernel_root() -> u64 {
        0xff000
    }

    /// # Safety
    /// None needed in the simulation.
    pub unsafe fn load_root(root: u64, tag: u16, keep: bool) {
        super::with(|cpu| cpu.tlb.load(root, tag, keep));
    }

    pub fn flush_page(address: usize) {
        super::with(|cpu| cpu.tlb.forget_page(address));
    }

    pub fn flush_all() {
        super::with(|cpu| cpu.tlb.forget_tag());
    }

    pub fn flush_everything() {
        super::with(|cpu| cpu.tlb.forget_everything());
    }
}

pub mod percpu {
    pub fn magazines() -> *const () {
        super::with(|cpu| cpu.share)
    }

    pub fn set_magazines(value: *const ()) {
        super::with(|cpu| cpu.share = value);
    }

    pub fn address_space() -> *const () {
        super::with(|cpu| cpu.space)
    }

    pub fn set_address_space(value: *const ()) {
        super::with(|cpu| cpu.space = value);
    }
}

pub mod interrupts {
    pub mod vector {
        pub const TLB_SHOOTDOWN: u8 = 0xe2;
    }

    pub fn without<T>(body: impl FnOnce() -> T) -> T {
        body()
    }

    pub fn register(_vector: u8, handler: fn(u8)) -> Result<(), ()> {
        super::HANDLER.store(handler as *mut (), super::Ordering::Relaxed);
        Ok(())
    }
}

pub mod ipi {
    /// Runs the handler as CPU `cpu`: at once, or a moment later on another thread if that CPU is said to be slow.
    pub fn tlb_shootdown(cpu: usize) {
        super::SHOOTDOWNS.fetch_add(1, super::Ordering::Relaxed);
        if super::SLOW.load(super::Ordering::Relaxed) {
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(2));
                handle(cpu);
            });
        } else {
            handle(cpu);
        }
    }

    fn handle(cpu: usize) {
        let handler = super::HANDLER.load(super::Ordering::Relaxed);
        // SAFETY: only `register` stores here.
        let handler = unsafe { core::mem::transmute::<*mut (), fn(u8)>(handler) };
        let before = super::CPU.replace(cpu);
        handler(super::interrupts::vector::TLB_SHOOTDOWN);
        super::CPU.set(before);
    }
}

static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// Whether the CPUs have process-context identifiers.
pub static TAGGED: AtomicBool = AtomicBool::new(false);
/// Whether CPUs take their time to answer interrupts. What they forget then does not show in this thread.
pub static SLOW: AtomicBool = AtomicBool::new(false);
/// Interrupts sent.
pub static SHOOTDOWNS: AtomicUsize = AtomicUsize::new(0);
/// Threads that are not a test's own.
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(SIMULATED);

/// What a CPU has for itself.
struct Cpu {
    space: *const (),
    /// The memory room's own.
    share: *const (),
    tlb: Tlb,
}

impl Cpu {
    fn new() -> Self {
        Self { space: core::ptr::null(), share: core::ptr::null(), tlb: Tlb::new() }
    }
}

thread_local! {
    /// Which CPU this thread is now.
    static CPU: Cell<usize> = Cell::new(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
    /// The CPUs that this thread has been.
    static CPUS: RefCell<HashMap<usize, Cpu>> = RefCell::new(HashMap::new());
}

fn with<T>(work: impl FnOnce(&mut Cpu) -> T) -> T {
    CPUS.with_borrow_mut(|cpus| work(cpus.entry(CPU.get()).or_insert_with(Cpu::new)))
}

/// Makes this thread the simulated CPU `cpu`.
pub fn switch(cpu: usize) {
    CPU.set(cpu);
}

/// Where the current CPU finds `address` for an access; None is a page fault.
pub fn translate(address: usize, write: bool) -> Option<*mut u64> {
    let frame = with(|cpu| cpu.tlb.translate(address, write))?;
    Some(core::ptr::with_exposed_provenance_mut(layout::phys_to_virt(frame) + address % 4096))
}

/// Address of the simulated memory.
pub fn memory() -> usize {
    static BASE: OnceLock<usize> = OnceLock::new();
    *BASE.get_or_init(|| {
        let layout = std::alloc::Layout::from_size_align(MEMORY, 2 << 20).expect("a valid layout");
        // SAFETY: not empty.
        unsafe { std::alloc::alloc_zeroed(layout) }.expose_provenance()
    })
}

/// Brings the memory room up on this CPU, and the whole machine with the first.
pub fn boot() {
    use bootloader_api::BootInfo;
    use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
    static UP: OnceLock<()> = OnceLock::new();
    UP.get_or_init(|| {
        let region = |start, end| MemoryRegion { start, end, kind: MemoryRegionKind::Usable };
        // A hole in the middle, and ends that are no page boundaries.
        let map = Box::leak(Box::new([
            region(0x1000, 0x9f000),
            region(1 << 20, 40 << 20),
            region((44 << 20) + 5, MEMORY as u64 - 7),
        ]));
        crate::memory::init(&BootInfo::new(map.as_mut_slice().into()));
    });
    if percpu::magazines().is_null() {
        crate::memory::init_cpu();
    }
}
