//! The program: main makes what the seed has, starts all, and looks at what is left.

use super::FRAME;
use super::counter::{counters, set_up_counters};
use super::message::{messages, set_up_messages};
use super::named::{named, set_up_named};
use super::observer::OVER;
use super::plan::Plan;
use super::semaphore::{expect_all_back, kill_one, remove_set, semaphores, set_up_semaphores};
use super::signal::{handlers, signals};
use crate::library::{
    Choice, begin, collect_children, exit, expect, handle, interrupt_all, load8, restart_flag, share_page,
    start_all,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax, Rsp};
use processes::program::Program;
use std::collections::BTreeSet;

/// The program `/storm`, and what has to arrive.
pub fn program(choice: &mut Choice, loans: i64) -> (Program, BTreeSet<(u64, u64)>) {
    let mut p = Program::new();
    let (main, handler) = begin(&mut p);
    let mut plan = Plan { restarts: choice.below(2) == 0, entries: Vec::new(), numbers: BTreeSet::new() };
    // Two of the four, or one.
    let first = choice.below(4);
    let has = |which: u64, other: u64| which == first || which == other;
    let other = choice.below(4);
    let semaphores = has(0, other).then(|| semaphores(&mut p, choice, &mut plan, loans));
    let queue = has(1, other).then(|| messages(&mut p, choice, &mut plan));
    let name = has(2, other).then(|| named(&mut p, choice, &mut plan));
    let counters = has(3, other).then(|| counters(&mut p, choice, &mut plan));
    match choice.below(3) {
        0 => signals(&mut p, choice, &mut plan),
        1 => handlers(&mut p, choice, &mut plan),
        _ => {}
    }

    p.put(main);
    p.add_constant(Rsp, -FRAME);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(plan.restarts));
    share_page(&mut p);
    if let Some(semaphores) = &semaphores {
        set_up_semaphores(&mut p, semaphores);
    }
    if let Some(queue) = queue {
        set_up_messages(&mut p, queue);
    }
    if let Some(name) = name {
        set_up_named(&mut p, name);
    }
    if let Some(counters) = counters {
        set_up_counters(&mut p, counters);
    }
    start_all(&mut p, true, &plan.entries);
    for round in 0..3 {
        interrupt_all(&mut p, 20_000);
        match &semaphores {
            Some(semaphores) if round < 2 => kill_one(&mut p, semaphores),
            Some(semaphores) => {
                load8(&mut p, R12, semaphores.sets[1]);
                remove_set(&mut p);
            }
            None => {}
        }
    }
    collect_children(&mut p);
    p.tell(OVER, &[0.into(), 0.into()]);
    if let Some(semaphores) = &semaphores {
        expect_all_back(&mut p, semaphores);
    }
    if let Some(name) = name {
        p.system(linux::__NR_mq_unlink, &[name.into()]);
        expect(&mut p, Rax, &[0], 5);
    }
    exit(&mut p, 0);
    (p, plan.numbers)
}
