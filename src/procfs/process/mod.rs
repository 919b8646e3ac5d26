//! `/proc/PID` and `/proc/PID/task/TID`: a process, or one of its threads (proc_pid(5)).
//!
//! ```text
//!   Processes ── lists PIDs; a name leads to ── Subject ── a directory; finds its ── Target at each use
//!                                                  ├─ FILES   status.rs, waiting.rs, memory.rs, here
//!                                                  ├─ links   links.rs: cwd, root, exe
//!                                                  ├─ trace   the log of its calls (strace)
//!                                                  ├─ fd/, fdinfo/   descriptors.rs; ns/  namespaces.rs
//!                                                  └─ task/   Threads
//! ```

mod children;
mod descriptors;
mod links;
mod memory;
mod namespaces;
mod nodes;
mod smaps;
mod status;
mod waiting;

pub use links::Own;

use alloc::{
    boxed::Box,
    format,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::fmt::Write;

use fs::{
    FileType, Op, Path,
    procfs::{Directory, LongText, Node, Parts, Text, directory},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{
    mounts,
    text::{DIGITS, Made, TextBuffer, decimal},
};
use crate::{
    file::{File, context::Places},
    process::{Caller, Process, Thread, limits::UNLIMITED, oom, tree},
    strace,
};

/// What a directory stands for: a process as a whole, or one thread. It keeps neither alive.
#[derive(Clone)]
struct Subject {
    process: Weak<Process>,
    /// None for the process as a whole.
    thread: Option<Weak<Thread>>,
    /// The owner when the directory was looked up; another one makes it stale.
    owner: (u32, u32),
}

/// A subject that was found.
#[derive(Clone)]
struct Target {
    process: Arc<Process>,
    /// The thread; for a process its first one, which may have exited.
    thread: Option<Arc<Thread>>,
    /// Whether it is about the process as a whole.
    whole: bool,
}

impl Subject {
    fn of(target: &Target) -> Self {
        let thread = target.thread.as_ref().filter(|_| !target.whole).map(Arc::downgrade);
        Self { process: Arc::downgrade(&target.process), thread, owner: target.owner() }
    }

    /// Finds it; ESRCH when it is gone.
    fn find(&self) -> Result<Target, Errno> {
        let process = self.process.upgrade().ok_or(Errno::ESRCH)?;
        let wanted = match &self.thread {
            Some(thread) => Some(thread.upgrade().ok_or(Errno::ESRCH)?),
            None => None,
        };
        let tree = tree::lock();
        let node = tree.node(process.pid).filter(|node| Arc::ptr_eq(&node.process, &process));
        let node = node.ok_or(Errno::ESRCH)?;
        let Some(wanted) = wanted else {
            let thread = node.threads.iter().find(|thread| thread.tid() == process.pid).cloned();
            drop(tree);
            return Ok(Target { process, thread, whole: true });
        };
        let lives = node.threads.iter().any(|thread| Arc::ptr_eq(thread, &wanted));
        drop(tree);
        if lives { Ok(Target { process, thread: Some(wanted), whole: false }) } else { Err(Errno::ESRCH) }
    }
}

impl Target {
    fn process(pid: u32) -> Option<Self> {
        let tree = tree::lock();
        let node = tree.node(pid)?;
        let thread = node.threads.iter().find(|thread| thread.tid() == pid).cloned();
        Some(Self { process: node.process.clone(), thread, whole: true })
    }

    /// A thread of `process`.
    fn thread(process: &Process, tid: u32) -> Option<Self> {
        let thread = tree::lock().thread(tid).filter(|thread| thread.process.pid == process.pid)?;
        Some(Self { process: thread.process.clone(), thread: Some(thread), whole: false })
    }

    /// The id that the directory is named by.
    fn id(&self) -> u32 {
        match &self.thread {
            Some(thread) if !self.whole => thread.tid(),
            _ => self.process.pid,
        }
    }

    /// The effective user and group.
    fn owner(&self) -> (u32, u32) {
        let credentials = self.process.credentials();
        (credentials.users[1], credentials.groups[1])
    }

    /// The name that `ps` shows. A process whose first thread has exited goes by its program's name.
    fn name(&self) -> Vec<u8> {
        if let Some(thread) = &self.thread {
            let name = *thread.name.lock();
            return name.iter().copied().take_while(|byte| *byte != 0).collect();
        }
        let Some(program) = self.process.image.lock().file.clone() else { return Vec::new() };
        let (path, _) = program.text(&asking_root());
        let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        base[..base.len().min(15)].to_vec()
    }

    /// Where the process's paths start; ENOENT once it has exited.
    fn places(&self) -> Result<Arc<Places>, Errno> {
        self.process.fs.lock().as_ref().map(|fs| fs.places()).ok_or(Errno::ENOENT)
    }

    /// EACCES unless the asking thread may look into this process (ptrace(2), "Ptrace access mode checking").
    fn check_access(&self) -> Result<(), Errno> {
        let Some(asking) = Thread::current() else { return Err(Errno::EACCES) };
        if Arc::ptr_eq(&asking.process, &self.process) {
            return Ok(());
        }
        let by = asking.process.credentials();
        let may = self.process.may_be_inspected(&by, by.fs.uid, by.fs.gid);
        if may { Ok(()) } else { Err(Errno::EACCES) }
    }
}

/// The process whose directory an inode is. None for other directories, those of threads among them; ESRCH once it is gone.
pub fn of_directory(inode: &dyn fs::Inode) -> Option<Result<Arc<Process>, Errno>> {
    let subject: &Subject = directory(inode)?;
    subject.thread.is_none().then(|| subject.find().map(|target| target.process))
}

/// Where the paths of the thread that asks start; the root of everything in a kernel task.
fn asking_root() -> Path {
    let asking = Thread::current().and_then(|thread| thread.process.fs.lock().clone());
    asking.map_or_else(|| crate::root::namespace().root(), |fs| fs.places().root.clone())
}

/// A file of a process or thread.
struct ProcessFile {
    subject: Subject,
    permissions: u32,
    make: &'static Make,
    take: Take,
}

/// One with a long text.
struct LongProcessFile {
    subject: Subject,
    permissions: u32,
    begin: Begin,
}

/// A text that may have to be waited for.
type Answer = Op<'static, Result<Vec<u8>, Errno>>;

/// How a file's text is made.
enum Make {
    /// At once.
    Now(fn(&Target, &mut TextBuffer) -> Made),
    /// As bytes that need be no text.
    Bytes(fn(&Target) -> Result<Vec<u8>, Errno>),
    /// After waiting for the address space.
    Later(fn(&Target) -> Answer),
}

/// How a long one is begun.
type Begin = fn(&Target) -> Result<Box<dyn Parts>, Errno>;

/// What is done with what is written.
type Take = fn(&Target, &[u8]) -> Result<(), Errno>;

/// A file's name, permissions and contents.
struct Kind {
    name: &'static str,
    permissions: u32,
    contents: Contents,
}

/// What is in a file.
enum Contents {
    Text(Make, Take),
    Long(Begin),
}

/// A file to read.
const fn kind(name: &'static str, permissions: u32, make: Make) -> Kind {
    Kind { name, permissions, contents: Contents::Text(make, |_, _| Err(Errno::EINVAL)) }
}

/// One with a long text.
const fn long(name: &'static str, permissions: u32, begin: Begin) -> Kind {
    Kind { name, permissions, contents: Contents::Long(begin) }
}

/// One that its owner may also write.
const fn setting(name: &'static str, make: Make, take: Take) -> Kind {
    Kind { name, permissions: 0o644, contents: Contents::Text(make, take) }
}

static FILES: [Kind; 28] = [
    kind("auxv", 0o400, Make::Later(memory::auxiliary)),
    kind("cmdline", 0o444, Make::Later(memory::arguments)),
    setting("comm", Make::Bytes(name_line), rename),
    kind("environ", 0o400, Make::Later(memory::environment)),
    setting("gid_map", Make::Now(all_ids), already_set),
    kind("limits", 0o444, Make::Now(limits)),
    kind("loginuid", 0o444, Make::Now(no_login)),
    long("maps", 0o444, memory::maps),
    kind("mountinfo", 0o444, Make::Now(|target, out| mounts::details(&target.places()?.root, out))),
    kind("mounts", 0o444, Make::Now(|target, out| mounts::table(&target.places()?.root, out))),
    kind("mountstats", 0o400, Make::Now(|target, out| mounts::statistics(&target.places()?.root, out))),
    kind("numa_maps", 0o444, Make::Later(nodes::maps)),
    setting("oom_adj", Make::Now(old_adjustment), set_old_adjustment),
    kind("oom_score", 0o444, Make::Now(|target, out| Ok(writeln!(out, "{}", oom::score(&target.process))?))),
    setting("oom_score_adj", Make::Now(adjustment), set_adjustment),
    kind("personality", 0o400, Make::Now(personality)),
    setting("projid_map", Make::Now(all_ids), already_set),
    kind("schedstat", 0o444, Make::Now(status::turns)),
    kind("sessionid", 0o444, Make::Now(no_login)),
    setting("setgroups", Make::Now(|_, out| Ok(writeln!(out, "allow")?)), already_set),
    long("smaps", 0o444, smaps::detailed),
    kind("smaps_rollup", 0o444, Make::Later(smaps::summed)),
    kind("stat", 0o444, Make::Now(status::stat)),
    kind("statm", 0o444, Make::Later(memory::sizes)),
    kind("status", 0o444, Make::Later(status::status)),
    kind("syscall", 0o400, Make::Now(waiting::call)),
    setting("uid_map", Make::Now(all_ids), already_set),
    kind("wchan", 0o444, Make::Now(waiting::channel)),
];

/// What only threads have.
static FILES_OF_THREADS: [Kind; 1] = [kind("children", 0o444, Make::Later(children::children))];

impl Text for ProcessFile {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        let target = match self.subject.find() {
            Ok(target) => target,
            Err(errno) => return Op::Ready(Err(errno)),
        };
        match self.make {
            Make::Now(make) => Op::Ready(TextBuffer::filled(|text| make(&target, text))),
            Make::Bytes(make) => Op::Ready(make(&target)),
            Make::Later(make) => make(&target),
        }
    }

    fn write(&self, data: Vec<u8>) -> Op<'_, Result<(), Errno>> {
        Op::Ready(self.subject.find().and_then(|target| (self.take)(&target, &data)))
    }

    fn permissions(&self) -> u32 {
        self.permissions
    }
}

