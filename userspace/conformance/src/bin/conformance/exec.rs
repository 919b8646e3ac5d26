//! exec: what survives it, scripts, and files that are no programs.

use crate::check::{aside, describe, in_child, outcome, path, show, sys, value};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::ptr::null;
use support::elf::{interpreted, interpreter_header};
use support::process::fork;

/// Replaces this process by ourselves, running [`child`] with these words.
pub fn exec_self(words: &[&str]) {
    let mut arguments = vec!["conformance", "child"];
    arguments.extend(words);
    outcome("exec", exec("/proc/self/exe", &arguments, &["A=1", "B=two"]));
}

/// What runs after exec.
pub fn child(words: &[String]) {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["signals"] => {
            let status = fs::read_to_string("/proc/self/status").expect("our status");
            for key in ["SigBlk", "SigIgn", "SigCgt"] {
                let line = status.lines().find(|line| line.starts_with(key)).unwrap_or("none");
                // Rust's runtime has caught or ignored signals of its own by now; look at three only.
                let bits = line.split_whitespace().next_back().map(|bits| u64::from_str_radix(bits, 16));
                let bits = bits.and_then(Result::ok).unwrap_or(0);
                let bit = |signal: i32| bits >> (signal - 1) & 1;
                let bits = format!("{}{}{}", bit(libc::SIGHUP), bit(libc::SIGUSR1), bit(libc::SIGUSR2));
                show(key, bits);
            }
        }
        ["environment"] => {
            let variables = std::env::vars().map(|(name, value)| format!("{name}={value}"));
            show("environment", variables.collect::<Vec<_>>().join(" "));
        }
        ["descriptors"] => {
            outcome("kept descriptor", sys!(SYS_fcntl, 50, libc::F_GETFD));
            outcome("close-on-exec descriptor", sys!(SYS_fcntl, 51, libc::F_GETFD));
        }
        ["auxiliary"] => auxiliary(),
        ["timers"] => crate::timers::child(),
        ["seccomp"] => crate::seccomp::child(),
        ["vectors"] => crate::vectors::child(),
        ["capabilities"] => {
            crate::capabilities::show_all("after execve");
            // SAFETY: reads the vector that libc kept.
            show("secure", unsafe { libc::getauxval(libc::AT_SECURE) });
        }
        _ => show("arguments", format!("{words:?}")),
    }
}

/// The auxiliary vector that the kernel put on the stack.
fn auxiliary() {
    // SAFETY: reads the vector that libc kept.
    let get = |kind| unsafe { libc::getauxval(kind) };
    show("page size", get(libc::AT_PAGESZ));
    show("clock ticks", get(libc::AT_CLKTCK));
    show("program header size", get(libc::AT_PHENT));
    show("has program headers", get(libc::AT_PHDR) != 0 && get(libc::AT_PHNUM) > 2);
    show("has entry", get(libc::AT_ENTRY) != 0);
    show(
        "ids",
        format!("{} {} {} {}", get(libc::AT_UID), get(libc::AT_EUID), get(libc::AT_GID), get(libc::AT_EGID)),
    );
    show("secure", get(libc::AT_SECURE));
    show("random bytes", get(libc::AT_RANDOM) != 0);
    show("signal stack", get(libc::AT_MINSIGSTKSZ) > 512);
    show("base of an interpreter", get(libc::AT_BASE));
    show("vdso", get(libc::AT_SYSINFO_EHDR) != 0);
    // SAFETY: AT_EXECFN points to a string that the kernel put on the stack.
    let name = unsafe { std::ffi::CStr::from_ptr(get(libc::AT_EXECFN) as *const _) };
    show("exec name", name.to_string_lossy());
}

