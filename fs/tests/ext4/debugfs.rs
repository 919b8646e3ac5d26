//! A tree as debugfs finds it.

use crate::image::output_of;
use crate::journal::{Files, Xattrs, describe};
use fs::{Birth, Device, FileType, Metadata, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as HostPath;

/// A command, and how many bytes it prints, if that is known: then they may be any.
type Command = (String, Option<usize>);

/// What debugfs prints for each command.
fn outputs(image: &HostPath, commands: &[Command]) -> Vec<Vec<u8>> {
    let script = std::env::temp_dir().join(format!(
        "rusk-debugfs-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let text: String = commands.iter().map(|(command, _)| format!("{command}\n")).collect();
    std::fs::write(&script, text).unwrap();
    let output = output_of("debugfs", &["-f", script.to_str().unwrap(), image.to_str().unwrap()]);
    std::fs::remove_file(script).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rest = &output.stdout[..];
    let mut outputs = Vec::new();
    for (number, (command, len)) in commands.iter().enumerate() {
        // It says each command before it carries it out.
        rest = rest.strip_prefix(format!("debugfs: {command}\n").as_bytes()).unwrap_or_else(|| {
            panic!("{command}: {:?}", String::from_utf8_lossy(&rest[..rest.len().min(200)]))
        });
        let next = commands.get(number + 1).map(|(next, _)| format!("debugfs: {next}\n"));
        let end = match (len, next) {
            (Some(len), _) => *len,
            (None, Some(next)) => {
                let mut places = rest.windows(next.len());
                places.position(|place| place == next.as_bytes()).expect("the next command")
            }
            (None, None) => rest.len(),
        };
        outputs.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    outputs
}

/// An entry of a directory.
struct Entry {
    ino: u64,
    mode: u32,
    size: usize,
    /// From the root.
    path: Vec<u8>,
}

impl Entry {
    fn kind(&self) -> FileType {
        match self.mode & libc::S_IFMT {
            libc::S_IFDIR => FileType::Directory,
            libc::S_IFLNK => FileType::Symlink,
            libc::S_IFREG => FileType::Regular,
            libc::S_IFIFO => FileType::Fifo,
            libc::S_IFCHR => FileType::Character,
            libc::S_IFBLK => FileType::Block,
            libc::S_IFSOCK => FileType::Socket,
            _ => FileType::Untyped,
        }
    }
}

/// What is in a directory: inode, mode, owner, group, name and size. The fields stand between slashes, and a name may have
/// anything else in it, lines, too.
fn entries(listing: &[u8], directory: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields = listing.split(|byte| *byte == b'/');
    // What precedes the first slash, and from then on the end of the line.
    while let (Some(_), Some(ino)) = (fields.next(), fields.next()) {
        let number = |field: &[u8], radix| {
            let digits = str::from_utf8(field).unwrap();
            if digits.is_empty() { 0 } else { u32::from_str_radix(digits, radix).unwrap() }
        };
        let [mode, _, _, name, size] = std::array::from_fn(|_| fields.next().unwrap());
        let path = [directory, b"/", name].concat();
        let ino = number(ino, 10).into();
        // Empty places have no number.
        if ino != 0 && !matches!(name, b"." | b"..") {
            entries.push(Entry { ino, mode: number(mode, 8), size: number(size, 10) as usize, path });
        }
    }
    entries
}

/// The word behind `key` in what `stat` prints.
fn field<'a>(stat: &'a str, key: &str) -> &'a str {
    let rest = stat.split_once(key).unwrap_or_else(|| panic!("no {key:?} in {stat}")).1;
    rest.split_whitespace().next().unwrap_or("")
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(stat: &str, key: &str) -> T {
    field(stat, key).parse().unwrap()
}

/// A time: seconds, and in the newer inodes two more bits of them and nanoseconds.
fn time(stat: &str, key: &str) -> Timestamp {
    let text = field(stat, key).trim_start_matches("0x");
    let mut words = text.split(':').map(|word| u32::from_str_radix(word, 16).unwrap());
    let (seconds, extra) = (words.next().unwrap(), words.next().unwrap_or(0));
    let seconds = i64::from(seconds.cast_signed()) + (i64::from(extra & 3) << 32);
    Timestamp { seconds, nanoseconds: extra >> 2 }
}

fn device(stat: &str) -> Device {
    let (major, minor) = field(stat, "evice major/minor number: ").split_once(':').unwrap();
    Device::new(major.parse().unwrap(), minor.parse().unwrap())
}

/// What `stat` prints.
fn metadata(entry: &Entry, stat: &str) -> Metadata {
    let kind = entry.kind();
    let is_device = matches!(kind, FileType::Character | FileType::Block);
    let birth = Birth {
        dev: Device(0),
        ino: entry.ino,
        kind,
        permissions: entry.mode & 0o7777,
        uid: number(stat, "User: "),
        gid: number(stat, "Group: "),
        rdev: if is_device { device(stat) } else { Device(0) },
    };
    Metadata {
        links: number(stat, "\nLinks: "),
        size: number(stat, " Size: "),
        blocks: number(stat, "Blockcount: "),
        accessed: time(stat, " atime: "),
        modified: time(stat, " mtime: "),
        changed: time(stat, " ctime: "),
        ..Metadata::new(
            birth,
            if stat.contains("crtime") { time(stat, "crtime: ") } else { Timestamp::default() },
        )
    }
}

/// Names in what `ea_list` prints.
fn xattr_names(listing: &str) -> BTreeSet<String> {
    let lines = listing.lines().filter_map(|line| line.strip_prefix("  "));
    lines.filter_map(|line| Some(line.split_once(" (")?.0.to_string())).collect()
}

/// The value in what `ea_get -x` prints.
fn xattr_value(name: &str, text: &str) -> Vec<u8> {
    let value = text.split_once(" = ").map_or("", |(_, value)| value);
    let mut value: Vec<_> =
        value.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    if name.starts_with("system.posix_acl_") {
        // Entries without an owner of their own have none, which debugfs prints as 0.
        for entry in value[4..].chunks_mut(8).filter(|entry| !matches!(entry[0], 2 | 8)) {
            entry[4..].fill(0xff);
        }
    }
    value
}

/// Where a symbolic link leads. `stat` says it of short ones.
fn link_target(image: &HostPath, entry: &Entry, stat: &str) -> Vec<u8> {
    match stat.split_once("link dest: \"") {
        Some((_, rest)) => rest.rsplit_once('"').unwrap().0.as_bytes().to_vec(),
        None => outputs(image, &[(format!("cat <{}>", entry.ino), Some(entry.size))]).swap_remove(0),
    }
}

/// All entries, level by level.
fn tree(image: &HostPath) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut level = vec![(2, Vec::new())];
    while !level.is_empty() {
        let commands: Vec<_> = level.iter().map(|(ino, _)| (format!("ls -l -p <{ino}>"), None)).collect();
        let listings = outputs(image, &commands);
        let found: Vec<_> =
            listings.iter().zip(&level).flat_map(|(listing, (_, path))| entries(listing, path)).collect();
        let directories = found.iter().filter(|entry| entry.kind() == FileType::Directory);
        level = directories.map(|entry| (entry.ino, entry.path.clone())).collect();
        all.extend(found);
    }
    all
}

/// Everything in the tree of an image.
pub fn walk(image: &HostPath) -> Files {
    let tree = tree(image);
    let run = |commands: Vec<Command>| {
        let printed = outputs(image, &commands);
        commands.into_iter().map(|(command, _)| command).zip(printed).collect::<BTreeMap<_, _>>()
    };
    let text = |printed: &BTreeMap<String, Vec<u8>>, command: String| {
        String::from_utf8_lossy(&printed[&command]).into_owned()
    };
    let mut commands = Vec::new();
    for entry in &tree {
        let ino = entry.ino;
        commands.extend([(format!("stat <{ino}>"), None), (format!("ea_list <{ino}>"), None)]);
        if entry.kind() == FileType::Regular {
            commands.push((format!("cat <{ino}>"), Some(entry.size)));
        }
    }
    let printed = run(commands);
    let names = |ino: u64| xattr_names(&text(&printed, format!("ea_list <{ino}>")));
    let value = |ino: u64, name: &str| format!("ea_get -x <{ino}> {name}");
    let named = tree.iter().flat_map(|entry| names(entry.ino).into_iter().map(|name| (entry.ino, name)));
    let values = run(named.map(|(ino, name)| (value(ino, &name), None)).collect());
    let file = |entry: Entry| {
        let ino = entry.ino;
        let stat = text(&printed, format!("stat <{ino}>"));
        let contents = match entry.kind() {
            FileType::Regular => printed[&format!("cat <{ino}>")].clone(),
            FileType::Symlink => link_target(image, &entry, &stat),
            _ => Vec::new(),
        };
        let xattrs: Xattrs = names(ino)
            .into_iter()
            .map(|name| {
                let value = xattr_value(&name, &text(&values, value(ino, &name)));
                (name.into_bytes(), value)
            })
            .collect();
        let said = describe(&metadata(&entry, &stat), &xattrs);
        (entry.path, (said, contents))
    };
    tree.into_iter().map(file).collect()
}
