//! Finding files by path.

use crate::{
    Inode, LookupFlags, Metadata, Mount, Op, Path, Result, View,
    dcache::{Dentry, DentryRef, name::OwnedName},
    fill::{fill, try_fill},
    walk::{Cursor, Detour, LEG, Last, Leg, PATH_MAX, Place, Stop},
};
use alloc::{sync::Arc, vec::Vec};
use executor::rcu;
use syscalls::Errno;

/// How often a walk is tried before others get their turn.
const ATTEMPTS: usize = 8;

/// How one walk ended.
pub(crate) enum Attempt<T> {
    Done(Result<T>),
    /// Ask the file system for this name, then walk again.
    Fill(DentryRef, OwnedName),
    /// Fetch the target of this link, and go on in its place.
    Follow(Arc<dyn Inode>, Onward),
    /// Make way for others, and go on.
    Continue(Onward),
    /// What was found vanished meanwhile: walk again.
    Again,
}

/// What is left of a walk.
pub(crate) struct Onward {
    from: Path,
    path: Vec<u8>,
    /// Links followed so far.
    links: usize,
}

impl Onward {
    /// `pending` from a directory on, innermost last; to be tried again where that has just vanished, ENOMEM.
    fn new<T>(
        from: Cursor<'_>,
        pending: &[&[u8]],
        links: usize,
        guard: &rcu::ReadGuard,
    ) -> core::result::Result<Self, Attempt<T>> {
        let from = from.to_path(guard).ok_or(Attempt::Again)?;
        let mut path = Vec::new();
        let len = pending.iter().map(|part| part.len()).sum();
        path.try_reserve_exact(len).map_err(|_| Attempt::Done(Err(Errno::ENOMEM)))?;
        pending.iter().rev().for_each(|part| path.extend_from_slice(part));
        Ok(Onward { from, path, links })
    }

    /// Puts what a link in `from` names before the rest.
    fn follow(mut self, target: &[u8]) -> Result<Self> {
        self.path.try_reserve_exact(target.len()).map_err(|_| Errno::ENOMEM)?;
        self.path.splice(..0, target.iter().copied());
        Ok(self)
    }
}

/// The place for a name, held outside an RCU guard.
pub(crate) struct HeldPlace {
    pub directory: Path,
    pub name: OwnedName,
    pub slashes: bool,
}

impl HeldPlace {
    /// Whether the name cannot be made, removed or renamed: `.`, `..`, or none at all (the root).
    pub fn is_fixed(&self) -> bool {
        matches!(&*self.name, b"" | b"." | b"..")
    }
}

/// What a walk found: a file, or the place for one.
pub(crate) enum Target {
    File(Path),
    Place(HeldPlace),
}

