//! What is known of the locks, and what must hold.

use processes::observer::OWN;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Somebody has a lock: who, its space and whether it is exclusive, its cells. It takes the place of what it had there.
pub const ENTER: u32 = OWN;
/// Somebody is about to give it up.
pub const LEAVE: u32 = OWN + 1;
/// Somebody is about to be killed.
pub const DOOMED: u32 = OWN + 2;
/// All is over.
pub const OVER: u32 = OWN + 3;

/// A lock that somebody has.
struct Claim {
    key: u64,
    space: u64,
    cell: u64,
    exclusive: bool,
}

/// Who is told of all locks.
#[derive(Default)]
pub struct Observer {
    claims: Vec<Claim>,
    /// Those who are about to be killed, or are dead.
    doomed: BTreeSet<u64>,
}

impl Observer {
    /// Is told of an event.
    pub fn told(&mut self, event: u32, key: u64, mode: u64, cells: u64) -> u64 {
        let (space, exclusive) = (mode >> 1, mode & 1 != 0);
        let cells = cells >> 4..=cells & 15;
        match event {
            // What it does until it is dead nobody can know.
            ENTER | LEAVE if self.doomed.contains(&key) => {}
            ENTER => {
                self.forget(key, space, &cells);
                let beside = |claim: &&Claim| claim.space == space && cells.contains(&claim.cell);
                for claim in self.claims.iter().filter(beside) {
                    assert!(
                        !claim.exclusive && !exclusive,
                        "{key} has cell {} of {space} beside {}",
                        claim.cell,
                        claim.key
                    );
                }
                self.claims.extend(cells.map(|cell| Claim { key, space, cell, exclusive }));
            }
            LEAVE => self.forget(key, space, &cells),
            DOOMED => {
                self.claims.retain(|claim| claim.key != key);
                self.doomed.insert(key);
            }
            OVER => {
                assert!(self.claims.is_empty(), "somebody still has a lock");
                self.doomed.clear();
            }
            other => unreachable!("event {other}"),
        }
        0
    }

    /// Somebody has these cells no more.
    fn forget(&mut self, key: u64, space: u64, cells: &RangeInclusive<u64>) {
        self.claims.retain(|claim| (claim.key, claim.space) != (key, space) || !cells.contains(&claim.cell));
    }
}
