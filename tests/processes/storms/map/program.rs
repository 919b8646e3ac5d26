//! The program: main makes the file, starts the processes, kills one perhaps, and waits for all.

use super::access::{handle_faults, handler};
use super::cutter::cutter;
use super::keeper::{keeper, map_for, watcher};
use super::mover::mover;
use super::observer::DONE;
use super::place::{GROUPS, LEN, MEMORY, PAGE, WINDOW, enter, show, window};
use super::player::player;
use super::user::user;
use super::{Kind, Shape};
use crate::library::{
    Choice, begin, close, collect_with, exit, expect, expect_success, fork, join_all, kill, load, map, nap,
    share_page, start_all, store,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax};
use processes::program::{Label, Program};

/// Who makes orphans of its descendants its own.
const PR_SET_CHILD_SUBREAPER: u32 = 36;

/// The program `/storm`.
pub fn program(choice: &mut Choice) -> Program {
    let mut p = Program::new();
    let kind = [Kind::Named, Kind::Nameless, Kind::Anonymous, Kind::Named, Kind::Nameless];
    let mut shape = Shape {
        kind: kind[choice.below(5) as usize],
        groups: 1 + choice.below(GROUPS as u64) as usize,
        parties: 0,
        file: p.data(8),
        path: p.string("/tmp/shared"),
    };
    let kills = choice.below(4) == 0;
    let plays = !kills && shape.groups > 1 && choice.below(2) == 0;

    let (main, _) = begin(&mut p);
    let handler = handler(&mut p);
    let groups: Vec<Label> =
        (0..shape.groups).map(|number| group(&mut p, choice, &mut shape, number, plays)).collect();

    p.put(main);
    handle_faults(&mut p, handler);
    share_page(&mut p);
    make_file(&mut p, &shape);
    p.system(linux::__NR_prctl, &[PR_SET_CHILD_SUBREAPER.into(), 1.into(), 0.into(), 0.into(), 0.into()]);
    expect(&mut p, Rax, &[0], 80);
    let numbers = p.data(8 * GROUPS);
    for (index, group) in groups.iter().enumerate() {
        fork(&mut p, *group);
        store(&mut p, numbers + 8 * index, Rax);
    }
    let mut statuses = vec![0];
    if kills {
        statuses.push(i64::from(linux::SIGKILL));
        nap(&mut p, 60_000);
        load(&mut p, R12, numbers + 8 * choice.below(shape.groups as u64) as usize);
        kill(&mut p, R12, linux::SIGKILL);
    }
    collect_with(&mut p, &statuses);
    p.tell(DONE, &[0.into(), 0.into(), 0.into()]);
    exit(&mut p, 0);
    p
}

/// Makes what is shared.
fn make_file(p: &mut Program, shape: &Shape) {
    match shape.kind {
        Kind::Anonymous => {
            map(p, MEMORY, LEN, linux::MAP_SHARED);
            return expect_success(p, Rax, 81);
        }
        Kind::Named => {
            let flags = linux::O_RDWR | linux::O_CREAT;
            p.system(linux::__NR_open, &[shape.path.into(), flags.into(), 0o600.into()]);
        }
        Kind::Nameless => p.system(linux::__NR_memfd_create, &[shape.path.into(), 0.into()]),
    }
    expect_success(p, Rax, 82);
    p.set(R12, Rax);
    store(p, shape.file, Rax);
    p.system(linux::__NR_ftruncate, &[R12.into(), LEN.into()]);
    expect(p, Rax, &[0], 83);
    if shape.kind == Kind::Named {
        p.system(linux::__NR_unlink, &[shape.path.into()]);
        expect(p, Rax, &[0], 84);
    }
}

/// A process: its first thread moves the window that the others use.
fn group(p: &mut Program, choice: &mut Choice, shape: &mut Shape, number: usize, plays: bool) -> Label {
    let mut parties: Vec<Label> = (0..1 + choice.below(2)).map(|_| user(p, choice, shape, number)).collect();
    if number == 0 || choice.below(3) == 0 {
        parties.push(cutter(p, choice, shape));
    }
    let mut keeps = None;
    if shape.has_file() && choice.below(2) == 0 {
        let (party, child) = (shape.party(), shape.party());
        keeps = Some(party);
        let is_watched = choice.below(2) == 0;
        parties.push(keeper(p, choice, (party, child), is_watched));
        if is_watched {
            parties.push(watcher(p, choice, shape, party));
        }
    }
    if plays {
        let count = shape.groups;
        parties.push(player(p, choice, shape, (number, count)));
    }
    let entry = p.here();
    show(p, shape, window(number, 0), WINDOW * PAGE, 0);
    keeps.into_iter().for_each(|party| map_for(p, shape, party));
    enter(p, number);
    let threads = start_all(p, false, &parties);
    mover(p, choice, shape, number);
    join_all(p, &threads);
    if shape.has_file() && choice.below(2) == 0 {
        load(p, R12, shape.file);
        close(p, R12);
    }
    exit(p, 0);
    entry
}
