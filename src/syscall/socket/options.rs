//! Options of sockets: getsockopt(2), setsockopt(2), ioctl(2) (socket(7), unix(7)).

use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::{ioctl as requests, net::*};
use net::unix::{BUFFER_MAX, Kind};
use syscalls::Errno;
use zerocopy::IntoBytes;

use super::{of, socket_of};
use crate::{
    arch::user::UserContext,
    file::{
        File,
        socket::{self, SocketFile},
    },
    process::{Caller, credentials::capability, times::TimeVal},
    syscall::{
        attempt::{Attempt, Pause, copy_in, copy_out},
        file_owner,
    },
    user_memory::{self, SysResult},
};

/// The option's value as a number; `None` for those that have another.
fn number(this: &SocketFile, option: u32) -> Option<i32> {
    let socket = &this.socket;
    Some(match option {
        SO_TYPE => match socket.kind {
            Kind::Stream => SOCK_STREAM as i32,
            Kind::Datagram => SOCK_DGRAM as i32,
            Kind::Sequenced => SOCK_SEQPACKET as i32,
        },
        SO_DOMAIN => AF_UNIX as i32,
        SO_PROTOCOL => 0,
        SO_ERROR => socket.take_error().map_or(0, Errno::into_raw),
        SO_SNDBUF => socket.send_buffer() as i32,
        SO_RCVBUF => socket.receive_buffer() as i32,
        SO_PASSCRED => socket.passes_credentials.load(Relaxed).into(),
        SO_ACCEPTCONN => socket.is_listening().into(),
        SO_PEEK_OFF => socket.peek_offset.load(Relaxed),
        SO_SNDLOWAT => 1,
        // What only others have, and what is for programs of long ago.
        SO_REUSEPORT | SO_BSDCOMPAT => 0,
        SO_RCVLOWAT => this.receive_low_water.load(Relaxed) as i32,
        _ => return socket::flag_of(option).map(|flag| i32::from(this.flags.load(Relaxed) & flag != 0)),
    })
}

