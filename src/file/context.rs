//! Root, working directory and umask: what threads share under `CLONE_FS`.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use executor::sync::SpinMutex;
use fs::Path;

/// Where paths start.
#[derive(Clone)]
pub struct Places {
    /// Where absolute paths start.
    pub root: Path,
    /// Where relative paths start.
    pub working: Path,
}

/// The context that path names are understood in.
pub struct FsContext {
    places: SpinMutex<Arc<Places>>,
    umask: AtomicU32,
}

impl FsContext {
    /// A context with this root, which is also the working directory.
    pub fn new(root: Path) -> Arc<Self> {
        let places = Places { working: root.clone(), root };
        Arc::new(Self { places: SpinMutex::new(Arc::new(places)), umask: AtomicU32::new(0o022) })
    }

    /// A copy that changes on its own, and whose users write nothing that this one's users write.
    pub fn duplicate(&self) -> Arc<Self> {
        let umask = AtomicU32::new(self.umask.load(Ordering::Relaxed));
        let places = Arc::new(Places::clone(&self.places()));
        Arc::new(Self { places: SpinMutex::new(places), umask })
    }

    /// The places as they are now.
    #[inline]
    pub fn places(&self) -> Arc<Places> {
        self.places.lock().clone()
    }

    /// Changes the working directory.
    pub fn set_working(&self, working: Path) {
        let mut places = self.places.lock();
        let new = Places { root: places.root.clone(), working };
        let old = core::mem::replace(&mut *places, Arc::new(new));
        drop(places);
        drop(old);
    }

    /// Changes the root.
    pub fn set_root(&self, root: Path) {
        let mut places = self.places.lock();
        let new = Places { root, working: places.working.clone() };
        let old = core::mem::replace(&mut *places, Arc::new(new));
        drop(places);
        drop(old);
    }

    /// Permission bits that new files do not get.
    #[inline]
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Replaces the umask; returns the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }
}
