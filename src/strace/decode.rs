//! An argument as text.
//!
//! Memory is read as a debugger reads it, pages being brought in as needed; where that fails, the address is shown.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use zerocopy::{FromBytes, IntoBytes};

use super::{
    signatures::Kind,
    words::{self, Signal},
};
use crate::{process::Caller, procfs::TextBuffer};

/// Bytes of data that are shown, as by strace(1).
const SHOWN: usize = 32;
/// Bytes of a path, or of another string that names something.
const NAME: usize = 256;
/// Elements of an array.
const ELEMENTS: usize = 32;

/// Writes the argument with this index. `result` is what the call has returned, 0 before it has.
pub(super) async fn argument(
    caller: &Caller,
    out: &mut TextBuffer,
    kind: Kind,
    arguments: &[u64; 6],
    index: usize,
    result: u64,
) -> fmt::Result {
    let value = arguments[index];
    let address = value as usize;
    if address == 0 && is_address(kind) {
        return out.write_str("NULL");
    }
    let length = |index: u8| usize::try_from(arguments[usize::from(index)] as i64).unwrap_or(0);
    let shown = match kind {
        Kind::Text => text(caller, out, address).await?,
        Kind::Input(index) => data(caller, out, address, length(index)).await?,
        Kind::Output => data(caller, out, address, result as usize).await?,
        Kind::Strings => strings(caller, out, address).await?,
        Kind::StringCount => string_count(caller, out, address).await?,
        Kind::Pieces(index) => pieces(caller, out, address, length(index)).await?,
        Kind::Polled(index) => polled(caller, out, address, length(index)).await?,
        Kind::Name(index) => name(caller, out, address, length(index)).await?,
        Kind::NameOut(index) => {
            let length: Option<u32> = value_at(caller, arguments[usize::from(index)] as usize).await;
            name(caller, out, address, length.unwrap_or(0) as usize).await?
        }
        Kind::Signals | Kind::SignalsOut => match value_at(caller, address).await {
            Some(set) => signals(out, set).map(|()| true)?,
            None => false,
        },
        Kind::Time | Kind::TimeOut => match value_at(caller, address).await {
            Some(words) => time(out, words).map(|()| true)?,
            None => false,
        },
        Kind::Interval => match value_at::<[i64; 4]>(caller, address).await {
            Some([period, period_ns, first, first_ns]) => {
                out.write_str("{it_interval=")?;
                time(out, [period, period_ns])?;
                out.write_str(", it_value=")?;
                time(out, [first, first_ns])?;
                out.write_str("}")?;
                true
            }
            None => false,
        },
        Kind::Pair => match value_at::<[i32; 2]>(caller, address).await {
            Some([first, second]) => write!(out, "[{first}, {second}]").map(|()| true)?,
            None => false,
        },
        Kind::Status => match value_at::<u32>(caller, address).await {
            Some(status) => wait_status(out, status).map(|()| true)?,
            None => false,
        },
        _ => return number(out, kind, arguments, index),
    };
    if shown { Ok(()) } else { write!(out, "{address:#x}") }
}

/// Writes an argument for which no memory need be read.
pub(super) fn number(out: &mut TextBuffer, kind: Kind, arguments: &[u64; 6], index: usize) -> fmt::Result {
    let value = arguments[index];
    match kind {
        Kind::Int | Kind::Fd => write!(out, "{}", value as i32),
        Kind::Long => write!(out, "{}", value as i64),
        Kind::Size => write!(out, "{value}"),
        Kind::Mode => write!(out, "0{:o}", value as u32),
        Kind::NewMode(flags) => {
            const MAKES: u64 = (linux_raw_sys::general::O_CREAT | linux_raw_sys::general::__O_TMPFILE) as u64;
            match arguments[usize::from(flags)] & MAKES {
                0 => out.write_str("0"),
                _ => write!(out, "0{:o}", value as u32),
            }
        }
        Kind::At if value as i32 == linux_raw_sys::general::AT_FDCWD => out.write_str("AT_FDCWD"),
        Kind::At => write!(out, "{}", value as i32),
        Kind::Words(words) => words.write(out, value),
        Kind::Cloning => {
            words::CLONING.write(out, value & !0xff)?;
            match value as u8 {
                0 => Ok(()),
                signal => write!(out, "|{}", Signal(signal)),
            }
        }
        Kind::Signal => match u8::try_from(value) {
            Ok(signal) => write!(out, "{}", Signal(signal)),
            Err(_) => write!(out, "{}", value as i32),
        },
        _ if value == 0 => out.write_str("0"),
        _ => write!(out, "{value:#x}"),
    }
}

