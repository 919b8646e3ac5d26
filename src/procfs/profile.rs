//! `/proc/rusk/profile`: the sampling profiler. Writing `start`, `start HERTZ`, `start HERTZ PID` or `start HERTZ PID MICROSECONDS`
//! begins anew, `stop` ends; reading gives the stacks that were met, folded as flame graphs are made of them.

use alloc::vec::Vec;

use fs::{Op, procfs::Text};
use syscalls::Errno;

use super::text::LongText;
use crate::profile;

/// Samples a second unless said otherwise: a number that regular events are no multiple of.
const FREQUENCY: u64 = 997;

/// `/proc/rusk/profile`.
pub struct Profile;

impl Text for Profile {
    fn read(&self) -> Op<'_, Result<Vec<u8>, Errno>> {
        Op::waiting(async {
            let mut text = LongText::default();
            profile::report(|line| text.append(line)).await?;
            text.into_bytes().await
        })
    }

    fn write(&self, data: Vec<u8>) -> Op<'_, Result<(), Errno>> {
        let Ok(text) = core::str::from_utf8(&data) else { return Op::Ready(Err(Errno::EINVAL)) };
        let mut words = text.split_ascii_whitespace();
        let command = words.next();
        let mut number = |default: u64| words.next().map_or(Some(default), |word| word.parse().ok());
        let (frequency, process) = (number(FREQUENCY), number(0));
        let longer_than = number(0);
        let is_whole = words.next().is_none();
        match (command, frequency, process.and_then(|pid| u32::try_from(pid).ok()), longer_than) {
            (Some("start"), Some(frequency), Some(process), Some(longer_than)) if is_whole => {
                Op::waiting(async move { profile::start(frequency, process, longer_than).await })
            }
            (Some("stop"), ..) => {
                profile::stop();
                Op::Ready(Ok(()))
            }
            _ => Op::Ready(Err(Errno::EINVAL)),
        }
    }

    fn permissions(&self) -> u32 {
        0o600
    }
}
