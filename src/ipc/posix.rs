//! Queues of messages by name and by priority (mq_overview(7)).
//!
//! A queue is a file, though no file system shows it: it is opened by its name, and its descriptors are waited on and closed
//! like any others. It lives as long as its name or a descriptor does.

use alloc::{
    collections::BTreeMap,
    format,
    string::String,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use executor::sync::{Events, Readiness, SpinMutex, WaitQueue};
use fs::{Sink, pipe::Call};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::{
    file::{Node, Stream},
    process::{
        Caller, Process, Thread,
        credentials::{Credentials, capability},
        signal::{SigInfo, send},
    },
    user_memory::UserBuffer,
};

/// Most messages and bytes of one without `CAP_SYS_RESOURCE`, with it, and if nothing is said (`/proc/sys/fs/mqueue`).
pub const LIMITS: Attributes = Attributes { messages: 10, size: 8192 };
const HARD_LIMITS: Attributes = Attributes { messages: 65536, size: 16 << 20 };
/// Most queues without `CAP_SYS_RESOURCE`.
pub const COUNT_MAX: usize = 256;
/// What Linux counts for a message beside its text, towards `RLIMIT_MSGQUEUE`; and for each priority that there may be.
const OVERHEAD: usize = 48;
/// `MQ_PRIO_MAX`: priorities are below it.
pub const PRIORITIES: u32 = 32768;
/// `SI_MESGQ`.
const SI_MESSAGE: i32 = -3;

/// What a queue holds at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// Messages.
    pub messages: usize,
    /// Bytes of one.
    pub size: usize,
}

impl Default for Attributes {
    fn default() -> Self {
        LIMITS
    }
}

