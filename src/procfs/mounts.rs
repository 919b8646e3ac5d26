//! The mount table as `/proc/PID/mounts` and `/proc/PID/mountinfo` show it (proc(5)).

use alloc::{string::String, vec::Vec};
use core::fmt::Write;

use fs::{MountFlags, Path};

use super::text::{Made, TextBuffer};
use crate::root;

/// The mounts under `from`, each with its place as seen from there.
fn visible(from: &Path) -> Vec<(Path, String)> {
    let mounts = root::namespace().mounts().into_iter();
    mounts
        .filter_map(|mount| {
            let (place, reachable) = mount.text(from);
            reachable.then(|| (mount, escape(&place)))
        })
        .collect()
}

/// Blanks and backslashes as octal numbers, so that fields stay apart.
fn escape(text: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            ' ' | '\t' | '\n' | '\\' | '#' => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\{:03o}", character as u32);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// The options of a mount, without those of its file system.
fn options(flags: MountFlags) -> String {
    let mut text = String::from(if flags.contains(MountFlags::READ_ONLY) { "ro" } else { "rw" });
    for (flag, name) in [
        (MountFlags::NO_SUID, ",nosuid"),
        (MountFlags::NO_DEV, ",nodev"),
        (MountFlags::NO_EXEC, ",noexec"),
        (MountFlags::NO_ATIME, ",noatime"),
        (MountFlags::NO_DIRATIME, ",nodiratime"),
    ] {
        if flags.contains(flag) {
            text.push_str(name);
        }
    }
    if !flags.intersects(MountFlags::NO_ATIME | MountFlags::STRICT_ATIME) {
        text.push_str(",relatime");
    }
    text
}

/// The source of a mount; "none" where none was named.
fn source(mount: &Path) -> String {
    match mount.mount().source() {
        "" => String::from("none"),
        source => escape(source.as_bytes()),
    }
}

/// The table in the format of fstab(5).
pub fn table(from: &Path, out: &mut TextBuffer) -> Made {
    for (mount, place) in visible(from) {
        let file_system = mount.mount().superblock().file_system();
        let (source, kind) = (source(&mount), file_system.name());
        let (options, own) = (options(mount.mount().flags()), file_system.options());
        writeln!(out, "{source} {place} {kind} {options}{own} 0 0")?;
    }
    Ok(())
}

/// The table that tells what is known of each mount beyond what it is, which is nothing.
pub fn statistics(from: &Path, out: &mut TextBuffer) -> Made {
    for (mount, place) in visible(from) {
        let (source, kind) = (source(&mount), mount.mount().superblock().file_system().name());
        writeln!(out, "device {source} mounted on {place} with fstype {kind}")?;
    }
    Ok(())
}

/// The table with the numbers of the mounts.
pub fn details(from: &Path, out: &mut TextBuffer) -> Made {
    for (mount, place) in visible(from) {
        let file_system = mount.mount().superblock().file_system();
        let device = mount.inode().attributes().dev;
        write!(
            out,
            "{} {} {}:{} {} {place} {} - {} {} ",
            mount.mount().id(),
            mount.mount().parent_id(),
            device.major(),
            device.minor(),
            escape(&mount.mount().root_path()),
            options(mount.mount().flags()),
            file_system.name(),
            source(&mount),
        )?;
        writeln!(out, "rw{}", file_system.options())?;
    }
    Ok(())
}
