//! `exhaust [WHAT]...`: takes more and more of one thing until the kernel refuses it, for each thing that costs the kernel
//! memory.
//!
//! A kernel may refuse with an error that says so, or kill the process that asks; the next thing is taken all the same,
//! with what the last one took given back. Meant for a machine with little memory; needs root.

use std::io::{self, Error};
use std::path::Path;
use std::process::exit;
use std::ptr::null_mut;
use std::sync::Mutex;
use support::cvt;
use support::errno::error_name;
use support::memory::PAGE;
use support::process::{Ended, fork};
use support::ring::{Entry, Parameters, Ring, names::TIMEOUT};

/// Takes one more.
type Take = fn(usize) -> io::Result<()>;

const THINGS: &[(&str, Take)] = &[
    ("folders", |number| std::fs::create_dir(format!("folder{number}"))),
    ("folders in folders", |_| std::fs::create_dir("in").and_then(|()| std::env::set_current_dir("in"))),
    ("files", |number| std::fs::write(format!("file{number}"), "x")),
    ("bytes of a file", |_| append("file", &[1; 1 << 16])),
    ("links", |number| std::os::unix::fs::symlink("x".repeat(200), format!("link{number}"))),
    ("fifos", |number| mkfifo(&format!("fifo{number}"))),
    ("pipes", |_| pipe().map(drop)),
    ("full pipes", |_| pipe().and_then(|[_, writer]| fill(writer))),
    ("rings", |_| support::ring::setup(256, &mut Parameters::default()).map(std::mem::forget)),
    ("requests that wait", |_| wait_by_ring()),
    ("sockets", |_| sockets().map(drop)),
    ("full sockets", |_| sockets().and_then(|[socket, _]| fill(socket))),
    // Those that are there when there is no more memory.
    ("signals for sockets", |number| {
        sockets().map(drop).inspect_err(|_| {
            for socket in 3..3 + 2 * number as i32 {
                // SAFETY: no memory is involved.
                let on = cvt(unsafe { libc::fcntl(socket, libc::F_SETFL, libc::O_ASYNC) });
                if on.is_err() {
                    break;
                }
            }
        })
    }),
    ("sockets with names", |number| named(number).map(drop)),
    ("connections that wait", |_| connect()),
    ("descriptors in messages", |_| pass(0)),
    ("sockets in messages", |_| {
        let [socket, other] = sockets()?;
        pass(socket)?;
        close(socket);
        close(other);
        Ok(())
    }),
    // SAFETY: no memory is involved.
    ("descriptors", |_| cvt(unsafe { libc::dup(0) }).map(drop)),
    ("open files", |_| open(c"/proc/self/status").map(drop)),
    ("terminals", |_| open(c"/dev/ptmx").map(drop)),
    ("processes", |_| {
        fork(|| {
            loop {
                pause();
            }
        })
        .map(drop)
    }),
    ("threads", |_| thread()),
    ("mappings", |number| {
        map(PAGE, if number % 2 == 0 { libc::PROT_READ } else { libc::PROT_NONE }).map(drop)
    }),
    ("page tables", |_| touch_each(1 << 21, PAGE * 512)),
    ("pages", |_| touch_each(1 << 20, PAGE)),
    ("shared pages", |_| touch_shared(1 << 20)),
];

/// The errors by which a kernel says that there is no more.
const REFUSALS: [i32; 7] =
    [libc::ENOMEM, libc::ENOBUFS, libc::ENOSPC, libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ETOOMANYREFS];

/// Where the files are: a file system of its own, which takes them along when it goes.
const FOLDER: &std::ffi::CStr = c"/run/exhaust";

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = false;
    for (what, take) in THINGS {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == what) {
            continue;
        }
        match exhaust(*take) {
            Ok(outcome) => println!("{what}: {outcome}"),
            Err(problem) => {
                println!("{what}: FAILED: {problem}");
                failed = true;
            }
        }
    }
    exit(i32::from(failed));
}

