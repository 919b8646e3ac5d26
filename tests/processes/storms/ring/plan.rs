//! What the seed has submitted: chains, limits, drains, cancellations, and requests that just end.

use super::Shape;
use super::places::{BUFFER_PAGES, BUFFERS, COUNTER, DRY, NARROW, PAGE, REGISTERED, SEMAPHORE, TOKENS};
use super::request::{AFTER_ALL, ASYNC, Entry, FIXED, HARD_LINK, LINK, Plan, QUIET, What};
use crate::library::Choice;
use linux_raw_sys::io_uring::io_uring_op as op;
use linux_raw_sys::{general as linux, io_uring};
use processes::program::Program;

/// Longer than a run may take.
const FOREVER_S: u64 = 100;

/// What is submitted.
pub fn plan(p: &mut Program, choice: &mut Choice, shape: &Shape) -> Plan {
    let mut plan = Plan { all: Vec::new(), batches: Vec::new(), stop: None };
    let has_multishot = !shape.drains && choice.below(2) == 0;
    for submitter in 0..1 + choice.below(3) {
        let mut batches = Vec::new();
        if submitter == 0 && has_multishot {
            let entry = Entry {
                opcode: op::IORING_OP_POLL_ADD as u8,
                fd: COUNTER,
                len: io_uring::IORING_POLL_ADD_MULTI,
                flags: linux::POLLIN,
                ..Entry::default()
            };
            let multishot = plan.add(What::Multishot, 0, entry);
            batches.push(vec![multishot]);
            plan.stop = Some(cancel(&mut plan, choice, multishot, true));
        }
        for _ in 0..3 + choice.below(3) {
            add_batches(p, choice, shape, &mut plan, &mut batches);
        }
        plan.batches.push(batches);
    }
    plan
}