pub fn getsockopt(caller: &Caller, context: &UserContext) -> Attempt {
    let (level, option) = (context.rsi as u32, context.rdx as u32);
    let (value, len_at) = (context.r10 as usize, context.r8 as usize);
    let file = of(caller, context.rdi as i32)?;
    let this = socket_of(&file)?;
    if level != SOL_SOCKET {
        return Err(Pause::Failed(Errno::EOPNOTSUPP));
    }
    let room: i32 = copy_in(len_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    // The length is written last, so that all may be attempted again.
    let tell = |bytes: &[u8]| {
        let len = bytes.len().min(room);
        copy_out(value, &bytes[..len])?;
        copy_out(len_at, &(len as i32))?;
        Ok(0)
    };
    if option == SO_ERROR {
        // Who asks takes it: not before there is a place for it.
        copy_out(value, &[0; size_of::<i32>()][..room.min(size_of::<i32>())])?;
        copy_out(len_at, &(room as i32))?;
    }
    if let Some(number) = number(this, option) {
        return tell(number.as_bytes());
    }
    match option {
        SO_PEERCRED => {
            let known = this.socket.peer_credentials().map(|peer| [peer.pid, peer.uid, peer.gid]);
            // Nobody: process 0, and ids that are none.
            tell(known.unwrap_or([0, u32::MAX, u32::MAX]).as_bytes())
        }
        SO_RCVTIMEO => tell(TimeVal::from_ns(this.socket.receive_timeout.load(Relaxed)).as_bytes()),
        SO_SNDTIMEO => tell(TimeVal::from_ns(this.socket.send_timeout.load(Relaxed)).as_bytes()),
        SO_LINGER => tell([0_i32; 2].as_bytes()),
        _ => Err(Pause::Failed(Errno::ENOPROTOOPT)),
    }
}

/// A time limit in nanoseconds, 0 for none. EDOM for too many microseconds.
async fn read_limit(caller: &Caller, value: usize, len: usize) -> Result<u64, Errno> {
    if len < size_of::<TimeVal>() {
        return Err(Errno::EINVAL);
    }
    let limit: TimeVal = user_memory::read(caller, value).await?;
    if !(0..1_000_000).contains(&limit.microseconds) {
        return Err(Errno::EDOM);
    }
    Ok(match u64::try_from(limit.seconds) {
        // As Linux has it, a time that has passed is waited for a moment.
        Err(_) => 1,
        Ok(seconds) => seconds.saturating_mul(1_000_000_000).saturating_add(limit.microseconds as u64 * 1000),
    })
}

pub async fn setsockopt(
    caller: &Caller,
    fd: i32,
    level: i32,
    option: u32,
    value: usize,
    len: i32,
) -> SysResult {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let file = of(caller, fd)?;
    let this = socket_of(&file)?;
    if level as u32 != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    if len < size_of::<i32>() {
        return Err(Errno::EINVAL);
    }
    let number: i32 = user_memory::read(caller, value).await?;
    let privileged = caller.credentials.has(capability::NET_ADMIN);
    match option {
        SO_TYPE | SO_DOMAIN | SO_PROTOCOL | SO_ERROR | SO_SNDLOWAT | SO_ACCEPTCONN | SO_PEERCRED => {
            return Err(Errno::ENOPROTOOPT);
        }
        SO_SNDBUF => this.socket.set_send_buffer((number as u32 as usize).min(BUFFER_MAX)),
        SO_RCVBUF => this.socket.set_receive_buffer((number as u32 as usize).min(BUFFER_MAX)),
        SO_SNDBUFFORCE | SO_RCVBUFFORCE if !privileged => return Err(Errno::EPERM),
        SO_SNDBUFFORCE => this.socket.set_send_buffer(number.clamp(0, i32::MAX / 2) as usize),
        SO_RCVBUFFORCE => this.socket.set_receive_buffer(number.clamp(0, i32::MAX / 2) as usize),
        SO_PASSCRED => this.socket.passes_credentials.store(number != 0, Relaxed),
        SO_PEEK_OFF => this.socket.peek_offset.store(number, Relaxed),
        SO_RCVLOWAT => {
            // 0 stands for the least, a negative number for the most.
            let least = if number < 0 { i32::MAX } else { number.max(1) };
            this.receive_low_water.store(least as usize, Relaxed);
        }
        SO_RCVTIMEO => this.socket.receive_timeout.store(read_limit(caller, value, len).await?, Relaxed),
        SO_SNDTIMEO => this.socket.send_timeout.store(read_limit(caller, value, len).await?, Relaxed),
        // Closing waits for nothing here.
        SO_LINGER if len < size_of::<[i32; 2]>() => return Err(Errno::EINVAL),
        SO_REUSEPORT if number != 0 => return Err(Errno::EOPNOTSUPP),
        SO_LINGER | SO_REUSEPORT | SO_BSDCOMPAT => {}
        SO_DEBUG if number != 0 && !privileged => return Err(Errno::EACCES),
        _ => {
            let flag = socket::flag_of(option).ok_or(Errno::ENOPROTOOPT)?;
            if number != 0 {
                this.flags.fetch_or(flag, Relaxed);
            } else {
                this.flags.fetch_and(!flag, Relaxed);
            }
        }
    }
    Ok(0)
}

/// `ioctl`s of sockets: how much there is to read, how much nobody has read, and who is told of events.
pub async fn ioctl(caller: &Caller, file: &File, request: u32, argument: usize) -> SysResult {
    let this = &socket_of(file)?.socket;
    if let Some(result) = file_owner::ioctl(caller, file, request, argument).await {
        return result;
    }
    let count = match request {
        requests::FIONREAD => this.unread()?,
        requests::TIOCOUTQ => this.unread_by_others(),
        _ => return Err(Errno::ENOTTY),
    };
    user_memory::write(caller, argument, count as i32).await?;
    Ok(0)
}
