//! `stat` and `status`: what `ps` and `top` read (proc_pid_stat(5), proc_pid_status(5)).

use alloc::string::String;
use core::{fmt::Write, sync::atomic::Ordering::Relaxed};

use fs::{Device, Op};
use syscalls::Errno;

use super::{Answer, Target, memory::Sizes};
use crate::{
    memory::PAGE_SIZE,
    process::{
        Thread, affinity,
        signal::{SignalSet, numbers::SIGMAX},
        switches::Switches,
        times::{ResourceUsage, ticks},
        tree,
    },
    procfs::text::{Made, TextBuffer},
};

/// What the tree says of a process at one moment.
struct Observed {
    state: char,
    parent: u32,
    group: u32,
    session: u32,
    threads: usize,
    exit_signal: u8,
    exit_code: u32,
    /// Device number of the controlling terminal, and its foreground group.
    terminal: Option<(Device, i32)>,
}

impl Target {
    fn observe(&self) -> Result<Observed, Errno> {
        let mut tree = tree::lock();
        let node = tree.node(self.process.pid).ok_or(Errno::ESRCH)?;
        let state = match &self.thread {
            None => 'Z',
            Some(_) if node.zombie.is_some() => 'Z',
            Some(thread) => state(thread),
        };
        let mut observed = Observed {
            state,
            parent: node.parent,
            group: node.group,
            session: node.session,
            threads: node.threads.len(),
            exit_signal: node.exit_signal,
            exit_code: node.zombie.map_or(0, |status| status.0),
            terminal: None,
        };
        let terminal = tree.session(observed.session).and_then(|session| session.terminal.clone());
        drop(tree);
        observed.terminal = terminal.map(|terminal| {
            let (major, minor) = terminal.device();
            (Device::new(major, minor), terminal.foreground())
        });
        Ok(observed)
    }

    /// What it has used.
    fn usage(&self) -> ResourceUsage {
        match &self.thread {
            Some(thread) if !self.whole => ResourceUsage::of_thread(thread),
            _ => ResourceUsage::of(&self.process),
        }
    }

    fn signals(&self) -> Signals {
        let process = self.process.signals.lock();
        let mut sets = Signals { shared: process.pending.set(), ..Signals::default() };
        for signal in 1..=SIGMAX {
            match process.actions.get(signal).handler {
                0 => {}
                1 => sets.ignored.add(signal),
                _ => sets.caught.add(signal),
            }
        }
        drop(process);
        if let Some(thread) = &self.thread {
            let own = thread.signals.lock();
            sets.pending = own.pending.set();
            sets.blocked = own.blocked;
        }
        sets
    }
}

fn state(thread: &Thread) -> char {
    if thread.is_runnable() {
        'R'
    } else if thread.is_halted() {
        't'
    } else if thread.process.signals.lock().is_stopped() {
        'T'
    } else {
        'S'
    }
}

/// Sets of signals.
#[derive(Default)]
struct Signals {
    pending: SignalSet,
    shared: SignalSet,
    blocked: SignalSet,
    ignored: SignalSet,
    caught: SignalSet,
}