impl LongText for LongProcessFile {
    fn begin(&self) -> Result<Box<dyn Parts>, Errno> {
        (self.begin)(&self.subject.find()?)
    }

    fn permissions(&self) -> u32 {
        self.permissions
    }
}

fn name_line(target: &Target) -> Result<Vec<u8>, Errno> {
    let mut line = target.name();
    line.push(b'\n');
    Ok(line)
}

/// Writing `comm`: for the threads of one's own process only.
fn rename(target: &Target, data: &[u8]) -> Result<(), Errno> {
    let asking = Thread::current().ok_or(Errno::EINVAL)?;
    if asking.process.pid != target.process.pid {
        return Err(Errno::EINVAL);
    }
    let thread = target.thread.as_ref().ok_or(Errno::ESRCH)?;
    let mut name = [0; 16];
    let data = data.strip_suffix(b"\n").unwrap_or(data);
    let len = data.iter().position(|byte| *byte == 0).unwrap_or(data.len()).min(15);
    name[..len].copy_from_slice(&data[..len]);
    *thread.name.lock() = name;
    Ok(())
}

fn adjustment(target: &Target, out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", target.process.oom.get())?)
}

fn set_adjustment(target: &Target, data: &[u8]) -> Result<(), Errno> {
    let asking = Thread::current().ok_or(Errno::EINVAL)?;
    target.process.oom.set(number(data)?, &asking.process.credentials())
}

