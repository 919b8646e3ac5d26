//! Instances that are told what happens to files (inotify(7)).
//!
//! ```text
//!   what happens ─► the file's watches ([`fs::watch`]) ─► Watch: is it asked for? ─► Queue ─► read(2)
//! ```
//!
//! An instance is a [`Queue`] with its watches. A watch is in two lists: in the queue's, by its number, and in that of the
//! file that it watches. It is at its end once it is out of the queue's; whoever meets it in the file's afterwards drops it
//! there. The lock of a file's watches is taken before that of a queue.

pub mod limits;
mod queue;

use alloc::{string::String, sync::Arc};
use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use executor::sync::{Events, Readiness};
use fs::{
    Inode, Path,
    pipe::Call,
    watch::{Happening, Notice, Watcher, Watches},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::{
    file::{File, Node, Object, Stream},
    process::Caller,
    user_memory::UserBuffer,
};
use limits::{Charge, Kind};
use queue::Queue;

/// What a watch may be asked for.
const EVENTS: u32 = linux::IN_ALL_EVENTS;
/// What is kept of a watch beside its events.
const KEPT: u32 = linux::IN_ONESHOT | linux::IN_EXCL_UNLINK;
/// All bits that inotify_add_watch(2) takes.
pub const KNOWN: u32 = EVENTS
    | KEPT
    | linux::IN_UNMOUNT
    | linux::IN_Q_OVERFLOW
    | linux::IN_IGNORED
    | linux::IN_ONLYDIR
    | linux::IN_DONT_FOLLOW
    | linux::IN_MASK_ADD
    | linux::IN_MASK_CREATE
    | linux::IN_ISDIR;

/// An instance.
pub struct Inotify {
    queue: Arc<Queue>,
    uid: u32,
    _charge: Charge,
}

/// One watch of an instance.
struct Watch {
    number: i32,
    /// Events and what is [`KEPT`] beside them. Stands alone, so relaxed.
    mask: AtomicU32,
    queue: Arc<Queue>,
    watches: Arc<Watches>,
    inode: Arc<dyn Inode>,
    _charge: Charge,
}

/// Makes an instance.
///
/// # Errors
/// EMFILE if the user has as many as it may; ENOMEM.
pub fn new(caller: &Caller, flags: u32) -> Result<Arc<File>, Errno> {
    let uid = caller.credentials.uid();
    let charge = limits::charge(uid, Kind::Instances).ok_or(Errno::EMFILE)?;
    let queue = Queue::new(limits::get(Kind::Events))?;
    let instance: Arc<dyn Stream> = Arc::new(Inotify { queue: Arc::new(queue), uid, _charge: charge });
    Ok(File::new(Object::Stream(instance, None), linux::O_RDONLY | flags & linux::O_NONBLOCK))
}

impl Inotify {
    /// The instance that a file is.
    pub fn of(file: &File) -> Option<&Self> {
        file.stream_as()
    }

    /// Watches a file as `mask` says, or changes how it is watched; returns the number of the watch.
    ///
    /// # Errors
    /// EEXIST for a watch that is there, under `IN_MASK_CREATE`; ENOSPC if the user has as many watches as it may; ENOMEM.
    pub fn watch(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        let inode = path.inode();
        let watches = Watches::of(&**inode);
        let attributes = inode.attributes();
        let known = |watch: &Watch| {
            // One that has ended, but is still in the file's list, counts for nothing.
            (Arc::ptr_eq(&watch.queue, &self.queue) && self.queue.has(watch.number))
                .then(|| watch.change(mask))
        };
        let make = || {
            let charge = limits::charge(self.uid, Kind::Watches).ok_or(Errno::ENOSPC)?;
            let watch = self.queue.add(|number| Watch {
                number,
                mask: AtomicU32::new(mask & (EVENTS | KEPT)),
                queue: self.queue.clone(),
                watches: watches.clone(),
                inode: inode.clone(),
                _charge: charge,
            })?;
            let number = watch.number;
            Ok((watch, Ok(number)))
        };
        watches.add(attributes, known, make)?
    }

    /// Ends a watch; EINVAL if there is none of this number.
    pub fn unwatch(&self, number: i32) -> Result<(), Errno> {
        self.queue.remove(number).ok_or(Errno::EINVAL)?.leave();
        Ok(())
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        /// Watches that are ended in some ten thousand instructions.
        const TURN: usize = 16;
        let ending = Ending(self.queue.clone());
        executor::take_apart(move || (0..TURN).all(|_| ending.next()));
    }
}

/// The watches of an instance that nobody has any more, all of which end with this at the latest.
struct Ending(Arc<Queue>);

impl Ending {
    /// Ends one; false if there was none.
    fn next(&self) -> bool {
        let watch = self.0.remove_any();
        watch.as_ref().inspect(|watch| watch.leave()).is_some()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        while self.next() {}
    }
}

impl Watch {
    /// Asks for other events, or for more.
    fn change(&self, mask: u32) -> Result<i32, Errno> {
        if mask & linux::IN_MASK_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        let asked = mask & (EVENTS | KEPT);
        if mask & linux::IN_MASK_ADD != 0 {
            self.mask.fetch_or(asked, Relaxed);
        } else {
            self.mask.store(asked, Relaxed);
        }
        Ok(self.number)
    }

    /// Leaves the file's list.
    fn leave(&self) {
        self.watches.remove(self.inode.attributes(), self);
    }
}

impl Watcher for Watch {
    fn told(&self, notice: &Notice<'_>) -> bool {
        let mask = self.mask.load(Relaxed);
        let asked = Happening::from_bits_retain(mask) | Happening::UNMOUNT;
        if !asked.contains(notice.what) || mask & linux::IN_EXCL_UNLINK != 0 && notice.is_unlinked {
            return true;
        }
        let mut event = notice.what.bits();
        // Of itself a file tells no type when it goes.
        let of_itself = Happening::DELETE_SELF | Happening::MOVE_SELF | Happening::UNMOUNT;
        if notice.is_directory && !of_itself.contains(notice.what) {
            event |= linux::IN_ISDIR;
        }
        self.queue.tell(self.number, event, notice.cookie, notice.name, mask & linux::IN_ONESHOT != 0)
    }

    fn ended(&self) {
        self.queue.remove(self.number);
    }
}

impl Stream for Inotify {
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, _call: Call) -> Result<usize, Errno> {
        self.queue.read(sink)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(&self.queue.readiness)
    }

    fn events(&self) -> Events {
        self.queue.readiness.events()
    }

    fn readable(&self) -> Result<usize, Errno> {
        Ok(self.queue.size())
    }

    fn node(&self) -> Option<&Arc<Node>> {
        Some(Node::of_events())
    }

    fn name(&self) -> String {
        String::from("anon_inode:inotify")
    }

    fn details(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let mut number = 0;
        while let Some(watch) = self.queue.next_after(number) {
            number = watch.number;
            let attributes = watch.inode.attributes();
            let mask = watch.mask.load(Relaxed);
            let (ino, device) = (attributes.ino, attributes.dev);
            let device = device.major() << 20 | device.minor();
            writeln!(out, "inotify wd:{number:x} ino:{ino:x} sdev:{device:x} mask:{mask:x} ignored_mask:0 ")?;
        }
        Ok(())
    }
}
