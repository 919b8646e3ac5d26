//! What the firmware's ACPI tables say about the machine: CPUs, interrupt controllers, timers, power.
//!
//! The tables are read by the `acpi` crate, release 5: later ones need an unstable feature of the compiler. They
//! are read once, before memory management runs, into the [`Machine`] that the rest of `arch` asks.

use super::cpu::MAX_CPUS;
use super::layout::phys_to_virt;
use ::acpi::address::{AddressSpace, GenericAddress};
use ::acpi::fadt::Fadt;
use ::acpi::hpet::HpetInfo;
use ::acpi::madt::{Madt, MadtEntry};
use ::acpi::mcfg::Mcfg;
use ::acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use x86_64::instructions::port::Port;

/// An I/O APIC.
#[derive(Clone, Copy, Debug, Default)]
pub struct IoApic {
    /// Physical address of its registers.
    pub address: u64,
    /// The number of its first line.
    pub first_line: u32,
}

/// An ISA interrupt that is not wired to the line of the same number, or not edge-triggered and active-high.
#[derive(Clone, Copy, Debug, Default)]
pub struct Override {
    /// The ISA interrupt.
    pub irq: u8,
    /// The I/O APIC line.
    pub line: u32,
    /// MPS INTI flags: polarity in bits 0-1, trigger mode in bits 2-3.
    pub flags: u16,
}

/// A list with a fixed capacity; what does not fit is left out.
#[derive(Clone, Copy, Debug)]
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> List<T, N> {
    const fn new(empty: T) -> Self {
        Self { items: [empty; N], len: 0 }
    }

    fn push(&mut self, item: T) {
        if self.len < N {
            self.items[self.len] = item;
            self.len += 1;
        }
    }
}

impl<T, const N: usize> core::ops::Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

/// PCI Express configuration space (the first segment's).
#[derive(Clone, Copy, Debug)]
pub struct PciConfig {
    /// Physical address of bus 0's, even where the first bus is another.
    pub address: u64,
    /// First bus.
    pub first_bus: u8,
    /// Last bus.
    pub last_bus: u8,
}

/// How to put the machine into sleep state S5, "soft off".
#[derive(Clone, Copy, Debug)]
pub struct SoftOff {
    /// The PM1a control register's port and the sleep type for it.
    pub a: (u16, u8),
    /// The PM1b control register's, where there is one.
    pub b: Option<(u16, u8)>,
}

/// The machine, as the tables describe it.
#[derive(Debug)]
pub struct Machine {
    /// APIC IDs of the CPUs that can be used.
    pub cpus: List<u32, MAX_CPUS>,
    /// The I/O APICs.
    pub io_apics: List<IoApic, 8>,
    /// Where ISA interrupts are special.
    pub overrides: List<Override, 16>,
    /// PCI Express configuration space.
    pub pci: Option<PciConfig>,
    /// Power off.
    pub soft_off: Option<SoftOff>,
    /// The reset register and the value to write.
    pub reset: Option<(GenericAddress, u8)>,
    /// Port of the power-management timer.
    power_timer: Option<(u16, bool)>,
    /// Physical address of the high-precision event timer.
    hpet: Option<u64>,
}

struct Found(UnsafeCell<Machine>);

// SAFETY: written once by the boot CPU while it is alone (`init`), only read afterwards.
unsafe impl Sync for Found {}

static MACHINE: Found = Found(UnsafeCell::new(Machine {
    cpus: List::new(0),
    io_apics: List::new(IoApic { address: 0, first_line: 0 }),
    overrides: List::new(Override { irq: 0, line: 0, flags: 0 }),
    pci: None,
    soft_off: None,
    reset: None,
    power_timer: None,
    hpet: None,
}));

/// The machine's description; empty before the tables are read.
pub fn machine() -> &'static Machine {
    // SAFETY: no writer after start-up, see `Found`.
    unsafe { &*MACHINE.0.get() }
}

/// The tables as the direct map shows them.
#[derive(Clone)]
struct DirectMap;

impl AcpiHandler for DirectMap {
    unsafe fn map_physical_region<T>(&self, physical: usize, size: usize) -> PhysicalMapping<Self, T> {
        let address =
            NonNull::new(phys_to_virt(physical as u64) as *mut T).expect("the direct map is not at 0");
        // SAFETY: the direct map shows the firmware's memory, permanently.
        unsafe { PhysicalMapping::new(physical, address, size, size, Self) }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}
}

