//! Line editing: ERASE, WERASE, KILL and REPRINT, and how each looks on the screen.

use super::ctype::{is_alphanumeric, is_control, is_utf8_continuation};
use super::discipline::LineDiscipline;
use super::echo::Echo;
use super::input::InputQueue;
use super::termios::{InputFlags, LocalFlags, Special, Termios};

/// How far back an erasing character goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Character,
    Word,
    Line,
}

/// Echoes a character, a control character as `^X` under ECHOCTL.
pub(super) fn echo_character(discipline: &mut LineDiscipline, byte: u8) {
    discipline.echo.push(echo_of(byte, discipline.termios.has_local(LocalFlags::ECHOCTL)));
}

#[inline]
fn echo_of(byte: u8, shows_controls: bool) -> Echo {
    if shows_controls && is_control(byte) && byte != b'\t' { Echo::Control(byte) } else { Echo::Byte(byte) }
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
    let LineDiscipline { input, echo, termios, .. } = discipline;
    let shows_controls = termios.has_local(LocalFlags::ECHOCTL);
    let (first, second) = input.line(0);
    echo.extend(first.iter().chain(second).map(|byte| echo_of(*byte, shows_controls)));
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
    let length = discipline.input.line_len();
    let start = start_of(discipline, extent);
    let local = discipline.termios.local;
    if start == length {
        return;
    }
    if !local.contains(LocalFlags::ECHO) {
        // Nothing shows.
    } else if local.contains(LocalFlags::ECHOPRT) {
        print_erased(discipline, start);
    } else if extent == Extent::Character && !local.contains(LocalFlags::ECHOE) {
        echo_character(discipline, discipline.termios.character(Special::Erase));
    } else {
        wipe(discipline, start);
    }
    discipline.input.unpush(length - start);
}

/// Where in the line begins what is to be erased, which reaches to its end.
fn start_of(discipline: &LineDiscipline, extent: Extent) -> usize {
    let (older, younger) = discipline.input.line(0);
    let length = discipline.input.line_len();
    let has_utf8 = discipline.termios.has_input(InputFlags::IUTF8);
    let begins_character = |byte: &u8| !(has_utf8 && is_utf8_continuation(*byte));
    match extent {
        Extent::Character => last_character(discipline, length).unwrap_or(length),
        // Half a character at the beginning stays.
        Extent::Line => older.iter().chain(younger).position(begins_character).unwrap_or(length),
        Extent::Word => {
            let (mut start, mut index, mut in_word) = (length, length, false);
            for part in [younger, older] {
                for byte in part.iter().rev() {
                    index -= 1;
                    let belongs = is_alphanumeric(*byte) || *byte == b'_';
                    if !begins_character(byte) {
                        continue;
                    }
                    if in_word && !belongs {
                        return start;
                    }
                    in_word |= belongs;
                    start = index;
                }
            }
            start
        }
    }
}

/// Where the last character of the first `length` bytes of the line begins; None when there is none, or only half a
/// character.
fn last_character(discipline: &LineDiscipline, length: usize) -> Option<usize> {
    (0..length).rev().find(|&start| !is_continuation(discipline, discipline.input.line_byte(start)))
}

fn is_continuation(discipline: &LineDiscipline, byte: u8) -> bool {
    discipline.termios.has_input(InputFlags::IUTF8) && is_utf8_continuation(byte)
}

/// Shows on paper that the line goes away from `start` on: its characters, from the last to the first.
fn print_erased(discipline: &mut LineDiscipline, start: usize) {
    if !core::mem::replace(&mut discipline.erasing, true) {
        discipline.echo.push(Echo::Byte(b'\\'));
    }
    let mut end = discipline.input.line_len();
    while end > start
        && let Some(first) = last_character(discipline, end)
    {
        echo_character(discipline, discipline.input.line_byte(first));
        for index in first + 1..end {
            discipline.echo.push(Echo::Byte(discipline.input.line_byte(index)));
            discipline.echo.push(Echo::MoveBack);
        }
        end = first;
    }
}

/// Blanks out the line from `start` on.
fn wipe(discipline: &mut LineDiscipline, start: usize) {
    let LineDiscipline { input, echo, termios, .. } = discipline;
    let of_control = if termios.has_local(LocalFlags::ECHOCTL) { 2 } else { 0 };
    let has_utf8 = termios.has_input(InputFlags::IUTF8);
    let (older, younger) = input.line(start);
    let (mut index, mut columns) = (input.line_len(), 0);
    for part in [younger, older] {
        for &byte in part.iter().rev() {
            index -= 1;
            if byte == b'\t' {
                echo.wipe(core::mem::take(&mut columns));
                echo.push(columns_before(input, termios, index));
            } else if is_control(byte) {
                columns += of_control;
            } else if !(has_utf8 && is_utf8_continuation(byte)) {
                columns += 1;
            }
        }
    }
    echo.wipe(columns);
}

/// How to go back over a tab at index `tab` of the line: it depends on the columns that the characters before take.
fn columns_before(input: &InputQueue, termios: &Termios, tab: usize) -> Echo {
    let mut columns = 0usize;
    let mut after_tab = false;
    for index in (0..tab).rev() {
        let byte = input.line_byte(index);
        if byte == b'\t' {
            after_tab = true;
            break;
        } else if is_control(byte) {
            columns += if termios.has_local(LocalFlags::ECHOCTL) { 2 } else { 0 };
        } else if !(termios.has_input(InputFlags::IUTF8) && is_utf8_continuation(byte)) {
            columns += 1;
        }
    }
    Echo::EraseTab { columns: (columns % 8) as u8, after_tab }
}
