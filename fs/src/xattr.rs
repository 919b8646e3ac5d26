//! Extended attributes: who may use which name space (xattr(7)).

use crate::{
    Credentials, FileType, Inode, Path, Result, SetAttributes, XattrMode, acl,
    attributes::{Access, Rights},
    credentials::Capabilities,
    permission::{change_rights, check, is_owner},
    watch::{self, Happening},
};
use alloc::vec::Vec;
use syscalls::Errno;

/// The longest name, bytes (`XATTR_NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// The longest value, bytes (`XATTR_SIZE_MAX`).
pub const VALUE_MAX: usize = 65536;

/// The attribute by which a program brings capabilities to who executes it (capabilities(7), "File capabilities"). Its value is
/// that of a `struct vfs_cap_data`, or of a `struct vfs_ns_cap_data`, which belongs to a user's namespace.
pub const CAPABILITY: &[u8] = b"security.capability";

/// The length of a value and its revision, without and with a namespace's user.
const PLAIN: (usize, u8) = (20, 2);
const OWNED: (usize, u8) = (24, 3);

fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX { Err(Errno::ERANGE) } else { Ok(()) }
}

fn check_rights(path: &Path, credentials: &Credentials, name: &[u8], write: bool) -> Result<()> {
    check_name(name)?;
    check_space(path, credentials, name, write)?;
    // The name of a space alone names nothing.
    if matches!(name, b"user." | b"trusted." | b"security.") { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Who may use the space that a name is in.
fn check_space(path: &Path, credentials: &Credentials, name: &[u8], write: bool) -> Result<()> {
    let inode = &**path.inode();
    if write {
        path.mount().check_writable()?;
    }
    let denied = if write { Errno::EPERM } else { Errno::ENODATA };
    if matches!(name, acl::ACCESS | acl::DEFAULT) {
        // Anyone may look at a list; the file system knows whether it has any.
        return if write && !is_owner(inode.attributes(), credentials) { Err(Errno::EPERM) } else { Ok(()) };
    }
    if name == CAPABILITY {
        return if write && !credentials.has(Capabilities::SETFCAP) { Err(Errno::EPERM) } else { Ok(()) };
    }
    if name.starts_with(b"security.") || name.starts_with(b"system.") {
        // The file system or a security module decides; there is none, so administration decides about writing.
        return if write && name.starts_with(b"security.") && !credentials.has(Capabilities::SYS_ADMIN) {
            Err(Errno::EPERM)
        } else if name.starts_with(b"system.") {
            Err(Errno::EOPNOTSUPP)
        } else {
            Ok(())
        };
    }
    if name.starts_with(b"trusted.") {
        return if credentials.has(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(denied) };
    }
    let attributes = inode.attributes();
    let is_user = name.starts_with(b"user.");
    match attributes.kind {
        FileType::Regular => (),
        FileType::Directory => {
            let sticky = attributes.permissions() & 0o1000 != 0;
            if is_user && write && sticky && !is_owner(attributes, credentials) {
                return Err(Errno::EPERM);
            }
        }
        _ if is_user => return Err(denied),
        _ => (),
    }
    check(attributes, credentials, if write { Access::WRITE } else { Access::READ })?;
    if is_user { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// The value of an attribute (getxattr(2)).
pub async fn get_xattr(path: &Path, credentials: &Credentials, name: &[u8]) -> Result<Vec<u8>> {
    check_rights(path, credentials, name, false)?;
    let mut value = path.inode().xattr(name).await?;
    if name == CAPABILITY {
        match form_of_capabilities(&value) {
            Some(PLAIN) => {}
            // That of the namespace that there is looks like one of none.
            Some(_) if value[PLAIN.0..] == [0; 4] => {
                value.truncate(PLAIN.0);
                value[3] = PLAIN.1;
            }
            Some(_) => {}
            None => return Err(Errno::EINVAL),
        }
    }
    Ok(value)
}

/// Which of the two forms a program's capabilities have; `None` for nonsense.
fn form_of_capabilities(value: &[u8]) -> Option<(usize, u8)> {
    // The lowest bit says that they become effective by themselves.
    let begins = |revision| value[0] & !1 == 0 && value[1..4] == [0, 0, revision];
    [PLAIN, OWNED].into_iter().find(|&(len, revision)| value.len() == len && begins(revision))
}

/// A program loses its capabilities: what is in it, or whose it is, is being changed.
pub(crate) async fn drop_capabilities(inode: &dyn Inode) -> Result<()> {
    if !inode.attributes().has_capabilities() {
        return Ok(());
    }
    match inode.remove_xattr(CAPABILITY).await {
        Err(Errno::ENODATA) => Ok(()),
        removed => removed,
    }
}

/// Sets an attribute (setxattr(2)).
pub async fn set_xattr(
    path: &Path,
    credentials: &Credentials,
    name: &[u8],
    value: &[u8],
    mode: XattrMode,
) -> Result<()> {
    if value.len() > VALUE_MAX {
        return Err(Errno::E2BIG);
    }
    if name == CAPABILITY && form_of_capabilities(value).is_none() {
        return Err(Errno::EINVAL);
    }
    check_rights(path, credentials, name, true)?;
    path.inode().set_xattr(name, value, mode).await?;
    if name == acl::ACCESS {
        drop_set_group_id(path, credentials).await?;
    }
    watch::changed(path.dentry(), Happening::ATTRIB);
    Ok(())
}

/// As with chmod(2), who is not in a file's group does not keep its set-group-id bit.
async fn drop_set_group_id(path: &Path, credentials: &Credentials) -> Result<()> {
    let decide = |Rights { gid, permissions, .. }| {
        let keeps = credentials.in_group(gid) || credentials.has(Capabilities::FSETID);
        let left = (permissions & 0o2000 != 0 && !keeps).then_some(permissions & !0o2000);
        Ok(left.map(|permissions| SetAttributes { permissions: Some(permissions), ..Default::default() }))
    };
    change_rights(&**path.inode(), decide).await.map(drop)
}

/// Removes an attribute (removexattr(2)).
pub async fn remove_xattr(path: &Path, credentials: &Credentials, name: &[u8]) -> Result<()> {
    check_rights(path, credentials, name, true)?;
    path.inode().remove_xattr(name).await?;
    watch::changed(path.dentry(), Happening::ATTRIB);
    Ok(())
}

/// The names of all attributes the caller may know of, each followed by NUL (listxattr(2)).
pub async fn list_xattrs(path: &Path, credentials: &Credentials) -> Result<Vec<u8>> {
    let all = path.inode().list_xattrs().await?;
    if credentials.has(Capabilities::SYS_ADMIN) {
        return Ok(all);
    }
    let visible = all.split_inclusive(|&byte| byte == 0).filter(|name| !name.starts_with(b"trusted."));
    Ok(visible.flatten().copied().collect())
}
