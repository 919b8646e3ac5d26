//! The files, and the ring with what is registered.

use super::Shape;
use super::places::{
    BUFFER_PAGES, BUFFERS, COUNTER, DRY, ENTRIES, EVENT, NARROW, PAGE, REGISTERED, RING, RINGS, SEMAPHORE,
    TOKENS, TOLD,
};
use crate::library::{SHARED, close, expect, expect_success, load};
use linux_raw_sys::io_uring::io_uring_register_op as register_op;
use linux_raw_sys::{general as linux, io_uring};
use processes::instruction::Register::{self, R12, Rax, Rcx, Rdx};
use processes::program::Program;

/// A poller looks for so long before it sleeps.
pub const IDLE_NS: u64 = 1_000_000;

/// A descriptor is at this number from now on, and not where it was, in `from`.
fn place_descriptor(p: &mut Program, from: Register, number: i32) {
    p.set(R12, from);
    p.system(linux::__NR_dup2, &[R12.into(), number.into()]);
    expect(p, Rax, &[number.into()], 10);
    close(p, R12);
}

/// Pipes and eventfds.
pub fn make_files(p: &mut Program) {
    let pair = p.data(8);
    for (number, flags) in [(EVENT, 0), (COUNTER, linux::EFD_NONBLOCK), (SEMAPHORE, linux::EFD_SEMAPHORE)] {
        p.system(linux::__NR_eventfd2, &[0.into(), flags.into()]);
        expect_success(p, Rax, 12);
        place_descriptor(p, Rax, number);
    }
    for numbers in [TOKENS, NARROW, DRY] {
        p.system(linux::__NR_pipe2, &[pair.into(), 0.into()]);
        expect(p, Rax, &[0], 13);
        for (offset, number) in [(0, numbers[0]), (4, numbers[1])] {
            load(p, Rax, pair + offset);
            place_descriptor(p, Rax, number);
        }
    }
    p.system(linux::__NR_fcntl, &[NARROW[1].into(), linux::F_SETPIPE_SZ.into(), PAGE.into()]);
    expect(p, Rax, &[PAGE as i64], 14);
}

/// The ring, in memory at its places.
pub fn set_up(p: &mut Program, shape: &Shape) {
    let mut flags = io_uring::IORING_SETUP_CQSIZE;
    if shape.has_poller {
        flags |= io_uring::IORING_SETUP_SQPOLL;
    }
    let mut parameters = [0; 15];
    parameters[0] = u64::from(shape.completions) << 32;
    parameters[1] = u64::from(flags);
    parameters[2] = IDLE_NS / 1_000_000;
    let parameters = p.words(&parameters);
    p.system(linux::__NR_io_uring_setup, &[shape.entries.into(), parameters.into()]);
    expect_success(p, Rax, 15);
    place_descriptor(p, Rax, RING);
    let protection = linux::PROT_READ | linux::PROT_WRITE;
    let kind = linux::MAP_SHARED | linux::MAP_FIXED;
    for (address, offset) in [(RINGS, io_uring::IORING_OFF_SQ_RING), (ENTRIES, io_uring::IORING_OFF_SQES)] {
        let place = [address.into(), PAGE.into(), protection.into(), kind.into(), RING.into(), offset.into()];
        p.system(linux::__NR_mmap, &place);
        expect(p, Rax, &[address as i64], 16);
    }
    p.set(Rcx, SHARED);
    p.set(Rdx, parameters);
    for (place, told) in TOLD {
        p.read4(Rax, Rdx, told);
        p.add_constant(Rax, RINGS as i64);
        p.write8(Rcx, place, Rax);
    }
    register(p, register_op::IORING_REGISTER_EVENTFD, 19, &[EVENT as u64], 1);
    if shape.registers {
        let words: Vec<u64> = REGISTERED.chunks(2).map(|two| two[0] as u64 | (two[1] as u64) << 32).collect();
        register(p, register_op::IORING_REGISTER_FILES, 17, &words, REGISTERED.len());
        let range = [BUFFERS as u64, (BUFFER_PAGES * PAGE) as u64];
        register(p, register_op::IORING_REGISTER_BUFFERS, 18, &range, 1);
    }
}

/// Registers something with the ring.
fn register(p: &mut Program, operation: register_op, code: i32, words: &[u64], count: usize) {
    let argument = p.words(words);
    p.system(
        linux::__NR_io_uring_register,
        &[RING.into(), (operation as u32).into(), argument.into(), count.into()],
    );
    expect(p, Rax, &[0], code);
}