impl Attributes {
    /// EINVAL for what is nothing, or more than somebody may have.
    fn check(self, by: &Credentials) -> Result<(), Errno> {
        let most = if by.has(capability::SYS_RESOURCE) { HARD_LIMITS } else { LIMITS };
        let fits = (1..=most.messages).contains(&self.messages) && (1..=most.size).contains(&self.size);
        if fits { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn bytes(self) -> usize {
        self.messages * (self.size + OVERHEAD) + self.messages.min(PRIORITIES as usize) * OVERHEAD
    }
}

/// A message.
pub struct Message {
    /// Higher ones are received first.
    pub priority: u32,
    /// What it says.
    pub text: Vec<u8>,
    /// The process that has sent it, and whose it was.
    pub sender: [u32; 2],
}

/// Whom a queue tells of a message that comes when there was none and nobody waits for it. Forgotten when the process closes
/// a descriptor of the queue, and so at its end.
pub struct Notice {
    /// Who has asked for it.
    process: Weak<Process>,
    /// The signal and the value that it carries; none to be told nothing.
    signal: Option<(u8, u64)>,
}

/// How many notices there are: most of the time none, and then closing a file need not look for one. Whoever closes it after
/// he has asked for a notice sees it counted; nothing else hangs on it.
static NOTICES: AtomicUsize = AtomicUsize::new(0);

/// Whether anybody is to be told of anything.
#[inline]
pub fn notices_exist() -> bool {
    NOTICES.load(Relaxed) > 0
}

impl Notice {
    /// For a process, with a signal and the value that it carries, or with none to be told nothing.
    pub fn new(process: &Arc<Process>, signal: Option<(u8, u64)>) -> Self {
        NOTICES.fetch_add(1, Relaxed);
        Self { process: Arc::downgrade(process), signal }
    }

    /// Tells that this message has come.
    fn tell([pid, uid]: [u32; 2], notice: Option<Self>) {
        if let Some(notice) = notice
            && let Some((signal, value)) = notice.signal
            && let Some(process) = notice.process.upgrade()
        {
            let info = SigInfo { value, ..SigInfo::user(signal, SI_MESSAGE, pid, uid) };
            // Whoever is gone, or has too many signals pending, is not told.
            let _ = send::to_process(&process, info);
        }
    }

    fn is_of(&self, process: &Arc<Process>) -> bool {
        core::ptr::eq(self.process.as_ptr(), &raw const **process)
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        NOTICES.fetch_sub(1, Relaxed);
    }
}

/// What each user's queues may hold, in bytes, with a name or without.
#[derive(Default)]
struct Charged {
    bytes: BTreeMap<u32, usize>,
    queues: usize,
}

/// Locked after [`NAMES`].
static CHARGED: SpinMutex<Charged> = SpinMutex::new(Charged { bytes: BTreeMap::new(), queues: 0 });

/// One queue's part of it, as long as this lives.
struct Charge {
    user: u32,
    bytes: usize,
}

impl Charge {
    /// ENOSPC for one queue too many, EINVAL for one that is too large, EMFILE beyond `RLIMIT_MSGQUEUE`.
    fn new(caller: &Caller, attributes: Attributes) -> Result<Self, Errno> {
        let mut charged = CHARGED.lock();
        if charged.queues >= COUNT_MAX && !caller.credentials.has(capability::SYS_RESOURCE) {
            return Err(Errno::ENOSPC);
        }
        attributes.check(&caller.credentials)?;
        let (user, bytes) = (caller.credentials.uid(), attributes.bytes());
        let used = charged.bytes.get(&user).copied().unwrap_or(0);
        let most = caller.process().limits.soft(linux::RLIMIT_MSGQUEUE);
        let sum = used.checked_add(bytes).filter(|sum| *sum as u64 <= most).ok_or(Errno::EMFILE)?;
        charged.bytes.insert(user, sum);
        charged.queues += 1;
        Ok(Self { user, bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut charged = CHARGED.lock();
        charged.queues -= 1;
        if let Some(used) = charged.bytes.get_mut(&self.user) {
            *used -= self.bytes;
            if *used == 0 {
                charged.bytes.remove(&self.user);
            }
        }
    }
}

/// A queue.
pub struct Queue {
    /// What it holds at most.
    pub attributes: Attributes,
    node: Arc<Node>,
    state: SpinMutex<State>,
    /// Tells epoll and its kin.
    readiness: Readiness,
    arrivals: WaitQueue,
    room: WaitQueue,
    _charge: Charge,
}

#[derive(Default)]
struct State {
    /// By priority, the lowest first; of one priority the newest first. So the next to be received is the last.
    messages: Vec<Message>,
    /// Of all of them together.
    bytes: usize,
    /// How many wait for a message. As many of the messages, if they are there, are theirs, and nobody is told of them.
    receivers: usize,
    notice: Option<Notice>,
}

/// An open queue: a stream, so that it fits a descriptor.
pub struct OpenQueue {
    /// The queue.
    pub queue: Arc<Queue>,
    /// How much of what read(2) tells has been read. Relaxed: nothing hangs on it.
    told: AtomicUsize,
}

impl OpenQueue {
    /// An open file of a queue.
    pub fn new(queue: Arc<Queue>) -> Self {
        Self { queue, told: AtomicUsize::new(0) }
    }
}

/// The names, in order.
static NAMES: SpinMutex<Vec<(String, Arc<Queue>)>> = SpinMutex::new(Vec::new());

/// How a queue is to be opened.
pub struct Opening {
    /// Read, write, as in permission bits.
    pub access: u32,
    /// Made if it is not there, with these permission bits.
    pub create: Option<(u32, Attributes)>,
    /// Only if it is not there.
    pub exclusive: bool,
}

/// Opens a queue.
///
/// # Errors
/// ENOENT, EEXIST, EACCES; EINVAL, ENOSPC, EMFILE for one that would be too large, or one too many; ENOMEM.
pub fn open(caller: &Caller, name: &str, opening: &Opening) -> Result<Arc<Queue>, Errno> {
    let mut names = NAMES.lock();
    match names.binary_search_by(|(other, _)| other.as_str().cmp(name)) {
        Ok(_) if opening.exclusive && opening.create.is_some() => Err(Errno::EEXIST),
        // Neither for reading nor for writing nor for both.
        Ok(_) if opening.access == 0 => Err(Errno::EINVAL),
        Ok(place) => {
            let queue = names[place].1.clone();
            queue.check(&caller.credentials, opening.access)?;
            Ok(queue)
        }
        Err(place) => {
            let (mode, attributes) = opening.create.ok_or(Errno::ENOENT)?;
            let charge = Charge::new(caller, attributes)?;
            names.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let by = &caller.credentials.fs;
            let queue = Arc::new(Queue::new(attributes, Node::of_queue(mode, by), charge));
            names.insert(place, (String::from(name), queue.clone()));
            Ok(queue)
        }
    }
}

/// Takes a queue's name away.
///
/// # Errors
/// ENOENT; EPERM for whoever does not own it.
pub fn unlink(by: &Credentials, name: &str) -> Result<(), Errno> {
    let mut names = NAMES.lock();
    let found = names.binary_search_by(|(other, _)| other.as_str().cmp(name));
    let place = found.map_err(|_| Errno::ENOENT)?;
    let owner = names[place].1.node.attributes().uid();
    if owner != by.fs.uid && !by.has(fs::Capabilities::FOWNER) {
        return Err(Errno::EPERM);
    }
    let removed = names.remove(place);
    drop(names);
    drop(removed);
    Ok(())
}

impl Queue {
    fn new(attributes: Attributes, node: Arc<Node>, charge: Charge) -> Self {
        Self {
            attributes,
            node,
            state: SpinMutex::default(),
            readiness: Readiness::with(Events::OUT | Events::WRNORM),
            arrivals: WaitQueue::new(),
            room: WaitQueue::new(),
            _charge: charge,
        }
    }

    /// EACCES unless somebody may do what `wanted`, one digit of permission bits, says.
    fn check(&self, by: &Credentials, wanted: u32) -> Result<(), Errno> {
        let attributes = self.node.attributes();
        let granted = match attributes.permissions() {
            mode if by.fs.uid == attributes.uid() => mode >> 6,
            mode if by.fs.in_group(attributes.gid()) => mode >> 3,
            mode => mode,
        };
        let allowed = wanted & !granted == 0 || by.has(fs::Capabilities::DAC_OVERRIDE);
        if allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// What read(2) tells: the bytes in it, and who is told of the next message, how, with which signal.
    fn describe(&self) -> String {
        const NOTHING: u32 = linux::SIGEV_NONE;
        const SIGNAL: u32 = linux::SIGEV_SIGNAL;
        let state = self.state.lock();
        let bytes = state.bytes;
        let notice = state.notice.as_ref().map(|notice| (notice.signal, notice.process.clone()));
        drop(state);
        let told = notice.and_then(|(signal, process)| Some((signal, process.upgrade()?.pid)));
        let (how, signal, pid) = match told {
            None => (0, 0, 0),
            Some((Some((signal, _)), pid)) => (SIGNAL, signal, pid),
            Some((None, pid)) => (NOTHING, 0, pid),
        };
        format!("QSIZE:{bytes:<10} NOTIFY:{how:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n")
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.state.lock().messages.len()
    }

    /// Adds a message, and tells whoever wants to know. None if there is no room; the message is then left where it is.
    fn push(&self, message: &mut Option<Message>) -> Option<Result<(), Errno>> {
        let mut state = self.state.lock();
        if state.messages.len() >= self.attributes.messages {
            return None;
        }
        if state.messages.try_reserve(1).is_err() {
            return Some(Err(Errno::ENOMEM));
        }
        let message = message.take()?;
        let sender = message.sender;
        state.bytes += message.text.len();
        let place = state.messages.partition_point(|other| other.priority < message.priority);
        let is_first = state.messages.len() == state.receivers;
        state.messages.insert(place, message);
        let notice = if is_first { state.notice.take() } else { None };
        self.tell(&state);
        drop(state);
        Notice::tell(sender, notice);
        Some(Ok(()))
    }

    fn take(&self, state: &mut State) -> Option<Message> {
        let message = state.messages.pop()?;
        state.bytes -= message.text.len();
        self.tell(state);
        Some(message)
    }

    /// Tells those that wait for the descriptor.
    fn tell(&self, state: &State) {
        let (readable, writable) = (Events::IN | Events::RDNORM, Events::OUT | Events::WRNORM);
        if state.messages.is_empty() {
            self.readiness.clear(readable);
        } else {
            self.readiness.set(readable);
        }
        if state.messages.len() < self.attributes.messages {
            self.readiness.set(writable);
        } else {
            self.readiness.clear(writable);
        }
    }

    /// Sends a message; waits for room, if `wait` says so.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM.
    pub async fn send(&self, message: Message, wait: bool) -> Result<(), Errno> {
        let mut message = Some(message);
        let sent = self.room.wait_until(|| match self.push(&mut message) {
            None if !wait => Some(Err(Errno::EAGAIN)),
            pushed => pushed,
        });
        sent.await?;
        self.arrivals.wake_all();
        Ok(())
    }

    /// Receives the first message of the highest priority; waits for one, if `wait` says so.
    ///
    /// # Errors
    /// EAGAIN.
    pub async fn receive(&self, wait: bool) -> Result<Message, Errno> {
        let message = self.take(&mut self.state.lock());
        let message = match message {
            Some(message) => message,
            None if !wait => return Err(Errno::EAGAIN),
            None => {
                let mut receiver = Receiver::new(self);
                self.arrivals.wait_until(|| receiver.take()).await
            }
        };
        self.room.wake_all();
        Ok(message)
    }

    /// Has a process told of the next message that comes to the empty queue.
    ///
    /// # Errors
    /// EBUSY if one is already.
    pub fn notify(&self, notice: Notice) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.notice.is_some() {
            return Err(Errno::EBUSY);
        }
        state.notice = Some(notice);
        Ok(())
    }

    /// A process does not want to be told any more.
    pub fn forget_notice(&self, process: &Arc<Process>) {
        let forgotten = self.state.lock().notice.take_if(|notice| notice.is_of(process));
        drop(forgotten);
    }

    /// The running thread's process has closed a descriptor.
    pub fn leave(&self) {
        if let Some(thread) = Thread::current() {
            self.forget_notice(&thread.process);
        }
    }
}

/// Somebody who waits for a message: nobody else is told of it.
struct Receiver<'a> {
    queue: &'a Queue,
    waits: bool,
}

impl<'a> Receiver<'a> {
    fn new(queue: &'a Queue) -> Self {
        queue.state.lock().receivers += 1;
        Self { queue, waits: true }
    }

    /// Takes a message, if there is one, and does not wait any more.
    fn take(&mut self) -> Option<Message> {
        let mut state = self.queue.state.lock();
        let message = self.queue.take(&mut state)?;
        state.receivers -= 1;
        self.waits = false;
        Some(message)
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        if !self.waits {
            return;
        }
        let mut state = self.queue.state.lock();
        state.receivers -= 1;
        // The message that this one has left is there for nobody, as if it had come now.
        let is_left = state.messages.len() == state.receivers + 1;
        let Some(sender) = state.messages.first().filter(|_| is_left).map(|message| message.sender) else {
            return;
        };
        let notice = state.notice.take();
        drop(state);
        Notice::tell(sender, notice);
    }
}

impl Stream for OpenQueue {
    /// Tells of the queue (mq_overview(7)); of a message it is no part.
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        let text = self.queue.describe();
        let rest = text.as_bytes().get(self.told.load(Relaxed)..).unwrap_or_default();
        let read = sink.put(rest);
        self.told.fetch_add(read, Relaxed);
        Ok(read)
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(&self.queue.readiness)
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(&self.queue.node)
    }

    fn name(&self) -> String {
        String::from("mqueue:")
    }
}
