//! Signals that tell of what happens in a directory (fcntl(2), `F_NOTIFY`).
//!
//! ```text
//!   what happens ─► the directory's watches ([`fs::watch`]) ─► Request: is it asked for? ─► its task ─► the file's owner
//! ```
//!
//! A request is made by way of an open file, for all who share a descriptor table, and ends when they close one of its
//! descriptors. No signal is sent under a directory's lock: it comes a moment after what it tells of.
//!
//! Lock order: the file's [`Watches`](super::Watches), the directory's, what a request asks for.

use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use executor::{
    Builder, Lane,
    sync::{SpinMutex, WaitQueue},
};
use fs::{
    Inode,
    watch::{Happening, Notice, Watcher, Watches},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::owner::Ownership;
use crate::{
    file::{File, lock::Owner},
    process::{Caller, signal::Readied},
};

/// How many requests there are: most of the time none, and then closing a descriptor need not look for one. Whoever closes it
/// after one was made knows of that, and so sees the count.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// Whether there are any.
#[inline]
pub fn exist() -> bool {
    REQUESTS.load(Relaxed) > 0
}

/// One who is told.
pub(super) struct Request {
    /// Who has made it.
    pub table: Owner,
    asked: SpinMutex<Asked>,
    /// How often it has happened, and has not been told. Release where it is added, acquire where it is taken: what has happened
    /// comes before its signal.
    happened: AtomicUsize,
    waiters: WaitQueue,
    ownership: Arc<Ownership>,
    directory: Arc<dyn Inode>,
    watches: Arc<Watches>,
}

struct Asked {
    /// `DN_*`.
    events: u32,
    /// The descriptor that the signals name.
    fd: i32,
    /// The last name that has left the directory was renamed under this number.
    cookie: u32,
    /// Nothing more is told.
    is_over: bool,
}

impl Asked {
    /// How many signals tell of something, which then has been told, and which is the end of a request that is for once.
    fn take(&mut self, notice: &Notice<'_>) -> usize {
        let is = |of: Happening| of.contains(notice.what);
        let mut events = match () {
            () if is(Happening::ACCESS) => linux::DN_ACCESS,
            () if is(Happening::MODIFY) => linux::DN_MODIFY,
            () if is(Happening::ATTRIB) => linux::DN_ATTRIB,
            () if is(Happening::CREATE | Happening::MOVED_TO) => linux::DN_CREATE,
            () if is(Happening::DELETE | Happening::MOVED_FROM) => linux::DN_DELETE,
            () => 0,
        };
        // A rename within the directory is told besides.
        match notice.what {
            Happening::MOVED_FROM => self.cookie = notice.cookie,
            Happening::MOVED_TO if notice.cookie == self.cookie => events |= linux::DN_RENAME,
            _ => {}
        }
        let told = (events & self.events).count_ones() as usize;
        if told == 0 || self.events & linux::DN_MULTISHOT != 0 {
            return told;
        }
        self.is_over = true;
        1
    }
}

impl Watcher for Request {
    fn told(&self, notice: &Notice<'_>) -> bool {
        let (told, is_over) = {
            let mut asked = self.asked.lock();
            (if asked.is_over { 0 } else { asked.take(notice) }, asked.is_over)
        };
        if told > 0 {
            self.happened.fetch_add(told, Release);
            self.waiters.wake_all();
        }
        !is_over
    }

    fn ended(&self) {
        self.finish();
    }
}

impl Request {
    /// Asks for more, with signals that name another descriptor; false if it is over.
    fn extend(&self, events: u32, fd: i32) -> bool {
        let mut asked = self.asked.lock();
        if asked.is_over {
            return false;
        }
        (asked.events, asked.fd) = (asked.events | events, fd);
        true
    }

    /// Nothing more is told than has happened.
    fn finish(&self) {
        self.asked.lock().is_over = true;
        self.waiters.wake_all();
    }

    /// Ends it, whose file it has left.
    pub fn end(&self) {
        self.watches.remove(self.directory.attributes(), self);
        self.finish();
    }

    /// Tells what happens.
    async fn tell(self: Arc<Self>) {
        loop {
            let found = || match self.happened.swap(0, Acquire) {
                0 => self.asked.lock().is_over.then_some(0),
                happened => Some(happened),
            };
            let happened = self.waiters.wait_until(found).await;
            if happened == 0 {
                return;
            }
            for _ in 0..happened {
                let fd = self.asked.lock().fd;
                self.ownership.tell(fd, Readied::Message);
                executor::make_way().await;
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        REQUESTS.fetch_sub(1, Relaxed);
    }
}

/// `F_NOTIFY`: tells the caller of these events (`DN_*`) in a directory, beside those that were asked for; none ends it.
///
/// # Errors
/// ENOTDIR; ENOMEM.
pub fn ask(caller: &Caller, file: &Arc<File>, fd: i32, events: u32) -> Result<(), Errno> {
    let table = caller.files.owner();
    if events & !linux::DN_MULTISHOT == 0 {
        forget(table, file);
        return Ok(());
    }
    let directory = file.inode().filter(|_| file.is_directory()).ok_or(Errno::ENOTDIR)?;
    let ownership = file.watches().ownership_to_set();
    if ownership.is_unset() {
        ownership.set_to_process(caller);
    }
    let make = || {
        let watches = Watches::of(&**directory);
        REQUESTS.fetch_add(1, Relaxed);
        let request = Arc::new(Request {
            table,
            asked: SpinMutex::new(Asked { events, fd, cookie: 0, is_over: false }),
            happened: AtomicUsize::new(0),
            waiters: WaitQueue::new(),
            ownership: ownership.clone(),
            directory: directory.clone(),
            watches: watches.clone(),
        });
        watches.add(directory.attributes(), |_: &Request| None, || Ok((request.clone(), ())))?;
        match Builder::new().lane(Lane::Driver).try_spawn(request.clone().tell()) {
            Ok(task) => task.detach(),
            Err(_) => {
                request.end();
                return Err(Errno::ENOMEM);
            }
        }
        Ok(request)
    };
    file.watches().request(table, |known| known.extend(events, fd), make)?;
    // Another thread may have closed it meanwhile, and found nothing to end.
    if !caller.files.get(fd).is_ok_and(|there| Arc::ptr_eq(&there, file)) {
        forget(table, file);
    }
    Ok(())
}

/// Ends what those who share a table have asked for by way of a file.
#[cold]
pub fn forget(table: Owner, file: &File) {
    if let Some(request) = file.watches().take_request(table) {
        request.end();
    }
}
