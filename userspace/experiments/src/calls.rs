//! Calls that programs make all the time, each again and again: whether a kernel's way to serve them is short.
//!
//! Memory is the program's own and has been touched, files are in memory, and nothing ever waits.

use std::ffi::CString;
use std::io;
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use support::clock::now;
use support::cvt;

/// Names, and nanoseconds each.
pub type Figures = Vec<(&'static str, f64)>;

/// How often each is made.
const TIMES: u32 = 1000;
/// Before that, so that what comes into being once is there.
const BEFORE: u32 = 20;

fn each(mut call: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    (0..BEFORE).try_for_each(|_| call())?;
    let start = now();
    (0..TIMES).try_for_each(|_| call())?;
    Ok((now() - start) as f64 / f64::from(TIMES))
}

/// Measures some calls that are made one after the other.
macro_rules! measure {
    ($figures:ident, $name:literal, $($call:expr),+) => {{
        let one = || {
            $(
                // SAFETY: the callers pass calls whose memory is theirs for as long.
                cvt(unsafe { $call })?;
            )+
            Ok(())
        };
        $figures.push(($name, each(one)?));
    }};
}

fn c_string(text: String) -> io::Result<CString> {
    CString::new(text).map_err(io::Error::other)
}

/// A new file with two pages of contents, opened to read and write.
fn file(path: &CString) -> io::Result<i32> {
    // SAFETY: a live path and a live buffer.
    unsafe {
        let fd = cvt(libc::open(
            path.as_ptr(),
            libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC,
            0o644,
        ))?;
        cvt(libc::write(fd, [b'a'; 8192].as_ptr().cast(), 8192))?;
        Ok(fd)
    }
}

/// Four pieces of 16 bytes each.
fn pieces(buffer: &mut [u8; 64]) -> [libc::iovec; 4] {
    let start = buffer.as_mut_ptr();
    std::array::from_fn(|at| libc::iovec { iov_base: start.wrapping_add(16 * at).cast(), iov_len: 16 })
}

/// Of files, by descriptor.
pub fn files(folder: &str) -> io::Result<Figures> {
    let path = c_string(format!("{folder}/calls"))?;
    let fd = file(&path)?;
    let mut buffer = [0_u8; 64];
    let vectors = pieces(&mut buffer);
    // SAFETY: plain data.
    let (mut stat, mut lock): (libc::stat, libc::flock) = unsafe { (zeroed(), zeroed()) };
    (lock.l_type, lock.l_len) = (libc::F_WRLCK as i16, 10);
    let unlock = libc::flock { l_type: libc::F_UNLCK as i16, ..lock };
    let mut figures = Figures::new();
    measure!(figures, "fstat", libc::fstat(fd, &raw mut stat));
    measure!(figures, "lseek", libc::lseek(fd, 0, libc::SEEK_SET));
    measure!(figures, "preadv", libc::preadv(fd, vectors.as_ptr(), 4, 0));
    measure!(figures, "pwritev", libc::pwritev(fd, vectors.as_ptr(), 4, 0));
    measure!(figures, "ftruncate", libc::ftruncate(fd, 4096));
    measure!(figures, "fsync", libc::fsync(fd));
    measure!(figures, "dup_close", libc::close(cvt(libc::dup(fd))?));
    measure!(figures, "fcntl_getfl", libc::fcntl(fd, libc::F_GETFL));
    measure!(figures, "flock", libc::flock(fd, libc::LOCK_EX), libc::flock(fd, libc::LOCK_UN));
    measure!(
        figures,
        "fcntl_lock",
        libc::fcntl(fd, libc::F_SETLK, &raw const lock),
        libc::fcntl(fd, libc::F_SETLK, &raw const unlock)
    );
    // SAFETY: they are not used any more.
    unsafe {
        libc::close(fd);
        libc::unlink(path.as_ptr());
    }
    Ok(figures)
}

/// Of files, by name.
pub fn names(folder: &str) -> io::Result<Figures> {
    let path = c_string(format!("{folder}/calls"))?;
    let (other, link) = (c_string(format!("{folder}/calls-2"))?, c_string(format!("{folder}/calls-3"))?);
    let fd = file(&path)?;
    // SAFETY: live paths.
    unsafe {
        libc::close(fd);
        cvt(libc::symlink(path.as_ptr(), link.as_ptr()))?;
    }
    let (first, second) = (path.as_ptr(), other.as_ptr());
    let mut buffer = [0_u8; 256];
    let place = buffer.as_mut_ptr().cast();
    // SAFETY: plain data.
    let mut stat: libc::statx = unsafe { zeroed() };
    let mut figures = Figures::new();
    measure!(figures, "access", libc::access(first, libc::R_OK));
    measure!(figures, "statx", libc::statx(libc::AT_FDCWD, first, 0, libc::STATX_BASIC_STATS, &raw mut stat));
    measure!(figures, "readlink", libc::readlink(link.as_ptr(), place, 256));
    measure!(figures, "chmod", libc::chmod(first, 0o644));
    measure!(figures, "utimensat", libc::utimensat(libc::AT_FDCWD, first, null(), 0));
    measure!(figures, "mkdir_rmdir", libc::mkdir(second, 0o755), libc::rmdir(second));
    measure!(figures, "rename", libc::rename(first, second), libc::rename(second, first));
    measure!(figures, "link_unlink", libc::link(first, second), libc::unlink(second));
    measure!(figures, "symlink_unlink", libc::symlink(first, second), libc::unlink(second));
    for (name, path) in [
        ("proc_stat", c"/proc/self/stat"),
        ("proc_maps", c"/proc/self/maps"),
        ("proc_status", c"/proc/self/status"),
        ("proc_meminfo", c"/proc/meminfo"),
    ] {
        let mut text = [0_u8; 4096];
        let read = || {
            // SAFETY: a live path and a live buffer.
            unsafe {
                let fd = cvt(libc::open(path.as_ptr(), libc::O_RDONLY))?;
                cvt(libc::read(fd, text.as_mut_ptr().cast(), text.len()))?;
                cvt(libc::close(fd)).map(drop)
            }
        };
        figures.push((name, each(read)?));
    }
    // SAFETY: they are not used any more.
    unsafe {
        libc::unlink(first);
        libc::unlink(link.as_ptr());
    }
    Ok(figures)
}

/// Of pipes, sockets and files of events.
pub fn streams() -> io::Result<Figures> {
    let (mut pipe, mut stream, mut packets) = ([0; 2], [0; 2], [0; 2]);
    // SAFETY: each makes two descriptors.
    let (events, poll) = unsafe {
        cvt(libc::pipe(pipe.as_mut_ptr()))?;
        cvt(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, stream.as_mut_ptr()))?;
        cvt(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, packets.as_mut_ptr()))?;
        (cvt(libc::eventfd(0, 0))?, cvt(libc::epoll_create1(0))?)
    };
    let mut buffer = [0_u8; 64];
    let bytes: *mut libc::c_void = buffer.as_mut_ptr().cast();
    let vectors = pieces(&mut buffer);
    let one = 1_u64.to_ne_bytes();
    let mut value = [0_u8; 8];
    let mut waiting = 0_i32;
    let mut interest = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    let mut polled = [libc::pollfd { fd: pipe[0], events: libc::POLLIN, revents: 0 }; 2];
    // SAFETY: plain data.
    let mut message: libc::msghdr = unsafe { zeroed() };
    (message.msg_iov, message.msg_iovlen) = (vectors.as_ptr().cast_mut(), 4);
    let mut figures = Figures::new();
    measure!(
        figures,
        "pipe_vectors",
        libc::writev(pipe[1], vectors.as_ptr(), 4),
        libc::readv(pipe[0], vectors.as_ptr(), 4)
    );
    measure!(figures, "ioctl_fionread", libc::ioctl(pipe[0], libc::FIONREAD, &raw mut waiting));
    measure!(
        figures,
        "messages",
        libc::sendmsg(stream[0], &raw const message, 0),
        libc::recvmsg(stream[1], &raw mut message, 0)
    );
    measure!(
        figures,
        "datagrams",
        libc::send(packets[0], bytes, 64, 0),
        libc::recv(packets[1], bytes, 64, 0)
    );
    measure!(
        figures,
        "eventfd",
        libc::write(events, one.as_ptr().cast(), 8),
        libc::read(events, value.as_mut_ptr().cast(), 8)
    );
    measure!(figures, "poll_2", libc::poll(polled.as_mut_ptr(), 2, 0));
    let mut many = [polled[0]; 100];
    measure!(figures, "poll_100", libc::poll(many.as_mut_ptr(), 100, 0));
    let (mut kind, mut len) = (0_i32, 4);
    measure!(
        figures,
        "getsockopt",
        libc::getsockopt(stream[0], libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &raw mut len)
    );
    // SAFETY: paths that live for ever.
    let (zero, random) = unsafe {
        (
            cvt(libc::open(c"/dev/zero".as_ptr(), libc::O_RDONLY))?,
            cvt(libc::open(c"/dev/urandom".as_ptr(), libc::O_RDONLY))?,
        )
    };
    let mut page = [0_u8; 4096];
    measure!(figures, "dev_zero", libc::read(zero, page.as_mut_ptr().cast(), page.len()));
    measure!(figures, "dev_urandom", libc::read(random, bytes, 16));
    measure!(
        figures,
        "epoll_ctl",
        libc::epoll_ctl(poll, libc::EPOLL_CTL_ADD, pipe[0], &raw mut interest),
        libc::epoll_ctl(poll, libc::EPOLL_CTL_DEL, pipe[0], null_mut())
    );
    measure!(figures, "epoll_wait", libc::epoll_wait(poll, &raw mut interest, 1, 0));
    let mut pair = [0; 2];
    measure!(
        figures,
        "pipe_close",
        libc::pipe(pair.as_mut_ptr()),
        libc::close(pair[0]),
        libc::close(pair[1])
    );
    measure!(
        figures,
        "socketpair_close",
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()),
        libc::close(pair[0]),
        libc::close(pair[1])
    );
    for fd in [pipe, stream, packets, [events, poll], [zero, random]].as_flattened() {
        // SAFETY: they are not used any more.
        unsafe { libc::close(*fd) };
    }
    Ok(figures)
}

