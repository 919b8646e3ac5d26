//! Terminals: modes and the line discipline, tried on a pseudo-terminal.

use crate::check::{aside, outcome, show, sys, value};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use support::pipe::{read, write};

/// A pseudo-terminal: what a user's screen and keyboard hold, and what programs open.
pub struct Pty {
    /// The screen and keyboard.
    pub user: OwnedFd,
    /// The terminal.
    pub terminal: OwnedFd,
    /// The terminal's path.
    pub name: String,
}

impl Pty {
    /// Opens a new pair.
    pub fn open() -> io::Result<Self> {
        let user = open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
        let mut number = 0_u32;
        sys!(SYS_ioctl, user.as_raw_fd(), libc::TIOCGPTN, &raw mut number)?;
        sys!(SYS_ioctl, user.as_raw_fd(), libc::TIOCSPTLCK, &raw const *Box::leak(Box::new(0_i32)))?;
        let name = format!("/dev/pts/{number}");
        let terminal = open(&name, libc::O_RDWR | libc::O_NOCTTY)?;
        Ok(Self { user, terminal, name })
    }

    /// Types on the keyboard.
    pub fn type_in(&self, text: &str) {
        let written = write(&self.user, text.as_bytes());
        assert_eq!(written.ok(), Some(text.len()), "the terminal takes what is typed");
    }

