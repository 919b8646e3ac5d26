//! Mount options (ext4(5)).

use crate::Result;
use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;
use executor::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use syscalls::Errno;

/// Seconds between commits, if nobody says so (`commit=0` does not).
const COMMIT: u32 = 5;
/// The longest, seconds.
const COMMIT_MAX: u32 = i32::MAX as u32 / 1000;

/// What of Linux's options says what is done here anyway: contents reach the disk before what leads to them, the disk is told to
/// bring to its medium what it has, nothing is discarded, and attributes are there.
const NATURAL: &[&str] = &[
    "acl",
    "auto_da_alloc",
    "barrier",
    "barrier=1",
    "block_validity",
    "data=ordered",
    "defaults",
    "delalloc",
    "nodiscard",
    "nogrpid",
    "sysvgroups",
    "user_xattr",
];

/// How a file system is to be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// `errors=remount-ro`, which is the default here: when something is found that is not as it must be, nothing is changed any
    /// more. Else `errors=continue`.
    pub stop_at_errors: bool,
    /// `commit=`: seconds after which a change is brought to the disk by itself.
    pub commit: u32,
}

/// Options of tests that go on where something is wrong.
#[cfg(test)]
pub(super) const LENIENT: Options = Options { stop_at_errors: false, commit: COMMIT };

impl Default for Options {
    fn default() -> Self {
        Options { stop_at_errors: true, commit: COMMIT }
    }
}

impl Options {
    /// Changes what a list of options says, separated by commas. Returns the first that is not known, or cannot be had.
    pub fn change<'a>(&mut self, list: &'a str) -> core::result::Result<(), &'a str> {
        for option in list.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("errors", "continue")) => self.stop_at_errors = false,
                Some(("errors", "remount-ro")) => self.stop_at_errors = true,
                Some(("commit", seconds)) => match seconds.parse() {
                    Ok(0) => self.commit = COMMIT,
                    Ok(seconds) if seconds <= COMMIT_MAX => self.commit = seconds,
                    _ => return Err(option),
                },
                _ if NATURAL.contains(&option) => (),
                _ => return Err(option),
            }
        }
        Ok(())
    }
}

/// The options of a file system that is mounted.
pub(super) struct Settings {
    stop_at_errors: AtomicBool,
    commit: AtomicU32,
}

impl Settings {
    pub fn new(options: Options) -> Self {
        Settings {
            stop_at_errors: AtomicBool::new(options.stop_at_errors),
            commit: AtomicU32::new(options.commit),
        }
    }

    pub fn get(&self) -> Options {
        Options { stop_at_errors: self.stops_at_errors(), commit: self.commit.load(Relaxed) }
    }

    /// Release pairs with the Acquire in `stops_at_errors`; one option does not depend on the other.
    pub fn set(&self, options: Options) {
        self.stop_at_errors.store(options.stop_at_errors, Release);
        self.commit.store(options.commit, Relaxed);
    }

    pub fn stops_at_errors(&self) -> bool {
        self.stop_at_errors.load(Acquire)
    }

    /// The time between commits.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.commit.load(Relaxed).into())
    }
}

impl super::Ext4 {
    /// Changes options while it is mounted: `EINVAL` for one that is not known, and nothing is changed then.
    pub(super) fn set_options(&self, list: &str) -> Result<()> {
        let volume = &self.volume;
        let mut options = volume.settings.get();
        options.change(list).map_err(|unknown| {
            volume.complaints.say(format_args!("option {unknown:?} is not supported"));
            Errno::EINVAL
        })?;
        volume.settings.set(options);
        Ok(())
    }

    /// As /proc/mounts shows them: those that are not the defaults.
    pub(super) fn show_options(&self) -> String {
        let Options { stop_at_errors, commit } = self.volume.settings.get();
        let mut text = String::from(if stop_at_errors { ",errors=remount-ro" } else { ",errors=continue" });
        if commit != COMMIT {
            let _ = write!(text, ",commit={commit}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let read = |list| {
            let mut options = Options::default();
            options.change(list).map(|()| options)
        };
        assert_eq!(read(""), Ok(Options { stop_at_errors: true, commit: 5 }));
        let wanted = Options { stop_at_errors: false, commit: 30 };
        assert_eq!(read("acl,errors=continue,,data=ordered,commit=30"), Ok(wanted));
        assert_eq!(read("errors=continue,errors=remount-ro,commit=9,commit=0"), Ok(Options::default()));
        for wrong in
            ["errors=panic", "errors", "commit=-1", "commit=99999999", "data=journal", "noload", "Acl"]
        {
            assert_eq!(read(wrong), Err(wrong));
        }
    }
}
