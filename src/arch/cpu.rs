//! What this processor can do, and its control registers.

use super::percpu;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use raw_cpuid::{CpuId, ExtendedFeatures, ExtendedProcessorFeatureIdentifiers, FeatureInfo};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::XCr0;

/// Most CPUs that are used.
pub const MAX_CPUS: usize = 64;

/// Number of CPUs that run the kernel.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// This CPU's number: 0 is the one that booted, the others follow in the order of the firmware's table.
///
/// One load from the per-CPU block. Constant within a poll: a task changes CPUs only between polls.
#[inline(always)]
pub fn id() -> usize {
    percpu::cpu()
}

/// Number of CPUs that run the kernel; 1 until `smp::start`.
#[inline]
pub fn count() -> usize {
    // Relaxed: a plain number, final once the other CPUs' start-up is over.
    COUNT.load(Ordering::Relaxed)
}

/// Records how many CPUs run.
pub(super) fn set_count(count: usize) {
    COUNT.store(count, Ordering::Relaxed);
}

/// Optional parts of the processor that the kernel uses where they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// 1 GiB pages.
    pub huge_pages: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// User-mode instruction prevention (SGDT, SIDT, SLDT, SMSW, STR).
    pub umip: bool,
    /// Process-context identifiers.
    pub pcid: bool,
    /// RDFSBASE and its relatives, which user programs may then use too.
    pub fsgsbase: bool,
    /// x2APIC mode.
    pub x2apic: bool,
    /// The local APIC's timer can be given a TSC value.
    pub tsc_deadline: bool,
    /// RDRAND.
    pub rdrand: bool,
    /// The RDTSCP instruction, by which programs learn which CPU they run on.
    pub rdtscp: bool,
    /// The TSC runs at one rate in all power states.
    pub invariant_tsc: bool,
    /// The registers that programs may use beyond the general ones.
    pub state: State,
    /// The XSAVEOPT instruction.
    pub xsaveopt: bool,
    /// XGETBV tells which of those registers are in use.
    pub xgetbv_in_use: bool,
    /// Running under QEMU's emulator (TCG), where instruction costs differ from hardware's.
    pub emulated: bool,
}

/// What XSAVE keeps of a program (Intel SDM volume 1, 13.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// The components, as in XCR0; 0 without XSAVE.
    pub components: u64,
    /// Bytes of the area that has them all, or of FXSAVE's.
    pub size: usize,
}

impl State {
    /// The x87 unit.
    pub const X87: u64 = 1 << 0;
    /// The XMM registers and MXCSR.
    pub const SSE: u64 = 1 << 1;
    /// The upper halves of the YMM registers.
    pub const AVX: u64 = 1 << 2;
    /// What AVX-512 adds: mask registers, the upper halves of ZMM0 to ZMM15, and ZMM16 to ZMM31.
    pub const AVX_512: u64 = 7 << 5;
    /// The upper halves of ZMM0 to ZMM15 among them.
    pub const ZMM: u64 = 1 << 6;
    /// FXSAVE's alone.
    const LEGACY: Self = Self { components: 0, size: 512 };
    /// The most that is made room for: what all of these take on processors that have MPX between the last two.
    pub const LARGEST: usize = 2688;

    /// What this processor has of that. Not the protection keys, for which page tables would have to be made, nor AMX's
    /// 8 KiB, which a program has to ask for.
    fn detect() -> Self {
        const HEADER_END: usize = 576;
        const AVX_SIZE: u32 = 256;
        let cpuid = Self::cpuid;
        let there = u64::from(cpuid(0).eax);
        let end = |component| Self::place(component).end;
        let mut state = Self { components: Self::X87 | Self::SSE, size: HEADER_END };
        let has_avx =
            there & Self::AVX != 0 && cpuid(2).ebx as usize == HEADER_END && cpuid(2).eax == AVX_SIZE;
        if has_avx {
            state = Self { components: state.components | Self::AVX, size: end(2) };
        }
        let all = (5..8).map(end).max().unwrap_or(0);
        if has_avx && there & Self::AVX_512 == Self::AVX_512 && all <= Self::LARGEST {
            state = Self { components: state.components | Self::AVX_512, size: all };
        }
        state
    }

    /// Where the components behind the header are in the area, each with its bit.
    pub fn places(self) -> impl Iterator<Item = (u64, Range<usize>)> {
        let there = (2..u64::BITS).filter(move |component| self.components & 1 << component != 0);
        there.map(|component| (1 << component, Self::place(component)))
    }

    fn place(component: u32) -> Range<usize> {
        let found = Self::cpuid(component);
        found.ebx as usize..(found.ebx + found.eax) as usize
    }

    fn cpuid(subleaf: u32) -> core::arch::x86_64::CpuidResult {
        const LEAF: u32 = 0xd;
        core::arch::x86_64::__cpuid_count(LEAF, subleaf)
    }
}

/// Set once by the boot CPU before anything reads it; all CPUs of a machine are taken to be alike.
struct Detected(core::cell::UnsafeCell<Features>);

// SAFETY: written once by the boot CPU while it is alone (`detect`), only read afterwards.
unsafe impl Sync for Detected {}

static FEATURES: Detected = Detected(core::cell::UnsafeCell::new(Features {
    huge_pages: false,
    smep: false,
    smap: false,
    umip: false,
    pcid: false,
    fsgsbase: false,
    x2apic: false,
    tsc_deadline: false,
    rdrand: false,
    rdtscp: false,
    invariant_tsc: false,
    state: State::LEGACY,
    xsaveopt: false,
    xgetbv_in_use: false,
    emulated: false,
}));
static DETECTED: AtomicBool = AtomicBool::new(false);