fn exec(program: &str, arguments: &[&str], environment: &[&str]) -> std::io::Result<i64> {
    let list = |words: &[&str]| words.iter().map(|word| path(word)).collect::<Vec<CString>>();
    let (arguments, environment) = (list(arguments), list(environment));
    let pointers =
        |list: &[CString]| list.iter().map(|word| word.as_ptr()).chain([null()]).collect::<Vec<_>>();
    sys!(SYS_execve, path(program).as_ptr(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr())
}

/// Tries to exec a file in a child: the error, or how the program ended.
fn attempt(what: &str, program: &str, arguments: &[&str]) {
    attempt_after(|| {}, what, program, arguments);
}

/// As [`attempt`], after the child has prepared itself.
fn attempt_after(prepare: impl FnOnce(), what: &str, program: &str, arguments: &[&str]) {
    let ended = fork(|| {
        prepare();
        match exec(program, arguments, &["PATH=/bin"]) {
            Ok(_) => 0,
            Err(error) => 100 + error.raw_os_error().unwrap_or(0),
        }
    });
    match ended.and_then(support::process::Child::wait) {
        Ok(support::process::Ended::Exited(status @ 100..)) => {
            outcome::<()>(what, Err(std::io::Error::from_raw_os_error(status - 100)));
        }
        other => value(what, other.map(describe)),
    }
}

fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    fs::write(name, content).expect("a file");
    fs::set_permissions(name, fs::Permissions::from_mode(0o755)).expect("its mode");
    format!("./{name}")
}

pub fn run() {
    survivors();
    arguments();
    scripts();
    refusals();
    broken_programs();
    interpreters();
    flipped_bits();
}

fn survivors() {
    aside("environment", || exec_self(&["environment"]));
    aside("auxiliary vector", || exec_self(&["auxiliary"]));
    aside("arguments", || exec_self(&["", "a b", "c\nd"]));
    aside("descriptors", || {
        let _ = sys!(SYS_dup2, 1, 50);
        let _ = sys!(SYS_dup3, 1, 51, libc::O_CLOEXEC);
        exec_self(&["descriptors"]);
    });
    aside("from a thread", || {
        let thread = std::thread::spawn(|| exec_self(&["from", "a", "thread"]));
        let _ = thread.join();
    });
    aside("while another thread computes", || {
        std::thread::spawn(|| {
            let mut count = 0_u64;
            loop {
                count = std::hint::black_box(count + 1);
            }
        });
        exec_self(&["one", "thread", "left"]);
    });
}

fn arguments() {
    let many = vec!["x".repeat(1000); 100];
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    attempt("100 arguments of 1000 bytes", "/bin/true", &many);
    let one = "y".repeat(128 << 10);
    attempt("argument of 128 KiB", "/bin/true", &["true", &one]);
    attempt("argument just below", "/bin/true", &["true", &one[1..]]);
    let much = vec![&one[1..]; 40];
    attempt("5 MiB of arguments", "/bin/true", &much);
    let limits = [
        // The stack must hold them, too.
        ("64 KiB", 64 << 10, 50 << 10),
        ("64 KiB", 64 << 10, 70 << 10),
        ("256 KiB", 256 << 10, 128 << 10),
        ("600 KiB", 600 << 10, 150 << 10),
        ("8 MiB", 8 << 20, 2 << 20),
        ("20 MiB", 20 << 20, 5 << 20),
        ("64 MiB", 64 << 20, 6 << 20),
        ("no", libc::RLIM_INFINITY, 6 << 20),
    ];
    for (name, stack, most) in limits {
        arguments_under(name, stack, most);
    }
    file("script", "#!/bin/true x\n");
    arguments_of_script("arguments of a script, at most", 0);
    arguments_of_script("and one byte more", 1);
    in_child("no arguments at all", || {
        let program = path("/proc/self/exe");
        i32::from(sys!(SYS_execve, program.as_ptr(), 0, 0).is_err())
    });
}

/// Executes a program with `most` bytes of arguments, environment and name, pointers included, and with one more.
fn arguments_under(name: &str, stack: u64, most: usize) {
    for more in [0, 1] {
        let list = arguments_of("/bin/true", most + more);
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        let what = format!("{name} limit of the stack, {most} bytes of arguments, and {more}");
        attempt_after(|| limit_stack(stack), &what, "/bin/true", &list);
    }
}

