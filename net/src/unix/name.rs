//! Names of sockets: paths, which the file system resolves, and abstract names, which the domain does.

use super::{Domain, Kind, OpenSocket, Socket};
use alloc::{
    boxed::Box,
    collections::BTreeMap,
    sync::{Arc, Weak},
    vec::Vec,
};
use core::borrow::Borrow;
use executor::atomic::{AtomicU32, Ordering::Relaxed};
use executor::sync::SpinMutex;
use syscalls::Errno;

/// The longest name, bytes (the size of `sun_path`).
pub const NAME_MAX: usize = 108;

/// The name that a socket is bound to, as it stands in `sun_path`: a path with its NUL at the end, or an abstract name
/// with a NUL in front.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// A name; ENOMEM.
    pub fn new(bytes: &[u8]) -> Result<Arc<Self>, Errno> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOMEM)?;
        copy.extend_from_slice(bytes);
        Ok(Arc::new(Name(copy.into_boxed_slice())))
    }

    /// The bytes of `sun_path`.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is none of the file system's.
    pub fn is_abstract(&self) -> bool {
        self.0.first() == Some(&0)
    }
}

/// A name as a key, to be found by its bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key(Arc<Name>);

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The sockets that have an abstract name, by that: each type of socket has names of its own.
#[derive(Default)]
struct Bound([BTreeMap<Key, Weak<Socket>>; 3]);

/// The abstract names.
pub(super) struct Names {
    bound: SpinMutex<Bound>,
    /// The name that the next socket without one gets.
    next: AtomicU32,
}

impl Names {
    pub const fn new() -> Self {
        Names { bound: SpinMutex::new(Bound([const { BTreeMap::new() }; 3])), next: AtomicU32::new(0) }
    }
}

impl Domain {
    /// The socket of a type with an abstract name.
    pub fn find(&self, kind: Kind, name: &[u8]) -> Option<Arc<Socket>> {
        self.names.bound.lock().0[kind as usize].get(name)?.upgrade()
    }
}

impl OpenSocket {
    /// Binds it to an abstract name. EINVAL if it has a name, EADDRINUSE if another has that one.
    pub fn bind_abstract(&self, name: &[u8]) -> Result<(), Errno> {
        let name = Name::new(name)?;
        let mut bound = self.domain.names.bound.lock();
        let bound = &mut bound.0[self.kind as usize];
        let mut state = self.state.lock();
        if state.name.is_some() {
            return Err(Errno::EINVAL);
        }
        // One that is being closed at this moment keeps its name until it has given it up.
        if bound.contains_key(name.bytes()) {
            return Err(Errno::EADDRINUSE);
        }
        bound.insert(Key(name.clone()), Arc::downgrade(&self.0));
        state.name = Some(name);
        Ok(())
    }

    /// Gives it a path for a name, whose node the caller has made. EINVAL if it has one.
    pub fn bind_path(&self, name: Arc<Name>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.name.is_some() {
            return Err(Errno::EINVAL);
        }
        state.name = Some(name);
        Ok(())
    }

    /// Gives it an abstract name of five digits, unless it has one. ENOSPC when all are taken.
    pub fn autobind(&self) -> Result<(), Errno> {
        const NUMBERS: u32 = 1 << 20;
        for _ in 0..NUMBERS {
            if self.state.lock().name.is_some() {
                return Ok(());
            }
            let number = self.domain.names.next.fetch_add(1, Relaxed) % NUMBERS;
            let digit = |place: u32| b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
            match self.bind_abstract(&[0, digit(4), digit(3), digit(2), digit(1), digit(0)]) {
                // By another thread, meanwhile.
                Ok(()) | Err(Errno::EINVAL) => return Ok(()),
                Err(Errno::EADDRINUSE) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::ENOSPC)
    }
}

impl Socket {
    /// Frees its abstract name for others. A connection that was accepted shows its listener's, which stays.
    pub(super) fn give_up_name(&self, name: &Name) {
        let mut bound = self.domain.names.bound.lock();
        let bound = &mut bound.0[self.kind as usize];
        if bound.get(name.bytes()).is_some_and(|owner| core::ptr::eq(owner.as_ptr(), self)) {
            bound.remove(name.bytes());
        }
    }
}
