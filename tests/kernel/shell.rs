//! The shell on the serial console, driven key by key as a person would.

use crate::machine::{Kernel, Machine};
use std::time::Duration;

/// What the shell prints when it waits for a command.
const PROMPT: &str = "rusk:~# ";

fn shell() -> Machine {
    let mut machine = Machine::boot(Kernel::Rusk, &["--smp", "2", "--append", "loglevel=1"], &[]);
    machine.expect(PROMPT);
    machine
}

/// Types a command and gives what it printed.
#[track_caller]
fn run(machine: &mut Machine, command: &str) -> String {
    machine.send(&format!("{command}\n"));
    // What is typed is echoed first.
    machine.expect("\n");
    machine.expect(PROMPT)
}

#[test]
fn commands_and_their_status() {
    let mut machine = shell();
    assert_eq!(run(&mut machine, "echo hello"), "hello\n");
    assert_eq!(run(&mut machine, "sh -c 'exit 3'; echo $?"), "3\n");
    assert_eq!(run(&mut machine, "tty"), "/dev/ttyS0\n");
    assert!(run(&mut machine, "ps").contains("sh -l"));
    // Leaving the shell ends the machine, with the shell's status.
    machine.send("exit 7\n");
    assert_eq!(machine.end().0, Some(7));
}

#[test]
fn what_a_process_has_of_the_heap_is_charged_to_it() {
    let mut machine = shell();
    // Two commands, so that neither is longer than a line of the terminal.
    run(&mut machine, "status=/proc/$$/status");
    run(&mut machine, "f() { while read k v u; do [ $k = KernelHeap: ] && echo $v; done <$status; }");
    let mut bytes = |then: &str| {
        let printed = run(&mut machine, &format!("f; {then}"));
        printed.trim().parse::<i64>().unwrap_or_else(|_| panic!("no number: {printed}"))
    };
    let before = bytes("mkfifo /tmp/fifo");
    let with_child = bytes("exec 5<>/tmp/fifo");
    let with_pipe = bytes("exec 5>&-");
    assert!(before > 0, "{before}");
    assert!(with_pipe - with_child > 500, "a pipe: {with_child} to {with_pipe}");
}

#[test]
fn line_editing() {
    let mut machine = shell();
    let mut typed = |keys: &str| {
        machine.send(keys);
        machine.expect("\n");
        machine.expect(PROMPT)
    };
    assert_eq!(typed("echo abd\x1b[Dc\n"), "abcd\n", "left arrow");
    assert_eq!(typed("echo abx\x7fc\n"), "abc\n", "backspace");
    assert_eq!(typed("cho start\x01e\n"), "start\n", "Ctrl-A");
    assert_eq!(typed("echo one two\x17three\n"), "one three\n", "Ctrl-W");
    assert_eq!(typed("rubbish\x15echo clean\n"), "clean\n", "Ctrl-U");
    assert_eq!(typed("echo end\x1b[D\x1b[D\x05ing\n"), "ending\n", "Ctrl-E");
    assert_eq!(typed("echo xaxb\x02\x02\x02\x04\n"), "xxb\n", "Ctrl-B and Ctrl-D");
    assert_eq!(typed("echo first\n"), "first\n");
    assert_eq!(typed("\x1b[A\n"), "first\n", "up arrow");
    assert_eq!(typed("cat /etc/hostn\t\n"), "rusk\n", "completion of a name");
    assert!(typed("echo /usr/bin/nothi\t\t\n").contains("nothing-musl"), "completion of several");
}

#[test]
fn interrupt_and_quit_keys() {
    let mut machine = shell();
    machine.send("sleep 1000\n");
    pause();
    machine.send("\x03");
    machine.expect(PROMPT);
    assert_eq!(run(&mut machine, "echo $?"), "130\n");
    machine.send("cat\n");
    pause();
    machine.send("typed\n");
    machine.expect("typed\ntyped\n");
    machine.send("\x1c");
    machine.expect(PROMPT);
    assert_eq!(run(&mut machine, "echo $?"), "131\n");
    // A busy program that reads nothing is interrupted too.
    machine.send("while :; do :; done\n");
    pause();
    machine.send("\x03");
    machine.expect(PROMPT);
    machine.send("yes >/dev/null | sleep 1000\n");
    pause();
    machine.send("\x03");
    machine.expect(PROMPT);
    // At the prompt it drops the line.
    machine.send("echo dropped\x03");
    machine.expect(PROMPT);
    assert_eq!(run(&mut machine, "echo kept"), "kept\n");
}

#[test]
fn job_control() {
    let mut machine = shell();
    machine.send("sleep 1000\n");
    pause();
    machine.send("\x1a");
    machine.expect("Stopped");
    machine.expect(PROMPT);
    assert!(run(&mut machine, "jobs").contains("Stopped"));
    assert!(run(&mut machine, "ps -o stat,args").contains("T    sleep 1000"));
    run(&mut machine, "bg");
    pause();
    assert!(run(&mut machine, "jobs").contains("Running"));
    machine.send("fg\n");
    machine.expect("sleep 1000");
    pause();
    machine.send("\x03");
    machine.expect(PROMPT);
    assert_eq!(run(&mut machine, "jobs"), "");
    // A background job that reads the terminal is stopped.
    run(&mut machine, "cat &");
    pause();
    assert!(run(&mut machine, "jobs").contains("Stopped (tty input)"));
    machine.send("fg\n");
    machine.expect("cat");
    pause();
    machine.send("line\n");
    machine.expect("line\nline\n");
    machine.send("\x04");
    machine.expect(PROMPT);
    // A pipeline is one job.
    machine.send("sleep 500 | sleep 500\n");
    pause();
    machine.send("\x1a");
    machine.expect(PROMPT);
    run(&mut machine, "kill %1");
    run(&mut machine, "fg");
    assert_eq!(run(&mut machine, "pidof sleep | wc -w"), "0\n");
}

#[test]
fn end_of_file_leaves() {
    let mut machine = shell();
    machine.send("cat >note\n");
    pause();
    machine.send("one\ntwo\n\x04");
    machine.expect(PROMPT);
    assert_eq!(run(&mut machine, "wc -l <note"), "2\n");
    run(&mut machine, "sh -c 'exit 5'");
    machine.send("\x04");
    assert_eq!(machine.end().0, Some(5));
}

#[test]
fn full_screen_programs() {
    let mut machine = shell();
    run(&mut machine, "stty rows 24 cols 80");
    machine.send("vi note\n");
    machine.expect("note");
    pause();
    machine.send("ifirst line\nsecond line\x1b");
    pause();
    machine.send(":1\ndd:wq\n");
    machine.expect(PROMPT);
    assert_eq!(run(&mut machine, "cat note"), "second line\n");
    machine.send("top\n");
    machine.expect("Load average");
    machine.expect("COMMAND");
    machine.send("q");
    machine.expect(PROMPT);
    machine.send("seq 100 | less\n");
    machine.expect("20\n");
    pause();
    machine.send("q");
    machine.expect(PROMPT);
    // The terminal is as it was: it echoes, and lines are edited.
    assert_eq!(run(&mut machine, "echo sane"), "sane\n");
}

#[test]
fn power_off_from_the_shell() {
    let mut machine = shell();
    machine.send("poweroff\n");
    assert_eq!(machine.end().0, Some(0));
}

/// A moment for what was typed to arrive; a person is slower.
fn pause() {
    std::thread::sleep(Duration::from_millis(700));
}
