//! Where CPUs lie in the machine, and which caches they share: by the bits of their APIC ids.
//!
//! ```text
//!   APIC id    │ package │ die │ core │ thread │
//!                        ▲     ▲      ▲
//!                  how many bits are below, by CPUID
//! ```
//!
//! Sources: Intel SDM volume 2A, CPUID leaves 4, 0BH and 1FH; AMD APM volume 3, functions 8000_0005, 8000_0006, 8000_0008 and
//! 8000_001D. All CPUs are taken to be alike.

use super::{cpu, smp};
use alloc::vec::Vec;
use raw_cpuid::{Associativity, CacheType, CpuId, native_cpuid::cpuid_count};

/// How many bits of an APIC id are below those that number the cores, the dies and the packages.
#[derive(Clone, Copy, Debug)]
pub struct Widths {
    /// Bits that number the threads of a core.
    pub thread: u32,
    /// These, and those that number the cores of a die.
    pub core: u32,
    /// All that is below a package's number.
    pub die: u32,
}

/// A CPU's place: numbers within what is around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The package (the socket).
    pub package: u32,
    /// The die in its package.
    pub die: u32,
    /// The core in its die.
    pub core: u32,
}

/// A cache of a CPU.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Distance from the core, from 1.
    pub level: u8,
    /// What is in it: `Data`, `Instruction` or `Unified`.
    pub contents: &'static str,
    /// Bytes in a line.
    pub line: usize,
    /// Lines with one tag.
    pub partitions: usize,
    /// Lines that an address may be in.
    pub ways: usize,
    /// Groups of so many lines.
    pub sets: usize,
    /// CPUs share it whose APIC ids are the same but for so many bits.
    pub sharing: u32,
}

impl Cache {
    /// Bytes in it.
    pub fn size(&self) -> usize {
        self.line * self.partitions * self.ways * self.sets
    }
}

/// The bits that stand for one of so many.
fn bits_for(count: usize) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

/// The widths in this machine.
pub fn widths() -> Widths {
    if let Some(widths) = [0x1f, 0xb].into_iter().find_map(listed_widths) {
        return widths;
    }
    // What is older has no die but the package, and what has threads says how many bits they take as above.
    let id = CpuId::new();
    let cores = match id.get_processor_capacity_feature_info() {
        Some(capacity) if capacity.apic_id_size() > 0 => capacity.apic_id_size().into(),
        _ => id.get_feature_info().map_or(0, |basic| match basic.has_htt() {
            true => bits_for(basic.max_logical_processor_ids().into()),
            false => 0,
        }),
    };
    Widths { thread: 0, core: cores, die: cores }
}

/// The widths that an extended topology leaf lists, level by level; `None` where there is no such leaf.
fn listed_widths(leaf: u32) -> Option<Widths> {
    const THREADS: u32 = 1;
    const DIES: u32 = 5;
    if cpuid_count(0, 0).eax < leaf {
        return None;
    }
    let mut widths = None;
    for level in 0..8 {
        let listed = cpuid_count(leaf, level);
        let (kind, width) = (listed.ecx >> 8 & 0xff, listed.eax & 0x1f);
        if kind == 0 || listed.ebx & 0xffff == 0 {
            break;
        }
        let so_far = widths.get_or_insert(Widths { thread: 0, core: width, die: width });
        so_far.die = width;
        if kind == THREADS {
            so_far.thread = width;
        }
        if kind < DIES {
            so_far.core = width;
        }
    }
    widths
}

/// Where a running CPU is, by the machine's widths.
pub fn place(cpu: usize, widths: Widths) -> Place {
    let id = smp::apic_id(cpu);
    let between = |from: u32, to: u32| id >> from & ((1 << (to - from)) - 1);
    Place {
        package: id >> widths.die,
        die: between(widths.core, widths.die),
        core: between(widths.thread, widths.core),
    }
}

/// A running CPU's APIC id without its last bits.
pub fn number_above(cpu: usize, bits: u32) -> u32 {
    smp::apic_id(cpu) >> bits
}

/// The CPUs whose APIC ids are the same as one's, but for so many bits.
pub fn together(cpu: usize, bits: u32) -> impl Iterator<Item = usize> {
    (0..cpu::count()).filter(move |other| number_above(*other, bits) == number_above(cpu, bits))
}

/// The caches of a CPU, from the nearest.
pub fn caches() -> Vec<Cache> {
    let id = CpuId::new();
    let is_amd = id.get_vendor_info().is_some_and(|vendor| vendor.as_str() == "AuthenticAMD");
    let extended = id.get_extended_processor_and_feature_identifiers();
    if is_amd && !extended.is_some_and(|extended| extended.has_topology_extensions()) {
        return older_caches(&id);
    }
    let listed = id.get_cache_parameters().into_iter().flatten();
    let known = listed.filter_map(|cache| {
        let contents = match cache.cache_type() {
            CacheType::Data => "Data",
            CacheType::Instruction => "Instruction",
            CacheType::Unified => "Unified",
            CacheType::Null | CacheType::Reserved => return None,
        };
        Some(Cache {
            level: cache.level(),
            contents,
            line: cache.coherency_line_size(),
            partitions: cache.physical_line_partitions(),
            ways: cache.associativity(),
            sets: cache.sets(),
            sharing: bits_for(cache.max_cores_for_cache()),
        })
    });
    known.collect()
}

/// The caches that a processor of AMD's without the leaf for them has: the last level is all cores'.
fn older_caches(id: &CpuId<raw_cpuid::CpuIdReaderNative>) -> Vec<Cache> {
    let (near, far) = (id.get_l1_cache_and_tlb_info(), id.get_l2_l3_cache_and_tlb_info());
    let cache = |level, contents, kilobytes: usize, associativity, line: u8, sharing| {
        let (bytes, line) = (kilobytes * 1024, usize::from(line));
        let ways = match associativity {
            Associativity::DirectMapped => 1,
            Associativity::NWay(ways) => ways.into(),
            Associativity::FullyAssociative => bytes / line.max(1),
            Associativity::Disabled | Associativity::Unknown => 0,
        };
        let sets = bytes.checked_div(line * ways)?;
        (sets > 0).then_some(Cache { level, contents, line, partitions: 1, ways, sets, sharing })
    };
    let all = widths().die;
    let near = near.map(|l1| {
        let (data, code) = (l1.dcache_size().into(), l1.icache_size().into());
        [
            cache(1, "Data", data, l1.dcache_associativity(), l1.dcache_line_size(), 0),
            cache(1, "Instruction", code, l1.icache_associativity(), l1.icache_line_size(), 0),
        ]
    });
    let far = far.map(|far| {
        let (l2, l3) = (usize::from(far.l2cache_size()), 512 * usize::from(far.l3cache_size()));
        [
            cache(2, "Unified", l2, far.l2cache_associativity(), far.l2cache_line_size(), 0),
            cache(3, "Unified", l3, far.l3cache_associativity(), far.l3cache_line_size(), all),
        ]
    });
    near.into_iter().chain(far).flatten().flatten().collect()
}