/// Executes a script with so many arguments that there is just room for what its first line brings, and some `more`.
fn arguments_of_script(what: &str, more: usize) {
    let brought = "/bin/true\0x\0./script\0".len() - "true\0".len();
    let list = arguments_of("./script", (2 << 20) - brought + more);
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    attempt_after(|| limit_stack(8 << 20), what, "./script", &list);
}

fn limit_stack(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a valid limit, read only.
    unsafe { libc::setrlimit(libc::RLIMIT_STACK, &raw const limit) };
}

/// Arguments for a program that take `size` bytes in all with its name and [`attempt`]'s environment, and a pointer each.
fn arguments_of(program: &str, size: usize) -> Vec<String> {
    let taken = |word: &str| word.len() + 1 + size_of::<usize>();
    let mut list = vec!["true".to_string()];
    let mut rest = size - (program.len() + 1) - taken("PATH=/bin") - taken(&list[0]);
    while rest > 0 {
        // What is left must be enough for a string of its own.
        let length = if rest > 100_000 { 50_000 } else { rest };
        list.push("x".repeat(length - taken("")));
        rest -= length;
    }
    list
}

fn scripts() {
    attempt("script", &file("script", "#!/bin/sh\nexit 3\n"), &["script"]);
    attempt("script without newline", &file("script", "#!/bin/true"), &["script"]);
    attempt("script with arguments", &file("script", "#!/bin/echo one two\n"), &["script", "three"]);
    attempt("blanks and tabs", &file("script", "#! \t /bin/echo \t a  b \t\n"), &["script", "c"]);
    attempt("no interpreter", &file("script", "#!\n"), &["script"]);
    attempt("only blanks", &file("script", "#!   \n"), &["script"]);
    attempt("missing interpreter", &file("script", "#!/no/such\n"), &["script"]);
    attempt("interpreter is a folder", &file("script", "#!/bin\n"), &["script"]);
    attempt("carriage return", &file("script", "#!/bin/sh\r\n"), &["script"]);
    let long = format!("#!/bin/{}\n", "x".repeat(300));
    attempt("interpreter too long", &file("script", long), &["script"]);
    let long = format!("#!/bin/echo {}\n", "x".repeat(300));
    for length in 251..=256 {
        let line = format!("#!/bin/echo{}\n", "\0".repeat(length - 11));
        attempt(&format!("line of {length} bytes"), &file("script", line), &["script"]);
        let line = format!("#!/{}", "x".repeat(length - 3));
        attempt(&format!("name up to byte {length}"), &file("script", &line), &["script"]);
        attempt("and a blank", &file("script", line + " "), &["script"]);
    }
    attempt("#! alone", &file("script", "#!"), &["script"]);
    attempt("#! and a blank", &file("script", "#! "), &["script"]);
    attempt("blanks at the end of the file", &file("script", "#!/bin/echo a  "), &["script"]);
    attempt("blank at the end of the file", &file("script", "#!/bin/echo "), &["script"]);
    attempt("NUL in the name", &file("script", "#!/bin/echo\0x y\n"), &["script"]);
    attempt("NUL after a blank", &file("script", "#!/bin/echo \0x y\n"), &["script"]);
    attempt("NUL in the argument", &file("script", "#!/bin/echo x\0y z\n"), &["script"]);
    attempt("argument too long is cut", &file("script", long), &["script"]);
    file("first", "#!/bin/echo inner\n");
    attempt("script of a script", &file("second", "#!./first outer\n"), &["second", "last"]);
    attempt("script of itself", &file("loop", "#!./loop\n"), &["loop"]);
    attempt("text without #!", &file("text", "exit 5\n"), &["text"]);
    attempt("empty file", &file("empty", ""), &["empty"]);
    attempt("one byte", &file("byte", "#"), &["byte"]);
}