/// Adds what belongs together, as one batch or several.
fn add_batches(
    p: &mut Program,
    choice: &mut Choice,
    shape: &Shape,
    plan: &mut Plan,
    batches: &mut Vec<Vec<usize>>,
) {
    match choice.below(11) {
        0 | 1 => {
            let some = (0..1 + choice.below(3)).map(|_| plain(p, choice, shape, plan)).collect();
            batches.push(some);
        }
        2..=4 if shape.ring.holds => {
            let flag = if choice.below(2) == 0 { LINK } else { HARD_LINK };
            let some: Vec<usize> = (0..2 + choice.below(2)).map(|_| plain(p, choice, shape, plan)).collect();
            link(plan, &some, flag);
            batches.push(some);
        }
        5 if shape.ring.holds => {
            // With a limit, and perhaps one more that comes after.
            let limited =
                if choice.below(2) == 0 { stay(p, choice, plan) } else { plain(p, choice, shape, plan) };
            let limit = timeout(p, choice, plan, What::Limit);
            let mut some = vec![limited, limit];
            plan.flag(limited, LINK);
            plan.all[limited].limit = Some(limit);
            if choice.below(2) == 0 {
                let after = plain(p, choice, shape, plan);
                plan.flag(limit, LINK);
                plan.all[after].before = Some(limited);
                some.push(after);
            }
            batches.push(some);
        }
        6 | 7 => {
            // What only a cancellation ends. None may wait for all before it in between.
            let target = stay(p, choice, plan);
            let cancel = cancel(plan, choice, target, true);
            if shape.drains || choice.below(2) == 0 {
                batches.push(vec![target, cancel]);
            } else {
                batches.push(vec![target]);
                let between = plain(p, choice, shape, plan);
                batches.push(vec![between]);
                batches.push(vec![cancel]);
            }
        }
        8 if shape.drains => {
            let entry = Entry::default();
            let mut some = vec![plain(p, choice, shape, plan), plan.add(What::Drain, AFTER_ALL, entry)];
            some.push(plain(p, choice, shape, plan));
            batches.push(some);
        }
        8 if shape.ring.holds
            && plan.stop.is_some()
            && batches.first().is_some_and(|first| first == &[0]) =>
        {
            // For a while the poll that repeats is for something that does not come.
            let change = |plan: &mut Plan, events| {
                let entry = Entry {
                    opcode: op::IORING_OP_POLL_REMOVE as u8,
                    fd: -1,
                    len: io_uring::IORING_POLL_UPDATE_EVENTS | io_uring::IORING_POLL_ADD_MULTI,
                    flags: events,
                    ..Entry::default()
                };
                plan.add(What::Change, 0, entry)
            };
            let away = change(plan, linux::POLLPRI);
            let pause = timeout(p, choice, plan, What::Timeout(0));
            let back = change(plan, linux::POLLIN);
            link(plan, &[away, pause, back], HARD_LINK);
            batches.push(vec![away, pause, back]);
        }
        9 if !shape.drains => {
            // A time-out that counts what comes after it.
            let count = 1 + choice.below(2) as u32;
            let forever = p.words(&[FOREVER_S, 0]) as u64;
            let entry = Entry {
                opcode: op::IORING_OP_TIMEOUT as u8,
                offset: count.into(),
                address: forever,
                len: 1,
                ..Entry::default()
            };
            batches.push(vec![plan.add(What::Counting(count), 0, entry)]);
            let nulls = (0..count).map(|_| plan.add(What::Null, 0, Entry::default())).collect();
            batches.push(nulls);
        }
        _ => {
            // A race with whatever somebody has submitted, or will.
            let able = |what| {
                matches!(what, What::Read(_) | What::Take | What::Narrow(_) | What::Poll | What::Timeout(_))
            };
            let targets: Vec<usize> = (0..plan.all.len()).filter(|name| able(plan.all[*name].what)).collect();
            if targets.is_empty() || choice.below(6) == 0 {
                let entry = Entry {
                    opcode: op::IORING_OP_ASYNC_CANCEL as u8,
                    fd: TOKENS[0],
                    flags: io_uring::IORING_ASYNC_CANCEL_FD | io_uring::IORING_ASYNC_CANCEL_ALL,
                    ..Entry::default()
                };
                batches.push(vec![plan.add(What::CancelReads, 0, entry)]);
            } else {
                let target = targets[choice.below(targets.len() as u64) as usize];
                batches.push(vec![cancel(plan, choice, target, false)]);
            }
        }
    }
}

/// Makes a chain of requests.
fn link(plan: &mut Plan, names: &[usize], flag: u8) {
    for pair in names.windows(2) {
        plan.flag(pair[0], flag);
        plan.all[pair[1]].before = Some(pair[0]);
    }
}

