//! A directory where names come and go, and who is told of it (inotify(7)).

use super::observer::{DID, HAPPENED, PAIR};
use super::place::{INSTANCE, Name, WATCHED, WATCHED_FD, remove, rename, settle};
use super::way::{Own, Way, make};
use super::{Scene, Who, rounds};
use crate::library::{
    Choice, end_thread, expect, expect_success, failed, go_to_any, if_not_zero, if_zero, maybe_nap,
    on_interruption,
};
use linux_raw_sys::errno;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, R13, R14, R15, Rax, Rdx};
use processes::program::{Label, Program};

/// What is asked for.
const EVENTS: u32 =
    linux::IN_CREATE | linux::IN_DELETE | linux::IN_MOVED_FROM | linux::IN_MOVED_TO | linux::IN_DELETE_SELF;
/// The names that come and go, and that of the directory.
pub const NAMES: [&str; 3] = ["1", "2", "3"];
pub const HOME: &str = "w";
/// Ways of which each makes a file of its own.
const WAYS: [Way; 5] = [Way::Open, Way::Fifo, Way::Symlink, Way::Unnamed, Way::Open];

/// Where the parts of a `struct inotify_event` are.
const MASK: i64 = 4;
const COOKIE: i64 = 8;
const LENGTH: i64 = 12;
const HEADER: i64 = 16;

/// Makes the instance.
pub fn prepare(p: &mut Program, s: &Scene) {
    p.system(linux::__NR_inotify_init1, &[0.into()]);
    expect_success(p, Rax, 210);
    settle(p, INSTANCE);
    let base = "/tmp/n";
    let watched = [(1, HOME, EVENTS), (2, "b", linux::IN_MOVED_FROM | linux::IN_MOVED_TO)];
    for (number, home, events) in &watched[..1 + usize::from(s.watches_two)] {
        let path = p.string(&format!("{base}/{home}"));
        p.system(
            linux::__NR_inotify_add_watch,
            &[INSTANCE.into(), path.into(), (*events | linux::IN_ONLYDIR).into()],
        );
        expect(p, Rax, &[*number], 211);
    }
}

/// Tells that there is to be such an event.
fn did(p: &mut Program, event: u32) {
    p.tell(DID, &[event.into()]);
}

/// Has names come and go.
pub fn churner(p: &mut Program, choice: &mut Choice, who: Who, s: &Scene) -> Label {
    let own = Own::of(p, choice, who.index);
    let entry = p.here();
    own.make(p);
    rounds(p, who, 14, |p| {
        let next = p.label();
        for (number, label) in go_to_any(p, 10).into_iter().enumerate() {
            p.put(label);
            let one = choice.below(s.watched_names) as usize;
            let other = (one + 1) % s.watched_names as usize;
            let [one, other] = [one, other].map(|at| Name::spell(p, choice, WATCHED, NAMES[at]));
            let keeps = if s.exchanges { linux::RENAME_NOREPLACE } else { 0 };
            match number {
                0..3 => {
                    make(p, Way::any(choice, &WAYS), one, own);
                    expect(p, Rax, &[0, failed(errno::EEXIST)], 212);
                    if_not_zero(p, Rax, next);
                    did(p, linux::IN_CREATE);
                }
                3 | 8 | 9 => {
                    remove(p, one, false);
                    expect(p, Rax, &[0, failed(errno::ENOENT)], 213);
                    if_not_zero(p, Rax, next);
                    did(p, linux::IN_DELETE);
                }
                4 => {
                    rename(p, one, other, keeps);
                    expect(p, Rax, &[0, failed(errno::ENOENT), failed(errno::EEXIST)], 214);
                    if_not_zero(p, Rax, next);
                    for event in [linux::IN_MOVED_FROM, linux::IN_MOVED_TO, PAIR] {
                        did(p, event);
                    }
                }
                5 => {
                    rename(p, one, own.file, 0);
                    expect(p, Rax, &[0, failed(errno::ENOENT)], 215);
                    if_not_zero(p, Rax, next);
                    did(p, linux::IN_MOVED_FROM);
                }
                6 => {
                    rename(p, own.file, one, linux::RENAME_NOREPLACE);
                    expect(p, Rax, &[0, failed(errno::EEXIST)], 216);
                    if_not_zero(p, Rax, next);
                    did(p, linux::IN_MOVED_TO);
                    own.make_file(p);
                }
                _ if s.exchanges => {
                    rename(p, one, other, linux::RENAME_EXCHANGE);
                    expect(p, Rax, &[0, failed(errno::ENOENT)], 217);
                    if_not_zero(p, Rax, next);
                    for event in [linux::IN_MOVED_FROM, linux::IN_MOVED_TO, PAIR] {
                        did(p, event);
                        did(p, event);
                    }
                }
                // It may take another's place, and then be told as one with that one's coming.
                _ => {
                    rename(p, own.file, one, 0);
                    expect(p, Rax, &[0], 218);
                    own.make_file(p);
                    did(p, linux::IN_MOVED_TO | linux::IN_MOVED_FROM);
                }
            }
            p.jump(next);
        }
        p.put(next);
        maybe_nap(p, 3, 1_000);
    });
    who.end(p, own);
    entry
}

/// Removes the names that are left, so that there is nothing more to tell of them.
pub fn judge(p: &mut Program, s: &Scene) {
    for name in NAMES {
        let name = Name::at(p, WATCHED_FD, name);
        let absent = p.label();
        remove(p, name, false);
        expect(p, Rax, &[0, failed(errno::ENOENT)], 219);
        if_not_zero(p, Rax, absent);
        did(p, linux::IN_DELETE);
        p.put(absent);
    }
    if !s.removes_watched {
        p.system(linux::__NR_inotify_rm_watch, &[INSTANCE.into(), 1.into()]);
        expect(p, Rax, &[0], 221);
    }
}

/// Is told, until it is told that there is no more.
pub fn watcher(p: &mut Program, choice: &mut Choice, s: &Scene) -> Label {
    let size = [32, 64, 96, 1024][choice.below(4) as usize];
    let buffer = p.data(size);
    let entry = p.here();
    if s.as_processes {
        // Else the directory's end would be this one's.
        p.system(linux::__NR_close, &[WATCHED_FD.into()]);
    }
    let (more, next, unnamed, over) = (p.here(), p.label(), p.label(), p.label());
    p.system(linux::__NR_read, &[INSTANCE.into(), buffer.into(), size.into()]);
    on_interruption(p, s.restarts, more);
    expect_success(p, Rax, 220);
    p.set(R12, buffer);
    p.set(R13, R12);
    p.add(R13, Rax);
    p.put(next);
    p.if_equal(R12, R13, more);
    p.read4(R15, R12, LENGTH);
    // The number of the watch, and below it the name, which is short.
    p.read4(Rdx, R12, 0);
    (0..24).for_each(|_| p.add(Rdx, Rdx));
    if_zero(p, R15, unnamed);
    p.read4(Rax, R12, HEADER);
    p.add(Rdx, Rax);
    p.put(unnamed);
    p.read4(R14, R12, COOKIE);
    p.read4(Rax, R12, MASK);
    p.tell(HAPPENED, &[Rax.into(), R14.into(), Rdx.into()]);
    if_not_zero(p, Rax, over);
    p.add(R12, R15);
    p.add_constant(R12, HEADER);
    p.jump(next);
    p.put(over);
    end_thread(p);
    entry
}