/// Reads the tables. `rsdp` is the root pointer's physical address if the loader passed one.
///
/// # Panics
/// When there are no tables or no CPU in them: Rusk needs them to find the machine's interrupt controllers.
pub(super) fn init(rsdp: Option<u64>) {
    // SAFETY: the loader's pointer, or a search where BIOSes put it; the direct map shows both.
    let tables = unsafe {
        match rsdp {
            Some(address) => AcpiTables::from_rsdp(DirectMap, address as usize),
            None => AcpiTables::search_for_rsdp_bios(DirectMap),
        }
    }
    .unwrap_or_else(|error| panic!("no ACPI tables: {error:?}"));
    // SAFETY: the boot CPU is alone.
    let machine = unsafe { &mut *MACHINE.0.get() };
    match tables.find_table::<Madt>() {
        Ok(madt) => read_madt(machine, madt.get().entries()),
        Err(error) => panic!("no ACPI table of interrupt controllers: {error:?}"),
    }
    if let Ok(mcfg) = tables.find_table::<Mcfg>() {
        machine.pci =
            mcfg.entries().iter().find(|entry| { entry.pci_segment_group } == 0).map(|entry| PciConfig {
                address: entry.base_address,
                first_bus: entry.bus_number_start,
                last_bus: entry.bus_number_end,
            });
    }
    if let Some(pci) = machine.pci {
        log::info!("acpi: PCI Express buses {} to {} at {:#x}", pci.first_bus, pci.last_bus, pci.address);
    }
    log::info!("acpi: {} CPUs, {} I/O APICs", machine.cpus.len(), machine.io_apics.len());
    machine.hpet = HpetInfo::new(&tables).ok().map(|info| info.base_address as u64);
    if let Ok(fadt) = tables.find_table::<Fadt>() {
        let sleep_types = tables
            .dsdt()
            .into_iter()
            .chain(tables.ssdts())
            .find_map(|table| find_soft_off(aml(table.address, table.length)));
        read_fadt(machine, &fadt, sleep_types);
    }
}

fn read_madt<'a>(machine: &mut Machine, entries: impl Iterator<Item = MadtEntry<'a>>) {
    // Enabled, or not yet but may be: only the first can be started.
    const ENABLED: u32 = 1;
    for entry in entries {
        match entry {
            MadtEntry::LocalApic(cpu) if { cpu.flags } & ENABLED != 0 => {
                machine.cpus.push(u32::from(cpu.apic_id));
            }
            MadtEntry::LocalX2Apic(cpu) if { cpu.flags } & ENABLED != 0 => machine.cpus.push(cpu.x2apic_id),
            MadtEntry::IoApic(io) => machine.io_apics.push(IoApic {
                address: u64::from(io.io_apic_address),
                first_line: io.global_system_interrupt_base,
            }),
            MadtEntry::InterruptSourceOverride(source) => machine.overrides.push(Override {
                irq: source.irq,
                line: source.global_system_interrupt,
                flags: source.flags,
            }),
            _ => {}
        }
    }
    assert!(!machine.cpus.is_empty(), "the ACPI tables list no CPU");
}

fn read_fadt(machine: &mut Machine, fadt: &Fadt, sleep_types: Option<(u8, u8)>) {
    let port = |register: GenericAddress| {
        (register.address_space == AddressSpace::SystemIo).then_some(register.address as u16)
    };
    machine.power_timer = fadt
        .pm_timer_block()
        .ok()
        .flatten()
        .and_then(port)
        .map(|port| (port, { fadt.flags }.pm_timer_is_32_bit()));
    if { fadt.flags }.supports_system_reset_via_fadt() {
        machine.reset = fadt.reset_register().ok().map(|register| (register, fadt.reset_value));
    }
    if let Some((type_a, type_b)) = sleep_types
        && let Some(a) = fadt.pm1a_control_block().ok().and_then(port)
    {
        let b = fadt.pm1b_control_block().ok().flatten().and_then(port);
        machine.soft_off = Some(SoftOff { a: (a, type_a), b: b.map(|b| (b, type_b)) });
    }
}