fn old_adjustment(target: &Target, out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{}", target.process.oom.old())?)
}

fn set_old_adjustment(target: &Target, data: &[u8]) -> Result<(), Errno> {
    let asking = Thread::current().ok_or(Errno::EINVAL)?;
    target.process.oom.set_old(number(data)?, &asking.process.credentials())
}

/// A number with a sign, in the base that its first digits say, of which the first twelve bytes count.
fn number(data: &[u8]) -> Result<i32, Errno> {
    let text = core::str::from_utf8(&data[..data.len().min(12)]).map_err(|_| Errno::EINVAL)?;
    let text = text.trim_matches(['\n', ' ', '\t', '\0']);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return Err(Errno::EINVAL);
    }
    let size = i64::from_str_radix(digits, base).map_err(|_| Errno::EINVAL)?;
    i32::try_from(if is_negative { -size } else { size }).map_err(|_| Errno::ERANGE)
}

fn personality(target: &Target, out: &mut TextBuffer) -> Made {
    let personality = target.process.personality.load(core::sync::atomic::Ordering::Relaxed);
    Ok(writeln!(out, "{personality:08x}")?)
}

/// Ids are the same for all: there is one user namespace (user_namespaces(7)).
fn all_ids(_target: &Target, out: &mut TextBuffer) -> Made {
    Ok(writeln!(out, "{:10} {:10} {:10}", 0, 0, u32::MAX)?)
}

