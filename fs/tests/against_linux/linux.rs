//! The operations on Linux.

use crate::program::{Operation, Order, Outcome, SLOTS, Shown, Time, USERS, digest};
use std::ffi::CString;
use std::io::Error;
use syscalls::Errno;

/// Makes a directory of tmpfs the root of this process.
pub fn enter() {
    let directory = format!("/dev/shm/rusk-fs-{}", std::process::id());
    std::fs::create_dir(&directory).expect("a directory in /dev/shm");
    std::os::unix::fs::chroot(&directory).expect("chroot needs root");
    std::env::set_current_dir("/").unwrap();
    // SAFETY: changes a process-wide number.
    unsafe { libc::umask(0) };
}

fn text(path: &str) -> CString {
    CString::new(path).unwrap()
}

fn name(errno: i32) -> Outcome {
    Errno::new(errno).name().unwrap_or("?").to_string()
}

fn last() -> i32 {
    Error::last_os_error().raw_os_error().unwrap()
}

/// The outcome of a call that returns -1 for an error.
fn done(result: i64) -> Outcome {
    if result < 0 { name(last()) } else { "ok".into() }
}

fn shown(stat: &libc::stat) -> Shown {
    Shown {
        ino: stat.st_ino,
        mode: stat.st_mode,
        links: stat.st_nlink,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size,
        blocks: stat.st_blocks,
        rdev: stat.st_rdev,
    }
}

struct Machine {
    slots: [i32; SLOTS],
    order: Order,
    user: usize,
}

/// Runs a program in an empty root directory.
pub fn run(program: &[Operation]) -> Vec<Outcome> {
    let mut machine = Machine { slots: [-1; SLOTS], order: Order::default(), user: 0 };
    let outcomes = program.iter().map(|operation| machine.step(operation)).collect();
    for slot in machine.slots {
        close(slot);
    }
    become_user(0);
    for entry in std::fs::read_dir("/").unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let root = text("/");
    // SAFETY: a string that ends in NUL.
    unsafe {
        libc::chmod(root.as_ptr(), 0o755);
        libc::chown(root.as_ptr(), 0, 0);
        for attribute in ["user.one", "user.two", "trusted.one", "security.one"] {
            libc::removexattr(root.as_ptr(), text(attribute).as_ptr());
        }
    }
    outcomes
}

fn close(slot: i32) -> i64 {
    // SAFETY: closing is always allowed; the slot is the machine's own.
    i64::from(unsafe { libc::close(slot) })
}

/// Changes the file-system identity of this thread alone, by the bare system calls.
fn become_user(user: usize) {
    let (uid, gid, groups) = USERS[user];
    // SAFETY: pointers to live arrays.
    unsafe {
        libc::syscall(libc::SYS_setfsuid, 0);
        assert_eq!(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()), 0);
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
    }
}

impl Machine {
    fn step(&mut self, operation: &Operation) -> Outcome {
        // SAFETY: every pointer is to a live string or buffer of the length given with it.
        unsafe { self.call(operation) }
    }

