//! What signals do to calls that wait: each call is met in its wait by a signal that is handled, with and without
//! SA_RESTART, by one that is ignored, and by a stop that ends.
//!
//! Nothing here depends on time: the signal is sent once the caller is seen to sleep, and the call is let go on once the
//! caller sleeps again.

use crate::check::{describe_status, path, show, sys};
use crate::terminals::Pty;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use support::memory::{Anonymous, Shared};
use support::patience::{until, until_steady, until_within};
use support::pipe::{Pipe, pipe, read, write};
use support::process::{Child, fork};

/// What the caller tells us, in memory that we share with it.
#[derive(Default)]
struct Notes {
    /// 1 once it is about to make the call, 2 once that has returned.
    stage: AtomicI64,
    /// What the call returned, or the error as a negative number.
    result: AtomicI64,
    /// How often the handler has run.
    handled: AtomicI64,
}

/// What the calls wait for.
struct Stage {
    notes: Shared<Notes>,
    empty: Pipe,
    full: Pipe,
    pty: Pty,
    word: Shared<AtomicI64>,
    fifo: std::ffi::CString,
}

/// The name of one that stands out.
const OF_VFORK: &str = "wait for a vfork child";

/// A call that waits: how it is made, and how it is let go on. `None`: nothing but a signal ends it.
struct Call {
    name: &'static str,
    make: fn(&Stage) -> i64,
    release: Option<fn(&Stage)>,
}

/// A raw system call's result as the kernel gives it.
macro_rules! raw {
    ($($call:tt)*) => {
        match sys!($($call)*) {
            Ok(value) => value,
            Err(error) => -i64::from(error.raw_os_error().unwrap_or(0)),
        }
    };
}

static LONG: [i64; 2] = [3600, 0];
static SIGUSR2_SET: u64 = 1 << (libc::SIGUSR2 - 1);
static NOTHING: u64 = 0;

/// What the call's arguments point to: it is still used when the handler has run.
fn keep<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

fn fill_pipe(stage: &Stage) {
    let _ = write(&stage.empty.writer, b"xx");
}

fn empty_pipe(stage: &Stage) {
    let _ = read(&stage.full.reader, &mut [0; 65536]);
}

fn wake(stage: &Stage) {
    let _ = sys!(SYS_futex, stage.word.as_ptr(), libc::FUTEX_WAKE, 10);
}

