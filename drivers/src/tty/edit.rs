//! Line editing: ERASE, WERASE, KILL and REPRINT, and how each looks on the screen.

use super::ctype::{is_alphanumeric, is_control, is_utf8_continuation};
use super::discipline::LineDiscipline;
use super::echo::Echo;
use super::termios::{InputFlags, LocalFlags, Special};

/// How far back an erasing character goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Character,
    Word,
    Line,
}

/// Echoes a character, a control character as `^X` under ECHOCTL.
pub(super) fn echo_character(discipline: &mut LineDiscipline, byte: u8) {
    let as_control = discipline.termios.has_local(LocalFlags::ECHOCTL) && is_control(byte) && byte != b'\t';
    discipline.echo.push(if as_control { Echo::Control(byte) } else { Echo::Byte(byte) });
}

/// Closes an ECHOPRT erasure with its `/`.
pub(super) fn finish_erasing(discipline: &mut LineDiscipline) {
    if core::mem::take(&mut discipline.erasing) {
        discipline.echo.push(Echo::Byte(b'/'));
    }
}

/// Prints the line being typed anew, on a line of its own.
pub(super) fn reprint(discipline: &mut LineDiscipline, byte: u8) {
    finish_erasing(discipline);
    echo_character(discipline, byte);
    discipline.echo.push(Echo::Byte(b'\n'));
    for index in 0..discipline.input.line_len() {
        echo_character(discipline, discipline.input.line_byte(index));
    }
}

/// Carries out `byte`, which is one of ERASE, WERASE and KILL.
pub(super) fn erase(discipline: &mut LineDiscipline, byte: u8) {
    if discipline.input.is_line_start() {
        return;
    }
    let extent = if byte == discipline.termios.character(Special::Erase) {
        Extent::Character
    } else if byte == discipline.termios.character(Special::WordErase) {
        Extent::Word
    } else {
        Extent::Line
    };
    let local = discipline.termios.local;
    let wipes_lines = LocalFlags::ECHOK | LocalFlags::ECHOKE | LocalFlags::ECHOE;
    if extent == Extent::Line && !local.contains(LocalFlags::ECHO | wipes_lines) {
        forget_line(discipline);
        return;
    }
    erase_characters(discipline, extent);
    if discipline.input.is_line_start() && local.contains(LocalFlags::ECHO) {
        finish_erasing(discipline);
    }
}

/// KILL on a terminal that cannot wipe the line: it is only said to be gone.
fn forget_line(discipline: &mut LineDiscipline) {
    discipline.input.unpush(discipline.input.line_len());
    if discipline.termios.has_local(LocalFlags::ECHO) {
        finish_erasing(discipline);
        echo_character(discipline, discipline.termios.character(Special::Kill));
        if discipline.termios.has_local(LocalFlags::ECHOK) {
            discipline.echo.push(Echo::Byte(b'\n'));
        }
    }
}

fn erase_characters(discipline: &mut LineDiscipline, extent: Extent) {
    let mut in_word = false;
    while let Some((first, size)) = last_character(discipline) {
        if extent == Extent::Word {
            let belongs = is_alphanumeric(first) || first == b'_';
            if in_word && !belongs {
                break;
            }
            in_word |= belongs;
        }
        if discipline.termios.has_local(LocalFlags::ECHO) {
            echo_erasure(discipline, first, size, extent);
        }
        discipline.input.unpush(size);
        if extent == Extent::Character {
            break;
        }
    }
}

/// The first byte and the length of the last character of the line; None when the line is empty or begins with
/// half a character.
fn last_character(discipline: &LineDiscipline) -> Option<(u8, usize)> {
    let length = discipline.input.line_len();
    for start in (0..length).rev() {
        let byte = discipline.input.line_byte(start);
        if !is_continuation(discipline, byte) {
            return Some((byte, length - start));
        }
    }
    None
}

fn is_continuation(discipline: &LineDiscipline, byte: u8) -> bool {
    discipline.termios.has_input(InputFlags::IUTF8) && is_utf8_continuation(byte)
}

/// Shows that the last character of the line, of `size` bytes from `first` on, goes away.
fn echo_erasure(discipline: &mut LineDiscipline, first: u8, size: usize, extent: Extent) {
    let local = discipline.termios.local;
    if local.contains(LocalFlags::ECHOPRT) {
        if !core::mem::replace(&mut discipline.erasing, true) {
            discipline.echo.push(Echo::Byte(b'\\'));
        }
        echo_character(discipline, first);
        let length = discipline.input.line_len();
        for index in length - size + 1..length {
            discipline.echo.push(Echo::Byte(discipline.input.line_byte(index)));
            discipline.echo.push(Echo::MoveBack);
        }
    } else if extent == Extent::Character && !local.contains(LocalFlags::ECHOE) {
        echo_character(discipline, discipline.termios.character(Special::Erase));
    } else if first == b'\t' {
        let erase_tab = columns_before(discipline, discipline.input.line_len() - size);
        discipline.echo.push(erase_tab);
    } else {
        let shown_as_two = local.contains(LocalFlags::ECHOCTL);
        let columns = match is_control(first) {
            true if shown_as_two => 2,
            true => 0,
            false => 1,
        };
        for _ in 0..columns {
            for byte in [0x08, b' ', 0x08] {
                discipline.echo.push(Echo::Byte(byte));
            }
        }
    }
}

/// How to go back over a tab at index `tab` of the line: it depends on the columns that the characters before take.
fn columns_before(discipline: &LineDiscipline, tab: usize) -> Echo {
    let mut columns = 0usize;
    let mut after_tab = false;
    for index in (0..tab).rev() {
        let byte = discipline.input.line_byte(index);
        if byte == b'\t' {
            after_tab = true;
            break;
        } else if is_control(byte) {
            columns += if discipline.termios.has_local(LocalFlags::ECHOCTL) { 2 } else { 0 };
        } else if !is_continuation(discipline, byte) {
            columns += 1;
        }
    }
    Echo::EraseTab { columns: (columns % 8) as u8, after_tab }
}
