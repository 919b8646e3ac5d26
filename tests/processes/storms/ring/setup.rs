//! The files, and the ring with what is registered.

use super::Shape;
use super::places::{
    BUFFER_PAGES, BUFFERS, COUNTER, DRY, EVENT, NARROW, PAGE, REGISTERED, SEMAPHORE, TOKENS,
};
use crate::library::{expect, expect_success, load, place_descriptor};
use linux_raw_sys::general as linux;
use linux_raw_sys::io_uring::io_uring_register_op as register_op;
use processes::instruction::Register::Rax;
use processes::program::Program;

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

/// The ring, and what is registered with it.
pub fn set_up(p: &mut Program, shape: &Shape) {
    shape.ring.set_up(p);
    let mut register = |operation, code, words: &[u64], count| {
        let argument = p.words(words);
        shape.ring.register(p, operation, argument, count);
        expect(p, Rax, &[0], code);
    };
    register(register_op::IORING_REGISTER_EVENTFD, 19, &[EVENT as u64], 1);
    if shape.registers {
        let words: Vec<u64> = REGISTERED.chunks(2).map(|two| two[0] as u64 | (two[1] as u64) << 32).collect();
        register(register_op::IORING_REGISTER_FILES, 17, &words, REGISTERED.len());
        let range = [BUFFERS as u64, (BUFFER_PAGES * PAGE) as u64];
        register(register_op::IORING_REGISTER_BUFFERS, 18, &range, 1);
    }
}
