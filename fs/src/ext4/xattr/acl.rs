//! Attributes that are access control lists: that of a file is also in its permission bits, and in memory.

use super::{
    ACL_ACCESS, ACL_DEFAULT, Name,
    change::{Change, plan_initial, plan_remove, plan_set},
    read::search,
};
use crate::{
    FileType, Result, XattrMode,
    acl::{ACCESS, Acl, DEFAULT},
    ext4::{acl, node::Node},
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syscalls::Errno;

/// Whether a name is that of a list.
pub(super) fn is_list(name: &[u8]) -> bool {
    matches!(name, ACCESS | DEFAULT)
}

/// The list in the attribute of this index; `None` for no list. One that cannot be read lets nobody but the owner do anything.
async fn find(node: &Node, index: u8) -> Result<Option<Acl>> {
    let name = Name { index, rest: &[] };
    let list = search(node, |attribute| (attribute.name == name).then(|| acl::read(attribute.value)));
    match list.await.and_then(|found| found.unwrap_or(Ok(None))) {
        Err(Errno::ENOMEM) => Err(Errno::ENOMEM),
        Err(_) => Ok(Some(Acl::new(Box::default()))),
        found => found,
    }
}

/// Brings the list of a file that has just been read into memory.
pub(super) async fn load(node: &Node) -> Result<()> {
    if let Some(list) = find(node, ACL_ACCESS).await? {
        node.attributes.set_acl(Some(Arc::new(list)));
    }
    Ok(())
}

/// What a new file gets from a directory that has a default list.
pub(in crate::ext4) struct Inherited {
    /// The permission bits, 0o7777.
    pub permissions: u32,
    access: Option<Acl>,
    default: Option<Acl>,
}

/// What a file gets that is made in a directory with these permission bits, before the umask; `None` if that has no list for it.
pub(in crate::ext4) async fn inherit(
    directory: &Node,
    kind: FileType,
    bits: u32,
) -> Result<Option<Inherited>> {
    if kind == FileType::Symlink {
        return Ok(None);
    }
    let Some(default) = find(directory, ACL_DEFAULT).await? else { return Ok(None) };
    let (access, permissions) = default.inherited(bits);
    let (_, is_all) = access.permissions();
    let access = Some(access).filter(|_| !is_all);
    let default = Some(default).filter(|_| kind == FileType::Directory);
    Ok(Some(Inherited { permissions, access, default }))
}

/// Gives a file that is being made what it has inherited.
pub(in crate::ext4) async fn plan_inherited(node: &Arc<Node>, lists: Inherited) -> Result<Change> {
    let mut attributes = Vec::new();
    for (name, list) in [(ACCESS, &lists.access), (DEFAULT, &lists.default)] {
        if let Some(list) = list {
            attributes.push((name, acl::write(list)?));
        }
    }
    let mut change = plan_initial(node, &attributes).await?;
    if let Some(list) = lists.access {
        change.access = Some((Some(Arc::new(list)), lists.permissions));
    }
    Ok(change)
}

/// Sets or removes the list of a name. What permission bits can say is not stored.
pub(super) async fn plan(node: &Arc<Node>, name: &[u8], list: Option<Acl>) -> Result<Change> {
    if node.attributes.kind == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if name == DEFAULT {
        return match list {
            Some(_) if node.attributes.kind != FileType::Directory => Err(Errno::EACCES),
            list => store(node, name, list.as_ref()).await,
        };
    }
    let mut permissions = node.attributes.permissions();
    let mut list = list;
    if let Some(new) = &list {
        let (bits, is_all) = new.permissions();
        permissions = permissions & 0o7000 | bits;
        list = list.filter(|_| !is_all);
    }
    plan_list(node, list, permissions).await
}

/// A file with a list gets other permission bits (chmod(2)).
pub(in crate::ext4) async fn plan_permissions(node: &Arc<Node>, permissions: u32) -> Result<Change> {
    match node.attributes.acl() {
        Some(list) if !list.entries().is_empty() => {
            plan_list(node, Some(list.with_permissions(permissions)), permissions).await
        }
        _ => Ok(Change::none(node)),
    }
}

async fn plan_list(node: &Arc<Node>, list: Option<Acl>, permissions: u32) -> Result<Change> {
    let mut change = store(node, ACCESS, list.as_ref()).await?;
    change.access = Some((list.map(Arc::new), permissions));
    Ok(change)
}

async fn store(node: &Arc<Node>, name: &[u8], list: Option<&Acl>) -> Result<Change> {
    let planned = match list {
        Some(list) => plan_set(node, name, &acl::write(list)?, XattrMode::Set).await,
        None => plan_remove(node, name).await,
    };
    match planned {
        Err(Errno::ENODATA) => Ok(Change::none(node)),
        planned => planned,
    }
}
