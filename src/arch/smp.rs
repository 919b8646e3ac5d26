//! The other CPUs: started one after the other by INIT and start-up interrupts, then let go together.
//!
//! A started CPU begins in real mode in a page below 1 MiB, switches to long mode on the boot page tables (the
//! only ones that map that page where it is), and from there to the kernel's tables, its own stack and Rust.
//! When all are up the boot tables are cleared: nothing maps low addresses to themselves any more.

use super::apic::{self, Command};
use super::cpu::{self, MAX_CPUS};
use super::interrupts::{self, vector};
use super::layout::{KERNEL_OFFSET, PAGE, phys_to_virt};
use super::{acpi, boot, clock, stacks, timer};
use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// How long a CPU may take from its start-up interrupt to Rust. Emulated CPUs share the host's.
const START_LIMIT_NS: u64 = 2_000_000_000;
/// When a CPU that has not answered is asked again.
const RETRY_NS: u64 = 20_000_000;

/// APIC IDs by CPU number. Relaxed: written before the CPU with that number runs.
static APIC_IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// CPUs whose stacks are mapped.
static PLANNED: AtomicUsize = AtomicUsize::new(1);
/// Physical address of the page where CPUs start; 0 if there is none.
static START_PAGE: AtomicU64 = AtomicU64::new(0);
/// The number that the next CPU to come takes, 0 when there is none to take: a CPU that comes after its time is
/// up finds nothing and halts.
#[unsafe(no_mangle)]
static SMP_NEXT: AtomicUsize = AtomicUsize::new(0);
/// Set by a CPU when it is ready. Release, paired with the starter's Acquire.
static READY: AtomicBool = AtomicBool::new(false);
/// Where the started CPUs go, null until they may: a `fn(usize) -> !`. Release in `start`, Acquire in `park`.
static ENTRY: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Offsets in the trampoline: a pointer to its GDT (a limit, then the address) and two far pointers.
const GDT_POINTER: usize = 8;
const FAR_32: usize = 16;
const FAR_64: usize = 24;

global_asm!(
    ".pushsection .rodata.smp, \"a\"",
    ".global smp_trampoline",
    ".global smp_trampoline_end",
    ".balign 16",
    "smp_trampoline:",
    ".code16",
    "jmp smp_16",
    // At fixed places, because the assembler takes no differences of symbols as addresses. The starter adds the
    // page's address to the three pointers.
    ".org smp_trampoline + 8",
    ".word 31",
    ".long smp_gdt - smp_trampoline",
    ".org smp_trampoline + 16",
    ".long smp_32 - smp_trampoline",
    ".word 8",
    ".org smp_trampoline + 24",
    ".long smp_64 - smp_trampoline",
    ".word 24",
    ".balign 8",
    "smp_gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00209a0000000000",
    "smp_16:",
    "cli",
    "cld",
    "mov ax, cs",
    "mov ds, ax",
    "movzx ebx, ax",
    "shl ebx, 4",
    "lgdtd [{gdt_pointer}]",
    "mov eax, 0x11",
    "mov cr0, eax",
    // jmp far dword ptr [far_32]; the assembler has no name for it in 16-bit code.
    ".byte 0x66, 0xff, 0x2e",
    ".word {far_32}",
    ".code32",
    "smp_32:",
    "mov ax, 16",
    "mov ds, ax",
    "mov ss, ax",
    // As in the boot stub: PAE and SSE; long mode and no-execute pages; paging.
    "mov eax, 0x620",
    "mov cr4, eax",
    "lea eax, [boot_pml4 - {offset}]",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    "mov eax, 0x80010033",
    "mov cr0, eax",
    "jmp fword ptr [ebx + {far_64}]",
    ".code64",
    "smp_64:",
    "mov rax, offset smp_high",
    "jmp rax",
    "smp_trampoline_end:",
    ".popsection",

    ".pushsection .text.boot, \"ax\"",
    "smp_high:",
    "mov rax, [rip + {root}]",
    "mov cr3, rax",
    "xor edi, edi",
    "xchg rdi, [rip + SMP_NEXT]",
    "test rdi, rdi",
    "jz 3f",
    "imul rax, rdi, {slot}",
    "mov rsp, {stack}",
    "add rsp, rax",
    "xor ebp, ebp",
    "push 0",
    "jmp {started}",
    "3:",
    "cli",
    "hlt",
    "jmp 3b",
    ".popsection",
    offset = const KERNEL_OFFSET,
    root = sym super::paging::KERNEL_ROOT,
    slot = const stacks::SLOT,
    stack = const stacks::FIRST_MAIN_STACK_TOP,
    started = sym started,
    gdt_pointer = const GDT_POINTER,
    far_32 = const FAR_32,
    far_64 = const FAR_64,
);

unsafe extern "C" {
    static smp_trampoline: u8;
    static smp_trampoline_end: u8;
    static mut boot_pml4: [u64; 512];
}

/// Records the page below 1 MiB that start-up has set aside.
pub(super) fn set_start_page(page: Option<u64>) {
    START_PAGE.store(page.unwrap_or(0), Ordering::Relaxed);
}