/// Which cannot be changed.
fn already_set(_target: &Target, _data: &[u8]) -> Result<(), Errno> {
    Err(Errno::EPERM)
}

/// Nobody logs in by way of an audit system.
fn no_login(_target: &Target, out: &mut TextBuffer) -> Made {
    Ok(write!(out, "{}", u32::MAX)?)
}

fn limits(target: &Target, out: &mut TextBuffer) -> Made {
    const NAMES: [(&str, u32, &str); 16] = [
        ("Max cpu time", linux::RLIMIT_CPU, "seconds"),
        ("Max file size", linux::RLIMIT_FSIZE, "bytes"),
        ("Max data size", linux::RLIMIT_DATA, "bytes"),
        ("Max stack size", linux::RLIMIT_STACK, "bytes"),
        ("Max core file size", linux::RLIMIT_CORE, "bytes"),
        ("Max resident set", linux::RLIMIT_RSS, "bytes"),
        ("Max processes", linux::RLIMIT_NPROC, "processes"),
        ("Max open files", linux::RLIMIT_NOFILE, "files"),
        ("Max locked memory", linux::RLIMIT_MEMLOCK, "bytes"),
        ("Max address space", linux::RLIMIT_AS, "bytes"),
        ("Max file locks", linux::RLIMIT_LOCKS, "locks"),
        ("Max pending signals", linux::RLIMIT_SIGPENDING, "signals"),
        ("Max msgqueue size", linux::RLIMIT_MSGQUEUE, "bytes"),
        ("Max nice priority", linux::RLIMIT_NICE, ""),
        ("Max realtime priority", linux::RLIMIT_RTPRIO, ""),
        ("Max realtime timeout", linux::RLIMIT_RTTIME, "us"),
    ];
    let limits = &target.process.limits;
    writeln!(out, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units")?;
    for (name, resource, unit) in NAMES {
        let limit = limits.get(resource)?;
        out.left(name.as_bytes(), 26)?;
        for value in [limit.soft, limit.hard] {
            let digits = &mut [0; DIGITS];
            out.left(if value == UNLIMITED { &b"unlimited"[..] } else { decimal(value, digits) }, 21)?;
        }
        out.left(unit.as_bytes(), 10)?;
        out.append(b"\n")?;
    }
    Ok(())
}

/// The directories and links of a process or thread, before its files.
const OTHERS: [(&str, FileType); 11] = [
    ("task", FileType::Directory),
    ("trace", FileType::Fifo),
    ("fd", FileType::Directory),
    ("fdinfo", FileType::Directory),
    ("net", FileType::Directory),
    ("ns", FileType::Directory),
    ("mem", FileType::Regular),
    ("pagemap", FileType::Regular),
    ("cwd", FileType::Symlink),
    ("exe", FileType::Symlink),
    ("root", FileType::Symlink),
];

/// The first of them, which a thread does not have.
const ONLY_OF_PROCESSES: usize = 2;

/// Opens a file of `/proc` that bytes flow out of; None for other named pipes.
pub fn open(caller: &Caller, path: &Path, flags: u32) -> Option<Result<Arc<File>, Errno>> {
    let subject: &Subject = fs::procfs::source_of(&**path.inode())?.downcast_ref()?;
    let target = subject.find();
    Some(target.and_then(|target| strace::open(caller, &target.process, path.clone(), flags)))
}

impl Subject {
    /// The files of its directory.
    fn files(&self) -> impl Iterator<Item = &'static Kind> {
        let own: &[Kind] = if self.thread.is_some() { &FILES_OF_THREADS } else { &[] };
        FILES.iter().chain(own)
    }
}

