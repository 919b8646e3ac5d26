//! The output side of the line discipline: output processing, columns, flow control and the queue towards the line.

use syscalls::Errno;

use super::ctype::{is_control, is_utf8_continuation, to_upper};
use super::echo::{Done, Echo, WIPE};
use super::ring::Ring;
use super::termios::{InputFlags, OutputFlags, Termios};

const TAB_STOP: u32 = 8;
const BLANKS: [u8; TAB_STOP as usize] = [b' '; TAB_STOP as usize];

/// What is at the other end of the output queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A wire: queued bytes can still be stopped and flushed.
    Wire,
    /// A pseudo-terminal's master. What was queued counts as delivered: stopping the output does not hold it back,
    /// and a flush spares the first 4095 bytes, which on Linux are in the master's own input queue by then.
    Master,
}

impl LineKind {
    const fn spared_by_flush(self) -> usize {
        match self {
            Self::Wire => 0,
            Self::Master => 4095,
        }
    }
}

/// Processed bytes on their way to the line, and where the cursor is.
pub struct Output {
    ring: Ring,
    /// A flow-control character that overtakes the queue, also while output is stopped.
    urgent: Option<u8>,
    /// The cursor's column, as far as the bytes tell.
    column: u32,
    /// The column where the line being typed began, after the prompt.
    line_column: u32,
    stopped: bool,
    kind: LineKind,
}