/// Decides which CPUs will be used, at most `limit`, and returns how many.
pub(super) fn plan(limit: usize) -> usize {
    let own = apic::id();
    APIC_IDS[0].store(own, Ordering::Relaxed);
    let mut count = 1;
    let others = acpi::machine().cpus.iter().filter(|&&id| id != own);
    for &id in others.take(limit.clamp(1, MAX_CPUS) - 1) {
        APIC_IDS[count].store(id, Ordering::Relaxed);
        count += 1;
    }
    if START_PAGE.load(Ordering::Relaxed) == 0 && count > 1 {
        log::warn!("smp: no memory below 1 MiB to start CPUs from");
        count = 1;
    }
    PLANNED.store(count, Ordering::Relaxed);
    count
}

/// CPUs whose stacks are mapped.
pub(super) fn planned() -> usize {
    PLANNED.load(Ordering::Relaxed)
}

/// The APIC ID of a running CPU.
#[inline]
pub(super) fn apic_id(cpu: usize) -> u32 {
    APIC_IDS[cpu].load(Ordering::Relaxed)
}

/// Starts the other CPUs and returns how many run in all. They wait, halted, until [`start`] lets them go; so
/// what is sized by the number of CPUs can be made in between. Once, on the boot CPU.
pub fn bring_up() -> usize {
    let planned = planned();
    let page = START_PAGE.load(Ordering::Relaxed);
    let mut count = 1;
    if planned > 1 {
        prepare(page);
        for cpu in 1..planned {
            apic::send(apic_id(cpu), Command::INIT);
        }
        // The manual's 10 ms are for processors older than x86-64; current ones are ready at once.
        wait_ns(100_000);
        for candidate in 1..planned {
            let id = apic_id(candidate);
            // A CPU that does not come leaves its number to the next.
            APIC_IDS[count].store(id, Ordering::Relaxed);
            if start_one(id, count, page as u32) {
                count += 1;
            } else {
                log::error!("smp: the CPU with APIC ID {id} does not start");
            }
        }
        // SAFETY: the page is ours; no CPU that was started still runs there.
        unsafe { core::ptr::write_bytes(phys_to_virt(page) as *mut u8, 0, PAGE) };
    }
    // SAFETY: no CPU has these tables loaded any more; one that comes too late finds no mapping and stops.
    unsafe { (&raw mut boot_pml4).write_volatile([0; 512]) };
    cpu::set_count(count);
    log::info!("smp: {count} CPU{} running", if count == 1 { "" } else { "s" });
    count
}

/// Lets the other CPUs go: each calls `entry` with its number, on its own stack, with interrupts on. Starts them
/// first if [`bring_up`] has not.
pub fn start(entry: fn(usize) -> !) {
    if cpu::count() == 1 && planned() > 1 {
        bring_up();
    }
    ENTRY.store(entry as *mut (), Ordering::Release);
    if cpu::count() > 1 {
        apic::send_others(Command::fixed(vector::WAKE));
    }
}

/// Copies the trampoline into its page.
fn prepare(page: u64) {
    let code = &raw const smp_trampoline;
    let len = &raw const smp_trampoline_end as usize - code as usize;
    let target = phys_to_virt(page) as *mut u8;
    // SAFETY: the page is ours and longer than the code; the three addresses are in the code, unaligned.
    unsafe {
        core::ptr::copy_nonoverlapping(code, target, len);
        for offset in [GDT_POINTER + 2, FAR_32, FAR_64] {
            let word = target.add(offset).cast::<u32>();
            word.write_unaligned(word.read_unaligned() + page as u32);
        }
    }
}

fn start_one(apic_id: u32, cpu: usize, page: u32) -> bool {
    READY.store(false, Ordering::Relaxed);
    // Release: all that was prepared is visible to whoever takes the number (an exchange, in assembly).
    SMP_NEXT.store(cpu, Ordering::Release);
    let begin = clock::now_ns();
    let mut retry = begin + RETRY_NS;
    apic::send(apic_id, Command::startup(page));
    loop {
        if READY.load(Ordering::Acquire) {
            return true;
        }
        let now = clock::now_ns();
        if now >= retry && SMP_NEXT.load(Ordering::Relaxed) != 0 {
            apic::send(apic_id, Command::startup(page));
            retry = u64::MAX;
        }
        // Whoever has taken the number is on the way and uses the stack: wait for it as long as it takes.
        if now - begin > START_LIMIT_NS && SMP_NEXT.swap(0, Ordering::Relaxed) != 0 {
            return false;
        }
        core::hint::spin_loop();
    }
}

fn wait_ns(ns: u64) {
    let end = clock::now_ns() + ns;
    while clock::now_ns() < end {
        core::hint::spin_loop();
    }
}

/// The first Rust function of a started CPU.
extern "sysv64" fn started(cpu: usize) -> ! {
    boot::init_cpu(cpu);
    apic::init();
    timer::init();
    READY.store(true, Ordering::Release);
    let entry = loop {
        let entry = ENTRY.load(Ordering::Acquire);
        if !entry.is_null() {
            break entry;
        }
        // Interrupts are off, so the wake-up that `start` sends behind its store cannot be missed.
        interrupts::enable_and_halt();
        interrupts::disable();
    };
    interrupts::enable();
    // SAFETY: only `start` stores here, and only such functions.
    let entry = unsafe { core::mem::transmute::<*mut (), fn(usize) -> !>(entry) };
    entry(cpu)
}
