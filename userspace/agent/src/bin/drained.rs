//! `drained COMMAND [ARGUMENT]...`: runs a command, and ends as it did once the terminal has sent all that was printed.
//!
//! For the leader of a session on a Linux guest: when a leader exits, Linux hangs up the session's terminal and forgets what
//! waits to be sent.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, exit};

/// What keyboards send to whoever is in the foreground, and what terminals send to who is not.
const SIGNALS: [i32; 5] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

fn main() {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: drained COMMAND [ARGUMENT]...");
        exit(2);
    };
    let mut command = Command::new(&program);
    command.args(words);
    // SAFETY: between fork and exec, signals' actions are set, which is all that is done there.
    unsafe { command.pre_exec(|| act(libc::SIG_DFL)) };
    // They are for the command; this has to stay until it has ended.
    let ended = act(libc::SIG_IGN).and_then(|()| command.status());
    let status = match &ended {
        Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        Err(error) => {
            eprintln!("drained: {}: {error}", program.display());
            if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
        }
    };
    // SAFETY: no memory is involved; on something that is no terminal it fails, harmlessly.
    unsafe { libc::tcdrain(1) };
    exit(status);
}

/// Has all of [`SIGNALS`] ignored, or do what they usually do.
fn act(how: libc::sighandler_t) -> std::io::Result<()> {
    for signal in SIGNALS {
        // SAFETY: neither of the two actions involves a handler.
        if unsafe { libc::signal(signal, how) } == libc::SIG_ERR {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