impl Output {
    /// An empty queue of `capacity` bytes (a power of two), the cursor at column 0.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(capacity: usize, kind: LineKind) -> Result<Self, Errno> {
        let ring = Ring::new(capacity)?;
        Ok(Self { ring, urgent: None, column: 0, line_column: 0, stopped: false, kind })
    }

    /// Bytes that can be written now. None while stopped.
    pub fn room(&self) -> usize {
        if self.stopped { 0 } else { self.ring.free() }
    }

    /// What is at the other end.
    pub fn kind(&self) -> LineKind {
        self.kind
    }

    /// The position of the next byte to be queued; wraps.
    pub fn end_position(&self) -> usize {
        self.ring.end_position()
    }

    /// Bytes queued for the line.
    pub fn queued(&self) -> usize {
        self.ring.len()
    }

    /// Whether the line would get something from [`Self::take`] now.
    pub fn is_ready(&self) -> bool {
        self.urgent.is_some() || (!self.is_withheld() && !self.ring.is_empty())
    }

    /// Whether flow control holds the output.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn is_withheld(&self) -> bool {
        self.stopped && self.kind == LineKind::Wire
    }

    /// Holds or releases the output.
    pub fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    /// Sends a flow-control character: on a wire ahead of everything queued, also while stopped; to a master in its
    /// turn, and not while stopped.
    pub fn send_flow_control(&mut self, byte: u8) {
        match self.kind {
            LineKind::Wire => self.urgent = Some(byte),
            LineKind::Master if self.stopped => {}
            LineKind::Master => {
                self.ring.push(byte);
            }
        }
    }

    /// Drops what is queued and not delivered.
    pub fn flush(&mut self) {
        self.ring.truncate(self.kind.spared_by_flush());
    }

    /// Moves queued bytes to the line through `put`, which says how much it took. Returns the bytes moved.
    pub fn take(&mut self, wanted: usize, put: &mut dyn FnMut(&[u8]) -> usize) -> usize {
        let mut moved = 0;
        if wanted > 0
            && let Some(byte) = self.urgent
            && put(&[byte]) == 1
        {
            self.urgent = None;
            moved = 1;
        }
        while moved < wanted && !self.is_withheld() && !self.ring.is_empty() {
            let run = self.ring.front();
            let run = &run[..run.len().min(wanted - moved)];
            let offered = run.len();
            let taken = put(run).min(offered);
            self.ring.consume(taken);
            moved += taken;
            if taken < offered {
                break;
            }
        }
        moved
    }

    /// Takes as much of a program's output as there is room for. Returns the bytes of `bytes` used up.
    pub fn write(&mut self, bytes: &[u8], termios: &Termios) -> usize {
        if !termios.has_output(OutputFlags::OPOST) {
            let count = bytes.len().min(self.room());
            return self.ring.push_slice(&bytes[..count]);
        }
        let all_need_care = termios.has_output(OutputFlags::OLCUC);
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let plain = rest
                .iter()
                .take(self.room())
                .take_while(|&&byte| !is_control(byte) && !all_need_care)
                .count();
            if plain > 0 {
                self.ring.push_slice(&rest[..plain]);
                self.column = self.column.wrapping_add(columns(&rest[..plain], termios));
                done += plain;
            } else if self.process(rest[0], termios) {
                done += 1;
            } else {
                break;
            }
        }
        done
    }

    /// One byte through output processing. False, and nothing done, when there is too little room.
    fn process(&mut self, byte: u8, termios: &Termios) -> bool {
        let room = self.room();
        if room == 0 {
            return false;
        }
        let has = |flags| termios.has_output(flags);
        let mut byte = byte;
        match byte {
            b'\n' => {
                if has(OutputFlags::ONLCR) {
                    if room < 2 {
                        return false;
                    }
                    self.column = 0;
                    self.line_column = 0;
                    return self.ring.push_slice(b"\r\n") == 2;
                }
                if has(OutputFlags::ONLRET) {
                    self.column = 0;
                }
                self.line_column = self.column;
            }
            b'\r' => {
                if has(OutputFlags::ONOCR) && self.column == 0 {
                    return true;
                }
                let returns_carriage = !has(OutputFlags::OCRNL) || has(OutputFlags::ONLRET);
                if has(OutputFlags::OCRNL) {
                    byte = b'\n';
                }
                if returns_carriage {
                    self.column = 0;
                    self.line_column = 0;
                }
            }
            b'\t' => {
                let blanks = TAB_STOP - self.column % TAB_STOP;
                if has(OutputFlags::XTABS) {
                    if room < blanks as usize {
                        return false;
                    }
                    self.column = self.column.wrapping_add(blanks);
                    return self.ring.push_slice(&BLANKS[..blanks as usize]) > 0;
                }
                self.column = self.column.wrapping_add(blanks);
            }
            0x08 => self.column = self.column.saturating_sub(1),
            _ if is_control(byte) => {}
            _ => {
                if has(OutputFlags::OLCUC) {
                    byte = to_upper(byte);
                }
                self.column = self.column.wrapping_add(columns(&[byte], termios));
            }
        }
        self.ring.push(byte)
    }

    /// Carries out echo operations in order; says how many there was room for.
    pub fn echo_all(&mut self, echoes: &mut [Echo], termios: &Termios) -> Done {
        /// Ordinary bytes that are moved together.
        const RUN: usize = 64;
        let passes = termios.has_output(OutputFlags::OPOST) && !termios.has_output(OutputFlags::OLCUC);
        let mut done = Done::default();
        while done.operations < echoes.len() {
            let mut run = [0; RUN];
            let (mut operations, mut len) = (0, 0);
            if passes {
                let room = self.room().min(RUN);
                for echo in &echoes[done.operations..] {
                    match *echo {
                        Echo::Byte(byte) if !is_control(byte) && byte != 0xff && len < room => {
                            run[len] = byte;
                            len += 1;
                        }
                        Echo::Control(byte) if len + 2 <= room => {
                            run[len..len + 2].copy_from_slice(&[b'^', byte ^ 0o100]);
                            len += 2;
                        }
                        _ => break,
                    }
                    operations += 1;
                }
            }
            if operations > 0 {
                self.ring.push_slice(&run[..len]);
                self.column = self.column.wrapping_add(columns(&run[..len], termios));
                done.operations += operations;
                done.weight += operations;
                continue;
            }
            let next = &mut echoes[done.operations];
            let before = next.weight();
            if !self.echo(next, termios) {
                // Of a wipe, a part.
                done.weight += before - next.weight();
                break;
            }
            done.operations += 1;
            done.weight += before;
        }
        done
    }

    /// Goes on with a wipe of which so many bytes are left. False when there is too little room for all.
    fn wipe(&mut self, left: &mut u16, termios: &Termios) -> bool {
        const COLUMNS: usize = 32;
        const MANY: [u8; COLUMNS * WIPE.len()] = {
            let mut many = [0; COLUMNS * WIPE.len()];
            let mut index = 0;
            while index < many.len() {
                many[index] = WIPE[index % WIPE.len()];
                index += 1;
            }
            many
        };
        while *left > 0 {
            let (rest, room) = (usize::from(*left), self.room());
            let begun = rest % WIPE.len();
            let whole = if begun == 0 { rest.min(room).min(MANY.len()) / WIPE.len() } else { 0 };
            if whole > 0 {
                *left -= self.ring.push_slice(&MANY[..whole * WIPE.len()]) as u16;
                if termios.has_output(OutputFlags::OPOST) {
                    self.column = self.column.saturating_sub(whole as u32);
                }
            } else {
                let next = WIPE[(WIPE.len() - begun) % WIPE.len()];
                if !self.echo(&mut Echo::Byte(next), termios) {
                    return false;
                }
                *left -= 1;
            }
        }
        true
    }

    /// Carries out one echo operation. False, and nothing done, when there is too little room; of a wipe it may be a part.
    fn echo(&mut self, echo: &mut Echo, termios: &Termios) -> bool {
        match *echo {
            Echo::Byte(0xff) => {
                // Never processed, also under OPOST: what Linux does with the byte that it escapes in its queue.
                if self.room() == 0 {
                    return false;
                }
                self.column = self.column.wrapping_add(1);
                self.ring.push(0xff)
            }
            Echo::Byte(byte) if termios.has_output(OutputFlags::OPOST) => self.process(byte, termios),
            Echo::Byte(byte) => self.room() > 0 && self.ring.push(byte),
            Echo::Control(byte) => {
                if self.room() < 2 {
                    return false;
                }
                self.column = self.column.wrapping_add(2);
                self.ring.push_slice(&[b'^', byte ^ 0o100]) == 2
            }
            Echo::Wipe(ref mut left) => self.wipe(left, termios),
            Echo::SetLineColumn => {
                self.line_column = self.column;
                true
            }
            Echo::MoveBack => {
                self.column = self.column.saturating_sub(1);
                true
            }
            Echo::EraseTab { columns, after_tab } => {
                let start = if after_tab { 0 } else { self.line_column };
                let back = TAB_STOP - start.wrapping_add(u32::from(columns)) % TAB_STOP;
                if self.room() < back as usize {
                    return false;
                }
                self.column = self.column.saturating_sub(back);
                self.ring.push_slice(&[0x08; TAB_STOP as usize][..back as usize]) > 0
            }
        }
    }
}