/// `stat`: one line of numbers.
pub fn stat(target: &Target, out: &mut TextBuffer) -> Made {
    let process = &target.process;
    let observed = target.observe()?;
    let used = target.usage();
    let children = ResourceUsage::of_children(process);
    let usage = process.space.lock().as_ref().map(|space| space.usage()).unwrap_or_default();
    let signals = target.signals();
    let nice = target.thread.as_ref().map_or(0, |thread| thread.policy.get().nice);
    let (terminal, foreground) =
        observed.terminal.map_or((0, -1), |(device, group)| (device.0 as i64, group));
    let processor = target.thread.as_ref().and_then(|thread| thread.running_on()).unwrap_or(0);
    let name = target.name();
    write!(out, "{} ({}) ", target.id(), String::from_utf8_lossy(&name))?;
    let Observed { state, parent, group, session, threads, exit_signal, exit_code, .. } = observed;
    // Where it waits is not told, but whether it does, to whom `wchan` would tell it.
    let waits = state != 'R' && target.check_access().is_ok();
    write!(out, "{state} {parent} {group} {session} {terminal} {foreground} 4194304 ")?;
    write!(out, "{} {} 0 0 ", used.faults, children.faults)?;
    for time in [used.user(), used.system(), children.user(), children.system()] {
        write!(out, "{} ", ticks(time))?;
    }
    let policy = target.thread.as_ref().map(|thread| thread.policy.get());
    let priority = match policy {
        Some(policy) if policy.is_realtime() => -1 - policy.priority as i32,
        Some(policy) if policy.is_deadline() => -101,
        _ => 20 + nice,
    };
    write!(out, "{priority} {nice} {threads} 0 {} ", ticks(process.started))?;
    write!(out, "{} {} {} ", usage.mapped, usage.resident / PAGE_SIZE, u64::MAX)?;
    // Addresses of code, stack and instruction are not told.
    write!(out, "0 0 0 0 0 ")?;
    let low = |set: SignalSet| set.0 & 0x7fff_ffff;
    write!(
        out,
        "{} {} {} {} ",
        low(signals.pending),
        low(signals.blocked),
        low(signals.ignored),
        low(signals.caught)
    )?;
    let (priority, policy) = policy.map_or((0, 0), |policy| (policy.priority, policy.policy));
    let waits = u8::from(waits);
    write!(out, "{waits} 0 0 {exit_signal} {processor} {priority} {policy} 0 0 0 ")?;
    let image = process.image.lock().clone();
    let (arguments, environment) = (image.arguments, image.environment);
    write!(out, "0 0 0 {} {} ", arguments.start, arguments.end)?;
    writeln!(out, "{} {} {exit_code}", environment.start, environment.end)?;
    Ok(())
}

/// `schedstat`: nanoseconds on a CPU, nanoseconds of waiting for one after having made way (of all threads of the process,
/// [`delay_ns`](crate::process::Process::delay_ns)), and turns. Of a process as a whole: its first thread's, as on Linux.
pub fn turns(target: &Target, out: &mut TextBuffer) -> Made {
    let Some(thread) = &target.thread else { return Ok(writeln!(out, "0 0 0")?) };
    let (ran, waited) = (thread.cpu_time.parts().total_ns(), target.process.delay_ns());
    Ok(writeln!(out, "{ran} {waited} {}", thread.turns())?)
}

/// `status`: the same and more, for people.
pub fn status(target: &Target) -> Answer {
    let target = target.clone();
    let space = target.process.space.lock().clone();
    Op::waiting(async move {
        let sizes = match &space {
            Some(space) => Some(Sizes::of(space).await?),
            None => None,
        };
        drop(space);
        TextBuffer::filled(|text| write_status(&target, sizes, text))
    })
}