fn refusals() {
    attempt("missing", "./no-such-file", &["x"]);
    attempt("folder", "/tmp", &["x"]);
    attempt("below a file", "/etc/passwd/x", &["x"]);
    attempt("device", "/dev/null", &["x"]);
    fs::write("plain", "#!/bin/true\n").expect("a file");
    fs::set_permissions("plain", fs::Permissions::from_mode(0o644)).expect("its mode");
    attempt("not executable", "./plain", &["x"]);
    let busy = file("busy", program());
    in_child("open for writing", || {
        let _open = fs::OpenOptions::new().append(true).open(&busy).expect("the file");
        exec(&busy, &["busy"], &[]).map_or_else(|error| error.raw_os_error().unwrap_or(0), |_| 0)
    });
    outcome("truncating a running program", sys!(SYS_truncate, path("/proc/self/exe").as_ptr(), 0));
    in_child("writing a running program", || {
        let running =
            fs::read("/usr/bin/nothing").map(|_| fs::OpenOptions::new().append(true).open("/proc/self/exe"));
        match running {
            Ok(Err(error)) => error.raw_os_error().unwrap_or(0),
            _ => 0,
        }
    });
}

/// A small static program.
fn program() -> Vec<u8> {
    fs::read("/usr/bin/nothing").expect("/usr/bin/nothing is in the root image")
}

/// A copy of a small program with the bytes at an offset replaced.
fn patched(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut program = program();
    program[offset..offset + bytes.len()].copy_from_slice(bytes);
    program
}

/// The offset of a field of the first program header of type PT_LOAD.
fn first_load(field: usize) -> usize {
    let program = program();
    let count = usize::from(program[56]);
    let header = |index| 64 + 56 * index;
    let load = (0..count).find(|index| program[header(*index)] == 1).expect("a PT_LOAD");
    header(load) + field
}

/// A program that cannot be loaded gives an error, or, once the old program is gone, the end of the process. Which
/// of the two depends on how early a kernel looks.
fn refused(what: &str, content: &[u8]) {
    use support::process::Ended::{Exited, Killed};
    let program = file("elf", content);
    let ended = fork(|| exec(&program, &["elf"], &[]).map_or(100, |_| 0));
    match ended.and_then(support::process::Child::wait) {
        Ok(Exited(100) | Killed(libc::SIGSEGV | libc::SIGKILL)) => show(what, "refused"),
        other => value(what, other.map(describe)),
    }
}

