//! A known sequence of bytes through anything that keeps their order.

use crate::{Random, reap_all};
use std::io;
use std::os::fd::OwnedFd;
use support::process::fork;

/// A child sends `total` bytes in pieces of odd sizes; we receive them in others.
pub fn check(
    seed: u64,
    total: usize,
    (reader, writer): (OwnedFd, OwnedFd),
    send: fn(&OwnedFd, &[u8]) -> io::Result<usize>,
    receive: fn(&OwnedFd, &mut [u8]) -> io::Result<usize>,
) -> Result<(), String> {
    let byte = |index: usize| (index as u64).wrapping_mul(0x9e37_79b9) as u8;
    let child = fork(|| {
        let (mut random, mut sent) = (Random::new(seed), 0);
        while sent < total {
            let size = (1 + random.below(9000) as usize).min(total - sent);
            let piece: Vec<u8> = (sent..sent + size).map(byte).collect();
            match send(&writer, &piece) {
                Ok(count) if count == size => sent += count,
                _ => return 1,
            }
        }
        0
    });
    child.map_err(|error| format!("fork: {error}"))?;
    drop(writer);
    let (mut random, mut received) = (Random::new(seed + 1000), 0);
    loop {
        let mut buffer = vec![0; 1 + random.below(9000) as usize];
        let count = receive(&reader, &mut buffer).map_err(|error| error.to_string())?;
        if count == 0 {
            break;
        }
        if (0..count).any(|offset| buffer[offset] != byte(received + offset)) {
            return Err(format!("wrong bytes after {received}"));
        }
        received += count;
    }
    reap_all(0)?;
    if received == total { Ok(()) } else { Err(format!("{received} of {total} bytes came")) }
}
