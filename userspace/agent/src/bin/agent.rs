//! `agent`: runs the commands that a test harness sends over the console, one at a time.
//!
//! It prints `@ready`. A line on standard input is then a time limit in seconds and a shell command: `20 ls /proc/self`.
//! The answer is
//!
//! ```text
//! @begin
//! |each line of the command's output
//! @end exited 0
//! ```
//!
//! with `killed SIGNAL` or `timeout` as other ends. Output that does not end in a newline has `>` instead of `|`
//! before its last line, and bytes that are not printable ASCII are written as `\xHH`, so that the answer
//! survives a terminal. Each command runs in a session of its own, in an empty folder that is removed
//! afterwards, with standard error joined to standard output. `quit`, or the end of input, ends the agent.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use support::cvt;

/// Where commands find themselves.
const FOLDER: &str = "/tmp/agent";

fn main() -> io::Result<()> {
    make_quiet()?;
    answer("@ready\n")?;
    for line in io::stdin().lines() {
        let line = line?;
        let Some((limit, command)) = line.split_once(' ') else {
            if line == "quit" {
                break;
            }
            continue;
        };
        let limit = Duration::from_secs(limit.parse().map_err(io::Error::other)?);
        answer("@begin\n")?;
        let end = run(command, limit).unwrap_or_else(|error| format!("error {error}"));
        answer(&format!("@end {end}\n"))?;
    }
    Ok(())
}

/// Keeps a terminal from echoing what the harness sends.
fn make_quiet() -> io::Result<()> {
    // SAFETY: an all-zero termios is valid, and the kernel fills it in before it is used.
    unsafe {
        let mut mode: libc::termios = std::mem::zeroed();
        if libc::isatty(0) == 0 {
            return Ok(());
        }
        cvt(libc::tcgetattr(0, &raw mut mode))?;
        mode.c_lflag &= !(libc::ECHO | libc::ECHONL);
        cvt(libc::tcsetattr(0, libc::TCSANOW, &raw const mode)).map(drop)
    }
}

fn answer(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())?;
    io::stdout().flush()
}

/// Runs one command and passes its output on; how it ended, in words.
fn run(command: &str, limit: Duration) -> io::Result<String> {
    std::fs::create_dir_all(FOLDER)?;
    std::env::set_current_dir(FOLDER)?;
    let (mut output, ours) = io::pipe()?;
    let mut shell = Command::new("setsid");
    shell.args(["sh", "-c", command]).stdin(Stdio::null());
    shell.stdout(ours.try_clone()?).stderr(ours);
    let child = shell.spawn()?;
    // The command holds our ends of the pipe too; without this there would be no end of file.
    drop(shell);
    let in_time = copy(&mut output, Instant::now() + limit)?;
    let end = finish(child, in_time)?;
    std::env::set_current_dir("/")?;
    std::fs::remove_dir_all(FOLDER)?;
    Ok(end)
}

/// Copies until the end of file; false if the deadline came first.
fn copy(output: &mut io::PipeReader, deadline: Instant) -> io::Result<bool> {
    let mut printer = Printer::default();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let mut file = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        let ready = cvt(unsafe { libc::poll(&raw mut file, 1, left as i32) })?;
        let count = if ready == 0 { 0 } else { output.read(&mut buffer)? };
        if count == 0 {
            printer.finish()?;
            return Ok(ready != 0);
        }
        printer.print(&buffer[..count])?;
    }
}

/// Reaps the command, killing its session first if it had its time.
fn finish(mut child: Child, in_time: bool) -> io::Result<String> {
    if !in_time {
        // SAFETY: no memory is involved; `setsid` has made the child the leader of a group of its own number.
        unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
        child.wait()?;
        return Ok("timeout".into());
    }
    let status: ExitStatus = child.wait()?;
    Ok(match status.signal() {
        Some(signal) => format!("killed {signal}"),
        None => format!("exited {}", status.code().unwrap_or(-1)),
    })
}

/// Puts a mark before each line and escapes what a terminal would not pass on as it is.
#[derive(Default)]
struct Printer {
    line: String,
}

impl Printer {
    fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut lines = String::new();
        for &byte in bytes {
            match byte {
                b'\n' => {
                    writeln!(lines, "|{}", self.line).map_err(io::Error::other)?;
                    self.line.clear();
                }
                b'\\' => self.line.push_str("\\\\"),
                b' '..=b'~' => self.line.push(byte.into()),
                _ => write!(self.line, "\\x{byte:02x}").map_err(io::Error::other)?,
            }
        }
        answer(&lines)
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.line.is_empty() { Ok(()) } else { answer(&format!(">{}\n", self.line)) }
    }
}
