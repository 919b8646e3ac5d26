//! Waiting for children (wait4(2), waitid(2)).

use executor::sync::SpinMutexGuard;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    Caller, interruptible,
    signal::{SigInfo, numbers::*, send},
    times::ResourceUsage,
    trace::{link::forget_process, report},
    tree::{self, JobEvent, Node, Tree},
};

/// How a process ended, in the form that `wait4` reports: exit code in bits 8 to 15, or the signal in bits 0 to 6. Bit 7
/// would say that a core was dumped, which is never done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExitStatus(pub u32);

impl ExitStatus {
    /// Called `exit` with this code.
    pub fn exited(code: u8) -> Self {
        Self(u32::from(code) << 8)
    }

    /// Died of a signal.
    pub fn killed(signal: u8) -> Self {
        Self(u32::from(signal))
    }

    /// The signal that it died of.
    pub fn signal(self) -> Option<u8> {
        Some((self.0 & 0x7f) as u8).filter(|signal| *signal != 0)
    }

    /// The status as a shell would show it: the exit code, or 128 and the signal.
    pub fn shell_code(self) -> u8 {
        if self.0 & 0x7f == 0 { (self.0 >> 8) as u8 } else { 128 + (self.0 & 0x7f) as u8 }
    }

    /// The `siginfo` of the signal that tells the parent.
    pub fn info(self, signal: u8, pid: u32, uid: u32) -> SigInfo {
        let (code, value) = match self.0 & 0x7f {
            0 => (CLD_EXITED, self.0 >> 8),
            signal => (CLD_KILLED, signal),
        };
        SigInfo { signal, code, pid, uid, value: u64::from(value), times: [0; 2] }
    }
}

const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_STOPPED: i32 = 5;
const CLD_CONTINUED: i32 = 6;

/// Which children a wait is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Any child.
    Any,
    /// The one with this id.
    Process(u32),
    /// Those in this group.
    Group(u32),
}

impl Which {
    /// `wait4`'s first argument.
    pub fn from_pid(pid: i32, own_group: u32) -> Self {
        match pid {
            -1 => Self::Any,
            0 => Self::Group(own_group),
            pid if pid < 0 => Self::Group(pid.unsigned_abs()),
            pid => Self::Process(pid as u32),
        }
    }

    /// Whether it is for what has this id and is in this group.
    #[inline(always)]
    pub fn includes(self, id: u32, group: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Process(pid) => id == pid,
            Self::Group(wanted) => group == wanted,
        }
    }
}

/// What a wait found.
pub struct Report {
    /// The child.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// What happened to it.
    pub event: Event,
    /// The resources it and its waited-for children used.
    pub usage: ResourceUsage,
}

/// What a wait reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It ended.
    Ended(ExitStatus),
    /// It stopped or continued.
    Job(JobEvent),
    /// The waiting process traces it, and it has stopped: the signal, and the event in the next byte.
    Trapped(u32),
}

impl Report {
    /// The status word of `wait4`.
    pub fn status(&self) -> u32 {
        match self.event {
            Event::Ended(status) => status.0,
            Event::Job(JobEvent::Stopped(signal)) => u32::from(signal) << 8 | 0x7f,
            Event::Job(JobEvent::Continued) => 0xffff,
            Event::Trapped(status) => status << 8 | 0x7f,
        }
    }

    /// What `waitid` fills in.
    pub fn info(&self) -> SigInfo {
        match self.event {
            Event::Ended(status) => status.info(SIGCHLD, self.pid, self.uid),
            Event::Job(event) => job_info(event, self.pid, self.uid),
            Event::Trapped(status) => report::info(self.pid, self.uid, status),
        }
    }
}

fn job_info(event: JobEvent, pid: u32, uid: u32) -> SigInfo {
    let (code, value) = match event {
        JobEvent::Stopped(signal) => (CLD_STOPPED, u64::from(signal)),
        JobEvent::Continued => (CLD_CONTINUED, u64::from(SIGCONT)),
    };
    SigInfo { signal: SIGCHLD, code, pid, uid, value, times: [0; 2] }
}

/// Waits for a child as `options` (`WNOHANG`, `WEXITED`, `WSTOPPED`, `WCONTINUED`, `WNOWAIT`) say. `None` when
/// `WNOHANG` is given and nothing has happened; ECHILD when there is no such child.
pub async fn wait(caller: &Caller, which: Which, options: u32) -> Result<Option<Report>, Errno> {
    let events = &caller.process().child_events;
    loop {
        let seen = events.count();
        let found = collect(caller, which, options, |_| Ok::<_, Errno>(()))?;
        if found.is_some() || options & linux::WNOHANG != 0 {
            return Ok(found);
        }
        interruptible(&caller.thread, events.later_than(seen)).await?;
    }
}

