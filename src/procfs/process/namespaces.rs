//! `ns`: the namespaces that a process is in, of which there is one of each kind (namespaces(7)).

use alloc::{format, vec::Vec};

use fs::{
    FileType, Path,
    procfs::{Directory, Link, Node},
};
use syscalls::Errno;

use super::{FIRST_PLACE, Subject};
use crate::file;

/// Their links, the kinds, and the numbers that Linux gives to those it begins with.
const KINDS: [(&str, &str, u64); 10] = [
    ("cgroup", "cgroup", 0xefff_fffb),
    ("ipc", "ipc", 0xefff_ffff),
    ("mnt", "mnt", 0xf000_0001),
    ("net", "net", 0xf000_0000),
    ("pid", "pid", 0xefff_fffc),
    ("pid_for_children", "pid", 0xefff_fffc),
    ("time", "time", 0xefff_fffa),
    ("time_for_children", "time", 0xefff_fffa),
    ("user", "user", 0xefff_fffd),
    ("uts", "uts", 0xefff_fffe),
];

/// The directory.
pub struct Namespaces {
    pub(super) subject: Subject,
}

impl Directory for Namespaces {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let (_, kind, number) = KINDS.iter().find(|(link, ..)| link.as_bytes() == name)?;
        let namespace = Namespace { subject: self.subject.clone(), kind, number: *number };
        Some(Node::Link(alloc::sync::Arc::new(namespace)))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let places = (FIRST_PLACE..).zip(KINDS).skip(from.saturating_sub(FIRST_PLACE) as usize);
        for (place, (link, ..)) in places {
            if !emit(place, link.as_bytes(), FileType::Symlink) {
                return;
            }
        }
    }

    fn alive(&self) -> bool {
        self.subject.alive()
    }

    fn owner(&self) -> (u32, u32) {
        self.subject.owner
    }

    fn permissions(&self) -> u32 {
        0o511
    }
}

/// One of the links.
struct Namespace {
    subject: Subject,
    kind: &'static str,
    number: u64,
}

impl Namespace {
    fn check(&self) -> Result<(), Errno> {
        self.subject.find().map_err(|_| Errno::ENOENT)?.check_access()
    }
}

impl Link for Namespace {
    fn text(&self) -> Result<Vec<u8>, Errno> {
        self.check()?;
        Ok(format!("{}:[{}]", self.kind, self.number).into_bytes())
    }

    fn target(&self) -> Option<Result<Path, Errno>> {
        Some(self.check().map(|()| file::Node::of_namespace(self.number).place()))
    }

    fn is_magic(&self) -> bool {
        true
    }
}
