//! Walking a path through the directory cache: no lock, no count, no store to shared memory.
//!
//! The walk holds an RCU guard from its first component to its last and only follows pointers. Where the cache
//! does not know (a name that was not looked up yet, a rename going on, a link whose target must be fetched), it stops
//! and says so; the caller settles that with locks and perhaps waiting, which leaves the answer in the cache, and walks
//! again from the start. Nor does a walk go on for ever: 40 links of 4095 bytes each can be on a path, so it comes in legs.

use crate::{
    Credentials, FileType, Path,
    attributes::Access,
    dcache::{
        Dentry, LookupForm,
        directory::Cached,
        name::{NAME_MAX, Name},
    },
    mount::Mount,
    permission,
};
use bitflags::bitflags;
use executor::rcu;
use smallvec::SmallVec;
use syscalls::Errno;

/// The longest path, bytes with the final NUL (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;
/// Symbolic links followed on the way to a file (`MAXSYMLINKS`).
pub const LINKS_MAX: usize = 40;
/// Bytes of a path, and of the links on it, that are walked before others get their turn: some tens of thousands of
/// instructions.
pub(crate) const LEG: usize = 256;
/// The longest path that is tried as a straight one, bytes: takes as long.
const STRAIGHT_MAX: usize = 512;

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

impl LookupFlags {
    /// Flags that even the straightest path is checked against.
    const CHECKED: Self = Self::DIRECTORY.union(Self::BENEATH);
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
    /// Permission bits, 0o777, that files do not get which are made (umask(2)).
    pub umask: u32,
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

    /// The root of what is mounted here, or of what is mounted on that; this place if nothing is.
    fn entered(mut self, guard: &'g rcu::ReadGuard) -> Self {
        while let Some(mount) = self.mount.mounted_on(self.dentry, guard) {
            self = Cursor { mount, dentry: mount.root() };
        }
        self
    }

    /// Counts the place, so that it can be kept; `None` when the file has just left the cache.
    #[inline(always)]
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
    /// At the last name, in a directory that has been checked for search permission. The name may be too long.
    Place(Place<'g>),
    /// At a name the cache does not know.
    Unknown(Cursor<'g>, &'g [u8]),
    /// At a symbolic link whose target is not in memory, or is no path; see [`Detour`].
    Detour(Detour<'g>),
    /// At the end of a leg.
    Leg(Leg<'g>),
}

/// A link that the walk cannot follow by itself.
pub(crate) struct Detour<'g> {
    /// The directory that has the link.
    pub directory: Cursor<'g>,
    pub link: &'g Dentry,
    /// What is to be walked behind the link, innermost last.
    pub pending: Pending<'g>,
    /// Links followed so far, this one included.
    pub links: usize,
}

/// The part of a long walk that is done.
pub(crate) struct Leg<'g> {
    /// Where it has come.
    pub at: Cursor<'g>,
    /// What is to be walked from there, innermost last.
    pub pending: Pending<'g>,
    /// Links followed so far.
    pub links: usize,
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

impl<'v> View<'v> {
    /// Walks the straight beginning of a path: cached names one after the other, through directories that may be
    /// searched; with `PLACE`, not the last one. Most paths are straight to the end. `None` for paths that need checks first.
    #[inline(always)]
    pub(crate) fn set_out<'g, const PLACE: bool>(
        &self,
        path: &'g [u8],
        flags: LookupFlags,
        guard: &'g rcu::ReadGuard,
    ) -> Option<Straight<'g>>
    where
        'v: 'g,
    {
        if path.len().wrapping_sub(1) >= STRAIGHT_MAX || flags.intersects(LookupFlags::CHECKED) {
            return None;
        }
        let (start, used) = if path[0] == b'/' { (self.root, 1) } else { (self.start, 0) };
        let crosses = !flags.contains(LookupFlags::NO_CROSSING);
        let at = Cursor::of(start);
        // Once for the whole walk, which most paths end with.
        Some(if LookupForm::is_locked() {
            straight_locked::<PLACE>(at, path, used, crosses, self.credentials, guard)
        } else {
            straight::<PLACE, false>(at, path, used, crosses, self.credentials, guard)
        })
    }

    /// Walks an ordinary path to the directory of its last component, which is a proper name.
    #[inline(always)]
    pub(crate) fn walk_straight_to_place<'g>(
        &self,
        path: &'g [u8],
        flags: LookupFlags,
        guard: &'g rcu::ReadGuard,
    ) -> Option<(Cursor<'g>, Name<'g>)>
    where
        'v: 'g,
    {
        let end = self.set_out::<true>(path, flags, guard)?;
        let name = end.last?;
        if name.is_dots() || name.bytes.len() > NAME_MAX { None } else { Some((end.at, name)) }
    }

