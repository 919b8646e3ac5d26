//! System calls: Linux's x86_64 interface.
//!
//! ```text
//!   trap ─► attempt it at once ──done──► back to user mode
//!               │ what is missing: a page, bytes in a pipe, room ...
//!               ▼
//!           await that, attempt again; or await the call's general handler, an `async fn`
//! ```
//!
//! An attempt is a plain function ([`attempt`]): no future, no queue, no heap. General handlers are boxed, each in as
//! much as it needs, so that the future of a waiting thread stays small.
//!
//! The handlers are in one file per area; their names are those of the man pages. Where to start reading: [`start`] and
//! [`finish`], then [`mod@attempt`]; [`user_memory`](crate::user_memory) is how all of them reach the program's memory.

#![allow(non_upper_case_globals, reason = "the numbers have the names that Linux's headers give them")]

pub mod attempt;
pub mod clock;
pub mod descriptor;
pub mod socket;
pub mod system;
pub mod uring;

mod adjust;
mod aio;
mod barrier;
mod capability;
mod directory;
mod epoll;
mod event_files;
mod file_owner;
mod handle;
mod identity;
mod ipc;
mod lock;
mod memory;
mod memory_policy;
mod metadata;
mod mount;
mod open;
mod poll;
mod prctl;
mod process;
mod process_file;
mod process_memory;
mod ptrace;
mod read_write;
mod schedule;
mod seccomp;
mod signal;
mod splice;
mod thread;
mod timer;
mod vectored;
mod xattr;

use alloc::boxed::Box;
use core::{
    future::{Future, ready},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
};

use linux_raw_sys::general::*;
use syscalls::{Errno, Sysno};

use attempt::{Attempt, Pause, attempt};

use crate::{
    arch::user::UserContext,
    file::lookup::CWD,
    process::{
        Caller,
        run::suspending,
        signal::{SigInfo, numbers::SIGSEGV, send},
    },
    user_memory::SysResult,
};
use ipc::{messages, queues, segments, semaphores};
use read_write::Direction;
use socket::{message, options};
use xattr::Subject;

/// The arguments of a call, in order.
type Arguments = [usize; 6];

/// Leaves the result of an attempt in the registers, or says what to wait for before the next. `moved` is what the
/// attempts have moved together.
#[inline]
pub fn conclude(context: &mut UserContext, outcome: Attempt, moved: usize) -> Option<Pause> {
    let result = match outcome {
        Ok(value) => Ok(value),
        // What was moved before the interruption, or before the bad page, counts.
        Err(Pause::Failed(_)) if moved > 0 => Ok(moved),
        Err(Pause::Failed(errno)) => Err(errno),
        Err(pause) => return Some(pause),
    };
    context.rax = encode(result);
    None
}

/// Attempts a call again that waited for a page of user memory.
pub fn retry(
    caller: &mut Caller,
    context: &mut UserContext,
    found: Result<(), Errno>,
    moved: &mut usize,
) -> Attempt {
    if found.is_err() {
        vectored::forget(caller);
        if context.orig_rax as u32 == __NR_rt_sigreturn {
            // There is no frame to return from, which is a fault like that of an instruction.
            send::force(&caller.thread, SigInfo::kernel(SIGSEGV));
        }
    }
    found?;
    attempt(caller, context, moved)
}

/// What a call's result register shows before it has one.
pub fn unserved() -> u64 {
    encode(Err(Errno::ENOSYS))
}

fn encode(result: SysResult) -> u64 {
    match result {
        Ok(value) => value as u64,
        Err(errno) => (-i64::from(errno.into_raw())) as u64,
    }
}

pub use clock::sleep_interrupted;
pub use epoll::{ended as epoll_ended, told as epoll_told};
pub use poll::{Unanswered, ended as poll_ended};
pub use signal::signal_awaited;
pub use thread::futex_ended;

/// Whether a call leaves something new behind in the kernel's own memory, which must not run out.
fn makes_something(number: u32) -> bool {
    matches!(
        number,
        __NR_open
            | __NR_openat
            | __NR_openat2
            | __NR_creat
            | __NR_memfd_create
            | __NR_mkdir
            | __NR_mkdirat
            | __NR_mknod
            | __NR_mknodat
            | __NR_symlink
            | __NR_symlinkat
            | __NR_link
            | __NR_linkat
            | __NR_pipe
            | __NR_pipe2
            | __NR_socket
            | __NR_socketpair
            | __NR_bind
            | __NR_connect
            | __NR_accept
            | __NR_accept4
            | __NR_epoll_create
            | __NR_epoll_create1
            | __NR_epoll_ctl
            | __NR_io_setup
            | __NR_io_submit
            | __NR_io_uring_setup
            | __NR_io_uring_register
            | __NR_eventfd
            | __NR_eventfd2
            | __NR_alarm
            | __NR_setitimer
            | __NR_timer_create
            | __NR_timer_settime
            | __NR_timerfd_create
            | __NR_pidfd_open
            | __NR_pidfd_getfd
            | __NR_timerfd_settime
            | __NR_inotify_init
            | __NR_inotify_init1
            | __NR_inotify_add_watch
            | __NR_signalfd
            | __NR_signalfd4
            | __NR_setxattr
            | __NR_lsetxattr
            | __NR_fsetxattr
            | __NR_mount
            | __NR_shmget
            | __NR_shmat
            | __NR_semget
            | __NR_semop
            | __NR_semtimedop
            | __NR_msgget
            | __NR_msgsnd
            | __NR_mmap
            | __NR_mprotect
            | __NR_mremap
            | __NR_rt_sigqueueinfo
    )
}

