//! Bytes and descriptors.

use super::{NONE, OFFSET, SIGNALS, SIGNALS_SIZE, TIME, VECTOR};
use crate::kind::File::{Any, Folder, Listener, Nameless, Proc, Reader, Regular, Socket, Terminal, Writer};
use crate::kind::Kind::{
    self, Array, Below, Bits, Block, Buffer, Either, Fd, Length, One, Pid, Range, Signal,
};
use crate::kind::{Call, Part, call};
use libc::*;

const BYTES: Kind = Buffer(12_000);
const PIPE_FLAGS: Kind = Bits(&[O_NONBLOCK as u64, O_CLOEXEC as u64, O_DIRECT as u64]);
const STATUS_FLAGS: Kind = Bits(&[O_NONBLOCK as u64, O_APPEND as u64, O_DIRECT as u64, O_ASYNC as u64]);
pub const RWF: Kind = Bits(&[1, 2, 4, 8, 16]);
pub const SPLICE: Kind = Bits(&[1, 2, 4, 8]);
const OFFSET_AT: Kind = Either(&[NONE, Block(&[(8, OFFSET)])]);
const POLLED: Kind = Array(8, ENTRY);
const ENTRY: &[Part] = &[(4, Fd(Any)), (2, Bits(&[1, 2, 4, 0x2000])), (2, NONE)];
const FLOCK: Kind = Block(&[
    (2, One(&[F_RDLCK as u64, F_WRLCK as u64, F_UNLCK as u64])),
    (2, One(&[0, 1, 2])),
    (4, NONE),
    (8, Below(100)),
    (8, Below(50)),
    (4, NONE),
    (4, NONE),
]);
const TERMIOS: Kind = Buffer(60);
const ADVICE: Kind = Below(7);

