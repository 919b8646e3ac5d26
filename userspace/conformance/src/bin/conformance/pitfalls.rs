//! What programs may try and kernels have died of: each of these panics Biscuit (Cutler, Kaashoek and Morris, "The benefits
//! and costs of writing a POSIX kernel in a high-level language", OSDI 2018), by trial or by its source. Here they get an
//! answer.

use crate::check::{in_child, outcome, path, show, sys, value};
use std::io::Write;
use std::sync::Barrier;
use std::thread;
use support::memory::{Anonymous, PAGE};
use support::pipe::{pipe, read, write};
use support::process::fork;

pub fn run() {
    lengths_and_offsets();
    signals();
    exec_beside_threads();
    a_segment_of_nothing();
    a_shared_file_after_fork();
    sockets();
    waiting();
    a_full_file_system();
}

fn lengths_and_offsets() {
    let ends = pipe().expect("a pipe");
    let reader = std::os::fd::AsRawFd::as_raw_fd(&ends.reader);
    write(&ends.writer, b"some").expect("room");
    for number in [1 << 20, i32::MAX as usize, usize::MAX] {
        outcome("dup2 far away", sys!(SYS_dup2, 0, number));
    }
    // The kernel writes no more than is in the pipe.
    let mut buffer = [0_u8; 16];
    value("read of -1 bytes", sys!(SYS_read, reader, buffer.as_mut_ptr(), -1_isize));
    let file = sys!(SYS_memfd_create, c"offsets".as_ptr(), 0).expect("a file");
    outcome("pread from -1", sys!(SYS_pread64, file, buffer.as_mut_ptr(), 4, -1_isize));
    outcome("pread of -1 bytes", sys!(SYS_pread64, file, buffer.as_mut_ptr(), -1_isize, 0));
    value("pwrite at 4 GiB", sys!(SYS_pwrite64, file, buffer.as_ptr(), 4, 4_usize << 30));
    value("pread there", sys!(SYS_pread64, file, buffer.as_mut_ptr(), 16, 4_usize << 30));
    outcome("pwrite at the end of all files", sys!(SYS_pwrite64, file, buffer.as_ptr(), 4, i64::MAX));
    let _ = sys!(SYS_close, file);
}

/// Each signal that ends or stops a process, or does not.
fn signals() {
    let mut ends = Vec::new();
    for signal in 1..=libc::SIGRTMAX() {
        let child = fork(|| {
            loop {
                // SAFETY: no memory is involved.
                unsafe { libc::pause() };
            }
        });
        let child = child.expect("fork");
        let _ = child.kill(signal);
        let _ = child.kill(libc::SIGCONT);
        // Whom the signal has not ended, this does.
        let _ = child.kill(libc::SIGKILL);
        ends.push(child.wait().is_ok());
    }
    show("signals whose targets could be waited for", ends.iter().filter(|end| **end).count());
}

fn exec_beside_threads() {
    let program = path("/usr/bin/nothing");
    in_child("exec beside seven threads", || {
        let all = &*Box::leak(Box::new(Barrier::new(8)));
        for _ in 0..7 {
            thread::spawn(|| {
                all.wait();
                thread::park();
            });
        }
        all.wait();
        let arguments = [program.as_ptr(), std::ptr::null()];
        let _ = sys!(SYS_execve, program.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr());
        1
    });
}

/// A program whose memory without contents is a segment of its own. It stores 7 there, and exits with what it finds.
fn a_segment_of_nothing() {
    const TEXT: u64 = 0x40_0000;
    const NOTHING: u64 = 0x50_0000;
    const HEADERS: usize = 64 + 2 * 56;
    let code = [
        0xc6, 0x04, 0x25, 0x08, 0, 0x50, 0, 7, // mov byte ptr [NOTHING + 8], 7
        0x0f, 0xb6, 0x3c, 0x25, 0x08, 0, 0x50, 0, // movzx edi, byte ptr [NOTHING + 8]
        0x03, 0x3c, 0x25, 0x10, 0, 0x50, 0, // add edi, [NOTHING + 16]
        0xb8, 60, 0, 0, 0, // mov eax, SYS_exit
        0x0f, 0x05, // syscall
    ];
    let size = (HEADERS + code.len()) as u64;
    let mut image = Vec::new();
    image.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    image.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]); // an executable for x86-64
    for word in [TEXT + HEADERS as u64, 64, 0] {
        image.extend_from_slice(&word.to_le_bytes());
    }
    for half in [0_u16, 0, 64, 56, 2, 0, 0, 0] {
        image.extend_from_slice(&half.to_le_bytes());
    }
    for (flags, address, in_file, in_memory) in [(5_u32, TEXT, size, size), (6, NOTHING, 0, 3 * PAGE as u64)]
    {
        image.extend_from_slice(&1_u32.to_le_bytes()); // PT_LOAD
        image.extend_from_slice(&flags.to_le_bytes());
        for word in [0, address, address, in_file, in_memory, PAGE as u64] {
            image.extend_from_slice(&word.to_le_bytes());
        }
    }
    image.extend_from_slice(&code);
    let file = sys!(SYS_memfd_create, c"program".as_ptr(), libc::MFD_CLOEXEC).expect("a file");
    // SAFETY: a fresh descriptor, which the file owns.
    let mut file: std::fs::File = unsafe { std::os::fd::FromRawFd::from_raw_fd(file as i32) };
    file.write_all(&image).expect("room");
    in_child("a segment of nothing", || {
        let none = [std::ptr::null::<u8>()];
        let file = std::os::fd::AsRawFd::as_raw_fd(&file);
        let refused =
            sys!(SYS_execveat, file, c"".as_ptr(), none.as_ptr(), none.as_ptr(), libc::AT_EMPTY_PATH);
        outcome("execveat", refused);
        1
    });
}