fn broken_programs() {
    let whole = program();
    attempt("whole", &file("elf", &whole), &["elf"]);
    for length in [1, 4, 16, 63, 64, 100, 64 + 56] {
        refused(&format!("cut to {length} bytes"), &whole[..length]);
    }
    for (what, offset, bytes) in [
        ("magic", 0, &[0x7f, b'E', b'L', b'G', 2][..]),
        ("machine ARM", 18, &[40, 0]),
        ("relocatable", 16, &[1, 0]),
        ("core file", 16, &[4, 0]),
        ("header size of entries", 54, &[55, 0]),
        ("no program headers", 56, &[0, 0]),
        ("very many program headers", 56, &[0xff, 0xff]),
        ("program headers past the end", 32, &[0, 0, 0, 0x70, 0, 0, 0, 0]),
        ("program headers at a huge offset", 32, &[0xff; 8]),
        ("entry nowhere", 24, &[0, 0x10, 0, 0, 0, 0, 0, 0]),
        ("entry in the kernel", 24, &[0, 0, 0, 0, 0, 0x80, 0xff, 0xff]),
    ] {
        refused(what, &patched(offset, bytes));
    }
    for (what, field, bytes) in [
        ("segment in the kernel", 16, [0, 0, 0, 0, 0, 0x80, 0xff, 0xff]),
        ("segment at the end of user space", 16, [0, 0xf0, 0xff, 0xff, 0xff, 0x7f, 0, 0]),
        ("segment larger than memory", 40, [0, 0, 0, 0, 0, 0, 1, 0]),
        ("segment of all address space", 40, [0xff; 8]),
        ("file part larger than memory part", 32, [0, 0, 0, 0x10, 0, 0, 0, 0]),
        ("offset and address disagree", 8, [1, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        refused(what, &patched(first_load(field), &bytes));
    }
}

/// Programs with an interpreter (`PT_INTERP`), which all kinds of files are named to be.
fn interpreters() {
    let whole = fs::read("/usr/bin/nothing-pie").expect("/usr/bin/nothing-pie is in the root image");
    let named = |what: &str, path: &str| {
        let program = interpreted(&whole, format!("{path}\0").as_bytes());
        attempt(&format!("interpreter: {what}"), &file("elf", program), &["elf"]);
    };
    named("a program like it", "/usr/bin/nothing-pie");
    named("a program at a fixed address", "/usr/bin/nothing");
    named("relative", "./elf");
    named("missing", "/no/such");
    named("a folder", "/bin");
    named("below a file", "/etc/passwd/x");
    named("a device", "/dev/null");
    named("no name", "");
    named("a NUL in the name", "/no/such\0/usr/bin/nothing-pie");
    named("4095 bytes", &"/".repeat(4095));
    named("4096 bytes", &"/".repeat(4096));
    fs::write("plain", &whole).expect("a file");
    fs::set_permissions("plain", fs::Permissions::from_mode(0o644)).expect("its mode");
    named("not executable", "./plain");
    let with = |what: &str, content: &[u8]| {
        file("interpreter", content);
        named(what, "./interpreter");
    };
    with("a script", b"#!/bin/sh\n".repeat(10).as_slice());
    with("empty", b"");
    with("63 bytes", &whole[..63]);
    with("64 bytes", &whole[..64]);
    with("cut off among the program headers", &whole[..64 + 56]);
    with("with an interpreter of its own", &interpreted(&whole, b"/no/such\0"));
    for (what, offset, bytes) in [
        ("magic", 0, &[0x7f, b'E', b'L', b'G'][..]),
        ("machine ARM", 18, &[40, 0]),
        ("header size of entries", 54, &[55, 0]),
        ("no program headers", 56, &[0, 0]),
        ("very many program headers", 56, &[0xff, 0xff]),
        ("program headers past the end", 32, &[0, 0, 0, 0x70, 0, 0, 0, 0]),
    ] {
        let mut program = whole.clone();
        program[offset..offset + bytes.len()].copy_from_slice(bytes);
        with(what, &program);
    }
    file("interpreter", &whole);
    let busy = file("elf", interpreted(&whole, b"./interpreter\0"));
    let writing = fs::OpenOptions::new().append(true).open("interpreter").expect("the file");
    attempt("interpreter: open for writing", &busy, &["elf"]);
    drop(writing);
    for path in [&b"/usr/bin/nothing-pie"[..], b"/", b"\0", &[b'/'; 4097]] {
        let program = interpreted(&whole, path);
        attempt(&format!("{} bytes without a NUL", path.len()), &file("elf", program), &["elf"]);
    }
    let mut beyond = interpreted(&whole, b"/usr/bin/nothing-pie\0");
    let header = interpreter_header(&beyond).expect("just made");
    beyond[header + 8 + 4] = 1;
    attempt("a name past the end", &file("elf", beyond), &["elf"]);
}

/// Seeded random damage: whatever happens, the kernel lives and the child ends.
fn flipped_bits() {
    let whole = program();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut ended = 0;
    for round in 0..150 {
        let mut damaged = whole.clone();
        // Half the rounds hit the headers, where the loader looks; the others hit anywhere.
        let reach = if round % 2 == 0 { 64 + 56 * usize::from(whole[56]) } else { whole.len() };
        for _ in 0..=next() % 4 {
            damaged[next() as usize % reach] ^= 1 << (next() % 8);
        }
        if next() % 8 == 0 {
            damaged.truncate(next() as usize % whole.len());
        }
        let name = file("damaged", damaged);
        let child = fork(|| {
            // A damaged program may loop for ever, ask for all memory or print anything.
            let null = sys!(SYS_open, c"/dev/null".as_ptr(), libc::O_RDWR).unwrap_or(0);
            (0..3).for_each(|file| drop(sys!(SYS_dup2, null, file)));
            let _ = sys!(SYS_alarm, 2);
            exec(&name, &["damaged"], &[]).map_or(1, |_| 0)
        });
        ended += i32::from(child.and_then(support::process::Child::wait).is_ok());
    }
    show("damaged programs that ended", ended);
}
