//! Who passes on whose turn it is, by a futex that each has at another address.

use super::Shape;
use super::place::{PAGE, TURN, plain, remap};
use crate::library::{Choice, SHARED, end_thread, expect, failed, if_zero, maybe_nap, on_any_error, repeat};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, Rax, Rbp, Rbx, Rcx};
use processes::program::{Label, Program};

/// How often each player has its turn.
const TURNS: i64 = 5;

/// Has its turn after the one before, of so many. In r12 is where the page is.
pub fn player(
    p: &mut Program,
    choice: &mut Choice,
    shape: &mut Shape,
    (index, count): (usize, usize),
) -> Label {
    let party = shape.party();
    let moves = choice.below(2) == 0;
    let entry = p.here();
    p.set(Rbp, SHARED);
    p.set(R12, plain(party, 0));
    let flags = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED;
    // The page twice.
    remap(p, Rbp, 0, PAGE, flags, R12);
    repeat(p, R13, TURNS, |p| {
        let (look, mine) = (p.here(), p.label());
        p.set(Rbx, R12);
        p.add_constant(Rbx, (TURN - SHARED) as i64);
        p.read4(Rax, Rbx, 0);
        p.set(Rcx, index);
        p.if_equal(Rax, Rcx, mine);
        p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAIT.into(), Rax.into(), 0.into()]);
        on_any_error(p, &[errno::EINTR, errno::EAGAIN], look);
        if_zero(p, Rax, look);
        expect(p, Rax, &[failed(errno::EAGAIN)], 70);
        p.put(mine);
        if moves {
            p.set(Rbp, plain(party, 0) + plain(party, 1));
            p.subtract(Rbp, R12);
            remap(p, R12, PAGE, PAGE, flags, Rbp);
            p.set(R12, Rbp);
        }
        maybe_nap(p, 2, 2_000);
        p.set(Rbx, R12);
        p.add_constant(Rbx, (TURN - SHARED) as i64);
        p.set(Rax, (index + 1) % count);
        p.write4(Rbx, 0, Rax);
        p.system(linux::__NR_futex, &[Rbx.into(), linux::FUTEX_WAKE.into(), i32::MAX.into()]);
    });
    end_thread(p);
    entry
}
