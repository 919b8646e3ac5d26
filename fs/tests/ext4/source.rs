//! A folder with files of all kinds, for mke2fs to copy.

use crate::image::Folder;
use std::ffi::CString;
use std::fs::{File, create_dir, hard_link, write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Bytes that look random and are always the same.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    let (path, name) = (c_path(path), CString::new(name).unwrap());
    // SAFETY: the strings end with NUL, and the value is as long as said.
    let set = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

fn make_node(path: &Path, mode: u32, major: u32, minor: u32) {
    // SAFETY: the path ends with NUL.
    let made = unsafe { libc::mknod(c_path(path).as_ptr(), mode, libc::makedev(major, minor)) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
}

/// The folder, the same for all tests of this process.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<Folder> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Folder::new();
        fill(folder.path());
        folder
    });
    FOLDER.get().unwrap().path()
}

fn fill(root: &Path) {
    // The C library removes it at exit; a static is not dropped.
    remove_at_exit(root);
    for size in [0, 1, 59, 60, 61, 150, 1023, 1024, 1025, 4095, 4096, 4097, 12 * 1024, 100_001, 3_000_000] {
        write(root.join(format!("size-{size}")), noise(size)).unwrap();
    }
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&noise(5000), 1 << 20).unwrap();
    sparse.write_all_at(b"end", (9 << 20) - 1).unwrap();
    sparse.set_len(10 << 20).unwrap();
    File::create(root.join("hole")).unwrap().set_len(70_000).unwrap();

    let names = root.join("names");
    create_dir(&names).unwrap();
    write(names.join("n".repeat(255)), b"longest").unwrap();
    write(names.join("größe 文件 \u{1f980}"), b"unicode").unwrap();
    write(names.join("with\nnewline\\and\"quotes"), b"odd").unwrap();
    let mut deep = root.join("deep");
    create_dir(&deep).unwrap();
    for level in 0..40 {
        deep.push(format!("level-{level}"));
        create_dir(&deep).unwrap();
    }
    write(deep.join("bottom"), b"here").unwrap();
    let many = root.join("many");
    create_dir(&many).unwrap();
    for number in 0..1200 {
        write(many.join(format!("file-{number}-{}", "x".repeat(number % 180))), format!("{number}")).unwrap();
    }

    for length in [1, 59, 60, 61, 300, 1000] {
        symlink("t".repeat(length), root.join(format!("link-{length}"))).unwrap();
    }
    hard_link(root.join("size-4097"), root.join("hard-link")).unwrap();
    make_node(&root.join("fifo"), libc::S_IFIFO | 0o640, 0, 0);
    make_node(&root.join("old-device"), libc::S_IFCHR | 0o600, 5, 1);
    make_node(&root.join("new-device"), libc::S_IFBLK | 0o660, 300, 70_000);

    let attributes = root.join("attributes");
    write(&attributes, b"of this file").unwrap();
    chown(&attributes, Some(100_000), Some(200_000)).unwrap();
    std::fs::set_permissions(&attributes, PermissionsExt::from_mode(0o4751)).unwrap();
    set_xattr(&attributes, "user.small", b"value");
    set_xattr(&attributes, "user.empty", b"");
    set_xattr(&attributes, "user.large", &noise(600));
    set_xattr(&attributes, "trusted.key", b"trusted");
    set_xattr(&attributes, "security.label", b"secret\0");
    #[rustfmt::skip]
    let list = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
        16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
    ];
    set_xattr(&root.join("size-1"), "system.posix_acl_access", &list);
    set_xattr(&names, "user.of-a-directory", b"yes");
    set_xattr(&names, "system.posix_acl_default", &list);

    for (name, seconds) in [("size-59", 3_000_000_000), ("size-60", 5_000_000_000), ("size-61", 100)] {
        let file = File::options().write(true).open(root.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
}

fn remove_at_exit(root: &Path) {
    static ROOT: OnceLock<std::path::PathBuf> = OnceLock::new();
    extern "C" fn remove() {
        if let Some(root) = ROOT.get() {
            drop(std::fs::remove_dir_all(root));
        }
    }
    ROOT.set(root.to_path_buf()).unwrap();
    // SAFETY: a plain function without arguments.
    unsafe { libc::atexit(remove) };
}
