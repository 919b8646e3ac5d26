//! The tree of names.

use super::{NAME, NONE, OFFSET, PATH};
use crate::kind::File::{Any, Folder, Proc, Regular};
use crate::kind::Kind::{self, At, Below, Bits, Block, Buffer, Either, Fd, Length, One, Text};
use crate::kind::{Call, call};
use libc::*;

pub const OPEN: Kind = Bits(&[
    1,
    2,
    O_CREAT as u64,
    O_CREAT as u64,
    O_EXCL as u64,
    O_TRUNC as u64,
    O_APPEND as u64,
    O_NONBLOCK as u64,
    O_DIRECTORY as u64,
    O_NOFOLLOW as u64,
    O_CLOEXEC as u64,
    O_PATH as u64,
    O_SYNC as u64,
    O_DIRECT as u64,
]);
pub const MODE: Kind = One(&[0o644, 0o666, 0o777, 0o700, 0, 0o7777]);
pub const HOW: &[(u8, Kind)] = &[(8, OPEN), (8, One(&[0, 0, 0o644])), (8, Bits(&[1, 2, 4, 8, 16, 32]))];
pub const AT_FLAGS: Kind = Bits(&[0x100, 0x200, 0x400, 0x800, 0x1000]);
const ID: Kind = One(&[65534, 0, u64::MAX]);
const TIMES: Kind = Either(&[
    NONE,
    Block(&[
        (8, Below(1 << 33)),
        (8, Below(1_000_000_000)),
        (8, NONE),
        (8, One(&[0x3fff_ffff, 0x3fff_fffe])),
    ]),
]);
pub const ATTRIBUTE: Kind = Text(&["user.a", "user.b", "trusted.a", "security.a", "system.a", "a", ""]);
/// A `struct vfs_cap_data`, mostly.
const CAPABILITIES: Kind = Block(&[
    (4, One(&[0x0200_0001, 0x0200_0000, 0x0300_0001, 0x0100_0000])),
    (4, One(&[u64::MAX, 0x21, 0])),
    (4, One(&[u64::MAX, 0x80, 0])),
    (4, One(&[0, 1])),
    (4, One(&[0, 1])),
    (4, One(&[0, 5])),
]);
const NODE: Kind = One(&[0o100_644, 0o010_644, 0o140_644, 0o020_644, 0o060_644, 0o040_755]);

