//! Rings of processes that pass a growing token, and streams whose bytes are counted and checked.

use crate::{Deadline, reap_all, stream};
use support::pipe::{Pipe, pipe, read, write};
use support::process::fork;

const RING: usize = 8;

pub fn run(deadline: Deadline) -> Result<(), String> {
    let mut seed = 1;
    while deadline.ahead() {
        ring()?;
        stream(seed)?;
        seed += 1;
    }
    Ok(())
}

/// Each process adds one to the token and passes it on, a thousand times round.
fn ring() -> Result<(), String> {
    let pipes: Vec<Pipe> =
        (0..RING).map(|_| pipe()).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    for place in 1..RING {
        let child = fork(|| {
            for _ in 0..100 {
                let mut token = [0; 8];
                if read(&pipes[place - 1].reader, &mut token).ok() != Some(8) {
                    return 1;
                }
                let next = u64::from_ne_bytes(token) + 1;
                if write(&pipes[place].writer, &next.to_ne_bytes()).ok() != Some(8) {
                    return 2;
                }
            }
            0
        });
        child.map_err(|error| format!("fork: {error}"))?;
    }
    let mut token = [0; 8];
    for _ in 0..100 {
        write(&pipes[0].writer, &token).map_err(|error| error.to_string())?;
        read(&pipes[RING - 1].reader, &mut token).map_err(|error| error.to_string())?;
    }
    reap_all(0)?;
    let sum = u64::from_ne_bytes(token);
    if sum == 100 * (RING as u64 - 1) { Ok(()) } else { Err(format!("the token came back as {sum}")) }
}

fn stream(seed: u64) -> Result<(), String> {
    let Pipe { reader, writer } = pipe().map_err(|error| error.to_string())?;
    stream::check(seed, 300_000, (reader, writer), write, read)
}
