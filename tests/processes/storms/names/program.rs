//! The program: main plants the tree, starts the parties, kills the victims, and looks at what is left.

use super::observer::OVER;
use super::place::{fell, plant};
use super::way::own_names;
use super::{Game, Scene, Who, append, ball, claim, grave, links, list, place, swap, tree, watch};
use crate::library::{
    Choice, Started, begin, block, exit, expect, finish, fork, handle, interrupt_all, kill, nap,
    restart_flag, share_page, start,
};
use linux_raw_sys::general as linux;
use processes::instruction::Register::{R12, Rax};
use processes::program::{Label, Program};

/// The number of the victims.
const VICTIM: usize = 8;

/// The parties of the games: the code of each.
struct Cast {
    entries: Vec<Label>,
    watcher: Option<Label>,
    linkers: Vec<usize>,
    writers: usize,
}

/// The program `/storm`, and how many append to a file.
pub fn program(choice: &mut Choice, s: &Scene) -> (Program, usize) {
    let mut p = Program::new();
    let (main, handler) = begin(&mut p);
    let cast = cast(&mut p, choice, s);
    let victim = s.victim.map(|game| {
        let who = Who { index: VICTIM, forever: true };
        match game {
            Game::Claim => claim::claimer(&mut p, choice, who),
            Game::Grave => grave::mourner(&mut p, choice, who, place::PARTY + VICTIM as i32),
            Game::Swap => swap::swapper(&mut p, choice, who),
            _ => watch::churner(&mut p, choice, who, s),
        }
    });

    p.put(main);
    handle(&mut p, linux::SIGUSR1, handler, restart_flag(s.restarts));
    share_page(&mut p);
    plant(&mut p);
    for game in &s.games {
        match game {
            Game::Swap => swap::prepare(&mut p, choice),
            Game::Ball => ball::prepare(&mut p, choice, s.field),
            Game::Links => links::prepare(&mut p, choice),
            Game::Tree => tree::prepare(&mut p),
            Game::Watch => watch::prepare(&mut p, s),
            Game::Claim | Game::Grave | Game::Append => {}
        }
    }
    let watcher = cast.watcher.map(|entry| start(&mut p, s.as_processes, entry));
    let started: Vec<Started> =
        cast.entries.iter().map(|entry| start(&mut p, s.as_processes, *entry)).collect();
    // The others shall have the signals.
    block(&mut p, linux::SIGUSR1);
    interrupt_all(&mut p, 30_000);
    if let Some(victim) = victim {
        fork(&mut p, victim);
        p.set(R12, Rax);
        nap(&mut p, 60_000);
        kill(&mut p, R12, linux::SIGKILL);
        let status = p.data(8);
        p.system(linux::__NR_wait4, &[R12.into(), status.into(), 0.into(), 0.into()]);
        p.subtract(Rax, R12);
        expect(&mut p, Rax, &[0], 2);
    }
    interrupt_all(&mut p, 30_000);
    started.iter().for_each(|who| finish(&mut p, who, &[0]));
    for game in &s.games {
        match game {
            Game::Swap => swap::judge(&mut p, choice),
            Game::Ball => ball::judge(&mut p, choice, s.field),
            Game::Grave => grave::judge(&mut p, choice, s.victim == Some(Game::Grave)),
            Game::Append => append::judge(&mut p, choice),
            Game::Links => links::judge(&mut p, choice, &cast.linkers),
            Game::Tree => tree::judge(&mut p),
            Game::Watch => watch::judge(&mut p, s),
            Game::Claim => {}
        }
    }
    let own = own_names(VICTIM);
    let leftover = [&own[0][..], &own[1], claim::CLAIM];
    fell(&mut p, if s.victim.is_some() { &leftover } else { &[] });
    watcher.iter().for_each(|who| finish(&mut p, who, &[0]));
    p.tell(OVER, &[]);
    exit(&mut p, 0);
    (p, cast.writers)
}

/// Who takes part.
fn cast(p: &mut Program, choice: &mut Choice, s: &Scene) -> Cast {
    let mut cast = Cast { entries: Vec::new(), watcher: None, linkers: Vec::new(), writers: 0 };
    for game in &s.games {
        let first = cast.entries.len();
        let count = (2 + choice.below(2) as usize).min(VICTIM - first);
        for index in first..first + count {
            let who = Who { index, forever: false };
            let number = place::PARTY + index as i32;
            let is_first = index == first;
            cast.entries.push(match game {
                Game::Claim => claim::claimer(p, choice, who),
                Game::Swap if is_first => swap::seeker(p, choice, who, number),
                Game::Swap => swap::swapper(p, choice, who),
                Game::Ball => ball::thrower(p, choice, who, s.field),
                Game::Grave if is_first => grave::mourner(p, choice, who, number),
                Game::Grave => grave::digger(p, choice, who),
                Game::Append if is_first && !s.truncates => append::reader(p, choice, who),
                Game::Append => {
                    cast.writers += 1;
                    append::writer(p, choice, who, s)
                }
                Game::Links => {
                    cast.linkers.push(index);
                    links::linker(p, choice, who, count)
                }
                Game::Tree => tree::mover(p, choice, who, s),
                Game::Watch => watch::churner(p, choice, who, s),
            });
        }
        if *game == Game::Watch {
            cast.watcher = Some(watch::watcher(p, choice, s));
        }
    }
    let is_shown = s.games.contains(&Game::Swap) || s.games.contains(&Game::Ball);
    if cast.entries.len() < VICTIM && (is_shown || choice.below(2) == 0) {
        let who = Who { index: cast.entries.len(), forever: false };
        cast.entries.push(list::lister(p, choice, who));
    }
    cast
}