/// Turns the end of a walk into something that outlives the guard.
pub(crate) trait Finish<T>: Fn(&Stop<'_>, &rcu::ReadGuard) -> Attempt<T> + Copy + Send {}
impl<T, F: Fn(&Stop<'_>, &rcu::ReadGuard) -> Attempt<T> + Copy + Send> Finish<T> for F {}

fn to_path(stop: &Stop<'_>, guard: &rcu::ReadGuard) -> Attempt<Path> {
    match stop {
        Stop::At(cursor) => cursor.to_path(guard).map_or(Attempt::Again, |path| Attempt::Done(Ok(path))),
        _ => unreachable!("a walk to a file ends at a file"),
    }
}

fn to_target(stop: &Stop<'_>, guard: &rcu::ReadGuard) -> Attempt<Target> {
    let target = match *stop {
        Stop::At(cursor) => cursor.to_path(guard).map(Target::File),
        Stop::Place(Place { directory, name, slashes }) => directory.to_path(guard).map(|directory| {
            Target::Place(HeldPlace { directory, name: OwnedName::from_slice(name), slashes })
        }),
        _ => unreachable!("settled before"),
    };
    target.map_or(Attempt::Again, |target| Attempt::Done(Ok(target)))
}

impl<'v> View<'v> {
    /// The view in which `..` and absolute links respect the flags that confine a walk to its start.
    #[inline]
    fn confined(self, flags: LookupFlags) -> Self {
        if flags.intersects(LookupFlags::BENEATH.union(LookupFlags::IN_ROOT)) {
            View { root: self.start, ..self }
        } else {
            self
        }
    }

    /// Walks once, behind so many links; `finish` takes the end to where it can be kept.
    #[inline]
    fn attempt<T>(
        &self,
        path: &[u8],
        links: usize,
        flags: LookupFlags,
        last: Last,
        finish: impl Finish<T>,
    ) -> Attempt<T> {
        let guard = rcu::read();
        let begun = if last == Last::Place {
            self.set_out::<true>(path, flags, &guard)
        } else {
            self.set_out::<false>(path, flags, &guard)
        };
        let onward = |from, pending: &[&[u8]], links| Onward::new(from, pending, links, &guard);
        match self.walk(path, flags, last, begun, links, &guard) {
            Err(error) => Attempt::Done(Err(error)),
            Ok(stop @ (Stop::At(_) | Stop::Place(_))) => finish(&stop, &guard),
            Ok(Stop::Unknown(at, name)) => match at.dentry.try_ref() {
                Some(directory) => Attempt::Fill(directory, OwnedName::from_slice(name)),
                None => Attempt::Again,
            },
            Ok(Stop::Detour(Detour { directory, link, pending, links })) => {
                onward(directory, &pending, links)
                    .map_or_else(|again| again, |onward| Attempt::Follow(link.inode().clone(), onward))
            }
            Ok(Stop::Leg(Leg { at, pending, links })) => {
                onward(at, &pending, links).map_or_else(|again| again, Attempt::Continue)
            }
        }
    }

    /// Walks until the end is reached, if that needs no waiting; else `None`.
    #[inline]
    fn resolve_now<T>(
        &self,
        path: &[u8],
        flags: LookupFlags,
        last: Last,
        finish: impl Finish<T>,
    ) -> Option<Result<T>> {
        if path.len() > LEG {
            return if path.len() < PATH_MAX { None } else { Some(Err(Errno::ENAMETOOLONG)) };
        }
        // What was filled last is held, so that it is still cached at the next attempt.
        let mut _filled = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(path, 0, flags, last, finish) {
                Attempt::Done(result) => return Some(result),
                Attempt::Fill(directory, name) => match try_fill(&directory, &name)? {
                    Ok(Some(found)) => _filled = Some(found),
                    // Some directories' absences are not remembered: the answer is used at once.
                    Ok(None) => return Some(Err(Errno::ENOENT)),
                    Err(error) => return Some(Err(error)),
                },
                Attempt::Follow(..) | Attempt::Continue(..) => return None,
                Attempt::Again => (),
            }
        }
        None
    }

    /// Walks until the end is reached, waiting where necessary.
    async fn resolve<T>(
        self,
        path: &[u8],
        mut flags: LookupFlags,
        last: Last,
        finish: impl Finish<T>,
    ) -> Result<T> {
        let mut _filled = None;
        let mut onward: Option<Onward> = None;
        loop {
            executor::make_way().await;
            let attempt = match &onward {
                None => self.attempt(path, 0, flags, last, finish),
                Some(Onward { from, path, links }) => {
                    View { start: from, ..self }.attempt(path, *links, flags, last, finish)
                }
            };
            match attempt {
                Attempt::Done(result) => return result,
                Attempt::Fill(directory, name) => {
                    _filled = Some(fill(directory, &name).await?.ok_or(Errno::ENOENT)?);
                }
                Attempt::Again => (),
                Attempt::Continue(rest) => onward = Some(rest),
                Attempt::Follow(link, rest) => {
                    onward = Some(if link.is_magic_link() {
                        if flags.contains(LookupFlags::NO_MAGIC_LINKS) {
                            return Err(Errno::ELOOP);
                        }
                        if flags.intersects(LookupFlags::BENEATH.union(LookupFlags::IN_ROOT)) {
                            return Err(Errno::EXDEV);
                        }
                        let target = link.magic_link()?;
                        let crosses = target.mount().id() != rest.from.mount().id();
                        if crosses && flags.contains(LookupFlags::NO_CROSSING) {
                            return Err(Errno::EXDEV);
                        }
                        flags |= LookupFlags::EMPTY_PATH;
                        let rest = if rest.path.is_empty() { rest } else { rest.follow(b".")? };
                        Onward { from: target, ..rest }
                    } else {
                        let text = link.read_link().await?;
                        if text.is_empty() {
                            return Err(Errno::ENOENT);
                        }
                        rest.follow(&text)?
                    });
                }
            }
        }
    }

    /// Finds the file at `path`.
    ///
    /// A cached path is walked without a lock; the answer then counts one use of the mount (on this CPU) and one
    /// of the file found.
    #[inline]
    pub fn lookup<'a>(self, path: &'a [u8], flags: LookupFlags) -> Op<'a, Result<Path>>
    where
        'v: 'a,
    {
        let view = self.confined(flags);
        {
            let guard = rcu::read();
            if let Some(end) = view.set_out::<false>(path, flags, &guard)
                && end.used == path.len()
                && let Some(found) = end.at.to_path(&guard)
            {
                return Op::Ready(Ok(found));
            }
        }
        view.lookup_around(path, flags)
    }

    /// [`lookup`](Self::lookup) of a path that is not straight.
    fn lookup_around<'a>(self, path: &'a [u8], flags: LookupFlags) -> Op<'a, Result<Path>>
    where
        'v: 'a,
    {
        let view = self;
        match view.resolve_now(path, flags, Last::File, to_path) {
            Some(result) => Op::Ready(result),
            None => Op::waiting(async move { view.resolve(path, flags, Last::File, to_path).await }),
        }
    }

    /// Looks at the file at `path` without counting a use of it, if its path is cached: `look` runs where the walk ended, and
    /// must not keep anything. `None` when the walk must wait or fetch something; [`lookup`](Self::lookup) does.
    #[inline]
    pub fn inspect<R>(
        self,
        path: &[u8],
        flags: LookupFlags,
        look: impl FnOnce(&Mount, &Dentry) -> R,
    ) -> Option<Result<R>> {
        let view = self.confined(flags);
        let guard = rcu::read();
        let begun = view.set_out::<false>(path, flags, &guard);
        let at = match begun {
            Some(end) if end.used == path.len() => end.at,
            _ if path.len() > LEG => return None,
            begun => match view.walk(path, flags, Last::File, begun, 0, &guard) {
                Err(error) => return Some(Err(error)),
                Ok(Stop::At(at)) => at,
                Ok(_) => return None,
            },
        };
        Some(Ok(look(at.mount, at.dentry)))
    }

    /// The attributes of the file at `path` (stat(2)). A cached path is neither locked nor counted.
    #[inline]
    pub fn metadata<'a>(self, path: &'a [u8], flags: LookupFlags) -> Op<'a, Result<Metadata>>
    where
        'v: 'a,
    {
        let seen = self.inspect(path, flags, |_, dentry| {
            let current = dentry.inode().refresh().ready().ok()?;
            Some(current.map(|()| dentry.attributes().snapshot()))
        });
        match seen {
            Some(Ok(Some(result))) => Op::Ready(result),
            Some(Err(error)) => Op::Ready(Err(error)),
            _ => self.metadata_around(path, flags),
        }
    }

    /// [`metadata`](Self::metadata) where the path or the attributes are not in memory.
    #[cold]
    fn metadata_around<'a>(self, path: &'a [u8], flags: LookupFlags) -> Op<'a, Result<Metadata>>
    where
        'v: 'a,
    {
        let found = match self.lookup(path, flags) {
            Op::Ready(Err(error)) => return Op::Ready(Err(error)),
            Op::Ready(Ok(path)) => path,
            waiting => return Op::waiting(async move { waiting.await?.metadata().await }),
        };
        if let Ok(current) = found.inode().refresh().ready() {
            return Op::Ready(current.map(|()| found.dentry().attributes().snapshot()));
        }
        Op::waiting(async move { found.metadata().await })
    }

    /// The target of the symbolic link at `path` (readlink(2)); `EINVAL` when it is none.
    pub async fn read_link(self, path: &[u8], flags: LookupFlags) -> Result<Vec<u8>> {
        let path = self.lookup(path, flags.difference(LookupFlags::FOLLOW)).await?;
        path.note_access();
        path.inode().read_link().await
    }

    /// Finds a file, or the place for one.
    pub(crate) async fn target(self, path: &[u8], flags: LookupFlags, last: Last) -> Result<Target> {
        let view = self.confined(flags);
        match view.resolve_now(path, flags, last, to_target) {
            Some(result) => result,
            None => {
                alloc::boxed::Box::pin(async move { view.resolve(path, flags, last, to_target).await }).await
            }
        }
    }

    /// Finds the place of the last component, which may be none that can be changed: see [`HeldPlace::is_fixed`].
    pub(crate) async fn any_place(self, path: &[u8]) -> Result<HeldPlace> {
        match self.target(path, LookupFlags::empty(), Last::Place).await? {
            Target::Place(place) => Ok(place),
            Target::File(directory) => Ok(HeldPlace { directory, name: OwnedName::new(), slashes: true }),
        }
    }

    /// Finds the place of the last component; `error` of it when it is none that can be changed.
    pub(crate) async fn place(self, path: &[u8], error: impl Fn(&[u8]) -> Errno) -> Result<HeldPlace> {
        let place = self.any_place(path).await?;
        if place.is_fixed() { Err(error(&place.name)) } else { Ok(place) }
    }
}