/// What a wait finds now. It is gone with that, unless `options` say `WNOWAIT`; but if `tell`, which passes it on, fails, it
/// stays to be found. `tell` is called under the tree's lock.
pub fn collect<E: From<Errno>>(
    caller: &Caller,
    which: Which,
    options: u32,
    tell: impl FnOnce(&Report) -> Result<(), E>,
) -> Result<Option<Report>, E> {
    let parent = caller.process().pid;
    let mut tree = tree::lock();
    let mut any = false;
    let mut found = None;
    {
        let eligible =
            |child: &&Node| which.includes(child.process.pid, child.group) && is_waited_for(child, options);
        for child in tree.children(parent).filter(eligible) {
            any = true;
            if let Some(event) = event_of(child, parent, options) {
                found = Some((child.process.pid, event));
                break;
            }
        }
    }
    let Some((pid, event)) = found else {
        if tree.node(parent).is_none_or(|node| node.tracees.is_empty()) {
            return if any { Ok(None) } else { Err(Errno::ECHILD.into()) };
        }
        let (any_tracee, found) = collect_tracee(tree, parent, which, options, tell)?;
        return if any || any_tracee { Ok(found) } else { Err(Errno::ECHILD.into()) };
    };
    let child = tree.node_mut(pid).ok_or(Errno::ECHILD)?;
    let report = Report {
        pid,
        uid: child.process.credentials.lock().uid(),
        event,
        usage: ResourceUsage::of_family(&child.process),
    };
    tell(&report)?;
    if options & linux::WNOWAIT == 0 {
        match event {
            Event::Job(_) | Event::Trapped(_) => child.job_event = None,
            Event::Ended(_) => {
                if child.tracer != 0 {
                    forget_process(&mut tree, pid);
                }
                let dead = tree.remove(pid);
                report.usage.add_to_children_of(caller.process());
                drop(tree);
                drop(dead);
            }
        }
    }
    Ok(Some(report))
}

/// What a wait finds among the threads that the process traces, and whether there is any that it is for.
#[cold]
fn collect_tracee<E>(
    mut tree: SpinMutexGuard<'_, Tree>,
    tracer: u32,
    which: Which,
    options: u32,
    tell: impl FnOnce(&Report) -> Result<(), E>,
) -> Result<(bool, Option<Report>), E> {
    let (any, found) = report::find(&tree, tracer, which, options);
    let Some(found) = found else { return Ok((any, None)) };
    let process = &found.thread.process;
    let report = Report {
        pid: found.thread.tid(),
        uid: process.credentials().uid(),
        event: found.event,
        usage: ResourceUsage::of_family(process),
    };
    tell(&report)?;
    if options & linux::WNOWAIT == 0 {
        report::take(&mut tree, &found);
    }
    Ok((true, Some(report)))
}

/// Children that end with another signal than SIGCHLD are only seen under `__WCLONE` or `__WALL` (wait(2)).
fn is_waited_for(child: &Node, options: u32) -> bool {
    let is_clone = child.exit_signal != SIGCHLD;
    options & linux::__WALL != 0 || is_clone == (options & linux::__WCLONE != 0)
}

fn event_of(child: &Node, parent: u32, options: u32) -> Option<Event> {
    if let Some(status) = child.zombie {
        // Whoever traces it hears of it first.
        let is_told = child.tracer == 0 || child.tracer == parent;
        return (is_told && options & linux::WEXITED != 0).then_some(Event::Ended(status));
    }
    let event = child.job_event?;
    let wanted = match event {
        JobEvent::Stopped(_) => options & linux::WSTOPPED,
        JobEvent::Continued => options & linux::WCONTINUED,
    };
    (wanted != 0).then_some(Event::Job(event))
}

/// Records that a process stopped or continued and tells its parent, unless `SA_NOCLDSTOP` says not to.
pub fn report_job_event(tree: &mut Tree, pid: u32, event: JobEvent) {
    let Some(node) = tree.node_mut(pid) else { return };
    if node.tracer == node.parent && matches!(event, JobEvent::Stopped(_)) {
        // It hears of each thread's stop.
        return;
    }
    node.job_event = Some(event);
    let (parent, uid) = (node.parent, node.process.credentials().uid());
    let Some(parent_process) = tree.process(parent) else { return };
    let quiet = parent_process.signals.lock().actions.get(SIGCHLD).has(linux::SA_NOCLDSTOP);
    if !quiet {
        let _ = send::to_process_locked(tree, parent, job_info(event, pid, uid));
    }
    parent_process.child_events.advance();
}