    /// What the screen shows by now.
    pub fn screen(&self) -> String {
        self.settle();
        let mut text = String::new();
        while ready(&self.user) {
            let mut buffer = [0; 4096];
            match read(&self.user, &mut buffer) {
                Ok(count @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                _ => break,
            }
        }
        text
    }

    /// What a program reads now, without waiting for more.
    pub fn input(&self) -> String {
        self.settle();
        if !ready(&self.terminal) {
            return "(nothing)".into();
        }
        let mut buffer = [0; 4096];
        match read(&self.terminal, &mut buffer) {
            Ok(count) => format!("{:?}", String::from_utf8_lossy(&buffer[..count])),
            Err(error) => support::errno::error_name(&error),
        }
    }

    /// Waits until all that was typed has gone through the line discipline. A worker brings it there on Linux: where there is
    /// nothing to read, poll(2) waits for this worker, and FIONREAD until it is done with what it is at.
    fn settle(&self) {
        let _ = ready(&self.terminal);
        let mut bytes = 0_i32;
        let _ = sys!(SYS_ioctl, self.terminal.as_raw_fd(), libc::FIONREAD, &raw mut bytes);
    }

    fn mode(&self) -> libc::termios {
        // SAFETY: an all-zero termios is valid, and libc fills it in.
        unsafe {
            let mut mode = zeroed();
            libc::tcgetattr(self.terminal.as_raw_fd(), &raw mut mode);
            mode
        }
    }

    fn change(&self, change: impl FnOnce(&mut libc::termios)) {
        let mut mode = self.mode();
        change(&mut mode);
        // SAFETY: a valid termios.
        unsafe { libc::tcsetattr(self.terminal.as_raw_fd(), libc::TCSANOW, &raw const mode) };
    }
}

fn open(name: &str, flags: i32) -> io::Result<OwnedFd> {
    let file = sys!(SYS_open, crate::check::path(name).as_ptr(), flags)?;
    // SAFETY: a fresh descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(file as i32) })
}

/// Whether a file can be read.
fn ready(file: &OwnedFd) -> bool {
    let mut entry = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    sys!(SYS_poll, &raw mut entry, 1, 0).is_ok_and(|count| count == 1)
}

pub fn run() {
    let pty = Pty::open().expect("a pseudo-terminal");
    defaults(&pty);
    output(&pty);
    editing(&pty);
    end_of_file(&pty);
    input_modes(&pty);
    raw(&pty);
    flow(&pty);
    window(&pty);
    requests(&pty);
    locks(&pty);
    limits(&pty);
    endings();
    // It has become this session's, which it hangs up when it goes.
    // SAFETY: ignoring involves no handler.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

fn defaults(pty: &Pty) {
    let mode = pty.mode();
    show("input modes", format!("{:#o}", mode.c_iflag));
    show("output modes", format!("{:#o}", mode.c_oflag));
    show("control modes", format!("{:#o}", mode.c_cflag & !libc::CBAUD));
    show("local modes", format!("{:#o}", mode.c_lflag));
    show("characters", format!("{:?}", &mode.c_cc[..17]));
    outcome("isatty", sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TCGETS, [0_u8; 64].as_mut_ptr()));
    let link = std::fs::read_link(format!("/proc/self/fd/{}", pty.terminal.as_raw_fd()));
    show("name", link.is_ok_and(|link| link.as_os_str() == pty.name.as_str()));
}

fn output(pty: &Pty) {
    let print = |what: &str, text: &str| {
        let _ = write(&pty.terminal, text.as_bytes());
        show(what, format!("{:?}", pty.screen()));
    };
    print("newlines", "one\ntwo\n");
    print("tabs and others", "a\tb\x07\x1b[1mc\r");
    pty.change(|mode| mode.c_oflag &= !libc::OPOST);
    print("no processing", "one\ntwo\n");
    pty.change(|mode| mode.c_oflag |= libc::OPOST | libc::OCRNL);
    print("returns become newlines", "one\rtwo\n");
    pty.change(|mode| mode.c_oflag &= !libc::OCRNL);
}

fn editing(pty: &Pty) {
    let line = |what: &str, keys: &str| {
        pty.type_in(keys);
        let screen = pty.screen();
        show(what, format!("screen {screen:?} input {}", pty.input()));
    };
    line("a line", "hello\n");
    line("return is newline", "hello\r");
    line("two lines, one read each", "one\ntwo\n");
    show("the second", pty.input());
    line("erase", "helpp\x7flo\n");
    line("erase at the start", "\x7f\x7fx\n");
    line("erase word", "one two  \x17three\n");
    line("kill", "all of this\x15rest\n");
    line("literal", "a\x16\x03b\n");
    line("literal newline", "a\x16\nb\n");
    line("reprint", "abc\x12d\n");
    line("control characters", "a\x01\x1bb\n");
    line("tab and erase it", "a\tb\x7f\x7f\x7fc\n");
    line("erase a control character", "a\x01\x7fb\n");
    line("unfinished line", "waits");
    line("its end", "\n");
    pty.change(|mode| mode.c_lflag &= !libc::ECHO);
    line("no echo", "secret\n");
    pty.change(|mode| mode.c_lflag |= libc::ECHONL);
    line("only newlines", "secret\n");
    pty.change(|mode| mode.c_lflag = mode.c_lflag & !libc::ECHONL | libc::ECHO);
    pty.change(|mode| mode.c_lflag &= !libc::ECHOCTL);
    line("control characters as they are", "a\x01b\n");
    pty.change(|mode| mode.c_lflag |= libc::ECHOCTL);
    pty.change(|mode| mode.c_lflag &= !libc::ECHOE);
    line("erase without rubbing out", "ab\x7fc\n");
    pty.change(|mode| mode.c_lflag |= libc::ECHOE);
    pty.change(|mode| mode.c_lflag &= !libc::IEXTEN);
    line("no extended characters", "a b\x17c\x16\n");
    pty.change(|mode| mode.c_lflag |= libc::IEXTEN);
    pty.change(|mode| mode.c_cc[libc::VEOL] = b';');
    line("another end of line", "one;two\n");
    show("the rest", pty.input());
    pty.change(|mode| mode.c_cc[libc::VEOL] = 0);
    let mut two = [0_u8; 2];
    pty.type_in("short\n");
    let _ = pty.screen();
    value("a short read", read(&pty.terminal, &mut two));
    show("leaves the rest", pty.input());
}

fn end_of_file(pty: &Pty) {
    pty.type_in("\x04");
    show("at the start", pty.input());
    pty.type_in("part\x04");
    show("after some text", pty.input());
    show("then nothing", pty.input());
    pty.type_in("x\x04\x04");
    show("twice", pty.input());
    show("is an end", pty.input());
    show("screen", format!("{:?}", pty.screen()));
    let mut bytes = 0_i32;
    pty.type_in("12345\n");
    let _ = pty.screen();
    outcome("FIONREAD", sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::FIONREAD, &raw mut bytes));
    show("bytes", bytes);
    show("are", pty.input());
}

