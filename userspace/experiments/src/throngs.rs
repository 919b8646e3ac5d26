//! Operations among very many things of a kind: what costs the same however many there are, and what goes over all of them.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use support::clock::now;
use support::cvt;
use support::patience::child_in_call;
use support::pipe::{pipe, write};
use support::process::fork;

const PAGE: usize = 4096;

/// What was measured, with the nanoseconds that one took.
pub type Figures = Vec<(&'static str, f64)>;

/// How long `work` takes, `count` times.
fn each<T>(count: usize, work: impl FnOnce() -> io::Result<T>) -> io::Result<f64> {
    let start = now();
    work()?;
    Ok((now() - start) as f64 / count as f64)
}

fn protect(start: usize, len: usize, rights: i32) -> io::Result<i32> {
    // SAFETY: within the mapping of the caller, who does not use it.
    cvt(unsafe { libc::mprotect(start as *mut libc::c_void, len, rights) })
}

/// Twice so many regions: pages that may be read between others that may also be written.
pub fn regions(pairs: usize) -> io::Result<Figures> {
    let len = pairs * 2 * PAGE;
    let (all, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), len, all, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = start as usize;
    let make =
        || (0..pairs).try_for_each(|pair| protect(start + pair * 2 * PAGE, PAGE, libc::PROT_READ).map(drop));
    let made = each(pairs, make)?;
    let forked = each(1, fork_and_wait)?;
    // SAFETY: neither changes what is in memory.
    let locked = each(1, || cvt(unsafe { libc::mlockall(libc::MCL_CURRENT) }))?;
    // SAFETY: as above.
    let unlocked = each(1, || cvt(unsafe { libc::munlockall() }))?;
    let protected = each(1, || protect(start, len, libc::PROT_READ))?;
    // SAFETY: nobody uses it.
    let unmapped = each(1, || cvt(unsafe { libc::munmap(start as *mut libc::c_void, len) }))?;
    Ok(vec![
        ("region_protect", made),
        ("region_fork", forked),
        ("region_lock_all", locked),
        ("region_unlock_all", unlocked),
        ("region_protect_all", protected),
        ("region_unmap_all", unmapped),
    ])
}

fn fork_and_wait() -> io::Result<()> {
    fork(|| 0)?.wait_success()
}

/// Lets the process have so many descriptors.
fn allow_descriptors(count: usize) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: count as u64, rlim_max: count as u64 };
    // SAFETY: the kernel reads the structure.
    cvt(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}

fn duplicate(fd: i32) -> io::Result<i32> {
    // SAFETY: no memory is involved.
    cvt(unsafe { libc::dup(fd) })
}

fn close(fd: i32) {
    // SAFETY: the descriptor is the caller's.
    unsafe { libc::close(fd) };
}

/// So many descriptors of one pipe, and who polls them all.
pub fn descriptors(count: usize) -> io::Result<Figures> {
    allow_descriptors(2 * count + 100)?;
    let pipe = pipe()?;
    let reader = pipe.reader.as_raw_fd();
    let mut files = Vec::new();
    let made = each(count, || (0..count).try_for_each(|_| duplicate(reader).map(|fd| files.push(fd))))?;
    // The lowest one is free, and then the one behind the last.
    close(files[0]);
    files[0] = duplicate(reader)?;
    let behind = each(1, || duplicate(reader).map(|fd| files.push(fd)))?;
    let forked = each(1, fork_and_wait)?;
    let entry = |fd: &i32| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<_> = files.iter().map(entry).collect();
    let mut poll = |milliseconds: i32| {
        // SAFETY: the array is as long.
        cvt(unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as u64, milliseconds) })
    };
    let looked = each(1, || poll(0))?;
    let waiter = child_in_call(libc::SYS_poll, || i32::from(!poll(-1).is_ok_and(|count| count > 0)));
    let woke = each(1, || write(&pipe.writer, b"x"))?;
    waiter.wait_success()?;
    files.into_iter().for_each(close);
    Ok(vec![
        ("descriptor_dup", made),
        ("descriptor_dup_behind", behind),
        ("descriptor_fork", forked),
        ("poll_none", looked),
        ("poll_wake", woke),
    ])
}

/// So many epoll instances with an interest in one pipe.
pub fn instances(count: usize) -> io::Result<Figures> {
    allow_descriptors(2 * count + 100)?;
    let pipe = pipe()?;
    let mut instances = Vec::new();
    let made = each(count, || {
        (0..count).try_for_each(|_| {
            // SAFETY: no memory is involved.
            let instance = cvt(unsafe { libc::epoll_create1(0) })?;
            instances.push(instance);
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
            let reader = pipe.reader.as_raw_fd();
            // SAFETY: the kernel reads the structure.
            cvt(unsafe { libc::epoll_ctl(instance, libc::EPOLL_CTL_ADD, reader, &raw mut event) }).map(drop)
        })
    })?;
    let told = each(1, || write(&pipe.writer, b"x"))?;
    instances.into_iter().for_each(close);
    Ok(vec![("epoll_watch", made), ("epoll_tell", told)])
}

/// So many locks of one file, each of a byte, and one that joins them all.
pub fn locks(count: usize) -> io::Result<Figures> {
    let name = format!("/tmp/throngs-{}", std::process::id());
    let file = File::create(&name)?.into_raw_fd();
    std::fs::remove_file(&name)?;
    let set = |start: usize, len: usize| {
        // SAFETY: all zeros is a valid structure.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        (lock.l_type, lock.l_whence) = (libc::F_WRLCK as i16, libc::SEEK_SET as i16);
        (lock.l_start, lock.l_len) = (start as i64, len as i64);
        // SAFETY: the kernel reads the structure.
        cvt(unsafe { libc::fcntl(file, libc::F_SETLK, &raw const lock) }).map(drop)
    };
    let made = each(count, || (0..count).try_for_each(|number| set(2 * number, 1)))?;
    let joined = each(1, || set(0, 2 * count))?;
    close(file);
    Ok(vec![("lock_set", made), ("lock_join", joined)])
}