/// What a general handler did.
pub enum Ending {
    /// The call has this result.
    Result(SysResult),
    /// It has set all registers.
    Registers,
    /// It ended the thread.
    Exit,
}

/// Memory is short: waits until there is enough for a call's general handler.
///
/// # Errors
/// ENOMEM, see [`claim`](crate::memory::claim).
pub fn admitted(number: u32) -> impl Future<Output = Result<(), Errno>> + Send {
    let is_enough: fn() -> bool = match number {
        // They give memory back.
        __NR_exit | __NR_exit_group | __NR_close | __NR_dup2 | __NR_dup3 => || true,
        _ if makes_something(number) => || !crate::memory::is_short(),
        // A handler has a box of its own.
        _ => || crate::memory::check_wait().is_ok(),
    };
    crate::memory::claim_until(is_enough)
}

/// Serves a call through its general handler, after it was [admitted]. `moved` is what attempts have done of it.
#[allow(clippy::manual_async_fn, reason = "it would be larger")]
pub fn general<'a>(
    caller: &'a mut Caller,
    context: &'a mut UserContext,
    moved: usize,
) -> impl Future<Output = Ending> + Send + use<'a> {
    async move {
        let number = context.orig_rax as u32;
        let arguments = [context.rdi, context.rsi, context.rdx, context.r10, context.r8, context.r9];
        let arguments = arguments.map(|argument| argument as usize);
        match number {
            __NR_exit | __NR_exit_group => {
                context.suspend();
                match number {
                    __NR_exit => process::exit(caller, arguments[0]),
                    _ => process::exit_group(caller, arguments[0]),
                }
                Ending::Exit
            }
            __NR_clone | __NR_clone3 | __NR_fork | __NR_vfork | __NR_execve | __NR_execveat
            | __NR_arch_prctl | __NR_sigaltstack => {
                context.suspend();
                let result = register_handler(caller, context, number, arguments).await;
                match number {
                    __NR_execve | __NR_execveat if result.is_ok() => Ending::Registers,
                    _ => Ending::Result(result),
                }
            }
            number => Ending::Result(suspending(context, handler(caller, number, arguments, moved)).await),
        }
    }
}

/// The calls that need more of the registers than their arguments.
fn register_handler<'a>(
    caller: &'a mut Caller,
    context: &'a mut UserContext,
    number: u32,
    a: Arguments,
) -> Handler<'a> {
    match number {
        __NR_clone => Box::pin(thread::clone(caller, context, a[0], a[1], a[2], a[3], a[4])),
        __NR_clone3 => Box::pin(thread::clone3(caller, context, a[0], a[1])),
        __NR_fork => Box::pin(process::fork(caller, context)),
        __NR_vfork => Box::pin(process::vfork(caller, context)),
        __NR_execve => Box::pin(process::execve(caller, context, a[0], a[1], a[2])),
        __NR_execveat => {
            Box::pin(process::execveat(caller, context, a[0] as i32, a[1], a[2], a[3], a[4] as u32))
        }
        __NR_arch_prctl => Box::pin(thread::arch_prctl(caller, context, a[0], a[1])),
        _ => Box::pin(signal::sigaltstack(caller, context.rsp, a[0], a[1])),
    }
}

/// A handler that has begun, or is about to: as large as this one call needs, so that a thread costs no more while it
/// waits.
type Handler<'a> = Pin<Box<dyn Future<Output = SysResult> + Send + 'a>>;

