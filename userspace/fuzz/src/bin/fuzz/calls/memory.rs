//! Memory.

use super::{NAME, NONE, VECTOR};
use crate::kind::File::{Nameless, Regular, Ring};
use crate::kind::Kind::{self, Below, Bits, Block, Buffer, Either, Fd, Id, Length, One, Page, Pid, Span};
use crate::kind::Object::{Queue, Segment, Semaphores};
use crate::kind::{Call, call};
use libc::*;

const RIGHTS: Kind = One(&[0, 1, 3, 3, 3, 5, 7]);
const FIXED: u64 = MAP_FIXED as u64;
const ANONYMOUS: Kind = One(&[FIXED | 0x22, FIXED | 0x21, FIXED | 0x8022, FIXED | 0x4022]);
const OF_FILE: Kind = One(&[FIXED | 1, FIXED | 2, FIXED | 3, FIXED | 0x8001]);
const ANYWHERE: Kind = One(&[0x22, 0x21, 0x122, 0x2022, 0x100_0022, 0x8022]);
const PAGES: Kind = One(&[0, 0x1000, 0x2000, 0x4000]);
const ADVICE: Kind = Either(&[
    Below(26),
    One(&[
        MADV_DONTNEED as u64,
        MADV_FREE as u64,
        MADV_REMOVE as u64,
        MADV_DONTFORK as u64,
        MADV_WIPEONFORK as u64,
        MADV_POPULATE_WRITE as u64,
    ]),
]);
const RANGES: Kind = Kind::Array(4, &[(8, Page), (8, Span)]);
const POLICY: Kind = Either(&[Below(7), One(&[0x2002, 0x4003, 0x8001, 0xc002])]);
const NODES: Kind = Either(&[NONE, Block(&[(8, One(&[0, 1, 1, 1, 2, 3]))])]);
const NODE_BITS: Kind = One(&[0, 1, 2, 64, 65, 65, 1025, 4097, 32769]);
const SHM_KEY: Kind = One(&[0, 0x5255, 0x5256]);

pub const CALLS: &[Call] = &[
    call("mmap", SYS_mmap, &[Page, Span, RIGHTS, ANONYMOUS, One(&[u64::MAX]), NONE]),
    call("mmap anywhere", SYS_mmap, &[NONE, Span, RIGHTS, ANYWHERE, One(&[u64::MAX]), NONE]),
    call("mmap of a file", SYS_mmap, &[Page, Span, RIGHTS, OF_FILE, Fd(Regular), PAGES]),
    call("mmap of memory", SYS_mmap, &[Page, Span, RIGHTS, OF_FILE, Fd(Nameless), PAGES]),
    call(
        "mmap of a ring",
        SYS_mmap,
        &[Page, Span, RIGHTS, OF_FILE, Fd(Ring), One(&[0, 0x800_0000, 0x1000_0000])],
    ),
    call("munmap", SYS_munmap, &[Page, Span]),
    call("mprotect", SYS_mprotect, &[Page, Span, RIGHTS]),
    call("mremap", SYS_mremap, &[Page, Span, Span, Bits(&[1, 2, 4]), Page]),
    call("madvise", SYS_madvise, &[Page, Span, ADVICE]),
    call(
        "process_madvise",
        SYS_process_madvise,
        &[Fd(crate::kind::File::Process), RANGES, Length, ADVICE, NONE],
    ),
    call("mbind", SYS_mbind, &[Page, Span, POLICY, NODES, NODE_BITS, Bits(&[1, 2, 4])]),
    call("set_mempolicy", SYS_set_mempolicy, &[POLICY, NODES, NODE_BITS]),
    call(
        "get_mempolicy",
        SYS_get_mempolicy,
        &[Buffer(4), Buffer(16), NODE_BITS, Either(&[NONE, Page]), Bits(&[1, 2, 4])],
    ),
    call("set_mempolicy_home_node", SYS_set_mempolicy_home_node, &[Page, Span, One(&[0, 0, 1]), NONE]),
    call("migrate_pages", SYS_migrate_pages, &[Pid, NODE_BITS, NODES, NODES]),
    call(
        "move_pages",
        SYS_move_pages,
        &[
            Either(&[NONE, Pid]),
            Below(20),
            Kind::Array(20, &[(8, Page)]),
            Either(&[NONE, Kind::Array(20, &[(4, One(&[0, 0, 0, 1]))])]),
            Buffer(80),
            Bits(&[2, 4]),
        ],
    ),
    call("msync", SYS_msync, &[Page, Span, Below(8)]),
    call("mincore", SYS_mincore, &[Page, Span, Buffer(30)]),
    call("mlock", SYS_mlock, &[Page, Span]),
    call("mlock2", SYS_mlock2, &[Page, Span, Below(3)]),
    call("munlock", SYS_munlock, &[Page, Span]),
    call("mlockall", SYS_mlockall, &[Below(8)]),
    call("munlockall", SYS_munlockall, &[]),
    call("brk", SYS_brk, &[Either(&[NONE, Page])]),
    call("remap_file_pages", SYS_remap_file_pages, &[Page, Span, NONE, Below(4), NONE]),
    call("membarrier", SYS_membarrier, &[Bits(&[1, 2, 4, 8, 16, 32, 64, 128, 256]), Below(2), Below(4)]),
    call("process_vm_readv", SYS_process_vm_readv, &[Pid, VECTOR, Length, VECTOR, Length, NONE]),
    call("process_vm_writev", SYS_process_vm_writev, &[Pid, VECTOR, Length, VECTOR, Length, NONE]).reaches(),
    call("shmget", SYS_shmget, &[SHM_KEY, Below(70_000), Bits(&[0o1000, 0o2000, 0o666])]).finds(Segment),
    call("shmat", SYS_shmat, &[Id(Segment), Either(&[NONE, Page]), Bits(&[0o10000, 0o20000, 0o40000])]),
    call("shmdt", SYS_shmdt, &[Page]),
    call("shmctl", SYS_shmctl, &[Id(Segment), Below(16), Buffer(112)]),
    call("semget", SYS_semget, &[SHM_KEY, Below(10), Bits(&[0o1000, 0o2000, 0o666])]).finds(Semaphores),
    call(
        "semtimedop",
        SYS_semtimedop,
        &[
            Id(Semaphores),
            Kind::Array(4, &[(2, Below(10)), (2, One(&[0, 1, 2, 0xffff])), (2, Bits(&[0x800, 0x1000]))]),
            Length,
            super::TIME,
        ],
    ),
    call("semctl", SYS_semctl, &[Id(Semaphores), Below(10), Below(20), Either(&[Buffer(112), Below(10)])]),
    call("msgget", SYS_msgget, &[SHM_KEY, Bits(&[0o1000, 0o2000, 0o666])]).finds(Queue),
    call(
        "msgsnd",
        SYS_msgsnd,
        &[Id(Queue), Kind::Block(&[(8, Below(4)), (8, Below(9)), (8, Below(9))]), Below(24), Bits(&[0o4000])],
    ),
    call(
        "msgrcv",
        SYS_msgrcv,
        &[Id(Queue), Buffer(300), Below(292), One(&[0, 1, 2, u64::MAX]), Bits(&[0o4000, 0o10000, 0o20000])],
    ),
    call("msgctl", SYS_msgctl, &[Id(Queue), Below(14), Buffer(120)]),
    call("mq_open", SYS_mq_open, &[NAME, One(&[0o102, 2, 0o4102]), One(&[0o666]), NONE])
        .opens(crate::kind::File::Any),
];