fn write_status(target: &Target, sizes: Option<Sizes>, out: &mut TextBuffer) -> Made {
    let process = &target.process;
    let observed = target.observe()?;
    let credentials = process.credentials();
    let state = match observed.state {
        'R' => "R (running)",
        'T' => "T (stopped)",
        't' => "t (tracing stop)",
        'Z' => "Z (zombie)",
        _ => "S (sleeping)",
    };
    writeln!(out, "Name:\t{}", String::from_utf8_lossy(&target.name()))?;
    if let Some(fs) = &*process.fs.lock() {
        writeln!(out, "Umask:\t{:04o}", fs.umask())?;
    }
    writeln!(out, "State:\t{state}\nTgid:\t{}\nNgid:\t0\nPid:\t{}", process.pid, target.id())?;
    let tracer = target.thread.as_ref().map_or(0, |thread| thread.tracer_pid());
    writeln!(out, "PPid:\t{}\nTracerPid:\t{tracer}", observed.parent)?;
    for (name, ids, acting) in
        [("Uid", credentials.users, credentials.fs.uid), ("Gid", credentials.groups, credentials.fs.gid)]
    {
        writeln!(out, "{name}:\t{}\t{}\t{}\t{acting}", ids[0], ids[1], ids[2])?;
    }
    let files = process.files.lock().clone();
    writeln!(out, "FDSize:\t{}", files.map_or(0, |files| files.room()))?;
    write!(out, "Groups:\t")?;
    for group in &*credentials.fs.groups {
        write!(out, "{group} ")?;
    }
    writeln!(out, "\nNStgid:\t{}\nNSpid:\t{}", process.pid, target.id())?;
    writeln!(out, "NSpgid:\t{}\nNSsid:\t{}", observed.group, observed.session)?;
    if let Some(sizes) = sizes {
        write_sizes(&sizes, out)?;
        let admits = u8::from(!process.refuses_huge_pages.load(Relaxed));
        writeln!(out, "CoreDumping:\t0\nTHP_enabled:\t{admits}")?;
    }
    writeln!(out, "Threads:\t{}", observed.threads)?;
    write_signals(target, out)?;
    let sets = &credentials.sets;
    for (name, set) in [
        ("CapInh", sets.inheritable),
        ("CapPrm", sets.permitted),
        ("CapEff", credentials.fs.capabilities),
        ("CapBnd", sets.bounding),
        ("CapAmb", sets.ambient),
    ] {
        writeln!(out, "{name}:\t{:016x}", set.bits())?;
    }
    let gains_nothing = process.gains_nothing.load(Relaxed);
    writeln!(out, "NoNewPrivs:\t{}", u8::from(gains_nothing))?;
    let (mode, programs) = target.thread.as_ref().map_or((0, 0), |thread| thread.confinement_mode());
    writeln!(out, "Seccomp:\t{mode}\nSeccomp_filters:\t{programs}")?;
    let cpus = target.thread.as_ref().map_or(affinity::all(), |thread| thread.cpus.get());
    writeln!(out, "Cpus_allowed:\t{cpus:x}\nCpus_allowed_list:\t{}", ranges(cpus))?;
    // As wide as a Linux of Debian's has it, with room for 1024 nodes: libnuma counts the digits.
    writeln!(out, "Mems_allowed:\t{}00000001\nMems_allowed_list:\t0", "00000000,".repeat(31))?;
    let Switches { voluntary, involuntary } = match &target.thread {
        Some(thread) => Switches::of_thread(thread),
        None => process.switches.with(0),
    };
    let name = "voluntary_ctxt_switches";
    writeln!(out, "{name}:\t{voluntary}\nnon{name}:\t{involuntary}")?;
    // A line of our own: bytes, since what little a process has is of interest, too.
    Ok(writeln!(out, "KernelHeap:\t{} B", process.heap.bytes())?)
}

/// The members of a set as Linux lists them: `0-2,5`.
fn ranges(mut set: u64) -> String {
    let mut list = String::new();
    while set != 0 {
        let first = set.trailing_zeros();
        let len = (!(set >> first)).trailing_zeros();
        let comma = if list.is_empty() { "" } else { "," };
        let _ = match len {
            1 => write!(list, "{comma}{first}"),
            _ => write!(list, "{comma}{first}-{}", first + len - 1),
        };
        // The carry clears the lowest run of ones.
        set &= set.wrapping_add(1 << first);
    }
    list
}

fn write_sizes(sizes: &Sizes, out: &mut TextBuffer) -> Made {
    for (name, bytes) in [
        ("VmPeak", sizes.mapped),
        ("VmSize", sizes.mapped),
        ("VmLck", sizes.locked),
        ("VmPin", 0),
        ("VmHWM", sizes.peak_resident),
        ("VmRSS", sizes.resident),
        ("VmData", sizes.data),
        ("VmStk", sizes.stack),
        ("VmExe", sizes.text),
        ("VmLib", 0),
        ("VmSwap", 0),
    ] {
        out.append(name.as_bytes())?;
        out.append(b":\t")?;
        out.right(bytes as u64 >> 10, 8)?;
        out.append(b" kB\n")?;
    }
    Ok(())
}

fn write_signals(target: &Target, out: &mut TextBuffer) -> Made {
    let signals = target.signals();
    let limit = target.process.limits.soft(linux_raw_sys::general::RLIMIT_SIGPENDING);
    let queued = (signals.pending.0 | signals.shared.0).count_ones();
    writeln!(out, "SigQ:\t{queued}/{limit}")?;
    for (name, set) in [
        ("SigPnd", signals.pending),
        ("ShdPnd", signals.shared),
        ("SigBlk", signals.blocked),
        ("SigIgn", signals.ignored),
        ("SigCgt", signals.caught),
    ] {
        writeln!(out, "{name}:\t{:016x}", set.0)?;
    }
    Ok(())
}
