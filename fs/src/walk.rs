//! Walking a path through the directory cache: no lock, no count, no store to shared memory.
//!
//! The walk holds an RCU guard from its first component to its last and only follows pointers. Where the cache
//! does not know (a name that was not looked up yet, a rename going on, a link whose target must be fetched), it stops
//! and says so; the caller settles that with locks and perhaps waiting, which leaves the answer in the cache, and walks
//! again from the start.

use crate::{
    Credentials, FileType, Path,
    attributes::Access,
    dcache::{
        Dentry,
        directory::Cached,
        name::{NAME_MAX, Name},
    },
    mount::Mount,
};
use bitflags::bitflags;
use executor::rcu;
use smallvec::SmallVec;
use syscalls::Errno;

/// The longest path, bytes with the final NUL (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;
/// Symbolic links followed in one walk (`MAXSYMLINKS`).
pub const LINKS_MAX: usize = 40;

bitflags! {
    /// How a path is walked.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct LookupFlags: u32 {
        /// Follow a symbolic link in the last component (others are always followed).
        const FOLLOW = 1;
        /// The result must be a directory.
        const DIRECTORY = 1 << 1;
        /// An empty path means the start itself (`AT_EMPTY_PATH`).
        const EMPTY_PATH = 1 << 2;
        /// `ELOOP` at any symbolic link (`RESOLVE_NO_SYMLINKS`).
        const NO_SYMLINKS = 1 << 3;
        /// `ELOOP` at links of procfs that lead to open objects (`RESOLVE_NO_MAGICLINKS`).
        const NO_MAGIC_LINKS = 1 << 4;
        /// `EXDEV` where the walk would enter another mount (`RESOLVE_NO_XDEV`).
        const NO_CROSSING = 1 << 5;
        /// `EXDEV` where the walk would leave the tree under the start (`RESOLVE_BENEATH`).
        const BENEATH = 1 << 6;
        /// The start is the root (`RESOLVE_IN_ROOT`).
        const IN_ROOT = 1 << 7;
    }
}

/// Who walks, and from where.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Where absolute paths start and `..` ends.
    pub root: &'a Path,
    /// Where relative paths start: the working directory, or that of a directory descriptor.
    pub start: &'a Path,
    /// Whose rights count.
    pub credentials: &'a Credentials,
}

/// A place in the tree under an RCU guard.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'g> {
    pub mount: &'g Mount,
    pub dentry: &'g Dentry,
}

impl<'g> Cursor<'g> {
    fn of(path: &'g Path) -> Self {
        Cursor { mount: path.mount(), dentry: path.dentry() }
    }

    #[inline]
    fn is(&self, path: &Path) -> bool {
        path.dentry().same(self.dentry) && path.mount().same(self.mount)
    }

    /// Counts the place, so that it can be kept; `None` when the file has just left the cache.
    #[inline]
    pub fn to_path(self, guard: &rcu::ReadGuard) -> Option<Path> {
        let dentry = self.dentry.try_ref()?;
        Some(Path::new(self.mount.add_user(guard), dentry))
    }
}

/// What the walk wants with the last component.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// The file it names.
    File,
    /// The file it names or, when there is none, the place to make it in.
    FileOrPlace,
    /// The place alone: it is not looked up.
    Place,
}

/// Where a walk ended.
pub(crate) enum Stop<'g> {
    /// At a file.
    At(Cursor<'g>),
    /// At the last name, in a directory that has been checked for search permission.
    Place(Place<'g>),
    /// At a name the cache does not know.
    Unknown(Cursor<'g>, &'g [u8]),
    /// At a symbolic link whose target is not in memory, or is no path; see [`Detour`].
    Detour(Detour<'g>),
}

/// A link that the walk cannot follow by itself.
pub(crate) struct Detour<'g> {
    /// The directory that has the link.
    pub directory: Cursor<'g>,
    pub link: &'g Dentry,
    /// What is to be walked behind the link, innermost last.
    pub pending: Pending<'g>,
}

/// What follows the links that are being followed, innermost last.
pub(crate) type Pending<'g> = SmallVec<[&'g [u8]; 4]>;

/// A name in a directory, perhaps of nothing yet.
pub(crate) struct Place<'g> {
    pub directory: Cursor<'g>,
    pub name: &'g [u8],
    /// Slashes follow the name: it must be that of a directory.
    pub slashes: bool,
}

fn only_slashes(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'/')
}

