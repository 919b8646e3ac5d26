//! A tree, compared with its model.

use crate::calls;
use crate::model::{Id, Model, What};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Two values that must be the same.
fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?} and must be {expected:?}")) }
}

/// Compares contents, and says where they differ.
pub fn contents(bytes: &[u8], expected: &[u8]) -> Result<(), String> {
    if bytes == expected {
        return Ok(());
    }
    if bytes.len() != expected.len() {
        return Err(format!("there are {} bytes and must be {}", bytes.len(), expected.len()));
    }
    let first = bytes.iter().zip(expected).position(|(one, other)| one != other).unwrap_or(0);
    Err(format!("byte {first} is {:#04x} and must be {:#04x}", bytes[first], expected[first]))
}

/// The names of a directory as the kernel lists them.
pub fn listed(path: &str) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(|error| format!("listing {path}: {error}"))? {
        let name = entry.map_err(|error| format!("listing {path}: {error}"))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !names.insert(name.clone()) {
            return Err(format!("{path} has {name} twice"));
        }
    }
    Ok(names)
}

fn is_of_kind(metadata: &Metadata, what: &What) -> bool {
    let kind = metadata.file_type();
    match what {
        What::File(_) => kind.is_file(),
        What::Directory => kind.is_dir(),
        What::Symlink(_) => kind.is_symlink(),
        What::Fifo => kind.is_fifo(),
    }
}

/// What stat says, and the extended attributes. Gives what stat said.
pub fn attributes(model: &Model, path: &str, id: Id) -> Result<Metadata, String> {
    let node = model.node(id);
    let about = |text: String| format!("{path}: {text}");
    let stat = fs::symlink_metadata(path).map_err(|error| about(error.to_string()))?;
    if !is_of_kind(&stat, &node.what) {
        return Err(about(format!("it is a {:?}", stat.file_type())));
    }
    same("the mode", &(stat.mode() & 0o7777), &node.mode).map_err(about)?;
    same("the owner", &(stat.uid(), stat.gid()), &node.owner).map_err(about)?;
    same("the number of links", &stat.nlink(), &model.links(path, id).into()).map_err(about)?;
    match &node.what {
        What::File(contents) => same("the size", &stat.size(), &(contents.len() as u64)),
        What::Symlink(target) => same("the size", &stat.size(), &(target.len() as u64)),
        What::Directory | What::Fifo => Ok(()),
    }
    .map_err(about)?;
    if let Some(modified) = node.modified {
        same("the time of the last change", &(stat.mtime(), stat.mtime_nsec()), &modified).map_err(about)?;
    }
    // Security modules may have their own.
    let mut names = calls::xattr_names(path).map_err(|error| about(error.to_string()))?;
    names.retain(|name| !name.starts_with("security.") && !name.starts_with("system."));
    let value = |name: &String| Ok((name.clone(), calls::xattr(path, name)?));
    let xattrs: std::io::Result<BTreeMap<_, _>> = names.iter().map(value).collect();
    same("what attributes it has", &xattrs.map_err(|error| about(error.to_string()))?, &node.xattrs)
        .map_err(about)?;
    Ok(stat)
}

/// The names in a directory.
pub fn names(model: &Model, path: &str) -> Result<(), String> {
    let expected: BTreeSet<String> = model.list(path).into_iter().map(String::from).collect();
    let found = listed(path)?;
    let missing: Vec<_> = expected.difference(&found).collect();
    let needless: Vec<_> = found.difference(&expected).collect();
    if missing.is_empty() && needless.is_empty() {
        return Ok(());
    }
    Err(format!("in {path}, {missing:?} are not listed, and {needless:?} are and must not be"))
}

/// All there is.
pub fn tree(model: &Model) -> Result<(), String> {
    let (mut numbers, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for (path, id) in model.paths() {
        let stat = attributes(model, path, id)?;
        let about = |text: String| format!("{path}: {text}");
        // Names of one file lead to one file, others to others.
        same("the inode", numbers.entry(id).or_insert(stat.ino()), &stat.ino()).map_err(about)?;
        same("the file of this inode", ids.entry(stat.ino()).or_insert(id), &id).map_err(about)?;
        let wrong = |error: std::io::Error| about(error.to_string());
        match &model.node(id).what {
            What::File(expected) => contents(&fs::read(path).map_err(wrong)?, expected).map_err(about)?,
            What::Symlink(target) => {
                let found = fs::read_link(path).map_err(wrong)?;
                same("the target", &found.to_string_lossy().as_ref(), &target.as_str()).map_err(about)?;
            }
            What::Directory => names(model, path)?,
            What::Fifo => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Whatever is changed in a tree is noticed, and told.
    #[test]
    fn differences_are_noticed() {
        let root = std::env::temp_dir().join(format!("rusk-fsstress-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        // No other test depends on it.
        std::env::set_current_dir(&root).unwrap();
        let root_of_tree = fs::metadata(".").unwrap();
        let (mode, owner) = (root_of_tree.mode() & 0o7777, (root_of_tree.uid(), root_of_tree.gid()));
        let mut model = Model::new(mode, owner);
        calls::mkdir("d", 0o700).unwrap();
        model.make("d", What::Directory, 0o700, owner).unwrap();
        calls::create("d/f", 0o600).unwrap();
        let id = model.make("d/f", What::File(Vec::new()), 0o600, owner).unwrap();
        fs::hard_link("d/f", "g").unwrap();
        model.link("d/f", "g").unwrap();
        symlink("target", "l").unwrap();
        model.make("l", What::Symlink("target".into()), 0o777, owner).unwrap();
        tree(&model).unwrap();

        let notices = |model: &Model, what: &str| {
            let problem = tree(model).unwrap_err();
            assert!(problem.contains(what), "{problem}");
        };
        fs::write("g", "abc").unwrap();
        notices(&model, "d/f: the size is 3 and must be 0");
        model.write(id, 0, b"abd");
        notices(&model, "d/f: byte 2 is 0x63 and must be 0x64");
        model.write(id, 2, b"c");
        tree(&model).unwrap();
        fs::set_permissions("d", fs::Permissions::from_mode(0o711)).unwrap();
        notices(&model, "d: the mode is");
        let directory = model.find("d").unwrap();
        model.node_mut(directory).mode = 0o711;
        calls::create("d/other", 0o600).unwrap();
        notices(&model, "[\"other\"] are and must not be");
        fs::remove_file("d/other").unwrap();
        let elsewhere = root.with_extension("link");
        fs::hard_link("g", &elsewhere).unwrap();
        notices(&model, "d/f: the number of links is 3 and must be 2");
        fs::remove_file(elsewhere).unwrap();
        // The same attributes, and yet not the same file.
        model.unlink("g").unwrap();
        model.make("g", What::File(b"abc".to_vec()), 0o600, owner).unwrap();
        model.node_mut(id).names = 2;
        let other = model.find("g").unwrap();
        model.node_mut(other).names = 2;
        notices(&model, "g: the file of this inode is");
        model.unlink("g").unwrap();
        fs::remove_file("g").unwrap();
        model.node_mut(id).names = 1;
        calls::set_modified("d/f", (1, 2)).unwrap();
        model.node_mut(id).modified = Some((1, 3));
        notices(&model, "d/f: the time of the last change is (1, 2) and must be (1, 3)");
        model.node_mut(id).modified = None;
        fs::remove_file("l").unwrap();
        symlink("tarGet", "l").unwrap();
        notices(&model, "l: the target is");
        fs::remove_file("l").unwrap();
        notices(&model, "[\"l\"] are not listed");
        fs::remove_dir_all(root).unwrap();
    }
}