fn input_modes(pty: &Pty) {
    let line = |what: &str, keys: &str| {
        pty.type_in(keys);
        let _ = pty.screen();
        show(what, pty.input());
    };
    pty.change(|mode| mode.c_iflag &= !libc::ICRNL);
    line("return stays", "a\rb\n");
    pty.change(|mode| mode.c_iflag |= libc::IGNCR);
    line("return is dropped", "a\rb\n");
    pty.change(|mode| mode.c_iflag = mode.c_iflag & !libc::IGNCR | libc::ICRNL | libc::INLCR);
    line("newline is return", "a\nb\r");
    pty.change(|mode| mode.c_iflag = mode.c_iflag & !libc::INLCR | libc::ISTRIP);
    line("seven bits", "\u{e9}\n");
    pty.change(|mode| mode.c_iflag = mode.c_iflag & !libc::ISTRIP | libc::IUCLC);
    line("lower case", "ABC\n");
    pty.change(|mode| mode.c_iflag = mode.c_iflag & !libc::IUCLC | libc::IUTF8);
    pty.type_in("\u{e9}x\u{fc}\x7f\n");
    show("erase a character of two bytes", format!("{:?} {}", pty.screen(), pty.input()));
    pty.change(|mode| mode.c_iflag &= !libc::IUTF8);
}

fn raw(pty: &Pty) {
    let before = pty.mode();
    // SAFETY: changes a valid termios.
    pty.change(|mode| unsafe { libc::cfmakeraw(mode) });
    pty.type_in("\x03\x04\r\n\x7f");
    show("everything as it is", pty.input());
    show("nothing echoed", format!("{:?}", pty.screen()));
    let read_with = |what: &str, minimum: u8, tenths: u8, typed: &str| {
        pty.change(|mode| {
            mode.c_cc[libc::VMIN] = minimum;
            mode.c_cc[libc::VTIME] = tenths;
        });
        if !typed.is_empty() {
            pty.type_in(typed);
            pty.settle();
        }
        let mut buffer = [0_u8; 16];
        let start = support::clock::now();
        let count = read(&pty.terminal, &mut buffer).unwrap_or(99);
        let waited = tenths > 0 && support::clock::now() - start > u64::from(tenths) * 90_000_000;
        show(what, format!("{count} bytes, waited {waited}"));
    };
    read_with("MIN 0 TIME 0, nothing", 0, 0, "");
    read_with("MIN 0 TIME 0, something", 0, 0, "abc");
    read_with("MIN 0 TIME 1, nothing", 0, 1, "");
    read_with("MIN 0 TIME 200, something", 0, 200, "abc");
    read_with("MIN 2 TIME 0, three", 2, 0, "abc");
    read_with("MIN 5 TIME 1, three", 5, 1, "abc");
    read_with("MIN 2 TIME 200, three", 2, 200, "abc");
    // Bytes typed before a change of mode can be read after it.
    pty.type_in("left\n");
    pty.settle();
    // SAFETY: a valid termios.
    unsafe { libc::tcsetattr(pty.terminal.as_raw_fd(), libc::TCSANOW, &raw const before) };
    show("back to lines", pty.input());
    pty.type_in("dropped\n");
    pty.settle();
    outcome("flush", sys!(SYS_ioctl, pty.terminal.as_raw_fd(), libc::TCFLSH, libc::TCIFLUSH));
    show("after a flush", pty.input());
    let _ = pty.screen();
}