/// The processor's optional parts.
#[inline(always)]
pub fn features() -> &'static Features {
    // SAFETY: no writer after start-up, see `Detected`.
    unsafe { &*FEATURES.0.get() }
}

/// Finds out what the processor can do. Once, on the boot CPU, before other CPUs run.
pub(super) fn detect() {
    assert!(!DETECTED.swap(true, Ordering::Relaxed), "features are detected once");
    let cpuid = CpuId::new();
    let basic = cpuid.get_feature_info();
    let basic = basic.as_ref();
    let extended = cpuid.get_extended_feature_info();
    let extended = extended.as_ref();
    let processor = cpuid.get_extended_processor_and_feature_identifiers();
    let has_xsave = basic.is_some_and(FeatureInfo::has_xsave);
    // Intel SDM volume 2, CPUID: leaf 13, subleaf 1.
    let xsave = if has_xsave { core::arch::x86_64::__cpuid_count(0xd, 1).eax } else { 0 };
    let found = Features {
        huge_pages: processor.as_ref().is_some_and(ExtendedProcessorFeatureIdentifiers::has_1gib_pages),
        smep: extended.is_some_and(ExtendedFeatures::has_smep),
        smap: extended.is_some_and(ExtendedFeatures::has_smap),
        umip: extended.is_some_and(ExtendedFeatures::has_umip),
        pcid: basic.is_some_and(FeatureInfo::has_pcid),
        fsgsbase: extended.is_some_and(ExtendedFeatures::has_fsgsbase),
        x2apic: basic.is_some_and(FeatureInfo::has_x2apic),
        tsc_deadline: basic.is_some_and(FeatureInfo::has_tsc_deadline),
        rdrand: basic.is_some_and(FeatureInfo::has_rdrand),
        rdtscp: processor.as_ref().is_some_and(ExtendedProcessorFeatureIdentifiers::has_rdtscp),
        invariant_tsc: cpuid.get_advanced_power_mgmt_info().is_some_and(|a| a.has_invariant_tsc()),
        state: if has_xsave { State::detect() } else { State::LEGACY },
        xsaveopt: xsave & 1 != 0,
        xgetbv_in_use: xsave & 4 != 0,
        emulated: core::arch::x86_64::__cpuid(0x4000_0000).ebx.to_le_bytes() == *b"TCGT",
    };
    // SAFETY: the boot CPU is alone and this runs once (asserted above).
    unsafe { *FEATURES.0.get() = found };
}

/// Sets this CPU's control registers: protection features on where they are, and all vector registers.
pub(super) fn init_control_registers() {
    let features = features();
    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
        | Cr4Flags::PAGE_GLOBAL
        | Cr4Flags::MACHINE_CHECK_EXCEPTION
        | Cr4Flags::OSFXSR
        | Cr4Flags::OSXMMEXCPT_ENABLE;
    cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features.smep);
    cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features.smap);
    cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, features.umip);
    cr4.set(Cr4Flags::PCID, features.pcid);
    cr4.set(Cr4Flags::FSGSBASE, features.fsgsbase);
    let components = features.state.components;
    cr4.set(Cr4Flags::OSXSAVE, components != 0);
    // ALIGNMENT_MASK lets user programs ask for alignment checks by RFLAGS.AC, as on Linux.
    let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
        | Cr0Flags::MONITOR_COPROCESSOR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::ALIGNMENT_MASK
        | Cr0Flags::PAGING;
    // SAFETY: long mode with paging stays on; the kernel obeys each protection that this turns on, and PCID 0 is
    // loaded (CR3's low bits are zero), as turning PCIDs on demands. XCR0 gets what the processor says it has.
    unsafe {
        Cr0::write(cr0);
        Cr4::write(cr4);
        if components != 0 {
            XCr0::write_raw(components);
        }
    }
}

/// Turns on no-execute pages and `syscall` on this CPU; before page tables that use NX are loaded.
pub(super) fn init_efer() {
    // SAFETY: long mode stays on; every x86-64 processor has both features.
    unsafe {
        Efer::update(|efer| {
            efer.insert(EferFlags::NO_EXECUTE_ENABLE | EferFlags::SYSTEM_CALL_EXTENSIONS);
        });
    }
}

/// Has RDTSCP (and RDPID) tell programs that they run on this CPU; what they read is Linux's format, node 0.
pub(super) fn init_number(cpu: usize) {
    const IA32_TSC_AUX: u32 = 0xc000_0103;
    if features().rdtscp {
        // SAFETY: the register exists where RDTSCP does, and the kernel does not depend on it.
        unsafe { Msr::new(IA32_TSC_AUX).write(cpu as u64) };
    }
}

/// A random number from the processor, where it has a generator that answers.
pub fn random() -> Option<u64> {
    if !features().rdrand {
        return None;
    }
    // Intel SDM volume 1, 7.3.17.1: ten attempts, then give up.
    for _ in 0..10 {
        let (value, valid): (u64, u8);
        // SAFETY: RDRAND is there; it writes a register and the carry flag.
        unsafe {
            core::arch::asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) valid, options(nomem, nostack));
        }
        if valid != 0 {
            return Some(value);
        }
    }
    None
}

/// The feature bits that programs get in their auxiliary vector (`AT_HWCAP`): CPUID leaf 1, EDX.
pub fn hwcap() -> usize {
    core::arch::x86_64::__cpuid(1).edx as usize
}

/// The same for `AT_HWCAP2` (`<asm/hwcap2.h>`): what the kernel has switched on for programs to use.
pub fn hwcap2() -> usize {
    const FSGSBASE: usize = 1 << 1;
    if features().fsgsbase { FSGSBASE } else { 0 }
}