    unsafe fn call(&mut self, operation: &Operation) -> Outcome {
        // SAFETY: see `step`.
        unsafe {
            match operation {
                Operation::Open { slot, path, flags, mode } => self.open(*slot, path, *flags, *mode),
                Operation::Close { slot } => done(close(std::mem::replace(&mut self.slots[*slot], -1))),
                Operation::Read { slot, offset, len } => {
                    let mut buffer = vec![0u8; *len];
                    let count =
                        libc::pread(self.slots[*slot], buffer.as_mut_ptr().cast(), *len, *offset as i64);
                    if count < 0 { name(last()) } else { digest(&buffer[..count as usize]) }
                }
                Operation::Write { slot, offset, len, byte } => {
                    let buffer = vec![*byte; *len];
                    let count = libc::pwrite(self.slots[*slot], buffer.as_ptr().cast(), *len, *offset as i64);
                    if count < 0 { name(last()) } else { count.to_string() }
                }
                Operation::SetSize { slot, size } => {
                    done(libc::ftruncate(self.slots[*slot], *size as i64).into())
                }
                Operation::Truncate { path, size } => {
                    done(libc::truncate(text(path).as_ptr(), *size as i64).into())
                }
                Operation::Fallocate { slot, mode, offset, len } => {
                    done(libc::fallocate(self.slots[*slot], *mode, *offset, *len).into())
                }
                Operation::Seek { slot, hole, offset } => {
                    let whence = if *hole { libc::SEEK_HOLE } else { libc::SEEK_DATA };
                    let found = libc::lseek(self.slots[*slot], *offset, whence);
                    if found < 0 { name(last()) } else { found.to_string() }
                }
                Operation::StatSlot { slot } => {
                    let mut stat = std::mem::zeroed();
                    let result = libc::fstat(self.slots[*slot], &mut stat);
                    if result < 0 { name(last()) } else { self.order.show(&shown(&stat)) }
                }
                // By descriptor is for those who may search everything; that is the system call's to check.
                Operation::LinkSlot { .. } if self.user != 0 => "skipped".into(),
                Operation::LinkSlot { slot, path } => done(
                    libc::linkat(
                        self.slots[*slot],
                        c"".as_ptr(),
                        libc::AT_FDCWD,
                        text(path).as_ptr(),
                        libc::AT_EMPTY_PATH,
                    )
                    .into(),
                ),
                Operation::Mkdir { path, mode } => done(libc::mkdir(text(path).as_ptr(), *mode).into()),
                Operation::Mknod { path, mode, device } => {
                    done(libc::mknod(text(path).as_ptr(), *mode, *device).into())
                }
                Operation::Rmdir { path } => done(libc::rmdir(text(path).as_ptr()).into()),
                Operation::Unlink { path } => done(libc::unlink(text(path).as_ptr()).into()),
                Operation::Symlink { target, path } => {
                    done(libc::symlink(text(target).as_ptr(), text(path).as_ptr()).into())
                }
                Operation::Link { old, new, follow } => {
                    let flags = if *follow { libc::AT_SYMLINK_FOLLOW } else { 0 };
                    let (old, new) = (text(old), text(new));
                    done(
                        libc::linkat(libc::AT_FDCWD, old.as_ptr(), libc::AT_FDCWD, new.as_ptr(), flags)
                            .into(),
                    )
                }
                Operation::Rename { old, new, flags } => {
                    let (old, new) = (text(old), text(new));
                    done(libc::syscall(
                        libc::SYS_renameat2,
                        libc::AT_FDCWD,
                        old.as_ptr(),
                        libc::AT_FDCWD,
                        new.as_ptr(),
                        *flags,
                    ))
                }
                Operation::Stat { path, follow } => {
                    let mut stat = std::mem::zeroed();
                    let flags = if *follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
                    let result = libc::fstatat(libc::AT_FDCWD, text(path).as_ptr(), &mut stat, flags);
                    if result < 0 { name(last()) } else { self.order.show(&shown(&stat)) }
                }
                Operation::ReadLink { path } => {
                    let mut buffer = [0u8; 4096];
                    let count = libc::readlink(text(path).as_ptr(), buffer.as_mut_ptr().cast(), buffer.len());
                    if count < 0 {
                        name(last())
                    } else {
                        String::from_utf8_lossy(&buffer[..count as usize]).into_owned()
                    }
                }
                Operation::List { path } => list(path),
                Operation::Access { path, mode } => {
                    // With the file-system ids, which faccessat2 uses under AT_EACCESS.
                    let path = text(path);
                    let flags = libc::AT_EACCESS;
                    done(libc::syscall(libc::SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), *mode, flags))
                }
                Operation::Chmod { path, mode } => done(libc::chmod(text(path).as_ptr(), *mode).into()),
                Operation::Chown { path, uid, gid, follow } => {
                    let flags = if *follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
                    let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
                    done(libc::fchownat(libc::AT_FDCWD, text(path).as_ptr(), uid, gid, flags).into())
                }
                Operation::Times { path, accessed, modified } => {
                    let time = |time: &Time| match time {
                        Time::Omit => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
                        Time::Now => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
                        Time::At(seconds) => libc::timespec { tv_sec: *seconds, tv_nsec: 7 },
                    };
                    let times = [time(accessed), time(modified)];
                    let path = text(path);
                    let result = libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0);
                    if result < 0 {
                        return name(last());
                    }
                    let mut stat: libc::stat = std::mem::zeroed();
                    if libc::stat(path.as_ptr(), &mut stat) < 0 {
                        return name(last());
                    }
                    let mut shown = String::new();
                    for (set, seconds) in [(accessed, stat.st_atime), (modified, stat.st_mtime)] {
                        if let Time::At(_) = set {
                            shown += &format!(" {seconds}");
                        }
                    }
                    shown
                }
                Operation::SetXattr { path, name, value, flags } => done(
                    libc::setxattr(
                        text(path).as_ptr(),
                        text(name).as_ptr(),
                        value.as_ptr().cast(),
                        value.len(),
                        *flags,
                    )
                    .into(),
                ),
                Operation::GetXattr { path, name: attribute } => {
                    let mut buffer = [0u8; 256];
                    let count = libc::getxattr(
                        text(path).as_ptr(),
                        text(attribute).as_ptr(),
                        buffer.as_mut_ptr().cast(),
                        buffer.len(),
                    );
                    if count < 0 { name(last()) } else { digest(&buffer[..count as usize]) }
                }
                Operation::RemoveXattr { path, name } => {
                    done(libc::removexattr(text(path).as_ptr(), text(name).as_ptr()).into())
                }
                Operation::ListXattrs { path } => {
                    let mut buffer = [0u8; 1024];
                    let count =
                        libc::listxattr(text(path).as_ptr(), buffer.as_mut_ptr().cast(), buffer.len());
                    if count < 0 {
                        return name(last());
                    }
                    let mut names: Vec<_> = buffer[..count as usize]
                        .split(|&byte| byte == 0)
                        .map(String::from_utf8_lossy)
                        .collect();
                    names.sort();
                    names.join(" ")
                }
                Operation::Become { user } => {
                    self.user = *user;
                    become_user(*user);
                    "ok".into()
                }
            }
        }
    }

    /// # Safety
    /// None beyond those of the calls.
    unsafe fn open(&mut self, slot: usize, path: &str, flags: i32, mode: u32) -> Outcome {
        // SAFETY: a string that ends in NUL, and a slot of the machine's own.
        unsafe {
            let file = libc::open(text(path).as_ptr(), flags | libc::O_NONBLOCK | libc::O_CLOEXEC, mode);
            if file < 0 {
                let error = last();
                // What is behind a device, fifo or socket is not the file system's.
                return if error == libc::ENXIO { "special".into() } else { name(error) };
            }
            let mut stat: libc::stat = std::mem::zeroed();
            libc::fstat(file, &mut stat);
            let kind = stat.st_mode & libc::S_IFMT;
            let ordinary = [libc::S_IFREG, libc::S_IFDIR].contains(&kind) || flags & libc::O_PATH != 0;
            if !ordinary {
                close(file);
                return "special".into();
            }
            close(std::mem::replace(&mut self.slots[slot], file));
            self.order.show(&shown(&stat))
        }
    }
}

fn list(path: &str) -> Outcome {
    match std::fs::read_dir(path) {
        Err(error) => name(error.raw_os_error().unwrap()),
        Ok(entries) => {
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names.join(" ")
        }
    }
}
