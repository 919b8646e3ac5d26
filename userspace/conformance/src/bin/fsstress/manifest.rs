//! A tree in lines of text, which can be compared with what another kernel, or a later boot, finds.
//!
//! A line has the path, kind, mode, links, owner, size, the sum of the contents or the target of a link, and the names of
//! extended attributes with sums of their values. Sizes of directories and times are left out: each system has its own.

use crate::calls;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use support::sum::Sum;

/// What mke2fs makes, and no program.
const RESERVED: &str = "lost+found";

/// Bytes without spaces and lines.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'!'..=b'~' if *byte != b'\\' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
        text
    })
}

fn describe(path: &Path) -> io::Result<String> {
    let stat = fs::symlink_metadata(path)?;
    let kind = stat.file_type();
    let (kind, size, what) = match () {
        () if kind.is_file() => ("file", stat.size().to_string(), Sum::of(&fs::read(path)?).to_string()),
        () if kind.is_dir() => ("directory", "-".into(), "-".into()),
        () if kind.is_symlink() => {
            ("link", stat.size().to_string(), escaped(fs::read_link(path)?.as_os_str().as_bytes()))
        }
        () if kind.is_fifo() => ("fifo", "-".into(), "-".into()),
        () if kind.is_socket() => ("socket", "-".into(), "-".into()),
        () if kind.is_char_device() => ("character", "-".into(), format!("{:#x}", stat.rdev())),
        () => ("block", "-".into(), format!("{:#x}", stat.rdev())),
    };
    let (mode, links, uid, gid) = (stat.mode() & 0o7777, stat.nlink(), stat.uid(), stat.gid());
    let mut line = format!("{kind} {mode:04o} {links} {uid}:{gid} {size} {what}");
    let path = path.to_str().ok_or_else(|| io::Error::other("a name that is no text"))?;
    let mut names = calls::xattr_names(path)?;
    names.sort();
    for name in names {
        let value = Sum::of(&calls::xattr(path, &name)?);
        line.push_str(&format!(" {}={value}", escaped(name.as_bytes())));
    }
    Ok(line)
}

/// The lines of a tree, sorted.
pub fn lines(root: &Path) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let about = |error: io::Error| format!("{}: {error}", path.display());
        let name = path.strip_prefix(root).expect("below the root");
        let name = if name.as_os_str().is_empty() { b"." } else { name.as_os_str().as_bytes() };
        lines.push(format!("{} {}", escaped(name), describe(&path).map_err(about)?));
        if fs::symlink_metadata(&path).map_err(about)?.is_dir() {
            for entry in fs::read_dir(&path).map_err(about)? {
                let entry = entry.map_err(about)?;
                if path != root || entry.file_name() != RESERVED {
                    pending.push(entry.path());
                }
            }
        }
    }
    lines.sort();
    Ok(lines)
}

/// Writes the lines into a file.
pub fn write(lines: &[String], path: &str) -> Result<(), String> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).map_err(|error| format!("{path}: {error}"))
}

/// Compares the lines with those in a file; an error has some of those that differ, the file's after `-`, ours after `+`.
pub fn check(lines: &[String], path: &str) -> Result<(), String> {
    const MOST: usize = 20;
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let expected: Vec<&str> = text.lines().collect();
    let missing =
        expected.iter().filter(|line| lines.binary_search_by(|have| have.as_str().cmp(line)).is_err());
    let needless = lines.iter().filter(|line| expected.binary_search(&line.as_str()).is_err());
    let different: Vec<String> =
        missing.map(|line| format!("-{line}")).chain(needless.map(|line| format!("+{line}"))).collect();
    if different.is_empty() && expected.len() == lines.len() {
        return Ok(());
    }
    let shown: String = different.iter().take(MOST).map(|line| format!("\n{line}")).collect();
    Err(format!("the tree is not that of {path}; {} lines differ:{shown}", different.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_manifest_tells_what_has_changed() {
        let root = std::env::temp_dir().join(format!("rusk-manifest-{}", std::process::id()));
        let file = root.with_extension("text");
        fs::create_dir_all(root.join("a directory")).unwrap();
        fs::write(root.join("a directory/file"), "contents").unwrap();
        let before = lines(&root).unwrap();
        assert_eq!(before.len(), 3);
        let file = file.to_str().unwrap();
        write(&before, file).unwrap();
        check(&before, file).unwrap();
        for change in [
            |root: &Path| fs::write(root.join("a directory/file"), "Contents").unwrap(),
            |root: &Path| fs::set_permissions(root, fs::Permissions::from_mode(0o700)).unwrap(),
            |root: &Path| fs::hard_link(root.join("a directory/file"), root.join("link")).unwrap(),
            |root: &Path| fs::remove_dir_all(root.join("a directory")).unwrap(),
        ] {
            let before = lines(&root).unwrap();
            write(&before, file).unwrap();
            change(&root);
            check(&lines(&root).unwrap(), file).unwrap_err();
        }
        fs::remove_file(file).unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