    /// Walks `path`, of which `begun` has been walked, behind so many links. The path may be longer than [`PATH_MAX`].
    pub(crate) fn walk<'g>(
        &self,
        path: &'g [u8],
        flags: LookupFlags,
        last: Last,
        begun: Option<Straight<'g>>,
        links: usize,
        guard: &'g rcu::ReadGuard,
    ) -> Result<Stop<'g>, Errno>
    where
        'v: 'g,
    {
        let (at, used) = match begun {
            Some(begun) => (begun.at, begun.used),
            None if path.is_empty() && !flags.contains(LookupFlags::EMPTY_PATH) => return Err(Errno::ENOENT),
            None if path.first() != Some(&b'/') => (Cursor::of(self.start), 0),
            None if flags.contains(LookupFlags::BENEATH) => return Err(Errno::EXDEV),
            None => (Cursor::of(self.root), 1),
        };
        let (view, rest, pending) = (*self, &path[used..], Pending::new());
        Walk { view, at, rest, pending, links, walked: 0, flags, last, guard }.run()
    }
}

/// Where the straight beginning of a path ended.
pub(crate) struct Straight<'g> {
    pub at: Cursor<'g>,
    /// How much of the path was used.
    pub used: usize,
    /// The last component, in `at`, when it was to be kept and nothing out of the ordinary came before it.
    last: Option<Name<'g>>,
}

/// Follows names from `used` in the path on, as long as nothing out of the ordinary is met; with `PLACE`, not the last one.
/// Mounts are ordinary if the walk `crosses` them.
#[inline(always)]
fn straight<'g, const PLACE: bool, const LOCKED: bool>(
    mut at: Cursor<'g>,
    path: &'g [u8],
    mut used: usize,
    crosses: bool,
    credentials: &Credentials,
    guard: &'g rcu::ReadGuard,
) -> Straight<'g> {
    while used < path.len() {
        let Some(directory) = at.dentry.directory() else { break };
        let attributes = at.dentry.attributes();
        if !attributes.is_executable_by_all() && !permission::may_search(attributes, credentials) {
            break;
        }
        let name = Name::at(path, used);
        let end = used + name.bytes.len();
        // A second slash, or one at the end, is for the general walk.
        let next = match path.get(end + 1) {
            None if end != path.len() => break,
            None if PLACE => return Straight { at, used, last: Some(name) },
            None => end,
            Some(b'/') => break,
            Some(_) => end + 1,
        };
        // Names that are none (`.`, `..`, too long) are in no directory.
        let Cached::Positive(child) = directory.find::<LOCKED>(name, guard) else { break };
        let child = Cursor { dentry: child, ..at };
        at = if !child.dentry.is_special() {
            child
        } else if crosses && child.dentry.is_but_covered() {
            child.entered(guard)
        } else {
            break;
        };
        used = next;
    }
    Straight { at, used, last: None }
}

/// The same where lookups take a lock.
#[cold]
fn straight_locked<'g, const PLACE: bool>(
    at: Cursor<'g>,
    path: &'g [u8],
    used: usize,
    crosses: bool,
    credentials: &Credentials,
    guard: &'g rcu::ReadGuard,
) -> Straight<'g> {
    straight::<PLACE, true>(at, path, used, crosses, credentials, guard)
}

/// A walk under way.
struct Walk<'g> {
    view: View<'g>,
    at: Cursor<'g>,
    /// What is left of the path, or of the target of the link that is being followed.
    rest: &'g [u8],
    pending: Pending<'g>,
    links: usize,
    /// Bytes that have been walked.
    walked: usize,
    flags: LookupFlags,
    last: Last,
    guard: &'g rcu::ReadGuard,
}

