//! Who may do what (path_resolution(7), inode(7), capabilities(7)).

use crate::{
    Credentials, FileType, Inode, Result, SetAttributes, Timestamp,
    attributes::{Access, Attributes, Rights},
    credentials::Capabilities,
    mount::MountFlags,
    path::Path,
    watch::{self, Happening},
    xattr,
};
use executor::atomic::{AtomicBool, Ordering::Relaxed};
use syscalls::Errno;

/// Checks an access against the permission bits, for the class (owner, group, others) that the caller is in, and
/// against the capabilities that override them. `EACCES`.
#[inline]
pub fn check(attributes: &Attributes, credentials: &Credentials, access: Access) -> Result<()> {
    if granted(attributes, credentials, access) || overrides(attributes, credentials, access) {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// Whether the caller may search a directory that not everyone may.
#[cold]
#[inline(never)]
pub(crate) fn may_search(directory: &Attributes, credentials: &Credentials) -> bool {
    check(directory, credentials, Access::EXECUTE).is_ok()
}

/// Whether the caller's capabilities allow an access that the permission bits do not.
#[inline(never)]
fn overrides(attributes: &Attributes, credentials: &Credentials, access: Access) -> bool {
    if attributes.kind == FileType::Directory {
        credentials.has(Capabilities::DAC_OVERRIDE)
            || !access.contains(Access::WRITE) && credentials.has(Capabilities::DAC_READ_SEARCH)
    } else {
        // Execution needs at least one execute bit, whoever asks.
        let executable = attributes.permissions() & 0o111 != 0;
        credentials.has(Capabilities::DAC_OVERRIDE) && (!access.contains(Access::EXECUTE) || executable)
            || access == Access::READ && credentials.has(Capabilities::DAC_READ_SEARCH)
    }
}

/// Whether the permission bits, or the list beside them, grant the caller an access.
#[inline]
fn granted(attributes: &Attributes, credentials: &Credentials, access: Access) -> bool {
    let bits = attributes.permissions();
    let class = if attributes.uid() == credentials.uid {
        bits >> 6
    } else if attributes.has_acl() && bits & 0o070 != 0 {
        // Without any bit for the group the mask allows nobody anything.
        return granted_by_list(attributes, credentials, access);
    } else if credentials.in_group(attributes.gid()) {
        bits >> 3
    } else {
        bits
    };
    Access::from_bits_truncate(class).contains(access)
}

/// Whether the list grants the caller, who is not the owner, an access.
#[inline(never)]
fn granted_by_list(attributes: &Attributes, credentials: &Credentials, access: Access) -> bool {
    attributes.acl().is_some_and(|list| list.grants(attributes, credentials, access))
}

/// Checks an access to a file where it was found: the mount's limits count too. For access(2) (with the
/// real ids in `credentials`) and for opening.
#[inline(always)]
pub fn check_at(path: &Path, credentials: &Credentials, access: Access) -> Result<()> {
    let attributes = path.dentry().attributes();
    if access.contains(Access::WRITE) && !attributes.kind.is_special() {
        path.mount().check_writable()?;
    }
    if access.contains(Access::EXECUTE)
        && attributes.kind == FileType::Regular
        && path.mount().flags().contains(MountFlags::NO_EXEC)
    {
        return Err(Errno::EACCES);
    }
    check(attributes, credentials, access)
}

/// Whether the caller acts as the file's owner.
pub fn is_owner(attributes: &Attributes, credentials: &Credentials) -> bool {
    attributes.uid() == credentials.uid || credentials.has(Capabilities::FOWNER)
}

/// In a sticky directory only the owner of the entry or of the directory may remove or rename an entry. `EPERM`.
pub(crate) fn check_sticky(
    directory: &Attributes,
    victim: &Attributes,
    credentials: &Credentials,
) -> Result<()> {
    if directory.permissions() & 0o1000 != 0
        && victim.uid() != credentials.uid
        && directory.uid() != credentials.uid
        && !credentials.has(Capabilities::FOWNER)
    {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Opening with `O_CREAT` what somebody else has put into a sticky directory that everyone may write: refused with `EACCES`
/// for all but regular files and fifos, which Linux too leaves alone unless `fs.protected_regular` and `fs.protected_fifos`
/// are on.
pub(crate) fn check_sticky_open(
    directory: &Attributes,
    found: &Attributes,
    credentials: &Credentials,
) -> Result<()> {
    let open_to_all = directory.permissions() & 0o1002 == 0o1002;
    let foreign = found.uid() != directory.uid() && found.uid() != credentials.uid;
    match found.kind {
        FileType::Regular | FileType::Fifo => Ok(()),
        _ if open_to_all && foreign => Err(Errno::EACCES),
        _ => Ok(()),
    }
}

static PROTECT_HARDLINKS: AtomicBool = AtomicBool::new(false);

/// Whether links may only be made to files that the caller owns or could as well copy (`fs.protected_hardlinks`); off as
/// on Linux until user space turns it on.
pub fn set_protected_hardlinks(on: bool) {
    PROTECT_HARDLINKS.store(on, Relaxed);
}

/// The setting of [`set_protected_hardlinks`].
pub fn protected_hardlinks() -> bool {
    PROTECT_HARDLINKS.load(Relaxed)
}

/// Whether the caller may make another name for a file. `EPERM`.
pub(crate) fn check_link_source(from: &Path, credentials: &Credentials) -> Result<()> {
    let attributes = from.dentry().attributes();
    if !protected_hardlinks() || is_owner(attributes, credentials) {
        return Ok(());
    }
    let bits = attributes.permissions();
    let harmless = attributes.kind == FileType::Regular && bits & 0o4000 == 0 && bits & 0o2010 != 0o2010;
    if harmless && check(attributes, credentials, Access::READ | Access::WRITE).is_ok() {
        return Ok(());
    }
    Err(Errno::EPERM)
}

/// Changes rights as `decide` says, which looks at what they are, and is asked again if they are others by the time that they are
/// changed: between the look and the change nobody else changes them. Returns what was changed, if anything was to be.
pub(crate) async fn change_rights(
    inode: &dyn Inode,
    decide: impl Fn(Rights) -> Result<Option<SetAttributes>>,
) -> Result<Option<SetAttributes>> {
    loop {
        let rights = inode.attributes().rights();
        let Some(change) = decide(rights)? else { return Ok(None) };
        let change = SetAttributes { decided_by: Some(rights), ..change };
        match inode.set_attributes(change).await {
            Err(Errno::EAGAIN) => executor::make_way().await,
            done => return done.map(|()| Some(change)),
        }
    }
}

/// Changes permission bits (chmod(2)).
pub async fn set_mode(path: &Path, credentials: &Credentials, permissions: u32) -> Result<()> {
    path.mount().check_writable()?;
    if path.dentry().kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let decide = |rights: Rights| {
        if rights.uid != credentials.uid && !credentials.has(Capabilities::FOWNER) {
            return Err(Errno::EPERM);
        }
        let mut permissions = permissions & 0o7777;
        if !credentials.in_group(rights.gid) && !credentials.has(Capabilities::FSETID) {
            permissions &= !0o2000;
        }
        Ok(Some(SetAttributes { permissions: Some(permissions), ..Default::default() }))
    };
    change_rights(&**path.inode(), decide).await?;
    watch::changed(path.dentry(), Happening::ATTRIB);
    Ok(())
}

/// Changes owner and group; `None` leaves one alone (chown(2)).
pub async fn set_owner(
    path: &Path,
    credentials: &Credentials,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<()> {
    path.mount().check_writable()?;
    let is_directory = path.inode().attributes().kind == FileType::Directory;
    let decide = |rights: Rights| {
        let privileged = credentials.has(Capabilities::CHOWN);
        let owner = rights.uid == credentials.uid;
        if let Some(uid) = uid
            && !(privileged || owner && uid == rights.uid)
        {
            return Err(Errno::EPERM);
        }
        if let Some(gid) = gid
            && !(privileged || owner && (gid == rights.gid || credentials.in_group(gid)))
        {
            return Err(Errno::EPERM);
        }
        // A changed owner must not inherit the power of a set-id program; Linux clears the bits for everyone,
        // the group bit only where the group may execute (else it meant mandatory locking).
        let strip_group = rights.permissions & 0o010 != 0
            || !credentials.in_group(rights.gid) && !credentials.has(Capabilities::FSETID);
        let left = rights.permissions & !0o4000 & if strip_group { !0o2000 } else { !0 };
        let stripped = !is_directory && left != rights.permissions;
        if stripped && !owner && !credentials.has(Capabilities::FOWNER) {
            return Err(Errno::EPERM);
        }
        Ok(Some(SetAttributes { uid, gid, permissions: stripped.then_some(left), ..Default::default() }))
    };
    if !is_directory {
        // Not for somebody who may not.
        decide(path.inode().attributes().rights())?;
        xattr::drop_capabilities(&**path.inode()).await?;
    }
    let changed = change_rights(&**path.inode(), decide).await?;
    if uid.is_some() || gid.is_some() || changed.is_some_and(|changed| changed.permissions.is_some()) {
        watch::changed(path.dentry(), Happening::ATTRIB);
    }
    Ok(())
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// Leave it (`UTIME_OMIT`).
    Keep,
    /// The time of the change (`UTIME_NOW`).
    Now,
    /// This time.
    To(Timestamp),
}

/// Sets access and modification times (utimensat(2)).
pub async fn set_times(
    path: &Path,
    credentials: &Credentials,
    accessed: SetTime,
    modified: SetTime,
) -> Result<()> {
    if accessed == SetTime::Keep && modified == SetTime::Keep {
        return Ok(());
    }
    path.mount().check_writable()?;
    let inode = path.inode();
    if !is_owner(inode.attributes(), credentials) {
        // Setting both to now is allowed to whoever may write.
        if accessed == SetTime::Now && modified == SetTime::Now {
            check(inode.attributes(), credentials, Access::WRITE)?;
        } else {
            return Err(Errno::EPERM);
        }
    }
    let now = Timestamp::now();
    let time = |set| match set {
        SetTime::Keep => None,
        SetTime::Now => Some(now),
        SetTime::To(time) => Some(time),
    };
    let change = SetAttributes { accessed: time(accessed), modified: time(modified), ..Default::default() };
    inode.set_attributes(change).await?;
    // As on Linux: one time alone is set where the contents were read or written elsewhere.
    let what = match (change.accessed, change.modified) {
        (Some(_), None) => Happening::ACCESS,
        (None, Some(_)) => Happening::MODIFY,
        _ => Happening::ATTRIB,
    };
    watch::changed(path.dentry(), what);
    Ok(())
}

/// Set-id bits that a write or truncation by the caller takes away: `None` when there is nothing to do.
pub(crate) fn lost_privileges(attributes: &Attributes, credentials: &Credentials) -> Option<u32> {
    let permissions = attributes.permissions();
    if permissions & 0o6000 == 0
        || attributes.kind != FileType::Regular
        || credentials.has(Capabilities::FSETID)
    {
        return None;
    }
    let strip_group =
        permissions & 0o2000 != 0 && (permissions & 0o010 != 0 || !credentials.in_group(attributes.gid()));
    let left = permissions & !0o4000 & if strip_group { !0o2000 } else { !0 };
    (left != permissions).then_some(left)
}
