//! Names: threads or processes make, move and remove them in a small tree, each in games that have their rules.
//!
//! ```text
//!   /tmp/n ┬ a ┬ P, Q       files that stay: each listing has them once
//!          │   ├ l          a claim: whoever has made it is alone
//!          │   ├ r, y, e    a file, a link, a directory, whose places others take: always found
//!          │   ├ v ⇄ b/u    directories that change places: always found
//!          │   ├ x ⇄ z      a file that is thrown to and fro: it has one name
//!          │   ├ g          a grave: made, removed; whatever is made in it keeps it
//!          │   └ h          a file that several append to
//!          ├ b ─ k          a file that gets names and loses them; one that had none gets a/n…, b/n…
//!          ├ t ─ d f h j    directories that are moved into each other: they stay a tree
//!          ├ w              is watched: what is told is what was done, in order
//!          └ 0, 1, 2        symbolic links to a, b and w
//! ```
//!
//! Each party has a file and a directory of its own in a or b. Names are spelt in several ways: from the root, from descriptors,
//! over links, over `..`. In some runs processes are killed in the middle.
//!
//! Start reading at [`place`] and [`way`], then the games: [`claim`], [`swap`], [`ball`], [`grave`], [`append`], [`links`],
//! [`tree`], [`watch`], and [`list`]; what else has to hold is in [`observer`].

mod append;
mod ball;
mod claim;
mod grave;
mod links;
mod list;
mod observer;
mod place;
mod program;
mod swap;
mod tree;
mod watch;
mod way;

use crate::library::{Choice, end_thread, loop_forever, repeat};
use ball::Field;
use observer::Observer;
use processes::instruction::Register::Rbx;
use processes::program::Program;
use processes::run::Storm;
use way::Own;

/// What parties do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Game {
    Claim,
    Swap,
    Ball,
    Grave,
    Append,
    Links,
    Tree,
    Watch,
}

const GAMES: [Game; 8] =
    [Game::Claim, Game::Swap, Game::Ball, Game::Grave, Game::Append, Game::Links, Game::Tree, Game::Watch];

/// What a seed decides for all.
#[derive(Clone)]
struct Scene {
    games: Vec<Game>,
    as_processes: bool,
    /// Calls go on after a signal.
    restarts: bool,
    /// The game that a victim plays until it is killed.
    victim: Option<Game>,
    churners_die: bool,
    /// Names change places in the tree, and in the watched directory, where then none takes another's.
    exchanges: bool,
    /// The file that is appended to is cut, too.
    truncates: bool,
    /// Where the ball is thrown.
    field: Field,
    /// How many names come and go where it is watched.
    watched_names: u64,
    /// There is a second watch, on `b`.
    watches_two: bool,
    /// The watch ends with its directory.
    removes_watched: bool,
}

impl Scene {
    fn new(choice: &mut Choice) -> Self {
        let count = 2 + choice.below(2);
        let mut games = Vec::new();
        while games.len() < count as usize {
            let game = GAMES[choice.below(8) as usize];
            if !games.contains(&game) {
                games.push(game);
            }
        }
        let as_processes = choice.below(2) == 0;
        let mortal = games
            .iter()
            .copied()
            .find(|game| matches!(game, Game::Claim | Game::Grave | Game::Watch | Game::Swap));
        let victim = mortal.filter(|_| choice.below(3) == 0);
        Self {
            as_processes,
            restarts: choice.below(2) == 0,
            victim,
            churners_die: victim == Some(Game::Watch),
            exchanges: choice.below(2) == 0,
            truncates: choice.below(3) == 0,
            field: Field::new(choice),
            watched_names: 2 + choice.below(2),
            watches_two: choice.below(2) == 0,
            removes_watched: choice.below(2) == 0,
            games,
        }
    }
}

/// A party: its number, which its own names are made of, and whether it goes on until it is killed.
#[derive(Clone, Copy)]
struct Who {
    index: usize,
    forever: bool,
}

impl Who {
    /// Its end, if there is one.
    fn end(self, p: &mut Program, own: Own) {
        if !self.forever {
            own.remove(p);
            end_thread(p);
        }
    }
}

/// Does something so many times, or for ever; rbx is lost.
fn rounds(p: &mut Program, who: Who, times: i64, body: impl FnOnce(&mut Program)) {
    if who.forever {
        loop_forever(p, body);
    } else {
        repeat(p, Rbx, times, body);
    }
}

/// The storm.
pub fn storm(seed: u64) -> Storm {
    let choice = &mut Choice::new(seed);
    let scene = Scene::new(choice);
    let (program, writers) = program::program(choice, &scene);
    let mut observer = Observer::new(scene, writers);
    Storm {
        programs: vec![("storm", program)],
        watch: Box::new(move |event, a, b, c| observer.told(event, a, b, c)),
    }
}
