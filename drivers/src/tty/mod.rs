//! Terminals: the line discipline, terminals over a serial line, and pseudo-terminals.
//!
//! ```text
//!      programs: read, write, ioctl, poll      OpenTty (open.rs, control.rs, session.rs)
//!          |  ^
//!    Output|  |InputQueue                      Tty (terminal.rs) around a LineDiscipline (discipline.rs):
//!          v  |                                editing, echo, signals, flow control
//!      the line: a UART's driver task          Line (line.rs)
//!             or the master of a pty           Master (pty.rs)
//! ```
//!
//! Read `discipline.rs` and its parts `input.rs`, `output.rs`, `echo.rs` and `edit.rs` for what a terminal does: pure
//! logic, compared byte for byte with Linux in the tests. Then `terminal.rs` for who waits for what, and `open.rs`
//! for what a program's calls do. What the settings mean: termios(3), POSIX.1-2024 chapter 11, `ioctl_tty(2)`.

mod control;
mod ctype;
mod discipline;
mod echo;
mod edit;
mod input;
mod job;
mod line;
mod open;
mod output;
mod pty;
mod ring;
mod session;
mod terminal;
mod termios;

pub use control::{PAYLOAD_SIZE, Payload, Transfer};
pub use discipline::{LineDiscipline, LineFault, PacketStatus, Progress, Signals};
pub use input::INPUT_SIZE;
pub use job::{Caller, JobControl, Pid, Signal};
pub use line::{Line, ModemLines};
pub use open::{OpenAs, OpenTty, Writing};
pub use output::LineKind;
pub use pty::{Master, PtyTable};
pub use terminal::{Tty, TtyConfig};
pub use termios::{
    ControlFlags, DISABLED, InputFlags, LocalFlags, OutputFlags, Special, TERMIO_SIZE, TERMIOS_SIZE,
    TERMIOS2_SIZE, Termios, WINDOW_SIZE_SIZE, WindowSize,
};