/// Whether it is the address of something that is shown in its place.
fn is_address(kind: Kind) -> bool {
    use Kind::{NameOut, Output, Pair, SignalsOut, Status, TimeOut};
    kind.is_read_by_call() || matches!(kind, Output | SignalsOut | TimeOut | NameOut(_) | Pair | Status)
}

/// Reads up to `len` bytes, as many as there are.
async fn read(caller: &Caller, address: usize, len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    if let Err(incomplete) = caller.space.peek(address, &mut bytes).await {
        bytes.truncate(incomplete.done);
    }
    Some(bytes)
}

async fn value_at<T: FromBytes + IntoBytes>(caller: &Caller, address: usize) -> Option<T> {
    let bytes = read(caller, address, size_of::<T>()).await?;
    T::read_from_bytes(&bytes).ok()
}

/// Writes bytes in quotation marks, as a C program would have them.
fn quoted(out: &mut TextBuffer, bytes: &[u8], is_cut: bool) -> fmt::Result {
    out.write_str("\"")?;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' | b'\\' => write!(out, "\\{}", *byte as char)?,
            b'\n' => out.write_str("\\n")?,
            b'\t' => out.write_str("\\t")?,
            b'\r' => out.write_str("\\r")?,
            b' '..=b'~' => out.write_char(*byte as char)?,
            // What follows must not look like a part of it.
            _ if bytes.get(index + 1).is_some_and(u8::is_ascii_digit) => write!(out, "\\{byte:03o}")?,
            _ => write!(out, "\\{byte:o}")?,
        }
    }
    out.write_str(if is_cut { "\"..." } else { "\"" })
}

async fn text(caller: &Caller, out: &mut TextBuffer, address: usize) -> Result<bool, fmt::Error> {
    let Some(bytes) = read(caller, address, NAME).await.filter(|bytes| !bytes.is_empty()) else {
        return Ok(false);
    };
    let end = bytes.iter().position(|byte| *byte == 0);
    quoted(out, &bytes[..end.unwrap_or(bytes.len())], end.is_none()).map(|()| true)
}

async fn data(caller: &Caller, out: &mut TextBuffer, address: usize, len: usize) -> Result<bool, fmt::Error> {
    match read(caller, address, len.min(SHOWN)).await {
        Some(bytes) if len == 0 || !bytes.is_empty() => quoted(out, &bytes, len > SHOWN).map(|()| true),
        _ => Ok(false),
    }
}

async fn strings(caller: &Caller, out: &mut TextBuffer, address: usize) -> Result<bool, fmt::Error> {
    out.write_str("[")?;
    for index in 0..=ELEMENTS {
        let element = value_at::<usize>(caller, address.wrapping_add(8 * index)).await;
        let Some(element) = element.filter(|element| *element != 0) else { break };
        if index > 0 {
            out.write_str(", ")?;
        }
        if index == ELEMENTS {
            out.write_str("...")?;
        } else if !text(caller, out, element).await? {
            write!(out, "{element:#x}")?;
        }
    }
    out.write_str("]").map(|()| true)
}

async fn string_count(caller: &Caller, out: &mut TextBuffer, address: usize) -> Result<bool, fmt::Error> {
    /// Of which there may be any number.
    const MOST: usize = 1000;
    let mut count = 0;
    while count < MOST
        && value_at::<usize>(caller, address.wrapping_add(8 * count))
            .await
            .is_some_and(|element| element != 0)
    {
        count += 1;
    }
    write!(out, "{address:#x} /* {count} vars */").map(|()| true)
}

async fn pieces(
    caller: &Caller,
    out: &mut TextBuffer,
    address: usize,
    count: usize,
) -> Result<bool, fmt::Error> {
    out.write_str("[")?;
    for index in 0..count.min(ELEMENTS) {
        let Some([base, len]) = value_at::<[usize; 2]>(caller, address.wrapping_add(16 * index)).await else {
            break;
        };
        out.write_str(if index > 0 { ", {iov_base=" } else { "{iov_base=" })?;
        if !data(caller, out, base, len).await? {
            write!(out, "{base:#x}")?;
        }
        write!(out, ", iov_len={len}}}")?;
    }
    out.write_str(if count > ELEMENTS { ", ...]" } else { "]" }).map(|()| true)
}

