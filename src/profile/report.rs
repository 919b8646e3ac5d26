//! Stacks as text, "folded": a line per stack, outermost first, frames between semicolons, and the number of samples.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rustc_demangle::demangle;
use syscalls::Errno;

use super::{
    sampler::{self, USER},
    table, user,
};
use crate::{
    arch::{layout, symbols},
    procfs::TextBuffer,
};

/// Places of a table that are looked at in some thousand instructions, if there is nothing in them.
const STEP: usize = 256;

/// Gives `take` what was sampled so far, line by line. There may be thousands of lines, and a frame's name takes thousands
/// of instructions: makes way between frames.
///
/// # Errors
/// ENOMEM, and those of `take`, which end it.
pub async fn report(mut take: impl FnMut(&[u8]) -> Result<(), Errno> + Send) -> Result<(), Errno> {
    let mut line = TextBuffer::default();
    let mut lost = 0;
    for table in sampler::tables() {
        for slot in 0..table::SLOTS {
            if let Some((stack, count)) = table.stack_in(slot) {
                line.clear();
                write_stack(&mut line, stack, count).await.map_err(|_| Errno::ENOMEM)?;
                take(line.bytes())?;
            }
            if slot % STEP == 0 {
                executor::make_way().await;
            }
        }
        lost += table.lost();
    }
    if lost > 0 {
        line.clear();
        writeln!(line, "[lost] {lost}").map_err(|_| Errno::ENOMEM)?;
        take(line.bytes())?;
    }
    Ok(())
}

async fn write_stack(out: &mut TextBuffer, stack: &[AtomicU64], count: u64) -> fmt::Result {
    let [first, second, frames @ ..] = stack else { return Ok(()) };
    let words = [first.load(Relaxed).to_le_bytes(), second.load(Relaxed).to_le_bytes()];
    let name = words.as_flattened();
    let name = &name[..name.iter().position(|byte| *byte == 0).unwrap_or(name.len())];
    for byte in name {
        // What divides the fields of a line is not in one.
        let is_plain = byte.is_ascii_graphic() && *byte != b';';
        out.write_char(if is_plain { *byte as char } else { '_' })?;
    }
    for frame in frames.iter().rev() {
        out.write_char(';')?;
        write_frame(out, frame.load(Relaxed))?;
        executor::make_way().await;
    }
    writeln!(out, " {count}")
}

fn write_frame(out: &mut TextBuffer, frame: u64) -> fmt::Result {
    if frame & USER != 0 {
        let (name, offset) = user::resolve(frame);
        write!(Undivided(out), "{name}+{offset:#x}")
    } else {
        match symbols::lookup(layout::image_start() + frame as usize) {
            Some((name, _)) => write!(Undivided(out), "{:#}", demangle(name)),
            None => write!(out, "kernel+{frame:#x}"),
        }
    }
}

/// Writes a frame's name: a semicolon in it (of an array's type) would divide it.
struct Undivided<'a>(&'a mut TextBuffer);

impl Write for Undivided<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.bytes().any(|byte| byte == b';' || byte == b'\n') {
            return self.0.write_str(text);
        }
        let mut parts = text.split([';', '\n']);
        if let Some(first) = parts.next() {
            self.0.write_str(first)?;
        }
        parts.try_for_each(|part| {
            self.0.write_char(',')?;
            self.0.write_str(part)
        })
    }
}