pub const CALLS: &[Call] = &[
    call("open", SYS_open, &[PATH, OPEN, MODE]).opens(Any),
    call("open of a file", SYS_open, &[NAME, One(&[0o102, 0o2, 0o1102]), MODE]).opens(Regular),
    call("openat", SYS_openat, &[At, PATH, OPEN, MODE]).opens(Any),
    call("openat of a folder", SYS_openat, &[At, Text(&["d", ".", "d/d", "l"]), One(&[0o200_000]), NONE])
        .opens(Folder),
    call(
        "openat of /proc",
        SYS_openat,
        &[
            At,
            Text(&[
                "/proc",
                "/proc/self",
                "/proc/self/fd",
                "/proc/self/task",
                "/proc/meminfo",
                "/proc/self/smaps",
                "/proc/stat",
                "/proc/mounts",
                "/proc/net/unix",
                "/proc/executor",
                "/proc/self/fdinfo",
                "/proc/self/stat",
                "/proc/self/cmdline",
                "/proc/locks",
                "/proc/interrupts",
            ]),
            NONE,
            NONE,
        ],
    )
    .opens(Proc),
    call("openat2", SYS_openat2, &[At, PATH, Block(HOW), One(&[24])]).opens(Any),
    call("creat", SYS_creat, &[NAME, MODE]).opens(Regular),
    call("mkdir", SYS_mkdir, &[NAME, MODE]),
    call("mkdirat", SYS_mkdirat, &[At, Text(&["d", "d/d", "e"]), One(&[0o777])]),
    call("mknod", SYS_mknod, &[NAME, NODE, Below(300)]),
    call("mkfifo", SYS_mknodat, &[At, Text(&["f"]), One(&[0o010_666]), NONE]),
    call("symlink", SYS_symlink, &[PATH, NAME]),
    call("symlinkat", SYS_symlinkat, &[Text(&["d", "a", "l", "d/../d"]), At, Text(&["l"])]),
    call("link", SYS_link, &[NAME, NAME]),
    call("linkat", SYS_linkat, &[At, PATH, At, NAME, AT_FLAGS]),
    call("unlink", SYS_unlink, &[NAME]),
    call("unlinkat", SYS_unlinkat, &[At, NAME, AT_FLAGS]),
    call("rmdir", SYS_rmdir, &[NAME]),
    call("rename", SYS_rename, &[NAME, NAME]),
    call("renameat2", SYS_renameat2, &[At, NAME, At, NAME, Below(8)]),
    call("readlink", SYS_readlink, &[PATH, Buffer(300), Length]),
    call("readlinkat", SYS_readlinkat, &[At, PATH, Buffer(300), Length]),
    call("stat", SYS_stat, &[PATH, Buffer(144)]),
    call("lstat", SYS_lstat, &[PATH, Buffer(144)]),
    call("newfstatat", SYS_newfstatat, &[At, PATH, Buffer(144), AT_FLAGS]),
    call("statx", SYS_statx, &[At, PATH, Bits(&[0x100, 0x1000, 0x2000, 0x4000]), Below(0x2000), Buffer(256)]),
    call("statfs", SYS_statfs, &[PATH, Buffer(120)]),
    call("access", SYS_access, &[PATH, Below(8)]),
    call("faccessat2", SYS_faccessat2, &[At, PATH, Below(8), AT_FLAGS]),
    call("chmod", SYS_chmod, &[NAME, MODE]),
    call("fchmodat", SYS_fchmodat, &[At, NAME, MODE]),
    call("chown", SYS_chown, &[NAME, ID, ID]),
    call("fchownat", SYS_fchownat, &[At, NAME, ID, ID, AT_FLAGS]),
    call("utimensat", SYS_utimensat, &[At, NAME, TIMES, AT_FLAGS]),
    call("truncate", SYS_truncate, &[NAME, OFFSET]),
    call("chdir", SYS_chdir, &[Text(&["d", ".", "..", "d/d"])]),
    call("getcwd", SYS_getcwd, &[Buffer(300), Length]),
    call("umask", SYS_umask, &[One(&[0, 0o22, 0o777])]),
    call("setxattr", SYS_setxattr, &[NAME, ATTRIBUTE, Buffer(300), Length, Below(4)]),
    call(
        "setxattr of capabilities",
        SYS_setxattr,
        &[NAME, Text(&["security.capability"]), CAPABILITIES, One(&[20, 24]), Below(3)],
    ),
    call("getxattr", SYS_getxattr, &[NAME, ATTRIBUTE, Buffer(300), Length]),
    call("listxattr", SYS_listxattr, &[NAME, Buffer(300), Length]),
    call("removexattr", SYS_removexattr, &[NAME, ATTRIBUTE]),
    call("fsetxattr", SYS_fsetxattr, &[Fd(Any), ATTRIBUTE, Buffer(300), Length, Below(4)]),
    call("fgetxattr", SYS_fgetxattr, &[Fd(Any), ATTRIBUTE, Buffer(300), Length]),
    call("flistxattr", SYS_flistxattr, &[Fd(Any), Buffer(300), Length]),
    call("name_to_handle_at", SYS_name_to_handle_at, &[At, PATH, Buffer(136), Buffer(4), AT_FLAGS]),
    call("open_by_handle_at", SYS_open_by_handle_at, &[Fd(Any), Buffer(136), OPEN]),
    call(
        "mount",
        SYS_mount,
        &[
            PATH,
            Text(&["d", "d/d", "e"]),
            Text(&["tmpfs", "proc", "devtmpfs", "none"]),
            Bits(&[1, 2, 32, 0x1000]),
            Either(&[NONE, Text(&["size=64k", "nr_inodes=10", "mode=700", "size=-1"])]),
        ],
    ),
    call("umount2", SYS_umount2, &[Text(&["d", "d/d", "e", "."]), Bits(&[1, 2, 4, 8])]),
    call("chroot", SYS_chroot, &[Text(&["d", "d/d"])]),
];
