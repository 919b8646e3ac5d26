//! What a tree must look like, and how each call on it must end.

use crate::calls::Errno;
use std::collections::BTreeMap;

/// The longest name, bytes.
const NAME_MAX: usize = 255;

/// What there is to know of a file.
#[derive(Clone, Debug)]
pub struct Node {
    pub what: What,
    pub mode: u32,
    pub owner: (u32, u32),
    /// Names that it has; of directories, see [`Model::links`].
    pub names: u32,
    /// Descriptors that hold it.
    pub holders: u32,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The time of the last change, if it has been set and there was none since.
    pub modified: Option<(i64, i64)>,
}

/// Kinds of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    Fifo,
}

/// The number of a file, for as long as the model lives.
pub type Id = usize;

/// A tree. Paths are relative to its root, whose path is `.`.
pub struct Model {
    names: BTreeMap<String, Id>,
    nodes: BTreeMap<Id, Node>,
    next: Id,
}

/// The directory that a path is in, and the name there.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

/// The path of a name in a directory.
pub fn join(directory: &str, name: &str) -> String {
    if directory == "." { name.into() } else { format!("{directory}/{name}") }
}

/// Whether a path is that of a directory, or below it.
fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Model {
    /// A tree of an empty directory.
    pub fn new(mode: u32, owner: (u32, u32)) -> Self {
        let mut model = Self { names: BTreeMap::new(), nodes: BTreeMap::new(), next: 0 };
        model.put(".", What::Directory, mode, owner);
        model
    }

    fn put(&mut self, path: &str, what: What, mode: u32, owner: (u32, u32)) -> Id {
        let (xattrs, modified) = (BTreeMap::new(), None);
        let node = Node { what, mode, owner, names: 1, holders: 0, xattrs, modified };
        self.next += 1;
        self.nodes.insert(self.next, node);
        self.names.insert(path.into(), self.next);
        self.next
    }

    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[&id]
    }

    pub fn node_mut(&mut self, id: Id) -> &mut Node {
        self.nodes.get_mut(&id).expect("a file that is there")
    }

    /// All paths, and what is there.
    pub fn paths(&self) -> impl Iterator<Item = (&str, Id)> {
        self.names.iter().map(|(path, id)| (path.as_str(), *id))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The names in a directory.
    pub fn list(&self, directory: &str) -> Vec<&str> {
        let inside = self.names.keys().filter(|path| *path != "." && split(path).0 == directory);
        inside.map(|path| split(path).1).collect()
    }

    pub fn is_directory(&self, id: Id) -> bool {
        self.nodes[&id].what == What::Directory
    }

    /// `st_nlink`.
    pub fn links(&self, path: &str, id: Id) -> u32 {
        if !self.is_directory(id) {
            return self.nodes[&id].names;
        }
        let children = self.list(path).into_iter().map(|name| self.names[&join(path, name)]);
        2 + children.filter(|id| self.is_directory(*id)).count() as u32
    }

    /// Goes into a directory.
    fn enter(&self, directory: &str) -> Result<(), Errno> {
        match &self.nodes[&self.find(directory)?].what {
            What::Directory => Ok(()),
            // They lead to names that are not there.
            What::Symlink(target) if target.len() > NAME_MAX => Err(libc::ENAMETOOLONG),
            What::Symlink(_) => Err(libc::ENOENT),
            _ => Err(libc::ENOTDIR),
        }
    }

    /// What is in the place that a path names, whose directory must be there.
    pub fn place(&self, path: &str) -> Result<Option<Id>, Errno> {
        if path == "." {
            return Ok(Some(self.names["."]));
        }
        let (directory, name) = split(path);
        self.enter(directory)?;
        if name.len() > NAME_MAX {
            return Err(libc::ENAMETOOLONG);
        }
        Ok(self.names.get(path).copied())
    }

    /// What a path names.
    pub fn find(&self, path: &str) -> Result<Id, Errno> {
        self.place(path)?.ok_or(libc::ENOENT)
    }

    /// Notes that the entries of a directory have changed.
    fn changed(&mut self, directory: &str) {
        let id = self.names[directory];
        self.node_mut(id).modified = None;
    }

    /// Makes a file.
    pub fn make(&mut self, path: &str, what: What, mode: u32, owner: (u32, u32)) -> Result<Id, Errno> {
        if self.place(path)?.is_some() {
            return Err(libc::EEXIST);
        }
        self.changed(split(path).0);
        Ok(self.put(path, what, mode, owner))
    }

    /// link(2).
    pub fn link(&mut self, old: &str, new: &str) -> Result<(), Errno> {
        let id = self.find(old)?;
        if self.place(new)?.is_some() {
            return Err(libc::EEXIST);
        }
        if self.is_directory(id) {
            return Err(libc::EPERM);
        }
        self.node_mut(id).names += 1;
        self.names.insert(new.into(), id);
        self.changed(split(new).0);
        Ok(())
    }

    /// Forgets a file without names and holders.
    fn settle(&mut self, id: Id) {
        if self.nodes[&id].names == 0 && self.nodes[&id].holders == 0 {
            self.nodes.remove(&id);
        }
    }

    fn remove(&mut self, path: &str) {
        let id = self.names.remove(path).expect("a name that is there");
        self.node_mut(id).names -= 1;
        self.settle(id);
        self.changed(split(path).0);
    }

    pub fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        if self.is_directory(self.find(path)?) {
            return Err(libc::EISDIR);
        }
        self.remove(path);
        Ok(())
    }

    pub fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        if !self.is_directory(self.find(path)?) {
            return Err(libc::ENOTDIR);
        }
        if !self.list(path).is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.remove(path);
        Ok(())
    }

    /// renameat2(2). The order of the errors is Linux's.
    pub fn rename(&mut self, old: &str, new: &str, flags: u32) -> Result<(), Errno> {
        let exchanges = flags & libc::RENAME_EXCHANGE != 0;
        self.enter(split(old).0)?;
        self.enter(split(new).0)?;
        let source = self.find(old)?;
        let target = self.place(new)?;
        if flags & libc::RENAME_NOREPLACE != 0 && target.is_some() {
            return Err(libc::EEXIST);
        }
        if exchanges && target.is_none() {
            return Err(libc::ENOENT);
        }
        if self.is_directory(source) && old != new && is_within(new, old) {
            return Err(libc::EINVAL);
        }
        if old != new && is_within(old, new) {
            return Err(if exchanges { libc::EINVAL } else { libc::ENOTEMPTY });
        }
        if target == Some(source) {
            return Ok(());
        }
        if let Some(target) = target.filter(|_| !exchanges) {
            match (self.is_directory(source), self.is_directory(target)) {
                (true, false) => return Err(libc::ENOTDIR),
                (false, true) => return Err(libc::EISDIR),
                (true, true) if !self.list(new).is_empty() => return Err(libc::ENOTEMPTY),
                _ => self.remove(new),
            }
        }
        let has_inside = |path: &str| self.names.get(path).is_some_and(|id| self.is_directory(*id));
        if has_inside(old) || has_inside(new) {
            let swap = |path: &str| {
                if is_within(path, old) {
                    format!("{new}{}", &path[old.len()..])
                } else if exchanges && is_within(path, new) {
                    format!("{old}{}", &path[new.len()..])
                } else {
                    path.into()
                }
            };
            self.names = self.names.iter().map(|(path, id)| (swap(path), *id)).collect();
        } else {
            self.names.remove(old);
            if let Some(replaced) = self.names.insert(new.into(), source) {
                self.names.insert(old.into(), replaced);
            }
        }
        self.changed(split(old).0);
        self.changed(split(new).0);
        Ok(())
    }

    /// Lets a descriptor hold a file.
    pub fn hold(&mut self, id: Id) {
        self.node_mut(id).holders += 1;
    }

    /// Lets a descriptor go.
    pub fn release(&mut self, id: Id) {
        self.node_mut(id).holders -= 1;
        self.settle(id);
    }

    /// Sets the size of a file.
    pub fn truncate(&mut self, path: &str, size: usize) -> Result<(), Errno> {
        let id = self.find(path)?;
        let node = self.node_mut(id);
        match &mut node.what {
            What::File(contents) => contents.resize(size, 0),
            What::Directory => return Err(libc::EISDIR),
            What::Fifo | What::Symlink(_) => return Err(libc::EINVAL),
        }
        node.modified = None;
        Ok(())
    }

    /// How an open for writing ends that neither follows nor waits.
    pub fn open(&self, path: &str) -> Result<Id, Errno> {
        let id = self.find(path)?;
        match self.nodes[&id].what {
            What::File(_) => Ok(id),
            What::Directory => Err(libc::EISDIR),
            What::Symlink(_) => Err(libc::ELOOP),
            What::Fifo => Err(libc::ENXIO),
        }
    }

    /// Writes to a file.
    pub fn write(&mut self, id: Id, at: usize, bytes: &[u8]) {
        let node = self.node_mut(id);
        let What::File(contents) = &mut node.what else { unreachable!("opened as a file") };
        contents.resize(contents.len().max(at + bytes.len()), 0);
        contents[at..at + bytes.len()].copy_from_slice(bytes);
        node.modified = None;
    }

    /// The contents of a file.
    pub fn contents(&self, id: Id) -> &[u8] {
        let What::File(contents) = &self.nodes[&id].what else { unreachable!("opened as a file") };
        contents
    }

    pub fn set_xattr(&mut self, path: &str, name: &str, value: &[u8], flags: i32) -> Result<(), Errno> {
        let id = self.find(path)?;
        let xattrs = &mut self.node_mut(id).xattrs;
        match xattrs.contains_key(name) {
            true if flags == libc::XATTR_CREATE => return Err(libc::EEXIST),
            false if flags == libc::XATTR_REPLACE => return Err(libc::ENODATA),
            _ => xattrs.insert(name.into(), value.into()),
        };
        Ok(())
    }

    pub fn remove_xattr(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        let id = self.find(path)?;
        self.node_mut(id).xattrs.remove(name).map(drop).ok_or(libc::ENODATA)
    }
}
