//! Sending and receiving that is done at once: `read`, `write`, `sendto` and `recvfrom` of sockets without addresses.
//!
//! They know the type of what they move bytes from and to, and need no future. One that has to wait, and has no time
//! limit, pauses ([`Pause::Readiness`]) and goes on where it was.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use executor::sync::Events;
use linux_raw_sys::net::{MSG_CONFIRM, MSG_DONTWAIT, MSG_EOR, MSG_MORE, MSG_NOSIGNAL};
use net::{
    Source,
    unix::{Call, Cargo, Delivery, How, Kind, Obstacle, SENDING},
};
use syscalls::Errno;

use super::socket_of;
use crate::{
    arch::user::UserContext,
    file::{File, socket},
    memory::frame,
    process::Caller,
    syscall::attempt::{Attempt, Pause},
    user_memory::UserBuffer,
};

/// Flags that leave a `sendto` simple.
const SENT_SIMPLY: u32 = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | MSG_MORE | MSG_CONFIRM;
/// Flags that leave a `recvfrom` simple.
const RECEIVED_SIMPLY: u32 = MSG_DONTWAIT | MSG_NOSIGNAL;

/// `sendto`.
pub fn sendto(caller: &Caller, context: &UserContext, moved: &mut usize) -> Attempt {
    let flags = context.r10 as u32;
    if context.r8 != 0 || flags & !SENT_SIMPLY != 0 {
        return Err(Pause::General);
    }
    let buffer = UserBuffer::new(context.rsi as usize, context.rdx as usize)?;
    let file = super::of(caller, context.rdi as i32)?;
    send(caller, &file, buffer, flags, moved, false)
}

/// `recvfrom`.
pub fn recvfrom(caller: &Caller, context: &UserContext, moved: &mut usize) -> Attempt {
    let flags = context.r10 as u32;
    if context.r8 != 0 || flags & !RECEIVED_SIMPLY != 0 {
        return Err(Pause::General);
    }
    let buffer = UserBuffer::new(context.rsi as usize, context.rdx as usize)?;
    let file = super::of(caller, context.rdi as i32)?;
    receive(caller, file, buffer, flags, moved)
}

/// Goes on with sending that has waited for room.
pub fn resume(
    caller: &Caller,
    context: &UserContext,
    file: Arc<File>,
    moved: &mut usize,
    sends: bool,
    has_flags: bool,
) -> Attempt {
    let buffer = UserBuffer::new(context.rsi as usize, context.rdx as usize)?;
    let flags = if has_flags { context.r10 as u32 } else { 0 };
    if sends {
        send(caller, &file, buffer, flags, moved, true)
    } else {
        receive(caller, file, buffer, flags, moved)
    }
}

/// Sends the bytes of a buffer, of which `moved` have been sent.
#[inline(always)]
pub fn send(
    caller: &Caller,
    file: &Arc<File>,
    mut buffer: UserBuffer,
    flags: u32,
    moved: &mut usize,
    has_waited: bool,
) -> Attempt {
    let socket = &socket_of(file)?.socket;
    if *moved == 0 && (socket.send_timeout.load(Relaxed) != 0 || frame::is_short()) {
        return Err(Pause::General);
    }
    buffer.skip(*moved);
    let mut cargo = Cargo { has_waited, ..Cargo::none(socket::sender(caller)) };
    match socket.try_send(&mut buffer, &mut cargo, moved) {
        Ok(()) => Ok(*moved),
        Err(obstacle) => blocked(caller, file, &buffer, flags, *moved, &obstacle),
    }
}

/// What to do about sending that does not go on.
#[cold]
fn blocked(
    caller: &Caller,
    file: &Arc<File>,
    buffer: &UserBuffer,
    flags: u32,
    moved: usize,
    obstacle: &Obstacle,
) -> Attempt {
    match *obstacle {
        Obstacle::Stopped => missing(buffer),
        Obstacle::Full | Obstacle::Crowded(_) if flags & MSG_DONTWAIT != 0 || file.is_nonblocking() => {
            Err(Pause::Failed(Errno::EAGAIN))
        }
        Obstacle::Full => Err(Pause::Readiness(file.clone(), SENDING)),
        Obstacle::Broken => {
            if moved == 0 {
                socket::signal_broken(caller, flags);
            }
            Err(Pause::Failed(Errno::EPIPE))
        }
        Obstacle::Failed(errno) => Err(Pause::Failed(errno)),
        // Whoever waits for another's queue has sent nothing.
        Obstacle::Crowded(_) | Obstacle::Empty { .. } => Err(Pause::General),
    }
}

fn missing(buffer: &UserBuffer) -> Attempt {
    match buffer.missing() {
        Some((address, access)) => Err(Pause::Fault(address, access)),
        None => Err(Pause::General),
    }
}

/// Receives into a buffer, of which `moved` bytes have been received.
#[inline(always)]
pub fn receive(
    caller: &Caller,
    file: Arc<File>,
    mut buffer: UserBuffer,
    flags: u32,
    moved: &mut usize,
) -> Attempt {
    let socket = &socket_of(&file)?.socket;
    if socket.has_no_answer() {
        return nothing(file, flags, *moved);
    }
    buffer.skip(*moved);
    // The thread has no other call meanwhile; and it has waited for nothing but a page once it has something.
    let call = Call { number: Arc::as_ptr(&caller.thread).addr(), resumes: *moved > 0 };
    let delivery = &mut Delivery::default();
    let obstacle = match socket.try_receive(&mut buffer, How::default(), call, delivery, moved) {
        Ok(()) => return Ok(*moved),
        Err(obstacle) => obstacle,
    };
    match obstacle {
        // The general way finds out what that means.
        Obstacle::Empty { ended: true } if *moved == 0 => Err(Pause::General),
        Obstacle::Empty { .. } => nothing(file, flags, *moved),
        // A page that cannot be had costs a message, which the general way sees to.
        Obstacle::Stopped if socket.kind == Kind::Stream => missing(&buffer),
        Obstacle::Failed(errno) => Err(Pause::Failed(errno)),
        _ => Err(Pause::General),
    }
}

/// What to do where there is nothing to receive, or nothing more.
#[inline(always)]
fn nothing(file: Arc<File>, flags: u32, moved: usize) -> Attempt {
    if moved > 0 {
        return Ok(moved);
    }
    if flags & MSG_DONTWAIT != 0 || file.is_nonblocking() {
        return Err(Pause::Failed(Errno::EAGAIN));
    }
    let has_limit = socket_of(&file)?.socket.receive_timeout.load(Relaxed) != 0;
    Err(if has_limit { Pause::General } else { Pause::Readiness(file, Events::IN) })
}

/// `write`: of a buffer without bytes only a message is made.
#[inline(always)]
pub fn write(caller: &Caller, file: &Arc<File>, buffer: UserBuffer, moved: &mut usize) -> Attempt {
    send(caller, file, buffer, 0, moved, false)
}

/// `read`: into a buffer without room nothing is received, not even a message without bytes.
#[inline(always)]
pub fn read(caller: &Caller, file: Arc<File>, buffer: UserBuffer, moved: &mut usize) -> Attempt {
    if Source::remaining(&buffer) == 0 { Ok(0) } else { receive(caller, file, buffer, 0, moved) }
}
