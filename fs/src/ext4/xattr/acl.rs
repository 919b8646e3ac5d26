//! Attributes that are access control lists: that of a file is also in its permission bits, and in memory.

use super::{
    Name,
    change::{Change, plan_remove, plan_set},
    read::search,
};
use crate::{
    FileType, Result, XattrMode,
    acl::{ACCESS, Acl, DEFAULT},
    ext4::{acl, node::Node},
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use syscalls::Errno;

/// Whether a name is that of a list.
pub(super) fn is_list(name: &[u8]) -> bool {
    matches!(name, ACCESS | DEFAULT)
}

/// Brings the list of a file that has just been read into memory. One that cannot be read lets nobody but the owner do anything.
pub(in crate::ext4) async fn load(node: &Node) -> Result<()> {
    let Some(name) = Name::parse(ACCESS) else { return Ok(()) };
    let list = search(node, |attribute| (attribute.name == name).then(|| acl::read(attribute.value)));
    let list = match list.await {
        Ok(None) => return Ok(()),
        Ok(Some(list)) => list,
        Err(error) => Err(error),
    };
    let list = match list {
        Err(Errno::ENOMEM) => return Err(Errno::ENOMEM),
        Err(_) => Some(Acl::new(Box::default())),
        Ok(list) => list,
    };
    node.attributes.set_acl(list.map(Arc::new));
    Ok(())
}

/// Sets or removes the list of a name. What permission bits can say is not stored.
pub(super) async fn plan(node: &Arc<Node>, name: &[u8], list: Option<Acl>) -> Result<Change> {
    if node.attributes.kind == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if name == DEFAULT {
        return match list {
            None => store(node, name, None).await,
            Some(_) if node.attributes.kind != FileType::Directory => Err(Errno::EACCES),
            // Files would be made without it, and so be open to more than it says.
            Some(_) => Err(Errno::EOPNOTSUPP),
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