impl Directory for Subject {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let subject = self.clone();
        Some(match name {
            b"task" if self.thread.is_none() => Node::Directory(Arc::new(Threads(subject))),
            b"trace" if self.thread.is_none() => Node::Fifo(Arc::new(subject)),
            b"fd" => Node::Directory(Arc::new(descriptors::Descriptors { subject, details: false })),
            b"fdinfo" => Node::Directory(Arc::new(descriptors::Descriptors { subject, details: true })),
            b"net" => super::net::directory(),
            b"ns" => Node::Directory(Arc::new(namespaces::Namespaces { subject })),
            b"mem" => Node::Bytes(Arc::new(memory::Contents { subject })),
            b"pagemap" => Node::Bytes(Arc::new(memory::PageMap { subject })),
            b"cwd" => Node::Link(Arc::new(links::Place { subject, which: links::Which::Working })),
            b"exe" => Node::Link(Arc::new(links::Place { subject, which: links::Which::Program })),
            b"root" => Node::Link(Arc::new(links::Place { subject, which: links::Which::Root })),
            _ => {
                let kind = self.files().find(|kind| kind.name.as_bytes() == name)?;
                let permissions = kind.permissions;
                match &kind.contents {
                    Contents::Text(make, take) => {
                        Node::Text(Arc::new(ProcessFile { subject, permissions, make, take: *take }))
                    }
                    Contents::Long(begin) => {
                        Node::Long(Arc::new(LongProcessFile { subject, permissions, begin: *begin }))
                    }
                }
            }
        })
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let hidden = if self.thread.is_some() { ONLY_OF_PROCESSES } else { 0 };
        let others = OTHERS[hidden..].iter().copied();
        let entries = others.chain(self.files().map(|kind| (kind.name, FileType::Regular)));
        for (place, (name, kind)) in (2..).zip(entries).skip(from.saturating_sub(2) as usize) {
            if !emit(place, name.as_bytes(), kind) {
                return;
            }
        }
    }

    fn alive(&self) -> bool {
        self.find().is_ok_and(|target| target.owner() == self.owner)
    }

    fn owner(&self) -> (u32, u32) {
        self.owner
    }
}

/// A name as an id: digits without leading zeroes.
fn parse_id(name: &[u8]) -> Option<u32> {
    if name.first() == Some(&b'0') && name.len() > 1 || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(name).ok()?.parse().ok()
}

/// Where an id is in a listing, behind `.` and `..`: places stay while processes come and go.
const FIRST_PLACE: u64 = 2;

/// Gives the ids from place `from` on; `next` says the lowest that is at least some id.
fn list_ids(
    from: u64,
    next: impl Fn(u32) -> Option<u32>,
    emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool,
) {
    let mut least = u32::try_from(from.saturating_sub(FIRST_PLACE)).unwrap_or(u32::MAX);
    while let Some(id) = next(least) {
        if !emit(u64::from(id) + FIRST_PLACE, format!("{id}").as_bytes(), FileType::Directory) {
            return;
        }
        least = id + 1;
    }
}

/// The directories of all processes.
pub struct Processes;

impl Directory for Processes {
    /// Threads can be looked up too, as on Linux, though only processes are listed.
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let id = parse_id(name)?;
        let target = Target::process(id).or_else(|| {
            let thread = tree::lock().thread(id)?;
            Some(Target { process: thread.process.clone(), thread: Some(thread), whole: true })
        })?;
        Some(Node::Directory(Arc::new(Subject::of(&target))))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        list_ids(from, |least| Some(tree::lock().nodes_from(least).next()?.process.pid), emit);
    }
}

/// The directories of a process's threads.
struct Threads(Subject);

impl Directory for Threads {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let process = self.0.find().ok()?.process;
        let target = Target::thread(&process, parse_id(name)?)?;
        Some(Node::Directory(Arc::new(Subject::of(&target))))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let Ok(target) = self.0.find() else { return };
        // All at once, as they are in no order. Who has no room for that sees none.
        let mut ids = Vec::new();
        {
            let tree = tree::lock();
            let Some(node) = tree.node(target.process.pid) else { return };
            if ids.try_reserve_exact(node.threads.len()).is_err() {
                return;
            }
            ids.extend(node.threads.iter().map(|thread| thread.tid()));
        }
        ids.sort_unstable();
        list_ids(from, |least| ids.get(ids.partition_point(|id| *id < least)).copied(), emit);
    }

    fn alive(&self) -> bool {
        self.0.alive()
    }

    fn owner(&self) -> (u32, u32) {
        self.0.owner
    }
}