fn a_shared_file_after_fork() {
    let mut shared = Anonymous::map_shared(4 * PAGE).expect("memory");
    shared.touch();
    let at = shared.start();
    let child = fork(|| {
        // SAFETY: within the mapping, which both processes write byte by byte.
        (0..4).for_each(|page| unsafe { at.add(page * PAGE + 1).write_volatile(page as u8 + 1) });
        0
    });
    (0..4).for_each(|page| shared.bytes()[page * PAGE + 2] = 9);
    outcome("both write to shared memory", child.expect("fork").wait_success());
    let sum: u32 = shared.bytes().iter().map(|byte| u32::from(*byte)).sum();
    show("what both wrote", sum);
}

fn sockets() {
    let socket = |sort: i32| sys!(SYS_socket, libc::AF_UNIX, sort, 0).expect("a socket");
    let stream = socket(libc::SOCK_STREAM);
    let mut stat = [0_u8; 144];
    outcome("fstat of a socket", sys!(SYS_fstat, stream, stat.as_mut_ptr()));
    outcome("accept without listen", sys!(SYS_accept, stream, 0, 0));
    outcome("shutdown of what is not connected", sys!(SYS_shutdown, stream, libc::SHUT_RDWR));
    let mut number = 4_i32;
    let length = size_of::<i32>();
    for level in [libc::IPPROTO_TCP, libc::SOL_IP, 77] {
        outcome("getsockopt", sys!(SYS_getsockopt, stream, level, 1, &raw mut number, &raw const length));
        outcome("setsockopt", sys!(SYS_setsockopt, stream, level, 1, &raw const number, length));
    }
    number = 1 << 16;
    outcome(
        "SO_SNDBUF",
        sys!(SYS_setsockopt, stream, libc::SOL_SOCKET, libc::SO_SNDBUF, &raw const number, length),
    );
    let datagram = socket(libc::SOCK_DGRAM | libc::SOCK_NONBLOCK);
    outcome("recv without waiting", sys!(SYS_recvfrom, datagram, stat.as_mut_ptr(), 4, libc::MSG_PEEK, 0, 0));
    outcome("send to nobody", sys!(SYS_sendto, datagram, stat.as_ptr(), 4, libc::MSG_NOSIGNAL, 0, 0));
    // More who want to connect than the backlog has room for.
    let listener = socket(libc::SOCK_STREAM);
    let name = [1_u8, 0, 0, b'p', b'i', b't', b's'];
    outcome("bind", sys!(SYS_bind, listener, name.as_ptr(), name.len()));
    outcome("listen", sys!(SYS_listen, listener, 2));
    let callers: Vec<i64> = (0..5).map(|_| socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK)).collect();
    for caller in &callers {
        outcome("connect", sys!(SYS_connect, *caller, name.as_ptr(), name.len()));
    }
    for _ in 0..3 {
        let accepted = sys!(SYS_accept, listener, 0, 0).expect("somebody has connected");
        let _ = sys!(SYS_close, accepted);
    }
    for fd in callers.into_iter().chain([stream, datagram, listener]) {
        let _ = sys!(SYS_close, fd);
    }
}

fn waiting() {
    for (what, pid, options) in [
        ("wait4 without children", -1, libc::WUNTRACED | libc::WCONTINUED),
        ("wait4 for the group", 0, libc::WNOHANG),
        ("wait4 for a group that is not", i32::MIN + 1, libc::WNOHANG),
        ("wait4 for no number", i32::MIN, libc::WNOHANG),
        ("wait4 with bits", -1, 1 << 20),
    ] {
        outcome(what, sys!(SYS_wait4, pid, 0, options, 0));
    }
    let ends = pipe().expect("a pipe");
    let child = fork(|| i32::from(read(&ends.reader, &mut [0]).is_err())).expect("fork");
    let _ = child.kill(libc::SIGSTOP);
    let stopped = sys!(SYS_wait4, 0, 0, libc::WUNTRACED | libc::WCONTINUED, 0);
    show("stopped", matches!(stopped, Ok(pid) if pid == i64::from(child.pid)));
    let _ = child.kill(libc::SIGCONT);
    let continued = sys!(SYS_wait4, 0, 0, libc::WUNTRACED | libc::WCONTINUED, 0);
    show("continued", matches!(continued, Ok(pid) if pid == i64::from(child.pid)));
    write(&ends.writer, &[0]).expect("room");
    outcome("ended", child.wait_success());
}

fn a_full_file_system() {
    let (folder, tmpfs) = (path("/tmp/pitfalls"), path("tmpfs"));
    let _ = sys!(SYS_mkdir, folder.as_ptr(), 0o755);
    outcome(
        "mount",
        sys!(SYS_mount, tmpfs.as_ptr(), folder.as_ptr(), tmpfs.as_ptr(), 0, c"size=64k".as_ptr()),
    );
    let full = std::fs::write("/tmp/pitfalls/file", vec![1; 1 << 20]);
    outcome("1 MiB into 64 KiB", full);
    show("bytes of it", std::fs::metadata("/tmp/pitfalls/file").map_or(0, |file| file.len()));
    outcome("more", std::fs::write("/tmp/pitfalls/other", b"text"));
    outcome("removed", std::fs::remove_file("/tmp/pitfalls/file"));
    outcome("and again", std::fs::write("/tmp/pitfalls/other", b"text"));
    outcome("unmount", sys!(SYS_umount2, folder.as_ptr(), 0));
    let _ = std::fs::remove_dir("/tmp/pitfalls");
}