/// Of memory, signals, clocks and processes.
pub fn processes() -> io::Result<Figures> {
    const PAGE: usize = 4096;
    let (all, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping, at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(null_mut(), 16 * PAGE, all, private, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a page of ours.
    unsafe { memory.cast::<u8>().write(1) };
    // SAFETY: plain data.
    let (mut set, mut action): (libc::sigset_t, libc::sigaction) = unsafe { (zeroed(), zeroed()) };
    // SAFETY: the same.
    let (mut usage, mut time): (libc::rusage, libc::timespec) = unsafe { (zeroed(), zeroed()) };
    // SAFETY: the same.
    let mut cpus: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: a set of ours.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGUSR1) };
    let mut bytes = [0_u8; 16];
    let mut figures = Figures::new();
    measure!(
        figures,
        "mprotect",
        libc::mprotect(memory, PAGE, libc::PROT_READ),
        libc::mprotect(memory, PAGE, all)
    );
    measure!(figures, "sigprocmask", libc::sigprocmask(libc::SIG_BLOCK, &raw const set, null_mut()));
    measure!(figures, "sigaction", libc::sigaction(libc::SIGUSR2, null(), &raw mut action));
    measure!(
        figures,
        "clock_gettime_cpu",
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time)
    );
    measure!(figures, "getrusage", libc::getrusage(libc::RUSAGE_SELF, &raw mut usage));
    measure!(figures, "getrandom", libc::getrandom(bytes.as_mut_ptr().cast(), 16, 0));
    measure!(figures, "sched_getaffinity", libc::sched_getaffinity(0, size_of_val(&cpus), &raw mut cpus));
    measure!(figures, "sched_yield", libc::sched_yield());
    // SAFETY: plain data.
    let (mut later, never): (libc::itimerval, libc::itimerval) = unsafe { (zeroed(), zeroed()) };
    later.it_value.tv_sec = 1000;
    let real = libc::ITIMER_REAL;
    measure!(
        figures,
        "setitimer",
        libc::setitimer(real, &raw const later, null_mut()),
        libc::setitimer(real, &raw const never, null_mut())
    );
    // SAFETY: plain data.
    let (mut limit, mut machine): (libc::rlimit, libc::utsname) = unsafe { (zeroed(), zeroed()) };
    // SAFETY: the same.
    let mut system: libc::sysinfo = unsafe { zeroed() };
    let mut ids = [0; 3];
    let [first, second, third] = ids.each_mut().map(std::ptr::from_mut);
    measure!(figures, "getresuid", libc::getresuid(first, second, third));
    measure!(figures, "getrlimit", libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit));
    measure!(figures, "uname", libc::uname(&raw mut machine));
    measure!(figures, "sysinfo", libc::sysinfo(&raw mut system));
    // SAFETY: it is not used any more.
    unsafe { libc::munmap(memory, 16 * PAGE) };
    Ok(figures)
}