fn flow(pty: &Pty) {
    pty.type_in("\x13");
    pty.settle();
    let _ = sys!(SYS_fcntl, pty.terminal.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
    let stopped = write(&pty.terminal, b"held back\n");
    show("screen while stopped", format!("{:?}", pty.screen()));
    pty.type_in("\x11");
    pty.settle();
    if stopped.is_err() {
        let _ = write(&pty.terminal, b"held back\n");
    }
    show("screen when started", format!("{:?}", pty.screen()));
    let _ = sys!(SYS_fcntl, pty.terminal.as_raw_fd(), libc::F_SETFL, 0);
}

fn window(pty: &Pty) {
    let mut size = [9_u16; 4];
    let get = |file: &OwnedFd, size: &mut [u16; 4]| {
        sys!(SYS_ioctl, file.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr())
    };
    outcome("size", get(&pty.terminal, &mut size));
    show("at first", format!("{size:?}"));
    outcome("set", sys!(SYS_ioctl, pty.user.as_raw_fd(), libc::TIOCSWINSZ, [24_u16, 80, 0, 0].as_ptr()));
    outcome("size", get(&pty.terminal, &mut size));
    show("now", format!("{size:?}"));
}

fn requests(pty: &Pty) {
    let file = pty.terminal.as_raw_fd();
    let mut word = 0_i32;
    outcome("unknown request", sys!(SYS_ioctl, file, 0x5499, 0));
    outcome("bad pointer", sys!(SYS_ioctl, file, libc::TCGETS, crate::check::BAD));
    outcome("foreground group of another's terminal", sys!(SYS_ioctl, file, libc::TIOCGPGRP, &raw mut word));
    outcome("session of it", sys!(SYS_ioctl, file, libc::TIOCGSID, &raw mut word));
    outcome("as controlling terminal, no session leader", sys!(SYS_ioctl, file, libc::TIOCSCTTY, 0));
    outcome("number of a terminal", sys!(SYS_ioctl, file, libc::TIOCGPTN, &raw mut word));
    outcome("drain", sys!(SYS_ioctl, file, libc::TCSBRK, 1));
    outcome("line discipline", sys!(SYS_ioctl, file, libc::TIOCGETD, &raw mut word));
    outcome("lseek", sys!(SYS_lseek, file, 0, 0));
    outcome("output queue", sys!(SYS_ioctl, file, libc::TIOCOUTQ, &raw mut word));
    show("holds", word);
}

/// Settings that are locked stay as they are.
fn locks(pty: &Pty) {
    const GET: u64 = 0x5456;
    const SET: u64 = 0x5457;
    let (file, user) = (pty.terminal.as_raw_fd(), pty.user.as_raw_fd());
    // The four words of flags, the number of the discipline, the characters.
    let mut locked = [7_u8; 36];
    outcome("what is locked", sys!(SYS_ioctl, file, GET, locked.as_mut_ptr()));
    show("at first", locked.iter().all(|byte| *byte == 0));
    locked[12] = libc::ECHO as u8;
    locked[17 + libc::VERASE] = 1;
    outcome("lock", sys!(SYS_ioctl, file, SET, locked.as_ptr()));
    let before = pty.mode();
    pty.change(|mode| {
        mode.c_lflag ^= libc::ECHO | libc::ICANON;
        mode.c_cc[libc::VERASE] = b'e';
        mode.c_cc[libc::VKILL] = b'k';
    });
    let after = pty.mode();
    show("flags", format!("{:x}", before.c_lflag ^ after.c_lflag));
    show(
        "characters",
        format!("{} {}", before.c_cc[libc::VERASE] == after.c_cc[libc::VERASE], after.c_cc[libc::VKILL]),
    );
    aside("as a user", || {
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        outcome("look", sys!(SYS_ioctl, file, GET, locked.as_mut_ptr()));
        outcome("unlock", sys!(SYS_ioctl, file, SET, [0_u8; 36].as_ptr()));
    });
    outcome("look from the other side", sys!(SYS_ioctl, user, GET, locked.as_mut_ptr()));
    show("locked", format!("{} {}", locked[12], locked[17 + libc::VERASE]));
    outcome("unlock from there", sys!(SYS_ioctl, user, SET, [0_u8; 36].as_ptr()));
    pty.change(|mode| *mode = before);
    show("as before", pty.mode().c_lflag == before.c_lflag);
    outcome("from nowhere", sys!(SYS_ioctl, file, SET, crate::check::BAD));
}

/// A line longer than the terminal keeps loses its tail, and the terminal works on.
fn limits(pty: &Pty) {
    pty.change(|mode| mode.c_lflag &= !libc::ECHO);
    for _ in 0..60 {
        pty.type_in(&"x".repeat(100));
    }
    pty.type_in("\n");
    let mut buffer = vec![0_u8; 8192];
    value("long line", read(&pty.terminal, &mut buffer));
    pty.type_in("next\n");
    show("next line", pty.input());
    pty.change(|mode| mode.c_lflag |= libc::ECHO);
}

fn endings() {
    let Pty { user, terminal, name } = Pty::open().expect("a pseudo-terminal");
    drop(terminal);
    let mut byte = [0_u8];
    outcome("read when the terminal is closed", read(&user, &mut byte));
    outcome("open it again", open(&name, libc::O_RDWR | libc::O_NOCTTY).map(drop));
    let terminal = open(&name, libc::O_RDWR | libc::O_NOCTTY).expect("the terminal");
    drop(user);
    value("read when the user is gone", read(&terminal, &mut byte));
    outcome("write when the user is gone", write(&terminal, b"x"));
    outcome("open when the user is gone", open(&name, libc::O_RDWR | libc::O_NOCTTY));
    outcome(
        "request when the user is gone",
        sys!(SYS_ioctl, terminal.as_raw_fd(), libc::TCGETS, [0_u8; 64].as_mut_ptr()),
    );
    let locked = open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY).expect("a pseudo-terminal");
    let mut number = 0_u32;
    let _ = sys!(SYS_ioctl, locked.as_raw_fd(), libc::TIOCGPTN, &raw mut number);
    outcome("open while locked", open(&format!("/dev/pts/{number}"), libc::O_RDWR | libc::O_NOCTTY));
}