/// Takes all there is, in a process group of its own that is then killed.
fn exhaust(take: Take) -> Result<String, String> {
    let folder = Path::new(FOLDER.to_str().expect("ASCII"));
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let options = c"size=0,nr_inodes=0";
    // SAFETY: NUL-terminated strings.
    cvt(unsafe {
        libc::mount(c"none".as_ptr(), FOLDER.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())
    })
    .map_err(|error| format!("mount: {error}"))?;
    let child = fork(|| {
        // SAFETY: no memory is involved.
        unsafe { libc::setpgid(0, 0) };
        let begun = raise_limits().and_then(|()| std::env::set_current_dir(folder));
        let refusal = begun.and_then(|()| take_all(take));
        match refusal {
            Ok((taken, refusal)) => {
                println!("({taken}, then {})", error_name(&refusal));
                if taken > 0 { 0 } else { 2 }
            }
            Err(error) => {
                println!("(unexpected: {})", error_name(&error));
                1
            }
        }
    });
    let child = child.map_err(|error| format!("fork: {error}"))?;
    let ended = child.wait().map_err(|error| format!("wait: {error}"))?;
    // SAFETY: no memory is involved. Those that it has left behind, and this process waits for none of them.
    unsafe { libc::kill(-child.pid, libc::SIGKILL) };
    unmount()?;
    match ended {
        Ended::Exited(0) => Ok("refused".into()),
        Ended::Exited(2) => Err("not even one".into()),
        Ended::Killed(libc::SIGKILL) => Ok("killed".into()),
        other => Err(format!("{other:?}")),
    }
}

/// How many it took until a refusal, and that; another error is an error.
fn take_all(take: Take) -> io::Result<(usize, Error)> {
    for number in 0.. {
        if let Err(error) = take(number) {
            let refused = error.raw_os_error().is_some_and(|number| REFUSALS.contains(&number));
            return if refused { Ok((number, error)) } else { Err(error) };
        }
    }
    unreachable!("an endless range")
}

/// Until those that were killed have left.
fn unmount() -> Result<(), String> {
    for _ in 0..2000 {
        // SAFETY: a NUL-terminated string.
        match cvt(unsafe { libc::umount(FOLDER.as_ptr()) }) {
            Ok(_) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => support::clock::sleep_ms(5),
            Err(error) => return Err(format!("umount: {error}")),
        }
    }
    Err("what it left behind does not end".into())
}

fn raise_limits() -> io::Result<()> {
    for resource in [libc::RLIMIT_NOFILE, libc::RLIMIT_NPROC] {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the kernel writes the limit, and reads it.
        unsafe {
            cvt(libc::getrlimit(resource, &raw mut limit))?;
            limit.rlim_cur = limit.rlim_max;
            cvt(libc::setrlimit(resource, &raw const limit))?;
        }
    }
    Ok(())
}

fn append(name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    std::fs::File::options().create(true).append(true).open(name)?.write_all(bytes)
}

fn mkfifo(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: a NUL-terminated string.
    cvt(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }).map(drop)
}

/// One more batch of requests of one ring that all wait for ever.
fn wait_by_ring() -> io::Result<()> {
    static RING: Mutex<Option<Ring>> = Mutex::new(None);
    let time = libc::timespec { tv_sec: 1 << 30, tv_nsec: 0 };
    let mut ring = RING.lock().map_err(|_| Error::from_raw_os_error(libc::EDEADLK))?;
    if ring.is_none() {
        *ring = Some(Ring::new(64)?);
    }
    let Some(ring) = ring.as_mut() else { return Ok(()) };
    for name in 0..64 {
        ring.push(Entry { addr: &raw const time as u64, len: 1, ..Entry::new(TIMEOUT, name) });
    }
    ring.submit(0)?;
    match ring.pop() {
        Some(completion) => Err(Error::from_raw_os_error(-completion.res)),
        None => Ok(()),
    }
}

/// Both ends stay open.
fn pipe() -> io::Result<[i32; 2]> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes the two descriptors.
    cvt(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) })?;
    Ok(ends)
}

/// Both stay open.
fn sockets() -> io::Result<[i32; 2]> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
    // SAFETY: the kernel writes the two descriptors.
    cvt(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok(ends)
}

fn close(file: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::close(file) };
}

/// A socket with an abstract name; it stays open.
fn named(number: usize) -> io::Result<(i32, libc::sockaddr_un)> {
    // SAFETY: all zeros are an address, which the kernel reads.
    unsafe {
        let mut name: libc::sockaddr_un = std::mem::zeroed();
        name.sun_family = libc::AF_UNIX as u16;
        for (place, byte) in name.sun_path[1..].iter_mut().zip(format!("exhaust{number}").bytes()) {
            *place = byte as libc::c_char;
        }
        let socket = cvt(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0))?;
        cvt(libc::bind(socket, (&raw const name).cast(), size_of_val(&name) as u32))?;
        Ok((socket, name))
    }
}