/// A request that ends by itself.
fn plain(p: &mut Program, choice: &mut Choice, shape: &Shape, plan: &mut Plan) -> usize {
    let at = BUFFERS + PAGE * (plan.all.len() % (BUFFER_PAGES - 1));
    let moves = |opcode: op, fd, len| Entry {
        opcode: opcode as u8,
        fd,
        offset: u64::MAX,
        address: at as u64,
        len,
        ..Entry::default()
    };
    // Buffers are registered by their addresses in one process.
    let has_buffers = shape.registers && (shape.ring.has_poller || !shape.as_processes);
    let by_buffer = has_buffers && choice.below(3) == 0;
    let (reads, writes) = match by_buffer {
        true => (op::IORING_OP_READ_FIXED, op::IORING_OP_WRITE_FIXED),
        false => (op::IORING_OP_READ, op::IORING_OP_WRITE),
    };
    let len = 1 + choice.below(4) as u32;
    let name = match choice.below(9) {
        0 => {
            // Nobody is told of some that succeed; then none may wait for all before it.
            let quiet = !shape.drains && choice.below(3) == 0;
            plan.add(What::Null, if quiet { QUIET } else { 0 }, Entry::default())
        }
        1 | 2 => plan.add(What::Read(len), 0, moves(reads, TOKENS[0], len)),
        3 => plan.add(What::Write(len), 0, moves(writes, TOKENS[1], len)),
        4 => plan.add(What::Take, 0, moves(reads, SEMAPHORE, 8)),
        5 | 6 => {
            let len = [500, 3000, 6000][choice.below(3) as usize];
            plan.add(What::Narrow(len), 0, moves(writes, NARROW[1], len))
        }
        7 => {
            let entry = Entry {
                opcode: op::IORING_OP_POLL_ADD as u8,
                fd: SEMAPHORE,
                flags: linux::POLLIN,
                ..Entry::default()
            };
            plan.add(What::Poll, 0, entry)
        }
        _ => {
            let count = choice.below(3) as u32;
            timeout(p, choice, plan, What::Timeout(count))
        }
    };
    if choice.below(4) == 0 {
        plan.flag(name, ASYNC);
    }
    let fd = (plan.all[name].entry[0] >> 32) as i32;
    if let Some(number) = REGISTERED.iter().position(|registered| *registered == fd)
        && shape.registers
        && choice.below(2) == 0
    {
        plan.flag(name, FIXED);
        let low = plan.all[name].entry[0] & u64::from(u32::MAX);
        plan.all[name].entry[0] = low | (number as u64) << 32;
    }
    name
}

/// A time-out, or a limit, that ends soon.
fn timeout(p: &mut Program, choice: &mut Choice, plan: &mut Plan, what: What) -> usize {
    let (opcode, count) = match what {
        What::Timeout(count) => (op::IORING_OP_TIMEOUT, count),
        _ => (op::IORING_OP_LINK_TIMEOUT, 0),
    };
    let soon = p.words(&[0, choice.below(30_000)]);
    let entry = Entry {
        opcode: opcode as u8,
        offset: count.into(),
        address: soon as u64,
        len: 1,
        ..Entry::default()
    };
    plan.add(what, 0, entry)
}

/// A request that does not end by itself.
fn stay(p: &mut Program, choice: &mut Choice, plan: &mut Plan) -> usize {
    let entry = match choice.below(3) {
        0 => Entry {
            opcode: op::IORING_OP_READ as u8,
            fd: DRY[0],
            offset: u64::MAX,
            address: BUFFERS as u64,
            len: 8,
            ..Entry::default()
        },
        1 => Entry {
            opcode: op::IORING_OP_POLL_ADD as u8,
            fd: DRY[0],
            flags: linux::POLLIN,
            ..Entry::default()
        },
        _ => {
            let forever = p.words(&[FOREVER_S, 0]) as u64;
            let opcode = op::IORING_OP_TIMEOUT as u8;
            Entry { opcode, address: forever, len: 1, ..Entry::default() }
        }
    };
    let flags = if choice.below(3) == 0 { ASYNC } else { 0 };
    plan.add(What::Stay, flags, entry)
}

/// What cancels a request, in one of the ways that there are for it.
fn cancel(plan: &mut Plan, choice: &mut Choice, target: usize, surely: bool) -> usize {
    let kind = plan.all[target].entry[0] as u8;
    let (poll, timeout) = (op::IORING_OP_POLL_ADD as u8, op::IORING_OP_TIMEOUT as u8);
    // Those that are only for one kind need not find what is not tried in place.
    let any = surely && plan.all[target].flags & ASYNC != 0;
    let opcode = match choice.below(2) {
        _ if any => op::IORING_OP_ASYNC_CANCEL,
        0 if kind == poll => op::IORING_OP_POLL_REMOVE,
        0 if kind == timeout => op::IORING_OP_TIMEOUT_REMOVE,
        _ => op::IORING_OP_ASYNC_CANCEL,
    };
    let entry = Entry { opcode: opcode as u8, fd: -1, address: target as u64, ..Entry::default() };
    plan.add(What::Cancel { target, surely }, 0, entry)
}
