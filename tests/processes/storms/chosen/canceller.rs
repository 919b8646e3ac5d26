//! Who cancels: by requests, and by calls that wait for the end of what they have cancelled.

use super::Shape;
use super::consumer::take_all;
use super::event::{SYNC, SYNCED};
use super::places::{BUFFER_PAGES, BUFFERS, PAGE, READS};
use super::request::{Meant, Plan, What};
use super::submitter::Asker;
use crate::library::{COMPLETION, Choice, SUBMISSION, expect, go_to_any, nap, repeat, store8};
use linux_raw_sys::io_uring::io_uring_register_op as register_op;
use linux_raw_sys::{general as linux, io_uring};
use processes::instruction::Register::{Rax, Rbp, Rbx};
use processes::program::{Label, Program};

/// Cancels this and that.
pub fn canceller(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &Plan,
    asker: Asker,
    look: Label,
) {
    let mut all = vec![Meant::Name, Meant::Name, Meant::Any];
    all.extend(shape.sources.iter().map(|source| Meant::Source(*source)));
    let ways: Vec<(Meant, u64)> = (0..2 + choice.below(3))
        .map(|_| (all[choice.below(all.len() as u64) as usize], choice.below(5)))
        .collect();
    repeat(p, Rbp, 2 + choice.below(4) as i64, |p| {
        nap(p, 12_000);
        let done = p.label();
        for (label, (meant, way)) in go_to_any(p, ways.len()).into_iter().zip(&ways) {
            p.put(label);
            match way {
                0 | 1 => asker.ask_any(p, plan, &plan.of(What::Cancel(*meant))),
                2 | 3 => cancel_and_wait(p, shape, *meant, asker.party, look),
                _ if shape.hides => hide(p),
                _ => {}
            }
            p.jump(done);
        }
        p.put(done);
    });
}

/// Has the pages of the buffers not be mapped until somebody touches them; what is in them stays.
fn hide(p: &mut Program) {
    let operands = [BUFFERS.into(), (BUFFER_PAGES * PAGE).into(), linux::MADV_DONTNEED.into()];
    p.system(linux::__NR_madvise, &operands);
    expect(p, Rax, &[0], 50);
}

/// Cancels, and waits for the end of what has been: its completions are there then. rbx, r8, r12 to r15 are lost.
pub fn cancel_and_wait(p: &mut Program, shape: &Shape, meant: Meant, party: usize, look: Label) {
    let ring = &shape.rings[0];
    let (fd, flags, number) = match meant {
        Meant::Name => (-1, 0, 0),
        Meant::Any => (-1, io_uring::IORING_ASYNC_CANCEL_ANY | io_uring::IORING_ASYNC_CANCEL_ALL, 1),
        Meant::Source(source) => {
            let flags = io_uring::IORING_ASYNC_CANCEL_FD | io_uring::IORING_ASYNC_CANCEL_ALL;
            (READS[source], flags, 2 + source)
        }
    };
    let forever = u64::MAX;
    let asked = p.words(&[0, u64::from(fd as u32) | u64::from(flags) << 32, forever, forever, 0, 0, 0, 0]);
    // Whatever has been submitted has been taken.
    ring.lock(p, SUBMISSION);
    p.tell(SYNC, &[number.into(), party.into()]);
    store8(p, asked, Rax);
    ring.unlock(p, SUBMISSION);
    ring.register(p, register_op::IORING_REGISTER_SYNC_CANCEL, asked, 1);
    p.set(Rbx, Rax);
    ring.lock(p, COMPLETION);
    take_all(p, shape, 0, look, 0);
    p.tell(SYNCED, &[Rbx.into(), party.into()]);
    ring.unlock(p, COMPLETION);
}