/// The length of the first component.
#[inline]
fn component(path: &[u8]) -> usize {
    const SLASHES: u64 = 0x2f2f_2f2f_2f2f_2f2f;
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    // Eight bytes at a time: a byte that equals '/' becomes zero, and the lowest zero byte is found by the
    // borrow it causes (Mycroft's test, exact for the first).
    while let Some(bytes) = path.get(at..at + 8) {
        let word = u64::from_le_bytes(bytes.try_into().unwrap()) ^ SLASHES;
        let zeros = word.wrapping_sub(LOW) & !word & HIGH;
        if zeros != 0 {
            return at + zeros.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < path.len() && path[at] != b'/' {
        at += 1;
    }
    at
}

impl<'v> View<'v> {
    /// Walks `path`.
    pub(crate) fn walk<'g>(
        &self,
        path: &'g [u8],
        flags: LookupFlags,
        last: Last,
        guard: &'g rcu::ReadGuard,
    ) -> Result<Stop<'g>, Errno>
    where
        'v: 'g,
    {
        if path.is_empty() {
            return if flags.contains(LookupFlags::EMPTY_PATH) {
                Ok(Stop::At(Cursor::of(self.start)))
            } else {
                Err(Errno::ENOENT)
            };
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let root = self.root;
        let mut at = Cursor::of(self.start);
        if path[0] == b'/' {
            if flags.contains(LookupFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            at = Cursor::of(root);
        }
        let mut rest = path;
        let mut pending = Pending::new();
        let mut links = 0;
        loop {
            let Some(&first) = rest.first() else {
                match pending.pop() {
                    Some(outer) => {
                        rest = outer;
                        continue;
                    }
                    None => break,
                }
            };
            let Some(directory) = at.dentry.directory() else { return Err(Errno::ENOTDIR) };
            if first == b'/' {
                rest = &rest[1..];
                continue;
            }
            at.dentry.inode().check_search(self.credentials)?;
            let (name, after) = rest.split_at(component(rest));
            let is_last = || only_slashes(after) && pending.iter().all(|outer| only_slashes(outer));
            if name[0] == b'.' && (name.len() == 1 || name == b"..") {
                rest = after;
                if name.len() == 2 {
                    at = self.climb(at, root, flags, guard)?;
                }
                if last == Last::Place && is_last() {
                    // Neither can be made, removed or renamed; each caller has its own error for that.
                    return Ok(Stop::Place(Place {
                        directory: at,
                        name,
                        slashes: !(after.is_empty() && pending.is_empty()),
                    }));
                }
                continue;
            }
            if name.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            if last == Last::Place && is_last() {
                return Ok(Stop::Place(Place {
                    directory: at,
                    name,
                    slashes: !(after.is_empty() && pending.is_empty()),
                }));
            }
            let child = match directory.find(Name::new(name), guard) {
                Cached::Positive(child) => child,
                Cached::Negative if last == Last::FileOrPlace && is_last() => {
                    return Ok(Stop::Place(Place {
                        directory: at,
                        name,
                        slashes: !(after.is_empty() && pending.is_empty()),
                    }));
                }
                Cached::Negative => return Err(Errno::ENOENT),
                Cached::Unknown if last == Last::FileOrPlace && is_last() => {
                    return Ok(Stop::Place(Place {
                        directory: at,
                        name,
                        slashes: !(after.is_empty() && pending.is_empty()),
                    }));
                }
                Cached::Unknown => return Ok(Stop::Unknown(at, name)),
            };
            if child.kind() == FileType::Symlink
                && (!after.is_empty() || !pending.is_empty() || flags.contains(LookupFlags::FOLLOW))
            {
                links += 1;
                if links > LINKS_MAX || flags.contains(LookupFlags::NO_SYMLINKS) {
                    return Err(Errno::ELOOP);
                }
                if !after.is_empty() {
                    pending.push(after);
                }
                match child.inode().link_target() {
                    Some([]) => return Err(Errno::ENOENT),
                    Some(target) => {
                        rest = target;
                        if target[0] == b'/' {
                            if flags.contains(LookupFlags::BENEATH) {
                                return Err(Errno::EXDEV);
                            }
                            at = Cursor::of(root);
                        }
                    }
                    None => return Ok(Stop::Detour(Detour { directory: at, link: child, pending })),
                }
                continue;
            }
            at.dentry = child;
            rest = after;
            if child.is_mountpoint() {
                at = Self::enter(at, flags, guard)?;
            }
        }
        if flags.contains(LookupFlags::DIRECTORY) && at.dentry.directory().is_none() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Stop::At(at))
    }

    /// From a covered place up to the root of what is mounted there.
    fn enter<'g>(
        mut at: Cursor<'g>,
        flags: LookupFlags,
        guard: &'g rcu::ReadGuard,
    ) -> Result<Cursor<'g>, Errno> {
        while let Some(mount) = at.mount.mounted_on(at.dentry, guard) {
            if flags.contains(LookupFlags::NO_CROSSING) {
                return Err(Errno::EXDEV);
            }
            at = Cursor { mount, dentry: mount.root() };
        }
        Ok(at)
    }

    /// `..`: to the directory above, through the roots of mounts, not above `root`.
    fn climb<'g>(
        &self,
        mut at: Cursor<'g>,
        root: &Path,
        flags: LookupFlags,
        guard: &'g rcu::ReadGuard,
    ) -> Result<Cursor<'g>, Errno> {
        loop {
            if at.is(root) {
                if flags.contains(LookupFlags::BENEATH) {
                    return Err(Errno::EXDEV);
                }
                return Ok(at);
            }
            if !at.mount.root().same(at.dentry) {
                break;
            }
            let Some((mount, dentry)) = at.mount.place(guard) else { return Ok(at) };
            if flags.contains(LookupFlags::NO_CROSSING) {
                return Err(Errno::EXDEV);
            }
            at = Cursor { mount, dentry };
        }
        if let Some(parent) = at.dentry.parent(guard) {
            at.dentry = parent;
        }
        if at.dentry.is_mountpoint() { Self::enter(at, flags, guard) } else { Ok(at) }
    }
}

impl dyn crate::Inode {
    /// The check that every component of a path makes of its directory.
    #[inline]
    pub(crate) fn check_search(&self, credentials: &Credentials) -> Result<(), Errno> {
        // Where everyone may search, nothing else needs to be looked at.
        if self.attributes().permissions() & 0o111 == 0o111 {
            return Ok(());
        }
        crate::permission::check(self, credentials, Access::EXECUTE)
    }
}