/// Columns that printable bytes take: one each, but a UTF-8 character only one as a whole.
fn columns(bytes: &[u8], termios: &Termios) -> u32 {
    if termios.has_input(InputFlags::IUTF8) {
        bytes.iter().filter(|&&byte| !is_utf8_continuation(byte)).count() as u32
    } else {
        bytes.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn drain(output: &mut Output) -> Vec<u8> {
        let mut bytes = Vec::new();
        output.take(usize::MAX, &mut |run| {
            bytes.extend_from_slice(run);
            run.len()
        });
        bytes
    }

    #[test]
    fn newline_needs_room_for_two() {
        let mut output = Output::new(4, LineKind::Wire).unwrap();
        assert_eq!(output.write(b"abc\nd", &Termios::STANDARD), 3);
        assert_eq!(drain(&mut output), b"abc");
        assert_eq!(output.write(b"\nd", &Termios::STANDARD), 2);
        assert_eq!(drain(&mut output), b"\r\nd");
    }

    #[test]
    fn a_stopped_terminal_takes_and_gives_nothing_but_urgent_bytes() {
        let mut output = Output::new(16, LineKind::Wire).unwrap();
        output.write(b"queued", &Termios::STANDARD);
        output.set_stopped(true);
        assert_eq!(output.write(b"more", &Termios::STANDARD), 0);
        assert!(!output.is_ready());
        output.send_flow_control(0o23);
        assert!(output.is_ready());
        assert_eq!(drain(&mut output), [0o23]);
        output.set_stopped(false);
        assert_eq!(drain(&mut output), b"queued");
    }

    #[test]
    fn tabs_expand_from_the_column() {
        let mut termios = Termios::STANDARD;
        termios.output |= OutputFlags::XTABS;
        let mut output = Output::new(32, LineKind::Wire).unwrap();
        output.write(b"ab\tc", &termios);
        assert_eq!(drain(&mut output), b"ab      c");
    }

    #[test]
    fn a_wipe_is_what_its_bytes_are() {
        use super::super::echo::EchoQueue;
        let mut seed = 1u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        let mut wiping = (EchoQueue::default(), Output::new(64, LineKind::Wire).unwrap());
        let mut pushing = (EchoQueue::default(), Output::new(64, LineKind::Wire).unwrap());
        for _ in 0..20_000 {
            match random(8) {
                0 | 1 => {
                    let columns = if random(50) == 0 { random(2000) } else { random(20) };
                    wiping.0.wipe(columns as usize);
                    for _ in 0..columns {
                        WIPE.iter().for_each(|byte| pushing.0.push(Echo::Byte(*byte)));
                    }
                }
                2 => {
                    let echo = [Echo::Byte(b'x'), Echo::Control(3), Echo::MoveBack][random(3) as usize];
                    wiping.0.push(echo);
                    pushing.0.push(echo);
                }
                _ => {
                    for (echo, output) in [&mut wiping, &mut pushing] {
                        echo.drain(|operations| output.echo_all(operations, &Termios::STANDARD));
                    }
                    let wanted = random(100) as usize;
                    let [ours, theirs] = [&mut wiping, &mut pushing].map(|(_, output)| {
                        let mut bytes = Vec::new();
                        output.take(wanted, &mut |run| {
                            bytes.extend_from_slice(run);
                            run.len()
                        });
                        (bytes, output.column)
                    });
                    assert_eq!(ours, theirs);
                }
            }
        }
    }
}
