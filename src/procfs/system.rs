//! The machine as a whole: `/proc/meminfo`, `/proc/stat`, `/proc/cpuinfo` and so on (proc(5)).

use alloc::string::String;
use core::fmt::Write;

use fs::Op;
use raw_cpuid::{CpuId, CpuIdReader};

use super::{
    idle, load,
    text::{Made, TextBuffer},
};
use crate::{
    arch::{clock, cpu, interrupts, topology},
    command_line,
    device::{disk, volume},
    memory::{self, PAGE_SIZE},
    process::{cpu_time::Parts, times::ticks, tree},
    root,
    syscall::system,
    wall_clock,
};

pub(super) fn command_line(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", command_line::text())?)
}

pub(super) fn version(out: &mut TextBuffer) -> Made {
    let (release, version) = (system::LINUX_RELEASE, system::VERSION);
    Ok(writeln!(out, "Linux version {release} (rusk@rusk) (rustc) {version}")?)
}

/// Seconds since boot, and seconds that all CPUs together have been idle.
pub(super) fn uptime(out: &mut TextBuffer) -> Made {
    let idle: u64 = (0..cpu::count()).map(idle::nanoseconds).sum();
    let hundredths = |ns: u64| (ns / 1_000_000_000, ns / 10_000_000 % 100);
    let ((up, up_part), (idle, idle_part)) = (hundredths(clock::now_ns()), hundredths(idle));
    Ok(writeln!(out, "{up}.{up_part:02} {idle}.{idle_part:02}")?)
}

/// What each CPU has done with its time: user mode, the kernel, nothing. Interrupts are not told apart from what they
/// interrupt, nor nice threads from others.
pub(super) fn statistics(out: &mut TextBuffer) -> Made {
    let now = clock::now_ns();
    let cpus = 0..cpu::count();
    let line = |out: &mut TextBuffer, name: &str, busy: Parts, idle: u64| {
        let [user, kernel, idle] = [busy.user, busy.kernel, idle].map(ticks);
        writeln!(out, "{name} {user} 0 {kernel} {idle} 0 0 0 0 0 0")
    };
    let (mut all_busy, mut all_idle) = (Parts::default(), 0);
    for cpu in cpus.clone() {
        all_busy += idle::busy(cpu);
        all_idle += idle::nanoseconds(cpu);
    }
    line(out, "cpu ", all_busy, all_idle)?;
    for cpu in cpus.clone() {
        line(out, &alloc::format!("cpu{cpu}"), idle::busy(cpu), idle::nanoseconds(cpu))?;
    }
    let polls: u64 = cpus.clone().map(|cpu| executor::stats(cpu).polls).sum();
    let interrupts: u64 = cpus.map(interrupts::count_all).sum();
    let (_, _, forks) = tree::lock().counts();
    let (running, _) = load::threads();
    writeln!(out, "intr {interrupts}")?;
    writeln!(out, "ctxt {polls}")?;
    writeln!(out, "btime {}", wall_clock::now_ns().saturating_sub(now) / 1_000_000_000)?;
    writeln!(out, "processes {forks}")?;
    writeln!(out, "procs_running {running}")?;
    writeln!(out, "procs_blocked 0")?;
    // What interrupts leave to do are tasks as all others.
    out.write_str("softirq 0 0 0 0 0 0 0 0 0 0 0\n")?;
    Ok(())
}

/// Bytes that file systems in memory hold.
fn in_files() -> u64 {
    let mut seen = alloc::vec::Vec::new();
    let mut bytes = 0;
    for mount in root::namespace().mounts() {
        let file_system = mount.mount().superblock().file_system();
        let device = mount.inode().attributes().dev;
        if !matches!(file_system.name(), "tmpfs" | "ramfs" | "rootfs") || seen.contains(&device) {
            continue;
        }
        seen.push(device);
        if let Op::Ready(Ok(space)) = file_system.statfs() {
            bytes += space.blocks.saturating_sub(space.free_blocks) * space.block_size;
        }
    }
    bytes
}

pub(super) fn memory(out: &mut TextBuffer) -> Made {
    for (name, bytes) in memory_sizes() {
        out.append(name.as_bytes())?;
        out.left(b":", 16 - name.len())?;
        out.right(bytes >> 10, 8)?;
        out.append(b" kB\n")?;
    }
    Ok(())
}