/// Connects to a socket that accepts nobody; another when that has no more room.
fn connect() -> io::Result<()> {
    use std::sync::Mutex;
    static DOOR: Mutex<Option<(usize, libc::sockaddr_un)>> = Mutex::new(None);
    let mut door = DOOR.lock().expect("nobody panics");
    // SAFETY: the kernel reads the address.
    let client = cvt(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0) })?;
    for _ in 0..2 {
        if let Some((_, name)) = *door {
            // SAFETY: as above.
            match cvt(unsafe { libc::connect(client, (&raw const name).cast(), size_of_val(&name) as u32) }) {
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
                result => return result.map(drop),
            }
        }
        let number = door.map_or(0, |(number, _)| number + 1);
        let (socket, name) = named(number)?;
        // SAFETY: no memory is involved.
        cvt(unsafe { libc::listen(socket, 4096) })?;
        *door = Some((number, name));
    }
    Ok(())
}

/// Puts a descriptor into a message that nobody receives.
fn pass(file: i32) -> io::Result<()> {
    use std::sync::Mutex;
    static FULL: Mutex<Option<i32>> = Mutex::new(None);
    let mut full = FULL.lock().expect("nobody panics");
    let kind = u64::from(libc::SOL_SOCKET as u32) | u64::from(libc::SCM_RIGHTS as u32) << 32;
    for _ in 0..2 {
        if let Some(socket) = *full {
            let (mut byte, mut control) = ([1_u8], [20, kind, file as u64]);
            let mut piece = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
            // SAFETY: all zeros are a header without anything; what it points to is there.
            let sent = unsafe {
                let mut header: libc::msghdr = std::mem::zeroed();
                header.msg_iov = &raw mut piece;
                header.msg_iovlen = 1;
                header.msg_control = control.as_mut_ptr().cast();
                header.msg_controllen = size_of_val(&control);
                cvt(libc::sendmsg(socket, &raw const header, 0) as i64)
            };
            match sent {
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
                result => return result.map(drop),
            }
        }
        *full = Some(sockets()?[0]);
    }
    Ok(())
}

fn fill(writer: i32) -> io::Result<()> {
    static BYTES: [u8; 4096] = [1; 4096];
    loop {
        // SAFETY: the bytes are there.
        match cvt(unsafe { libc::write(writer, BYTES.as_ptr().cast(), BYTES.len()) }) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// It stays open.
fn open(name: &std::ffi::CStr) -> io::Result<i32> {
    // SAFETY: a NUL-terminated string.
    cvt(unsafe { libc::open(name.as_ptr(), libc::O_RDONLY) })
}

fn pause() {
    // SAFETY: no memory is involved.
    unsafe { libc::pause() };
}

/// A thread of the C library, which Rust's would give a signal stack each.
fn thread() -> io::Result<()> {
    extern "C" fn run(_argument: *mut libc::c_void) -> *mut libc::c_void {
        pause();
        null_mut()
    }
    let (mut thread, mut attributes) = (0, std::mem::MaybeUninit::uninit());
    // SAFETY: the attributes are initialised before they are used, and the thread uses no memory of ours.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), 1 << 16);
        libc::pthread_create(&raw mut thread, attributes.as_ptr(), run, null_mut())
    };
    if error == 0 { Ok(()) } else { Err(Error::from_raw_os_error(error)) }
}

fn map(length: usize, protection: i32) -> io::Result<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a mapping at an address of the kernel's choice touches no memory of ours.
    let start = unsafe { libc::mmap(null_mut(), length, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(start.cast()) }
}

/// Maps memory, and writes a byte at each step.
fn touch_each(length: usize, step: usize) -> io::Result<()> {
    let start = map(length, libc::PROT_READ | libc::PROT_WRITE)?;
    for offset in (0..length).step_by(step) {
        // SAFETY: within the mapping just made.
        unsafe { start.add(offset).write_volatile(1) };
    }
    Ok(())
}

fn touch_shared(length: usize) -> io::Result<()> {
    let mut memory = support::memory::Anonymous::map_shared(length)?;
    memory.touch();
    std::mem::forget(memory);
    Ok(())
}