async fn polled(
    caller: &Caller,
    out: &mut TextBuffer,
    address: usize,
    count: usize,
) -> Result<bool, fmt::Error> {
    out.write_str("[")?;
    for index in 0..count.min(ELEMENTS) {
        let Some(words) = value_at::<[u16; 4]>(caller, address.wrapping_add(8 * index)).await else { break };
        let fd = (u32::from(words[1]) << 16 | u32::from(words[0])) as i32;
        let separator = if index > 0 { ", " } else { "" };
        write!(out, "{separator}{{fd={fd}, events=")?;
        words::POLL.write(out, u64::from(words[2]))?;
        out.write_str("}")?;
    }
    out.write_str(if count > ELEMENTS { ", ...]" } else { "]" }).map(|()| true)
}

/// A socket's address.
async fn name(caller: &Caller, out: &mut TextBuffer, address: usize, len: usize) -> Result<bool, fmt::Error> {
    use linux_raw_sys::net::{AF_INET, AF_INET6, AF_UNIX};
    let Some(bytes) = read(caller, address, len.min(NAME)).await else { return Ok(false) };
    let Some((family, rest)) = bytes.split_first_chunk::<2>() else { return Ok(false) };
    let family = u32::from(u16::from_ne_bytes(*family));
    out.write_str("{sa_family=")?;
    words::DOMAIN.write(out, u64::from(family))?;
    match (family, rest) {
        (AF_UNIX, []) => {}
        // An abstract name begins with a NUL, and each of its bytes counts.
        (AF_UNIX, [0, name @ ..]) => {
            out.write_str(", sun_path=@")?;
            quoted(out, name, false)?;
        }
        (AF_UNIX, path) => {
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            out.write_str(", sun_path=")?;
            quoted(out, &path[..end], false)?;
        }
        (AF_INET, [high, low, a, b, c, d, ..]) => {
            let port = u16::from_be_bytes([*high, *low]);
            write!(out, ", sin_port=htons({port}), sin_addr=inet_addr(\"{a}.{b}.{c}.{d}\")")?;
        }
        (AF_INET6, [high, low, _, _, _, _, address @ ..]) if address.len() >= 16 => {
            let port = u16::from_be_bytes([*high, *low]);
            let mut octets = [0; 16];
            octets.copy_from_slice(&address[..16]);
            let address = core::net::Ipv6Addr::from(octets);
            write!(out, ", sin6_port=htons({port}), sin6_addr=\"{address}\"")?;
        }
        (_, rest) => {
            out.write_str(", sa_data=")?;
            quoted(out, &rest[..rest.len().min(SHOWN)], rest.len() > SHOWN)?;
        }
    }
    out.write_str("}").map(|()| true)
}

fn signals(out: &mut TextBuffer, set: u64) -> fmt::Result {
    // Nearly all of them are shorter by those that are missing.
    let (mark, set) = if set.count_ones() > 32 { ("~", !set) } else { ("", set) };
    write!(out, "{mark}[")?;
    let mut separator = "";
    for number in (1..=64).filter(|number| set >> (number - 1) & 1 != 0) {
        write!(out, "{separator}{:#}", Signal(number))?;
        separator = " ";
    }
    out.write_str("]")
}

fn time(out: &mut TextBuffer, [seconds, nanoseconds]: [i64; 2]) -> fmt::Result {
    write!(out, "{{tv_sec={seconds}, tv_nsec={nanoseconds}}}")
}

fn wait_status(out: &mut TextBuffer, status: u32) -> fmt::Result {
    match (status & 0xff, status >> 8 & 0xff) {
        (0, code) => write!(out, "[{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}]"),
        (0x7f, signal) => {
            write!(out, "[{{WIFSTOPPED(s) && WSTOPSIG(s) == {}}}]", Signal(signal as u8 & 0x7f))
        }
        (0xff, 0xff) => out.write_str("[{WIFCONTINUED(s)}]"),
        (signal, _) => {
            write!(out, "[{{WIFSIGNALED(s) && WTERMSIG(s) == {}}}]", Signal(signal as u8 & 0x7f))
        }
    }
}