pub const CALLS: &[Call] = &[
    call("read", SYS_read, &[Fd(Any), BYTES, Length]),
    call("read of a file", SYS_read, &[Fd(Regular), BYTES, Length]),
    call("read of a pipe", SYS_read, &[Fd(Reader), BYTES, Length]),
    call("read of /proc", SYS_read, &[Fd(Proc), BYTES, Length]),
    call("write", SYS_write, &[Fd(Any), BYTES, Length]),
    call("write to a file", SYS_write, &[Fd(Regular), BYTES, Length]),
    call("write to a pipe", SYS_write, &[Fd(Writer), BYTES, Length]),
    call("write to a terminal", SYS_write, &[Fd(Terminal), Buffer(300), Length]),
    call("pread64", SYS_pread64, &[Fd(Any), BYTES, Length, OFFSET]),
    call("pwrite64", SYS_pwrite64, &[Fd(Any), BYTES, Length, OFFSET]),
    call("readv", SYS_readv, &[Fd(Any), VECTOR, Length]),
    call("writev", SYS_writev, &[Fd(Any), VECTOR, Length]),
    call("preadv2", SYS_preadv2, &[Fd(Any), VECTOR, Length, OFFSET, NONE, RWF]),
    call("pwritev2", SYS_pwritev2, &[Fd(Any), VECTOR, Length, OFFSET, NONE, RWF]),
    call("lseek", SYS_lseek, &[Fd(Any), OFFSET, Below(6)]),
    call("sendfile", SYS_sendfile, &[Fd(Any), Fd(Regular), OFFSET_AT, Below(70_000)]),
    call(
        "copy_file_range",
        SYS_copy_file_range,
        &[Fd(Regular), OFFSET_AT, Fd(Nameless), OFFSET_AT, Below(9000), NONE],
    ),
    call("splice", SYS_splice, &[Fd(Any), OFFSET_AT, Fd(Writer), OFFSET_AT, Below(9000), SPLICE]),
    call("splice from", SYS_splice, &[Fd(Reader), OFFSET_AT, Fd(Any), OFFSET_AT, Below(9000), SPLICE]),
    call("tee", SYS_tee, &[Fd(Reader), Fd(Writer), Below(9000), SPLICE]),
    call("vmsplice", SYS_vmsplice, &[Fd(Writer), VECTOR, Length, SPLICE]),
    call("close", SYS_close, &[Fd(Any)]),
    call("close_range", SYS_close_range, &[Below(60), Below(64), Bits(&[2, 4])]),
    call("dup", SYS_dup, &[Fd(Any)]).opens(Any),
    call("dup2", SYS_dup2, &[Fd(Any), Below(64)]).opens(Any),
    call("dup3", SYS_dup3, &[Fd(Any), Below(64), PIPE_FLAGS]).opens(Any),
    call("dup3 far away", SYS_dup3, &[Fd(Any), Below(1100), PIPE_FLAGS]).opens(Any),
    call("pipe", SYS_pipe, &[Buffer(8)]).opens_pair([Reader, Writer], 0),
    call("pipe2", SYS_pipe2, &[Buffer(8), PIPE_FLAGS]).opens_pair([Reader, Writer], 0),
    call("fcntl", SYS_fcntl, &[Fd(Any), Below(16), Below(64)]),
    call("fcntl of flags", SYS_fcntl, &[Fd(Any), One(&[F_SETFL as u64]), STATUS_FLAGS]),
    call("fcntl of locks", SYS_fcntl, &[Fd(Regular), One(&[5, 6, 7, 36, 37, 38]), FLOCK]),
    call("fcntl of owners", SYS_fcntl, &[Fd(Any), One(&[8, 9, 10, 11]), Either(&[Pid, Signal])]).reaches(),
    call(
        "fcntl of owners, named",
        SYS_fcntl,
        &[Fd(Any), One(&[15, 16, 17]), Block(&[(4, Below(3)), (4, Pid)])],
    )
    .reaches(),
    call(
        "fcntl of pipes",
        SYS_fcntl,
        &[Fd(Reader), One(&[1031, 1032]), One(&[0, 4096, 65536, 1 << 20, 1 << 31])],
    ),
    call("fcntl of directories", SYS_fcntl, &[Fd(Any), One(&[1026]), Bits(&[1, 2, 4, 8, 16, 32, 1 << 31])])
        .reaches(),
    call("fcntl of seals", SYS_fcntl, &[Fd(Nameless), One(&[1033, 1034]), Bits(&[1, 2, 4, 8, 16])]),
    call("flock", SYS_flock, &[Fd(Regular), Bits(&[1, 2, 4, 8])]),
    call("ioctl", SYS_ioctl, &[Fd(Any), One(&[FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, FIOASYNC]), Buffer(4)]),
    call(
        "ioctl of terminals",
        SYS_ioctl,
        &[
            Fd(Terminal),
            Either(&[Range(0x5400, 0x40), One(&[TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER])]),
            Either(&[TERMIOS, Below(4)]),
        ],
    ),
    call("ioctl TIOCGPTPEER", SYS_ioctl, &[Fd(Terminal), One(&[TIOCGPTPEER]), One(&[2, 0o402])])
        .opens(Terminal),
    call("poll", SYS_poll, &[POLLED, Length, Below(3)]),
    call("poll of many", SYS_poll, &[Array(1100, ENTRY), Length, Below(3)]),
    call("ppoll", SYS_ppoll, &[POLLED, Length, TIME, SIGNALS, SIGNALS_SIZE]),
    call("select of many", SYS_select, &[Below(5000), Buffer(700), Buffer(700), NONE, Block(super::SHORT)]),
    call("select", SYS_select, &[Below(70), Buffer(16), Buffer(16), Buffer(16), Block(super::SHORT)]),
    call(
        "pselect6",
        SYS_pselect6,
        &[Below(70), Buffer(16), Buffer(16), Buffer(16), TIME, Block(&[(8, SIGNALS), (8, SIGNALS_SIZE)])],
    ),
    call("ftruncate", SYS_ftruncate, &[Fd(Regular), OFFSET]),
    call("ftruncate of memory", SYS_ftruncate, &[Fd(Nameless), OFFSET]),
    call("fallocate", SYS_fallocate, &[Fd(Regular), Bits(&[1, 2, 8, 16, 32]), OFFSET, OFFSET]),
    call("fsync", SYS_fsync, &[Fd(Any)]),
    call("sync_file_range", SYS_sync_file_range, &[Fd(Any), OFFSET, OFFSET, Bits(&[1, 2, 4])]),
    call("fadvise64", SYS_fadvise64, &[Fd(Any), OFFSET, OFFSET, ADVICE]),
    call("readahead", SYS_readahead, &[Fd(Any), OFFSET, Below(100_000)]),
    call("memfd_create", SYS_memfd_create, &[super::NAME, Bits(&[1, 2])]).opens(Nameless),
    call("getdents64", SYS_getdents64, &[Fd(Folder), BYTES, Length]),
    call("getdents64 of /proc", SYS_getdents64, &[Fd(Proc), BYTES, Length]),
    call("fstat", SYS_fstat, &[Fd(Any), Buffer(144)]),
    call("fstatfs", SYS_fstatfs, &[Fd(Any), Buffer(120)]),
    call("fchmod", SYS_fchmod, &[Fd(Any), Below(0o10000)]),
    call("fchown", SYS_fchown, &[Fd(Any), One(&[65534, 0, u64::MAX]), One(&[65534, 0, u64::MAX])]),
    call("fchdir", SYS_fchdir, &[Fd(Folder)]),
    call("kcmp", SYS_kcmp, &[Pid, Pid, Below(8), Fd(Any), Fd(Any)]),
    call("shutdown of anything", SYS_shutdown, &[Either(&[Fd(Socket), Fd(Listener), Fd(Any)]), Below(4)]),
];