/// All other calls.
fn handler(caller: &mut Caller, number: u32, a: Arguments, moved: usize) -> Handler<'_> {
    let fd = a[0] as i32;
    let pieces = (a[1], a[2] as u32, moved);
    match number {
        // Bytes.
        __NR_read => Box::pin(read_write::read(caller, fd, a[1], a[2])),
        __NR_write => Box::pin(read_write::write(caller, fd, a[1], a[2])),
        __NR_pread64 => Box::pin(read_write::pread64(caller, fd, a[1], a[2], a[3] as i64)),
        __NR_pwrite64 => Box::pin(read_write::pwrite64(caller, fd, a[1], a[2], a[3] as i64)),
        __NR_readv => Box::pin(read_write::vectored(caller, fd, pieces, -1, 0, Direction::Read)),
        __NR_writev => Box::pin(read_write::vectored(caller, fd, pieces, -1, 0, Direction::Write)),
        __NR_preadv => Box::pin(read_write::vectored_at(caller, fd, pieces, a[3] as i64, Direction::Read)),
        __NR_pwritev => Box::pin(read_write::vectored_at(caller, fd, pieces, a[3] as i64, Direction::Write)),
        __NR_lseek => Box::pin(read_write::lseek(caller, fd, a[1] as i64, a[2])),
        __NR_preadv2 => {
            let how = (a[3] as i64, a[5] as u32);
            Box::pin(read_write::vectored_with(caller, fd, pieces, how, Direction::Read))
        }
        __NR_pwritev2 => {
            let how = (a[3] as i64, a[5] as u32);
            Box::pin(read_write::vectored_with(caller, fd, pieces, how, Direction::Write))
        }
        __NR_copy_file_range => {
            let (from, to) = ((fd, a[1]), (a[2] as i32, a[3]));
            Box::pin(splice::copy_file_range(caller, from, to, a[4], a[5] as u32))
        }
        __NR_splice => Box::pin(splice::splice(caller, (fd, a[1]), (a[2] as i32, a[3]), a[4], a[5] as u32)),
        __NR_tee => Box::pin(splice::tee(caller, fd, a[1] as i32, a[2], a[3] as u32)),
        __NR_vmsplice => Box::pin(splice::vmsplice(caller, fd, a[1], a[2], a[3] as u32)),
        __NR_sendfile => Box::pin(splice::sendfile(caller, fd, a[1] as i32, a[2], a[3])),

        // Descriptors.
        __NR_open => Box::pin(open::openat(caller, CWD, a[0], a[1] as u32, a[2] as u32)),
        __NR_openat => Box::pin(open::openat(caller, fd, a[1], a[2] as u32, a[3] as u32)),
        __NR_openat2 => Box::pin(open::openat2(caller, fd, a[1], a[2], a[3])),
        __NR_memfd_create => Box::pin(open::memfd_create(caller, a[0], a[1] as u32)),
        __NR_creat => Box::pin(open::openat(caller, CWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1] as u32)),
        __NR_fcntl if lock::is_command(a[1] as u32) => Box::pin(lock::fcntl(caller, fd, a[1] as u32, a[2])),
        __NR_fcntl if file_owner::is_command(a[1] as u32) => {
            Box::pin(file_owner::fcntl(caller, fd, a[1] as u32, a[2]))
        }
        // Done at once, but where memory is short.
        __NR_fcntl => Box::pin(descriptor::fcntl_with_memory(caller, fd, a[1] as u32, a[2])),
        __NR_flock => Box::pin(lock::flock(caller, fd, a[1] as u32)),
        __NR_ioctl => Box::pin(descriptor::ioctl(caller, fd, a[1] as u32, a[2])),
        __NR_close => Box::pin(descriptor::close_settled(caller, fd)),
        __NR_dup2 => Box::pin(descriptor::dup2_settled(caller, fd, a[1] as i32)),
        __NR_dup3 => Box::pin(descriptor::dup3_settled(caller, fd, a[1] as i32, a[2] as u32)),
        __NR_close_range => Box::pin(descriptor::close_range(caller, a[0], a[1], a[2])),
        __NR_pipe => Box::pin(descriptor::pipe2(caller, a[0], 0)),
        __NR_pipe2 => Box::pin(descriptor::pipe2(caller, a[0], a[1] as u32)),
        __NR_epoll_create => Box::pin(ready(epoll::create(caller, a[0] as i32))),
        __NR_epoll_create1 => Box::pin(ready(epoll::create1(caller, a[0] as u32))),
        __NR_epoll_ctl => Box::pin(epoll::control(caller, fd, a[1] as u32, a[2] as i32, a[3])),
        __NR_timerfd_create => Box::pin(ready(event_files::timerfd_create(caller, a[0] as u32, a[1] as u32))),
        __NR_timerfd_settime => Box::pin(event_files::timerfd_settime(caller, fd, a[1] as u32, a[2], a[3])),
        __NR_signalfd => Box::pin(event_files::signalfd4(caller, fd, a[1], a[2], 0)),
        __NR_signalfd4 => Box::pin(event_files::signalfd4(caller, fd, a[1], a[2], a[3] as u32)),
        __NR_eventfd => Box::pin(ready(event_files::eventfd2(caller, a[0] as u32, 0))),
        __NR_eventfd2 => Box::pin(ready(event_files::eventfd2(caller, a[0] as u32, a[1] as u32))),
        __NR_inotify_init => Box::pin(ready(event_files::inotify_init1(caller, 0))),
        __NR_inotify_init1 => Box::pin(ready(event_files::inotify_init1(caller, a[0] as u32))),
        __NR_inotify_add_watch => Box::pin(event_files::inotify_add_watch(caller, fd, a[1], a[2] as u32)),
        __NR_inotify_rm_watch => Box::pin(ready(event_files::inotify_rm_watch(caller, fd, a[1] as i32))),
        __NR_poll | __NR_ppoll | __NR_select | __NR_pselect6 => Box::pin(poll::call(caller, number, a)),

        // Rings.
        __NR_io_uring_setup => Box::pin(uring::setup(caller, a[0] as u32, a[1])),
        __NR_io_uring_enter => {
            let (count, least, flags) = (a[1] as u32, a[2] as u32, a[3] as u32);
            Box::pin(uring::enter(caller, fd, (count, moved as u32), least, flags, (a[4], a[5])))
        }
        __NR_io_uring_register => Box::pin(uring::register(caller, fd, a[1] as u32, a[2], a[3] as u32)),

        // Asynchronous transfers.
        __NR_io_setup => Box::pin(aio::setup(caller, a[0] as u32, a[1])),
        __NR_io_destroy => Box::pin(aio::destroy(caller, a[0])),
        __NR_io_submit => Box::pin(aio::submit(caller, a[0], a[1] as isize, a[2])),
        __NR_io_cancel => Box::pin(aio::cancel(caller, a[0], a[1])),
        __NR_io_getevents => {
            Box::pin(aio::get_events(caller, a[0], (a[1] as isize, a[2] as isize), a[3], a[4]))
        }
        __NR_io_pgetevents => {
            let range = (a[1] as isize, a[2] as isize);
            Box::pin(aio::get_events_masked(caller, a[0], range, a[3], a[4], a[5]))
        }

        // Sockets.
        __NR_socket => Box::pin(socket::socket(caller, fd, a[1] as u32, a[2] as i32)),
        __NR_socketpair => Box::pin(socket::socketpair(caller, fd, a[1] as u32, a[2] as i32, a[3])),
        __NR_bind => Box::pin(socket::bind(caller, fd, a[1], a[2] as i32)),
        __NR_listen => Box::pin(ready(socket::listen(caller, fd, a[1] as u32))),
        __NR_accept => Box::pin(socket::accept4(caller, fd, a[1], a[2], 0)),
        __NR_accept4 => Box::pin(socket::accept4(caller, fd, a[1], a[2], a[3] as u32)),
        __NR_connect => Box::pin(socket::connect(caller, fd, a[1], a[2] as i32)),
        __NR_shutdown => Box::pin(ready(socket::shutdown(caller, fd, a[1] as u32))),
        __NR_sendto => Box::pin(message::sendto(caller, fd, (a[1], a[2]), a[3] as u32, a[4], a[5] as i32)),
        __NR_sendmsg => Box::pin(message::sendmsg(caller, fd, a[1], a[2] as u32)),
        __NR_sendmmsg => Box::pin(message::sendmmsg(caller, fd, a[1], a[2] as u32, a[3] as u32)),
        __NR_recvfrom => Box::pin(message::recvfrom(caller, fd, (a[1], a[2]), a[3] as u32, a[4], a[5])),
        __NR_recvmsg => Box::pin(message::recvmsg(caller, fd, a[1], a[2] as u32)),
        __NR_recvmmsg => Box::pin(message::recvmmsg(caller, fd, a[1], a[2] as u32, a[3] as u32, a[4])),
        __NR_setsockopt => {
            Box::pin(options::setsockopt(caller, fd, a[1] as i32, a[2] as u32, a[3], a[4] as i32))
        }

        // Sizes and stable storage.
        __NR_truncate => Box::pin(open::truncate(caller, a[0], a[1] as i64)),
        __NR_ftruncate => Box::pin(open::ftruncate(caller, fd, a[1] as i64)),
        __NR_fallocate => Box::pin(open::fallocate(caller, fd, a[1] as u32, a[2] as i64, a[3] as i64)),
        __NR_fsync => Box::pin(open::fsync(caller, fd, false)),
        __NR_fdatasync => Box::pin(open::fsync(caller, fd, true)),
        __NR_sync => Box::pin(open::sync()),
        __NR_syncfs => Box::pin(open::syncfs(caller, fd)),
        __NR_readahead => Box::pin(ready(open::readahead(caller, fd, a[1] as i64, a[2]))),
        __NR_sync_file_range => {
            Box::pin(open::sync_file_range(caller, fd, a[1] as i64, a[2] as i64, a[3] as u32))
        }
        __NR_fadvise64 => Box::pin(open::fadvise64(caller, fd, a[1] as i64, a[2] as i64, a[3] as u32)),

        // Names.
        __NR_mkdir => Box::pin(directory::mkdirat(caller, CWD, a[0], a[1] as u32)),
        __NR_mkdirat => Box::pin(directory::mkdirat(caller, fd, a[1], a[2] as u32)),
        __NR_mknod => Box::pin(directory::mknodat(caller, CWD, a[0], a[1] as u32, a[2] as u64)),
        __NR_mknodat => Box::pin(directory::mknodat(caller, fd, a[1], a[2] as u32, a[3] as u64)),
        __NR_symlink => Box::pin(directory::symlinkat(caller, a[0], CWD, a[1])),
        __NR_symlinkat => Box::pin(directory::symlinkat(caller, a[0], a[1] as i32, a[2])),
        __NR_unlink => Box::pin(directory::unlinkat(caller, CWD, a[0], 0)),
        __NR_rmdir => Box::pin(directory::unlinkat(caller, CWD, a[0], AT_REMOVEDIR)),
        __NR_unlinkat => Box::pin(directory::unlinkat(caller, fd, a[1], a[2] as u32)),
        __NR_link => Box::pin(directory::linkat(caller, CWD, a[0], CWD, a[1], 0)),
        __NR_linkat => Box::pin(directory::linkat(caller, fd, a[1], a[2] as i32, a[3], a[4] as u32)),
        __NR_rename => Box::pin(directory::renameat2(caller, CWD, a[0], CWD, a[1], 0)),
        __NR_renameat => Box::pin(directory::renameat2(caller, fd, a[1], a[2] as i32, a[3], 0)),
        __NR_renameat2 => Box::pin(directory::renameat2(caller, fd, a[1], a[2] as i32, a[3], a[4] as u32)),
        __NR_readlink => Box::pin(directory::readlinkat(caller, CWD, a[0], a[1], a[2] as i32)),
        __NR_readlinkat => Box::pin(directory::readlinkat(caller, fd, a[1], a[2], a[3] as i32)),
        __NR_getdents => Box::pin(directory::getdents(caller, fd, a[1], a[2], directory::Layout::Old)),
        __NR_getdents64 => Box::pin(directory::getdents(caller, fd, a[1], a[2], directory::Layout::New)),
        __NR_chdir => Box::pin(directory::chdir(caller, a[0])),
        __NR_fchdir => Box::pin(ready(directory::fchdir(caller, fd))),
        __NR_chroot => Box::pin(directory::chroot(caller, a[0])),
        __NR_getcwd => Box::pin(directory::getcwd(caller, a[0], a[1])),
        __NR_mount => Box::pin(mount::mount(caller, a[0], a[1], a[2], a[3] as u32, a[4])),
        __NR_umount2 => Box::pin(mount::umount2(caller, a[0], a[1] as u32)),
        __NR_pivot_root => Box::pin(mount::pivot_root(caller, a[0], a[1])),

        // Attributes.
        __NR_stat => Box::pin(metadata::newfstatat(caller, CWD, a[0], a[1], 0)),
        __NR_lstat => Box::pin(metadata::newfstatat(caller, CWD, a[0], a[1], AT_SYMLINK_NOFOLLOW)),
        __NR_newfstatat => Box::pin(metadata::newfstatat(caller, fd, a[1], a[2], a[3] as u32)),
        __NR_fstat => Box::pin(metadata::fstat(caller, fd, a[1])),
        __NR_statx => Box::pin(metadata::statx(caller, fd, a[1], a[2] as u32, a[3] as u32, a[4])),
        __NR_access => Box::pin(metadata::faccessat(caller, CWD, a[0], a[1] as u32, 0)),
        __NR_faccessat => Box::pin(metadata::faccessat(caller, fd, a[1], a[2] as u32, 0)),
        __NR_faccessat2 => Box::pin(metadata::faccessat(caller, fd, a[1], a[2] as u32, a[3] as u32)),
        __NR_chmod => Box::pin(metadata::fchmodat(caller, CWD, a[0], a[1] as u32, 0)),
        __NR_fchmod => Box::pin(metadata::fchmod(caller, fd, a[1] as u32)),
        __NR_fchmodat => Box::pin(metadata::fchmodat(caller, fd, a[1], a[2] as u32, 0)),
        __NR_chown => Box::pin(metadata::fchownat(caller, CWD, a[0], a[1] as u32, a[2] as u32, 0)),
        __NR_lchown => {
            Box::pin(metadata::fchownat(caller, CWD, a[0], a[1] as u32, a[2] as u32, AT_SYMLINK_NOFOLLOW))
        }
        __NR_fchown => Box::pin(metadata::fchown(caller, fd, a[1] as u32, a[2] as u32)),
        __NR_fchownat => {
            Box::pin(metadata::fchownat(caller, fd, a[1], a[2] as u32, a[3] as u32, a[4] as u32))
        }
        __NR_utime => Box::pin(metadata::utime(caller, a[0], a[1])),
        __NR_utimes => Box::pin(metadata::utimes(caller, CWD, a[0], a[1])),
        __NR_futimesat => Box::pin(metadata::utimes(caller, fd, a[1], a[2])),
        __NR_utimensat => Box::pin(metadata::utimensat(caller, fd, a[1], a[2], a[3] as u32)),
        __NR_name_to_handle_at => {
            Box::pin(handle::name_to_handle_at(caller, fd, a[1], a[2], a[3], a[4] as u32))
        }
        __NR_open_by_handle_at => Box::pin(handle::open_by_handle_at(caller, fd, a[1], a[2] as u32)),
        __NR_statfs => Box::pin(metadata::statfs(caller, a[0], a[1])),
        __NR_fstatfs => Box::pin(metadata::fstatfs(caller, fd, a[1])),
        __NR_getxattr => Box::pin(xattr::getxattr(caller, Subject::Path(a[0]), a[1], a[2], a[3])),
        __NR_lgetxattr => Box::pin(xattr::getxattr(caller, Subject::Link(a[0]), a[1], a[2], a[3])),
        __NR_fgetxattr => Box::pin(xattr::getxattr(caller, Subject::Descriptor(fd), a[1], a[2], a[3])),
        __NR_listxattr => Box::pin(xattr::listxattr(caller, Subject::Path(a[0]), a[1], a[2])),
        __NR_llistxattr => Box::pin(xattr::listxattr(caller, Subject::Link(a[0]), a[1], a[2])),
        __NR_flistxattr => Box::pin(xattr::listxattr(caller, Subject::Descriptor(fd), a[1], a[2])),
        __NR_setxattr => {
            Box::pin(xattr::setxattr(caller, Subject::Path(a[0]), a[1], a[2], a[3], a[4] as u32))
        }
        __NR_lsetxattr => {
            Box::pin(xattr::setxattr(caller, Subject::Link(a[0]), a[1], a[2], a[3], a[4] as u32))
        }
        __NR_fsetxattr => {
            Box::pin(xattr::setxattr(caller, Subject::Descriptor(fd), a[1], a[2], a[3], a[4] as u32))
        }
        __NR_removexattr => Box::pin(xattr::removexattr(caller, Subject::Path(a[0]), a[1])),
        __NR_lremovexattr => Box::pin(xattr::removexattr(caller, Subject::Link(a[0]), a[1])),
        __NR_fremovexattr => Box::pin(xattr::removexattr(caller, Subject::Descriptor(fd), a[1])),

        // Memory.
        __NR_mmap => Box::pin(memory::mmap(caller, a[0], a[1], a[2] as u32, a[3] as u32, a[4] as i32, a[5])),
        __NR_munmap => Box::pin(memory::munmap(caller, a[0], a[1])),
        __NR_mprotect => Box::pin(memory::mprotect(caller, a[0], a[1], a[2] as u32)),
        __NR_mremap => Box::pin(memory::mremap(caller, a[0], a[1], a[2], a[3] as u32, a[4])),
        __NR_remap_file_pages => {
            Box::pin(memory::remap_file_pages(caller, a[0], a[1], a[2] as u32, a[3], a[4] as u32))
        }
        __NR_madvise => Box::pin(memory::madvise(caller, a[0], a[1], a[2] as u32)),
        __NR_msync => Box::pin(memory::msync(caller, a[0], a[1], a[2] as u32)),
        __NR_mlock => Box::pin(memory::mlock(caller, a[0], a[1])),
        __NR_mlock2 => Box::pin(memory::mlock2(caller, a[0], a[1], a[2] as u32)),
        __NR_munlock => Box::pin(memory::munlock(caller, a[0], a[1])),
        __NR_mlockall => Box::pin(memory::mlockall(caller, a[0] as u32)),
        __NR_munlockall => Box::pin(memory::munlockall(caller)),
        __NR_pkey_alloc => Box::pin(ready(memory::pkey_alloc(a[0], a[1]))),
        __NR_pkey_free => Box::pin(ready(Err(Errno::EINVAL))),
        __NR_pkey_mprotect => Box::pin(memory::pkey_mprotect(caller, a[0], a[1], a[2] as u32, a[3] as i32)),
        __NR_mincore => Box::pin(memory::mincore(caller, a[0], a[1], a[2])),
        __NR_brk => Box::pin(memory::brk(caller, a[0])),
        __NR_mbind => {
            Box::pin(memory_policy::mbind(caller, (a[0], a[1]), a[2] as u32, (a[3], a[4]), a[5] as u32))
        }
        __NR_set_mempolicy => Box::pin(memory_policy::set_mempolicy(caller, a[0] as u32, a[1], a[2])),
        __NR_get_mempolicy => {
            Box::pin(memory_policy::get_mempolicy(caller, a[0], (a[1], a[2]), a[3], a[4] as u32))
        }
        __NR_set_mempolicy_home_node => {
            Box::pin(memory_policy::set_mempolicy_home_node(caller, a[0], a[1], a[2], a[3]))
        }
        __NR_migrate_pages => Box::pin(memory_policy::migrate_pages(caller, a[0] as u32, a[1], a[2], a[3])),
        __NR_move_pages => {
            let arrays = (a[2], a[3], a[4]);
            Box::pin(memory_policy::move_pages(caller, a[0] as u32, a[1], arrays, a[5] as u32))
        }

        // Who one is.
        __NR_capget => Box::pin(capability::capget(caller, a[0], a[1])),
        __NR_capset => Box::pin(capability::capset(caller, a[0], a[1])),
        __NR_setgroups => Box::pin(identity::setgroups(caller, a[0], a[1])),

        // Processes and threads.
        __NR_vhangup => Box::pin(ready(identity::vhangup(caller))),
        __NR_wait4 => Box::pin(process::wait4(caller, a[0] as i32, a[1], a[2] as u32, a[3])),
        __NR_waitid => Box::pin(process::waitid(caller, a[0] as u32, a[1], a[2], a[3] as u32, a[4])),
        __NR_pidfd_open => Box::pin(ready(process_file::pidfd_open(caller, a[0] as i32, a[1] as u32))),
        __NR_pidfd_send_signal => {
            Box::pin(process_file::pidfd_send_signal(caller, fd, a[1], a[2], a[3] as u32))
        }
        __NR_pidfd_getfd => Box::pin(ready(process_file::pidfd_getfd(caller, fd, a[1] as i32, a[2] as u32))),
        __NR_unshare => Box::pin(process::unshare(caller, a[0] as u32)),
        __NR_setns => Box::pin(ready(process::setns(caller, fd))),
        __NR_kcmp => {
            let which = (a[0] as i32, a[1] as i32);
            Box::pin(ready(process_file::kcmp(caller, which, a[2] as u32, (a[3], a[4]))))
        }
        __NR_process_madvise => {
            Box::pin(process_file::process_madvise(caller, fd, (a[1], a[2]), a[3] as u32, a[4] as u32))
        }
        __NR_prlimit64 => Box::pin(process::prlimit64(caller, a[0] as i32, a[1] as u32, a[2], a[3])),
        __NR_setrlimit => Box::pin(process::setrlimit(caller, a[0] as u32, a[1])),
        __NR_get_robust_list => Box::pin(thread::get_robust_list(caller, a[0] as i32, a[1], a[2])),
        __NR_process_vm_readv => Box::pin(process_memory::process_vm_readv(caller, a)),
        __NR_process_vm_writev => Box::pin(process_memory::process_vm_writev(caller, a)),
        __NR_ptrace => Box::pin(ptrace::ptrace(caller, a[0], a[1], a[2], a[3])),
        __NR_seccomp => Box::pin(seccomp::seccomp(caller, a[0] as u32, a[1] as u32, a[2])),
        __NR_prctl => Box::pin(prctl::prctl(caller, a[0] as u32, [a[1], a[2], a[3], a[4]])),
        __NR_futex_waitv => {
            Box::pin(thread::futex_waitv(caller, a[0], a[1] as u32, a[2] as u32, a[3], a[4] as u32))
        }
        __NR_futex => {
            Box::pin(thread::futex(caller, a[0], a[1] as u32, a[2] as u32, a[3], a[4], a[5] as u32))
        }
        __NR_sched_rr_get_interval => Box::pin(schedule::sched_rr_get_interval(caller, a[0] as i32, a[1])),
        __NR_sched_setscheduler => {
            Box::pin(schedule::sched_setscheduler(caller, a[0] as i32, Some(a[1] as i32), a[2]))
        }
        __NR_sched_setparam => Box::pin(schedule::sched_setscheduler(caller, a[0] as i32, None, a[1])),
        __NR_sched_setattr => Box::pin(schedule::sched_setattr(caller, a[0] as i32, a[1], a[2] as u32)),
        __NR_sched_getattr => Box::pin(schedule::sched_getattr(caller, a[0] as i32, a[1], a[2], a[3] as u32)),
        __NR_ioprio_set => Box::pin(ready(schedule::ioprio_set(caller, a[0], a[1] as u32, a[2] as u32))),
        __NR_ioprio_get => Box::pin(ready(schedule::ioprio_get(caller, a[0], a[1] as u32))),
        __NR_sched_setaffinity => Box::pin(schedule::sched_setaffinity(caller, a[0] as i32, a[1], a[2])),
        __NR_membarrier => Box::pin(barrier::membarrier(caller, a[0] as i32, a[1] as u32, a[2] as i32)),

        // System V IPC.
        __NR_shmget => Box::pin(ready(segments::shmget(caller, a[0] as i32, a[1], a[2] as u32))),
        __NR_shmat => Box::pin(segments::shmat(caller, a[0] as i32, a[1], a[2] as u32)),
        __NR_shmdt => Box::pin(segments::shmdt(caller, a[0])),
        __NR_shmctl => Box::pin(segments::shmctl(caller, a[0] as i32, a[1] as i32, a[2])),
        __NR_semget => Box::pin(ready(semaphores::semget(caller, a[0] as i32, a[1] as i32, a[2] as u32))),
        __NR_semop => Box::pin(semaphores::semtimedop(caller, a[0] as i32, a[1], a[2], 0)),
        __NR_semtimedop => Box::pin(semaphores::semtimedop(caller, a[0] as i32, a[1], a[2], a[3])),
        __NR_semctl => Box::pin(semaphores::semctl(caller, a[0] as i32, a[1] as i32, a[2] as i32, a[3])),
        __NR_msgget => Box::pin(ready(messages::msgget(caller, a[0] as i32, a[1] as u32))),
        __NR_msgsnd => Box::pin(messages::msgsnd(caller, a[0] as i32, a[1], a[2], a[3] as u32)),
        __NR_msgrcv => Box::pin(messages::msgrcv(caller, a[0] as i32, a[1], a[2], a[3] as i64, a[4] as u32)),
        __NR_msgctl => Box::pin(messages::msgctl(caller, a[0] as i32, a[1] as i32, a[2])),

        // Queues by name.
        __NR_mq_open => Box::pin(queues::mq_open(caller, a[0], a[1] as u32, a[2] as u32, a[3])),
        __NR_mq_unlink => Box::pin(queues::mq_unlink(caller, a[0])),
        __NR_mq_timedsend => Box::pin(queues::mq_timedsend(caller, fd, [a[1], a[2]], a[3] as u32, a[4])),
        __NR_mq_timedreceive => Box::pin(queues::mq_timedreceive(caller, fd, [a[1], a[2]], a[3], a[4])),
        __NR_mq_notify => Box::pin(queues::mq_notify(caller, fd, a[1])),
        __NR_mq_getsetattr => Box::pin(queues::mq_getsetattr(caller, fd, a[1], a[2])),

        // Signals.
        __NR_rt_sigqueueinfo => Box::pin(signal::rt_sigqueueinfo(caller, a[0] as i32, a[1], a[2])),
        __NR_rt_tgsigqueueinfo => {
            Box::pin(signal::rt_tgsigqueueinfo(caller, a[0] as i32, a[1] as i32, a[2], a[3]))
        }
        // It has taken the signal already.
        __NR_rt_sigtimedwait => Box::pin(signal::tell_later(caller, a[1])),

        // Time.
        __NR_clock_settime => Box::pin(clock::clock_settime(caller, a[0], a[1])),
        __NR_nanosleep => Box::pin(clock::sleep_ended(caller)),
        __NR_clock_nanosleep => Box::pin(clock::clock_sleep_ended(caller, a)),
        __NR_restart_syscall => Box::pin(clock::restart_syscall(caller, a)),
        __NR_adjtimex => Box::pin(adjust::adjtimex(caller, a[0])),
        __NR_clock_adjtime => Box::pin(adjust::clock_adjtime(caller, a[0] as u32, a[1])),
        __NR_settimeofday => Box::pin(clock::settimeofday(caller, a[0])),
        // Done at once, but where memory is short.
        __NR_alarm => Box::pin(ready(timer::alarm(caller, a[0] as u32))),
        __NR_setitimer => Box::pin(timer::setitimer(caller, a[0] as u32, a[1], a[2])),
        __NR_timer_create => Box::pin(timer::timer_create(caller, a[0] as i32, a[1], a[2])),
        __NR_timer_settime => Box::pin(timer::timer_settime(caller, a[0] as i32, a[1] as u32, a[2], a[3])),

        // The machine.
        __NR_sethostname => Box::pin(system::set_name(caller, a[0], a[1], system::HOST)),
        __NR_setdomainname => Box::pin(system::set_name(caller, a[0], a[1], system::DOMAIN)),
        __NR_getrandom => Box::pin(system::getrandom(caller, a[0], a[1], a[2] as u32)),
        __NR_syslog => Box::pin(system::syslog(caller, a[0], a[1], a[2] as i32)),
        __NR_iopl => Box::pin(ready(system::iopl(a[0] as u32))),
        __NR_ioperm => Box::pin(ready(system::ioperm(a[0], a[1], a[2] as i32))),
        __NR_reboot => Box::pin(system::reboot(caller, a[0] as u32, a[1] as u32, a[2] as u32)),
        // A watched thread's are not answered by the entry code.
        other => match caller.thread.answers.get(other) {
            Some(answer) => Box::pin(ready(Ok(answer as usize))),
            None => Box::pin(ready(unknown_call(caller, other))),
        },
    }
}

/// A call that Rusk does not have: ENOSYS, and one line in the log for each number.
#[cold]
fn unknown_call(caller: &Caller, number: u32) -> SysResult {
    static SEEN: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
    let first = match SEEN.get(number as usize / 64) {
        Some(word) => word.fetch_or(1 << (number % 64), Ordering::Relaxed) & (1 << (number % 64)) == 0,
        None => false,
    };
    if first {
        let name = Sysno::new(number as usize).map_or("?", |call| call.name());
        log::warn!("{}: unknown system call {number} ({name})", caller.thread);
    }
    Err(Errno::ENOSYS)
}