/// A table's AML.
fn aml(address: usize, length: u32) -> &'static [u8] {
    // SAFETY: an address and length from validated tables, in memory that the firmware reserves for them.
    unsafe { core::slice::from_raw_parts(phys_to_virt(address as u64) as *const u8, length as usize) }
}

/// The sleep types for PM1a and PM1b in the package `\_S5`, if this table defines it.
///
/// The package is a constant by specification (ACPI 6.5, 7.4.2), so its bytes are decoded where they stand:
/// NameOp, the name, PackageOp, the package's length and element count, then integers (20.2.5). An interpreter of
/// the whole language would be needed only for tables that are computed, and none exists for stable Rust without
/// a heap.
fn find_soft_off(aml: &[u8]) -> Option<(u8, u8)> {
    const NAME_OP: u8 = 0x08;
    const PACKAGE_OP: u8 = 0x12;
    let at = aml
        .windows(6)
        .position(|bytes| matches!(bytes, [NAME_OP | b'\\', b'_', b'S', b'5', b'_', PACKAGE_OP]))?;
    let package = &aml[at + 6..];
    // Bits 6 and 7 of the first byte count the bytes that follow it in the length.
    let mut rest = package.get(1 + usize::from(package.first()? >> 6) + 1..)?;
    let a = take_integer(&mut rest)?;
    let b = take_integer(&mut rest).unwrap_or(a);
    Some((a, b))
}

/// Takes the low byte of an AML integer constant (ACPI 6.5, 20.2.3).
fn take_integer(aml: &mut &[u8]) -> Option<u8> {
    let (&prefix, rest) = aml.split_first()?;
    let (value, len) = match prefix {
        0x00 => (0, 0),
        0x01 => (1, 0),
        0xff => (0xff, 0),
        0x0a => (*rest.first()?, 1),
        0x0b => (*rest.first()?, 2),
        0x0c => (*rest.first()?, 4),
        0x0e => (*rest.first()?, 8),
        _ => return None,
    };
    *aml = rest.get(len..)?;
    Some(value)
}

/// A clock of known rate, to calibrate others by.
pub(super) struct ReferenceClock {
    /// Ticks per second.
    pub(super) frequency: u64,
    /// What it is.
    pub(super) name: &'static str,
    mask: u64,
    source: Source,
}

enum Source {
    /// Virtual address of the HPET's registers.
    Hpet(usize),
    /// Port of the power-management timer.
    PowerTimer(u16),
}

impl ReferenceClock {
    /// The current tick.
    pub(super) fn read(&self) -> u64 {
        match self.source {
            // SAFETY: the HPET's main counter (IA-PC HPET specification, 2.3.7), mapped uncached.
            Source::Hpet(base) => u64::from(unsafe { ((base + 0xf0) as *const u32).read_volatile() }),
            // SAFETY: reading the timer's port has no side effects.
            Source::PowerTimer(port) => u64::from(unsafe { Port::<u32>::new(port).read() }) & self.mask,
        }
    }

    /// Ticks between two readings, which must be less than one turn of the counter apart.
    pub(super) fn difference(&self, from: u64, to: u64) -> u64 {
        to.wrapping_sub(from) & self.mask
    }
}

/// The best clock of known rate that the machine has.
///
/// # Panics
/// When it has none; ACPI machines have at least the power-management timer.
pub(super) fn reference_clock() -> ReferenceClock {
    let machine = machine();
    if let Some(address) = machine.hpet {
        let base = phys_to_virt(address);
        // SAFETY: the HPET's registers, mapped uncached: capabilities at 0, configuration at 16 (bit 0 lets the
        // counter run).
        let period_fs = unsafe {
            let configuration = (base + 0x10) as *mut u64;
            configuration.write_volatile(configuration.read_volatile() | 1);
            (base as *const u64).read_volatile() >> 32
        };
        if let Some(frequency) = 1_000_000_000_000_000_u64.checked_div(period_fs) {
            return ReferenceClock {
                frequency,
                name: "HPET",
                mask: u64::from(u32::MAX),
                source: Source::Hpet(base),
            };
        }
    }
    let (port, wide) = machine.power_timer.expect("neither HPET nor power-management timer");
    ReferenceClock {
        frequency: 3_579_545,
        name: "PM timer",
        mask: if wide { u64::from(u32::MAX) } else { 0xff_ffff },
        source: Source::PowerTimer(port),
    }
}