impl<'g> Walk<'g> {
    #[inline]
    fn run(mut self) -> Result<Stop<'g>, Errno> {
        loop {
            // What follows a component, or nothing: the rest is empty or begins with a slash.
            if let [b'/', rest @ ..] = self.rest {
                self.rest = rest;
                while let [b'/', rest @ ..] = self.rest {
                    self.rest = rest;
                    self.walked += 1;
                }
                if self.at.dentry.directory().is_none() {
                    return Err(Errno::ENOTDIR);
                }
            }
            if self.rest.is_empty() {
                if let Some(outer) = self.pending.pop() {
                    self.rest = outer;
                    continue;
                }
                if self.flags.contains(LookupFlags::DIRECTORY) && self.at.dentry.directory().is_none() {
                    return Err(Errno::ENOTDIR);
                }
                return Ok(Stop::At(self.at));
            }
            let directory = self.at.dentry.directory().ok_or(Errno::ENOTDIR)?;
            // Where everyone may search, nothing else needs to be looked at.
            if !self.at.dentry.attributes().is_executable_by_all() {
                permission::check(self.at.dentry.attributes(), self.view.credentials, Access::EXECUTE)?;
            }
            if self.walked >= LEG {
                self.pending.push(self.rest);
                return Ok(Stop::Leg(Leg { at: self.at, pending: self.pending, links: self.links }));
            }
            let name = Name::at(self.rest, 0);
            self.walked += name.bytes.len() + 1;
            let after = &self.rest[name.bytes.len()..];
            if name.is_dots() {
                if let Some(stop) = self.dots(name, after)? {
                    return Ok(stop);
                }
                continue;
            }
            if self.last == Last::Place && self.is_last(after) {
                return Ok(self.place(name, after));
            }
            if name.bytes.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            if self.last == Last::FileOrPlace && !after.is_empty() && self.is_last(after) {
                // Slashes ask for a directory, and what is to be made, or opened as if, is none.
                return Err(Errno::EISDIR);
            }
            match directory.find_as_chosen(name, self.guard) {
                Cached::Positive(child) => {
                    let before = self.at;
                    self.at.dentry = child;
                    self.rest = after;
                    if child.is_special()
                        && let Some(stop) = self.special(before, name)?
                    {
                        return Ok(stop);
                    }
                }
                unknown => return self.absent(matches!(unknown, Cached::Negative), name, after),
            }
        }
    }

    /// Whether nothing but slashes follows.
    fn is_last(&self, after: &[u8]) -> bool {
        only_slashes(after) && self.pending.iter().all(|outer| only_slashes(outer))
    }

    /// Ends at the place of a name.
    fn place(&self, name: Name<'g>, after: &[u8]) -> Stop<'g> {
        let slashes = !(after.is_empty() && self.pending.is_empty());
        Stop::Place(Place { directory: self.at, name: name.bytes, slashes })
    }

    /// At a name that is not cached, or known not to exist.
    #[cold]
    fn absent(&self, known: bool, name: Name<'g>, after: &[u8]) -> Result<Stop<'g>, Errno> {
        if self.last == Last::FileOrPlace && self.is_last(after) {
            Ok(self.place(name, after))
        } else if known {
            Err(Errno::ENOENT)
        } else {
            Ok(Stop::Unknown(self.at, name.bytes))
        }
    }

    /// Starts again at the root.
    fn restart(&mut self) -> Result<(), Errno> {
        let root = Cursor::of(self.view.root);
        let crosses = !core::ptr::eq(root.mount, self.at.mount);
        if self.flags.contains(LookupFlags::BENEATH)
            || crosses && self.flags.contains(LookupFlags::NO_CROSSING)
        {
            return Err(Errno::EXDEV);
        }
        self.at = root;
        Ok(())
    }

    /// `.` and `..`. Neither can be made, removed or renamed; each caller has its own error for that.
    #[cold]
    fn dots(&mut self, name: Name<'g>, after: &'g [u8]) -> Result<Option<Stop<'g>>, Errno> {
        if self.last == Last::Place && self.is_last(after) {
            return Ok(Some(self.place(name, after)));
        }
        self.rest = after;
        if name.bytes.len() == 2 {
            self.climb()?;
        }
        Ok(None)
    }

    /// At a file with more to it: a link, a mount on it, or one that must be asked whether it is still there.
    #[cold]
    fn special(&mut self, before: Cursor<'g>, name: Name<'g>) -> Result<Option<Stop<'g>>, Errno> {
        let child = self.at.dentry;
        if !child.is_valid() {
            let after = self.rest;
            self.at = before;
            return self.absent(false, name, after).map(Some);
        }
        if child.kind() != FileType::Symlink {
            self.enter()?;
            return Ok(None);
        }
        let is_final = self.rest.is_empty() && self.pending.is_empty();
        if is_final && !self.flags.contains(LookupFlags::FOLLOW) {
            return Ok(None);
        }
        self.links += 1;
        if self.links > LINKS_MAX || self.flags.contains(LookupFlags::NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        if let Some(slashes) = self.rest.iter().position(|&byte| byte != b'/') {
            self.pending.push(&self.rest[slashes - 1..]);
        } else if !self.rest.is_empty() {
            self.pending.push(b"/");
        }
        self.at = before;
        match child.inode().link_target() {
            Some([]) => Err(Errno::ENOENT),
            Some(target) => {
                self.rest = target;
                if target[0] == b'/' {
                    self.restart()?;
                }
                Ok(None)
            }
            None => {
                let pending = core::mem::take(&mut self.pending);
                let links = self.links;
                Ok(Some(Stop::Detour(Detour { directory: before, link: child, pending, links })))
            }
        }
    }

    /// From a covered place up to the root of what is mounted there.
    fn enter(&mut self) -> Result<(), Errno> {
        let inside = self.at.entered(self.guard);
        if self.flags.contains(LookupFlags::NO_CROSSING) && !core::ptr::eq(inside.mount, self.at.mount) {
            return Err(Errno::EXDEV);
        }
        self.at = inside;
        Ok(())
    }

    /// `..`: to the directory above, through the roots of mounts, not above the view's root.
    fn climb(&mut self) -> Result<(), Errno> {
        loop {
            if self.at.is(self.view.root) {
                return if self.flags.contains(LookupFlags::BENEATH) { Err(Errno::EXDEV) } else { Ok(()) };
            }
            if !self.at.mount.root().same(self.at.dentry) {
                break;
            }
            let Some((mount, dentry)) = self.at.mount.place(self.guard) else { return Ok(()) };
            if self.flags.contains(LookupFlags::NO_CROSSING) {
                return Err(Errno::EXDEV);
            }
            self.at = Cursor { mount, dentry };
        }
        if let Some(parent) = self.at.dentry.parent(self.guard) {
            self.at.dentry = parent;
        }
        if self.at.dentry.is_mountpoint() { self.enter() } else { Ok(()) }
    }
}