/// What `/proc/meminfo` tells, in bytes.
pub(super) fn memory_sizes() -> [(&'static str, u64); 18] {
    let memory = memory::stats();
    let files = in_files();
    let heap = memory.heap_taken_bytes as u64;
    let (total, free) = (memory.total_bytes as u64, memory.free_bytes as u64);
    let of_disks = (fs::cache::cached_pages() * PAGE_SIZE) as u64;
    let dirty = (fs::cache::dirty_pages() * PAGE_SIZE) as u64;
    let programs = total.saturating_sub(free + files + of_disks + heap);
    [
        ("MemTotal", total),
        ("MemFree", free),
        // What files in memory hold cannot be taken back: there is no disk that has it too.
        ("MemAvailable", free + of_disks.saturating_sub(dirty)),
        ("Buffers", 0),
        ("Cached", files + of_disks),
        ("SwapCached", 0),
        ("Active", programs),
        ("Inactive", files + of_disks),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", dirty),
        ("Writeback", 0),
        ("AnonPages", programs),
        ("Shmem", files),
        ("Slab", heap),
        ("SReclaimable", 0),
        ("SUnreclaim", heap),
        ("CommitLimit", total),
    ]
}

/// The kernel heap by size class (slabinfo(5)): `slabtop` reads it. Objects in the CPUs' magazines count as free.
pub(super) fn slabs(out: &mut TextBuffer) -> Made {
    writeln!(out, "slabinfo - version: 2.1")?;
    writeln!(
        out,
        "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> \
         <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>"
    )?;
    for class in memory::heap::class_statistics() {
        let memory::heap::ClassStatistics { size, live, slabs, per_slab } = class;
        writeln!(
            out,
            "{:<17} {live:>6} {:>6} {size:>6} {per_slab:>4}    1 : tunables    0    0    0 : slabdata {slabs:>6} {slabs:>6}      0",
            alloc::format!("kmalloc-{size}"),
            slabs * per_slab,
        )?;
    }
    Ok(())
}

/// Counts of pages, as `vmstat` and its like read them.
pub(super) fn paging(out: &mut TextBuffer) -> Made {
    let memory = memory::stats();
    let pages = |bytes: usize| bytes / PAGE_SIZE;
    writeln!(out, "nr_free_pages {}", pages(memory.free_bytes))?;
    writeln!(out, "nr_zeroed_pages {}", pages(memory.zeroed_bytes))?;
    writeln!(out, "nr_slab_unreclaimable {}", pages(memory.heap_taken_bytes))?;
    for name in ["pgpgin", "pgpgout", "pswpin", "pswpout"] {
        writeln!(out, "{name} 0")?;
    }
    Ok(())
}

pub(super) fn cpu_info(out: &mut TextBuffer) -> Made {
    let id = CpuId::new();
    let vendor = id.get_vendor_info();
    let vendor = vendor.as_ref().map_or("unknown", raw_cpuid::VendorInfo::as_str);
    let brand = id.get_processor_brand_string();
    let brand = brand.as_ref().map_or("unknown", |brand| brand.as_str().trim());
    let basic = id.get_feature_info();
    let (family, model, stepping) =
        basic.as_ref().map_or((0, 0, 0), |f| (f.family_id(), f.model_id(), f.stepping_id()));
    let hertz = clock::parameters().frequency;
    let widths = topology::widths();
    // The last cache; of AMD's, as on Linux, the second.
    let most = if vendor == "AuthenticAMD" { 2 } else { u8::MAX };
    let far = topology::caches().iter().rfind(|cache| cache.level <= most).map(topology::Cache::size);
    for number in 0..cpu::count() {
        writeln!(
            out,
            "processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}"
        )?;
        writeln!(out, "model name\t: {brand}\nstepping\t: {stepping}")?;
        writeln!(out, "cpu MHz\t\t: {}.{:03}", hertz / 1_000_000, hertz / 1000 % 1000)?;
        if let Some(bytes) = far {
            writeln!(out, "cache size\t: {} KB", bytes / 1024)?;
        }
        let place = topology::place(number, widths);
        let siblings = topology::together(number, widths.die).count();
        let cores = siblings / topology::together(number, widths.thread).count();
        writeln!(out, "physical id\t: {}\nsiblings\t: {siblings}", place.package)?;
        writeln!(out, "core id\t\t: {}\ncpu cores\t: {cores}", place.core)?;
        writeln!(out, "fpu\t\t: yes\nfpu_exception\t: yes\nwp\t\t: yes\nflags\t\t:{}", flags(&id))?;
        writeln!(out, "bogomips\t: {}.{:02}", hertz / 500_000, hertz / 5000 % 100)?;
        writeln!(out, "clflush size\t: 64\ncache_alignment\t: 64\n")?;
    }
    Ok(())
}

/// The processor's features that programs may use here, by Linux's names. There is no AVX without XSAVE, which is off.
fn flags<R: CpuIdReader>(id: &CpuId<R>) -> String {
    let mut text = String::new();
    let mut add = |has: bool, name: &str| {
        if has {
            text.push(' ');
            text.push_str(name);
        }
    };
    if let Some(basic) = id.get_feature_info() {
        add(basic.has_fpu(), "fpu");
        add(basic.has_tsc(), "tsc");
        add(basic.has_msr(), "msr");
        add(basic.has_pae(), "pae");
        add(basic.has_cmpxchg8b(), "cx8");
        add(basic.has_apic(), "apic");
        add(basic.has_sysenter_sysexit(), "sep");
        add(basic.has_pge(), "pge");
        add(basic.has_cmov(), "cmov");
        add(basic.has_pat(), "pat");
        add(basic.has_clflush(), "clflush");
        add(basic.has_mmx(), "mmx");
        add(basic.has_fxsave_fxstor(), "fxsr");
        add(basic.has_sse(), "sse");
        add(basic.has_sse2(), "sse2");
        add(basic.has_htt(), "ht");
        add(basic.has_sse3(), "pni");
        add(basic.has_pclmulqdq(), "pclmulqdq");
        add(basic.has_ssse3(), "ssse3");
        add(basic.has_cmpxchg16b(), "cx16");
        add(basic.has_pcid(), "pcid");
        add(basic.has_sse41(), "sse4_1");
        add(basic.has_sse42(), "sse4_2");
        add(basic.has_x2apic(), "x2apic");
        add(basic.has_movbe(), "movbe");
        add(basic.has_popcnt(), "popcnt");
        add(basic.has_tsc_deadline(), "tsc_deadline_timer");
        add(basic.has_aesni(), "aes");
        add(basic.has_rdrand(), "rdrand");
        add(basic.has_hypervisor(), "hypervisor");
    }
    if let Some(more) = id.get_extended_processor_and_feature_identifiers() {
        add(more.has_syscall_sysret(), "syscall");
        add(more.has_execute_disable(), "nx");
        add(more.has_1gib_pages(), "pdpe1gb");
        add(more.has_rdtscp(), "rdtscp");
        add(more.has_64bit_mode(), "lm");
        add(more.has_lahf_sahf(), "lahf_lm");
        add(more.has_lzcnt(), "abm");
    }
    if let Some(extended) = id.get_extended_feature_info() {
        add(extended.has_fsgsbase(), "fsgsbase");
        add(extended.has_bmi1(), "bmi1");
        add(extended.has_smep(), "smep");
        add(extended.has_bmi2(), "bmi2");
        add(extended.has_rep_movsb_stosb(), "erms");
        add(extended.has_invpcid(), "invpcid");
        add(extended.has_rdseed(), "rdseed");
        add(extended.has_adx(), "adx");
        add(extended.has_smap(), "smap");
        add(extended.has_clflushopt(), "clflushopt");
        add(extended.has_sha(), "sha_ni");
        add(extended.has_umip(), "umip");
    }
    text
}

pub(super) fn file_systems(out: &mut TextBuffer) -> Made {
    for name in root::FILE_SYSTEMS {
        writeln!(out, "nodev\t{name}")?;
    }
    for name in volume::KINDS {
        writeln!(out, "\t{name}")?;
    }
    Ok(())
}

pub(super) fn devices(out: &mut TextBuffer) -> Made {
    out.write_str(
        "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n136 pts\n",
    )?;
    out.write_str("\nBlock devices:\n")?;
    for kind in [&disk::LOOP, &disk::SCSI, &disk::VIRTIO] {
        for major in kind.majors {
            writeln!(out, "{major:3} {}", kind.driver)?;
        }
    }
    let (major, driver) = disk::EXTENDED;
    writeln!(out, "{major:3} {driver}")?;
    Ok(())
}

/// Which numbers terminals have, and of which kind they are.
pub(super) fn terminal_drivers(out: &mut TextBuffer) -> Made {
    for (driver, name, major, minors, kind) in [
        ("/dev/tty", "/dev/tty", 5, "0", "system:/dev/tty"),
        ("/dev/console", "/dev/console", 5, "1", "system:console"),
        ("/dev/ptmx", "/dev/ptmx", 5, "2", "system"),
        ("serial", "/dev/ttyS", 4, "64", "serial"),
        ("pty_slave", "/dev/pts", 136, "0-1048575", "pty:slave"),
        ("pty_master", "/dev/ptm", 128, "0-1048575", "pty:master"),
    ] {
        writeln!(out, "{driver:<20} {name:<13} {major:3} {minors:>7} {kind}")?;
    }
    Ok(())
}

/// Where the kernel's messages go: written to, enabled, `/dev/console`, printed to early, in a panic.
pub(super) fn consoles(out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "ttyS0                -W- (EC p a)    4:64")?)
}

/// Nothing is swapped out.
pub(super) fn swaps(out: &mut TextBuffer) -> Made {
    out.write_str("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")?;
    Ok(())
}
