//! The archive of files that the kernel unpacks as its root: cpio's "new ASCII" format.

/// An archive with these executables, by their paths without the leading slash, and with these directories.
pub fn of(directories: &[&str], files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    const DIRECTORY: u32 = 0o040_755;
    const EXECUTABLE: u32 = 0o100_755;
    let mut archive = Vec::new();
    directories.iter().for_each(|name| member(&mut archive, name, DIRECTORY, &[]));
    files.iter().for_each(|(name, contents)| member(&mut archive, name, EXECUTABLE, contents));
    member(&mut archive, "TRAILER!!!", 0, &[]);
    archive
}

fn member(archive: &mut Vec<u8>, name: &str, mode: u32, contents: &[u8]) {
    let number = archive.len() as u32 + 1;
    let name_len = name.len() as u32 + 1;
    archive.extend(b"070701");
    let fields = [number, mode, 0, 0, 1, 0, contents.len() as u32, 0, 0, 0, 0, name_len, 0];
    fields.iter().for_each(|field| archive.extend(format!("{field:08x}").as_bytes()));
    archive.extend(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(contents);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