fn poll_entry(stage: &Stage) -> libc::pollfd {
    libc::pollfd { fd: stage.empty.reader.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

fn select_set(stage: &Stage) -> [u64; 16] {
    let mut set = [0; 16];
    set[0] = 1 << stage.empty.reader.as_raw_fd();
    set
}

extern "C" fn read_one(stage: *mut libc::c_void) -> i32 {
    // SAFETY: the caller passes its stage, and waits until this returns.
    let stage = unsafe { &*stage.cast::<Stage>() };
    let _ = sys!(SYS_read, stage.empty.reader.as_raw_fd(), [0_u8].as_mut_ptr(), 1);
    0
}

/// A child of the caller that ends when it can read from the pipe.
fn grandchild(stage: &Stage) -> Child {
    fork(|| {
        let _ = read(&stage.empty.reader, &mut [0]);
        7
    })
    .expect("fork")
}

const CALLS: &[Call] = &[
    Call {
        name: "read of a pipe",
        make: |stage| raw!(SYS_read, stage.empty.reader.as_raw_fd(), [0_u8; 9].as_mut_ptr(), 9),
        release: Some(fill_pipe),
    },
    Call {
        name: "readv of a pipe",
        make: |stage| {
            let mut buffer = [0_u8; 9];
            raw!(SYS_readv, stage.empty.reader.as_raw_fd(), [buffer.as_mut_ptr() as usize, 9].as_ptr(), 1)
        },
        release: Some(fill_pipe),
    },
    Call {
        name: "write to a full pipe",
        make: |stage| raw!(SYS_write, stage.full.writer.as_raw_fd(), [1_u8; 4096].as_ptr(), 4096),
        release: Some(empty_pipe),
    },
    Call {
        name: "read of a terminal",
        make: |stage| raw!(SYS_read, stage.pty.terminal.as_raw_fd(), [0_u8; 9].as_mut_ptr(), 9),
        release: Some(|stage| stage.pty.type_in("ab\n")),
    },
    Call {
        name: "read of a terminal's other end",
        make: |stage| raw!(SYS_read, stage.pty.user.as_raw_fd(), [0_u8; 9].as_mut_ptr(), 9),
        release: Some(|stage| drop(write(&stage.pty.terminal, b"abc"))),
    },
    Call {
        name: "write to a stopped terminal",
        make: |stage| {
            let _ = sys!(SYS_ioctl, stage.pty.terminal.as_raw_fd(), libc::TCXONC, libc::TCOOFF);
            raw!(SYS_write, stage.pty.terminal.as_raw_fd(), b"abc".as_ptr(), 3)
        },
        release: Some(|stage| {
            drop(sys!(SYS_ioctl, stage.pty.terminal.as_raw_fd(), libc::TCXONC, libc::TCOON));
        }),
    },
    Call {
        name: "open of a FIFO",
        make: |stage| raw!(SYS_open, stage.fifo.as_ptr(), libc::O_RDONLY).min(1),
        release: Some(|stage| drop(sys!(SYS_open, stage.fifo.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK))),
    },
    Call {
        name: "poll",
        make: |stage| raw!(SYS_poll, keep(poll_entry(stage)), 1, -1),
        release: Some(fill_pipe),
    },
    Call {
        name: "poll with a time-out",
        make: |stage| raw!(SYS_poll, keep(poll_entry(stage)), 1, 3_600_000),
        release: Some(fill_pipe),
    },
    Call {
        name: "ppoll",
        make: |stage| raw!(SYS_ppoll, keep(poll_entry(stage)), 1, LONG.as_ptr(), &raw const NOTHING, 8),
        release: Some(fill_pipe),
    },
    Call {
        name: "select",
        make: |stage| raw!(SYS_select, 64, select_set(stage).as_mut_ptr(), 0, 0, 0),
        release: Some(fill_pipe),
    },
    Call {
        name: "pselect6",
        make: |stage| raw!(SYS_pselect6, 64, select_set(stage).as_mut_ptr(), 0, 0, LONG.as_ptr(), 0),
        release: Some(fill_pipe),
    },
    Call {
        name: "futex wait",
        make: |stage| raw!(SYS_futex, stage.word.as_ptr(), libc::FUTEX_WAIT, 0, 0),
        release: Some(wake),
    },
    Call {
        name: "futex wait with a time-out",
        make: |stage| raw!(SYS_futex, stage.word.as_ptr(), libc::FUTEX_WAIT, 0, LONG.as_ptr()),
        release: Some(wake),
    },
    Call {
        name: "futex wait for some bits",
        make: |stage| raw!(SYS_futex, stage.word.as_ptr(), libc::FUTEX_WAIT_BITSET, 0, 0, 0, 1),
        release: Some(wake),
    },
    Call {
        name: "wait4",
        make: |stage| {
            let child = grandchild(stage);
            match raw!(SYS_wait4, child.pid, 0, 0, 0) {
                pid if pid == i64::from(child.pid) => 0,
                error => error,
            }
        },
        release: Some(fill_pipe),
    },
    Call {
        name: "waitid",
        make: |stage| raw!(SYS_waitid, libc::P_PID, grandchild(stage).pid, 0, libc::WEXITED, 0),
        release: Some(fill_pipe),
    },
    Call {
        name: OF_VFORK,
        make: |stage| {
            // The parent is let go on by the child's end, and by nothing else.
            let Ok(mut stack) = Anonymous::map(64 << 10) else { return -1 };
            let top = stack.bytes().as_mut_ptr_range().end;
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // SAFETY: the child has a stack of its own, which stays until it has ended.
            let child =
                unsafe { libc::clone(read_one, top.cast(), flags, (&raw const *stage).cast_mut().cast()) };
            i64::from(child > 0)
        },
        release: Some(fill_pipe),
    },
    Call { name: "nanosleep", make: |_| raw!(SYS_nanosleep, LONG.as_ptr(), 0), release: None },
    Call {
        name: "clock_nanosleep until a time",
        make: |_| {
            raw!(
                SYS_clock_nanosleep,
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                [1_i64 << 32, 0].as_ptr(),
                0
            )
        },
        release: None,
    },
    Call { name: "pause", make: |_| raw!(SYS_pause), release: None },
    Call { name: "sigsuspend", make: |_| raw!(SYS_rt_sigsuspend, &raw const NOTHING, 8), release: None },
    Call {
        name: "sigtimedwait",
        make: |_| raw!(SYS_rt_sigtimedwait, &raw const SIGUSR2_SET, 0, LONG.as_ptr(), 8),
        release: None,
    },
];

/// What meets the call.
const MEETINGS: &[(&str, i32, usize)] = &[
    ("handled", 0, 2),
    ("handled, SA_RESTART", libc::SA_RESTART, 2),
    ("ignored", 0, libc::SIG_IGN),
    ("stopped and continued", 0, libc::SIG_DFL),
];

/// Each call meets its signals in a process and a folder of its own, all at the same time; what they print is shown in
/// order.
pub fn run() {
    let meetings = |call: &Call| {
        for &(what, flags, action) in MEETINGS {
            let outcome = meet(call, flags, action).unwrap_or_else(|problem| format!("({problem})"));
            show(&format!("{}, {what}", call.name), outcome);
        }
    };
    let begin = |(number, call)| -> std::io::Result<(Pipe, Child)> {
        let output = pipe()?;
        let folder = format!("call{number}");
        std::fs::create_dir(&folder)?;
        let child = fork(|| {
            let begun = std::env::set_current_dir(&folder)
                .and_then(|()| sys!(SYS_dup2, output.writer.as_raw_fd(), libc::STDOUT_FILENO));
            if begun.is_err() {
                return 1;
            }
            meetings(call);
            0
        })?;
        Ok((output, child))
    };
    let begun: Vec<_> = CALLS.iter().enumerate().map(begin).collect();
    for (call, begun) in CALLS.iter().zip(begun) {
        let shown = begun.and_then(|(output, child)| {
            drop(output.writer);
            print!("{}", std::io::read_to_string(std::fs::File::from(output.reader))?);
            child.wait_success()
        });
        if let Err(error) = shown {
            show(call.name, error);
        }
    }
}

/// The notes of the process whose handler runs.
static NOTES: std::sync::atomic::AtomicPtr<Notes> = std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());

extern "C" fn note(_signal: i32) {
    // SAFETY: set before the handler was installed; the memory stays.
    unsafe { &*NOTES.load(SeqCst) }.handled.fetch_add(1, SeqCst);
}

/// Makes the call in a child, sends the signal, lets the call go on, and says what came of it.
fn meet(call: &Call, flags: i32, action: usize) -> Result<String, String> {
    let stage = stage().map_err(|error| error.to_string())?;
    let notes = &*stage.notes;
    let child = fork(|| {
        NOTES.store(std::ptr::from_ref(notes).cast_mut(), SeqCst);
        let handler: extern "C" fn(i32) = note;
        // SAFETY: the handler touches atomics only.
        unsafe {
            let mut new: libc::sigaction = std::mem::zeroed();
            new.sa_sigaction = if action == 2 { handler as usize } else { action };
            new.sa_flags = flags;
            libc::sigaction(libc::SIGUSR1, &raw const new, std::ptr::null_mut());
        }
        notes.stage.store(1, SeqCst);
        notes.result.store((call.make)(&stage), SeqCst);
        notes.stage.store(2, SeqCst);
        0
    })
    .map_err(|error| error.to_string())?;
    let outcome = signal_and_release(call, &stage, child, action);
    // Whatever it waits for now, it is to end, and so are children of its own.
    let _ = child.kill(libc::SIGKILL);
    let mut status = 0;
    let _ = sys!(SYS_wait4, child.pid, &raw mut status, 0, 0);
    fill_pipe(&stage);
    let _ = std::fs::remove_file("interrupted-fifo");
    outcome.map(|outcome| {
        let by_itself = if notes.stage.load(SeqCst) == 2 {
            String::new()
        } else {
            format!(", {}", describe_status(status))
        };
        format!("{outcome}{by_itself}")
    })
}

fn signal_and_release(call: &Call, stage: &Stage, child: Child, action: usize) -> Result<String, String> {
    let notes = &*stage.notes;
    asleep(notes, child)?;
    if action == libc::SIG_DFL {
        let _ = child.kill(libc::SIGSTOP);
        // On Linux one that waits for its vfork child does not stop, which is seen by waiting in vain.
        let stops = || child.state() == 'T';
        found("it stops", if call.name == OF_VFORK { until_within(1500, stops) } else { until(stops) })?;
        let _ = child.kill(libc::SIGCONT);
        found("it goes on", until(|| child.state() != 'T'))?;
    } else {
        let _ = child.kill(libc::SIGUSR1);
    }
    if action == 2 && call.name != OF_VFORK {
        found("the handler runs", until(|| notes.handled.load(SeqCst) > 0))?;
    }
    let interrupted = asleep(notes, child)?;
    if interrupted {
        return Ok(format!("{} at once", result(notes)));
    }
    let Some(release) = call.release else { return Ok("goes on".into()) };
    release(stage);
    found("the call ends", until(|| notes.stage.load(SeqCst) == 2))?;
    Ok(format!("goes on, {}", result(notes)))
}

fn result(notes: &Notes) -> String {
    match notes.result.load(SeqCst) {
        error @ ..0 => support::errno::error_name(&std::io::Error::from_raw_os_error(-error as i32)),
        value => value.to_string(),
    }
}

/// Waits until the child has made the call and sleeps in it, or has come back from it (true).
fn asleep(notes: &Notes, child: Child) -> Result<bool, String> {
    let stage = || notes.stage.load(SeqCst);
    found("it sleeps", until_steady(|| stage() == 2 || stage() == 1 && matches!(child.state(), 'S' | 'D')))?;
    Ok(stage() == 2)
}

/// What has been waited for in vain is an error.
fn found(what: &str, is_so: bool) -> Result<(), String> {
    is_so.then_some(()).ok_or_else(|| format!("in vain until {what}"))
}

fn stage() -> std::io::Result<Stage> {
    let full = pipe()?;
    let writer = full.writer.as_raw_fd();
    let _ = sys!(SYS_fcntl, writer, libc::F_SETFL, libc::O_NONBLOCK);
    while write(&full.writer, &[0; 4096]).is_ok() {}
    let _ = sys!(SYS_fcntl, writer, libc::F_SETFL, 0);
    let fifo = path("interrupted-fifo");
    let _ = sys!(SYS_mknod, fifo.as_ptr(), libc::S_IFIFO | 0o600, 0);
    Ok(Stage {
        notes: Shared::new(Notes::default())?,
        empty: pipe()?,
        full,
        pty: Pty::open()?,
        word: Shared::new(AtomicI64::new(0))?,
        fifo,
    })
}
