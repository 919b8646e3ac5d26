//! Capabilities: the sets, and what changes them.

use crate::check::{BAD, aside, outcome, show, sys, value};
use std::ffi::CStr;
use std::{fs, io};
use support::memory::PAGE;

const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;
const SETUID: u64 = 1 << 7;
const SETPCAP: u64 = 1 << 8;
const VERSION: u32 = 0x2008_0522;

/// The sets of a thread: effective, permitted, inheritable.
fn get() -> io::Result<[u64; 3]> {
    let (header, mut data) = ([VERSION, 0], [0_u32; 6]);
    sys!(SYS_capget, header.as_ptr(), data.as_mut_ptr())?;
    Ok([0, 1, 2].map(|set| u64::from(data[set]) | u64::from(data[set + 3]) << 32))
}

fn set([effective, permitted, inheritable]: [u64; 3]) -> io::Result<i64> {
    let header = [VERSION, 0];
    let mut data = [0_u32; 6];
    for (index, set) in [effective, permitted, inheritable].into_iter().enumerate() {
        (data[index], data[index + 3]) = (set as u32, (set >> 32) as u32);
    }
    sys!(SYS_capset, header.as_ptr(), data.as_ptr())
}

/// All five sets, as `/proc` tells them.
pub fn show_all(what: &str) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let sets = text.lines().filter(|line| line.starts_with("Cap")).map(|line| line.replace('\t', " "));
    show(what, sets.collect::<Vec<_>>().join(", "));
}

fn prctl(option: i32, argument: u64, others: [u64; 3]) -> io::Result<i64> {
    sys!(SYS_prctl, option, argument as i64, others[0] as i64, others[1] as i64, others[2] as i64)
}

/// Executes this program again, to show its sets.
fn again() {
    execute(c"/proc/self/exe");
}

/// Executes a copy of it for that.
fn execute(program: &CStr) {
    let arguments = [c"conformance".as_ptr(), c"child".as_ptr(), c"capabilities".as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null::<u8>()];
    outcome("execve", sys!(SYS_execve, program.as_ptr(), arguments.as_ptr(), environment.as_ptr()));
}

pub fn run() {
    calls();
    sets();
    users();
    bits();
    programs();
    files();
    mounts();
}

fn calls() {
    let mut data = [0_u32; 6];
    let mut header = [1_u32, 0];
    outcome("capget of an unknown version", sys!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()));
    show("is told", format!("{:#x}", header[0]));
    header[0] = 1;
    outcome("capget to ask for the version", sys!(SYS_capget, header.as_mut_ptr(), 0));
    show("is told", format!("{:#x}", header[0]));
    outcome("capget of nothing", sys!(SYS_capget, header.as_mut_ptr(), 0));
    outcome("capget from a bad place", sys!(SYS_capget, BAD, data.as_mut_ptr()));
    outcome("capget to a bad place", sys!(SYS_capget, header.as_mut_ptr(), BAD));
    outcome("capget of a negative process", {
        header[1] = u32::MAX;
        sys!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr())
    });
    outcome("capget of nobody", {
        header[1] = 4_000_000;
        sys!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr())
    });
    outcome("capset of another", sys!(SYS_capset, [VERSION, 1].as_ptr(), data.as_ptr()));
    outcome("capset from a bad place", sys!(SYS_capset, [VERSION, 0].as_ptr(), BAD));
    outcome("capset of an unknown version", sys!(SYS_capset, [7_u32, 0].as_mut_ptr(), data.as_ptr()));
    header = [0x1998_0330, 0];
    data = [7; 6];
    outcome("capget of version 1", sys!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()));
    show("writes 32 bits of each", format!("{data:x?}"));
    outcome("another process", {
        // SAFETY: asks for a number.
        header = [VERSION, unsafe { libc::getppid() } as u32];
        sys!(SYS_capget, header.as_mut_ptr(), data.as_mut_ptr())
    });
    for (name, option) in [("read", libc::PR_CAPBSET_READ), ("drop", libc::PR_CAPBSET_DROP)] {
        outcome(&format!("{name} beyond the last"), prctl(option, 41, [0; 3]));
    }
    value("read the last", prctl(libc::PR_CAPBSET_READ, 40, [0; 3]));
}

fn sets() {
    show_all("at first");
    value("get", get().map(|sets| format!("{sets:x?}")));
    aside("fewer", || {
        outcome("effective fewer", set([KILL, KILL | SETUID | CHOWN, KILL]));
        show_all("sets");
        outcome("as a user", sys!(SYS_setresuid, 1000, -1, -1));
        outcome("effective more than permitted", set([SETPCAP, KILL, 0]));
        outcome("permitted more", set([0, KILL | SETPCAP, 0]));
        outcome("inheritable more", set([0, KILL, SETPCAP]));
        outcome("inheritable as permitted", set([SETUID, KILL | SETUID, SETUID]));
        show_all("sets");
        outcome("with SETUID alone", sys!(SYS_setresuid, 1000, -1, 1001));
        outcome("none", set([0; 3]));
        outcome("without", sys!(SYS_setuid, 1003));
        show_all("sets");
    });
    aside("what is asked for", || {
        let all = get().expect("the sets")[1];
        let without = |capability: u64| set([all & !capability, all, 0]);
        outcome("no KILL", without(KILL));
        outcome("change of owner", {
            std::fs::write("owned", b"").expect("a file");
            sys!(SYS_chown, c"owned".as_ptr(), 1000, 1000)
        });
        outcome("no CHOWN", without(CHOWN));
        outcome("change of owner", sys!(SYS_chown, c"owned".as_ptr(), 0, 0));
        outcome("no SETUID", without(SETUID));
        outcome("another user", sys!(SYS_setresuid, 1, 2, 3));
        outcome("no SYS_ADMIN", without(1 << 21));
        outcome("host name", sys!(SYS_sethostname, c"x".as_ptr(), 1));
        outcome("no SYS_CHROOT", without(1 << 18));
        outcome("chroot", sys!(SYS_chroot, c"/".as_ptr()));
        outcome("no SYS_NICE", without(1 << 23));
        outcome("priority", sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, -5));
        outcome("no SYS_RESOURCE", without(1 << 24));
        let limit = [1_u64 << 40, 1 << 40];
        let _ = sys!(SYS_setrlimit, libc::RLIMIT_NPROC, [5000_u64, 5000].as_ptr());
        outcome("a higher limit", sys!(SYS_setrlimit, libc::RLIMIT_NPROC, limit.as_ptr()));
        outcome("no DAC_OVERRIDE, no DAC_READ_SEARCH", without(1 << 1 | 1 << 2));
        let _ = sys!(SYS_chmod, c"owned".as_ptr(), 0);
        outcome("a file that nobody may read", std::fs::read("owned"));
        let _ = std::fs::remove_file("owned");
    });
}

fn users() {
    aside("for good", || {
        outcome("setuid", sys!(SYS_setuid, 1000));
        show_all("sets");
    });
    aside("and back", || {
        outcome("effective user", sys!(SYS_setresuid, -1, 1000, -1));
        show_all("sets");
        outcome("back", sys!(SYS_setresuid, -1, 0, -1));
        show_all("sets");
    });
    aside("of fewer", || {
        let _ = set([KILL | SETUID | CHOWN, KILL | SETUID | CHOWN, 0]);
        let _ = sys!(SYS_setresuid, -1, 1000, -1);
        let _ = sys!(SYS_setresuid, -1, 0, -1);
        show_all("there and back");
        let _ = sys!(SYS_setfsuid, 1000);
        show_all("file-system user 1000");
        let _ = sys!(SYS_setfsuid, 0);
        show_all("and 0 again");
    });
    aside("kept", || {
        value("keeps", prctl(libc::PR_GET_KEEPCAPS, 0, [0; 3]));
        outcome("strange", prctl(libc::PR_SET_KEEPCAPS, 2, [0; 3]));
        outcome("keep", prctl(libc::PR_SET_KEEPCAPS, 1, [0; 3]));
        value("keeps", prctl(libc::PR_GET_KEEPCAPS, 0, [0; 3]));
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        show_all("sets");
        outcome("effective again", set([KILL, KILL, 0]));
        again();
    });
}

fn bits() {
    aside("bounds", || {
        outcome("drop", prctl(libc::PR_CAPBSET_DROP, 0, [0; 3]));
        value("read", prctl(libc::PR_CAPBSET_READ, 0, [0; 3]));
        show_all("sets");
        again();
    });
    aside("bounds of a user", || {
        let _ = sys!(SYS_setuid, 1000);
        outcome("drop", prctl(libc::PR_CAPBSET_DROP, 0, [0; 3]));
        outcome("bits", prctl(libc::PR_SET_SECUREBITS, 1, [0; 3]));
    });
    aside("secure bits", || {
        value("at first", prctl(libc::PR_GET_SECUREBITS, 0, [0; 3]));
        outcome("unknown", prctl(libc::PR_SET_SECUREBITS, 1 << 9, [0; 3]));
        outcome("no fixup, locked", prctl(libc::PR_SET_SECUREBITS, 0b1100, [0; 3]));
        outcome("unlocked", prctl(libc::PR_SET_SECUREBITS, 0b0100, [0; 3]));
        outcome("taken back", prctl(libc::PR_SET_SECUREBITS, 0b1000, [0; 3]));
        outcome("keep, locked", prctl(libc::PR_SET_SECUREBITS, 0b10_1100, [0; 3]));
        outcome("keep", prctl(libc::PR_SET_KEEPCAPS, 1, [0; 3]));
        value("at last", prctl(libc::PR_GET_SECUREBITS, 0, [0; 3]));
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        show_all("another user");
    });
    aside("no root", || {
        outcome("set", prctl(libc::PR_SET_SECUREBITS, 1, [0; 3]));
        show_all("sets");
        again();
    });
}

fn programs() {
    aside("ambient", || {
        let (raise, lower) = (libc::PR_CAP_AMBIENT_RAISE as u64, libc::PR_CAP_AMBIENT_LOWER as u64);
        let is_set = libc::PR_CAP_AMBIENT_IS_SET as u64;
        let ambient = |act: u64, number: u64| prctl(libc::PR_CAP_AMBIENT, act, [number, 0, 0]);
        outcome("not inheritable", ambient(raise, 5));
        let all = get().expect("the sets")[1];
        let _ = set([all, all, KILL | SETUID]);
        outcome("raise", ambient(raise, 5));
        outcome("raise", ambient(raise, 7));
        value("is set", ambient(is_set, 5));
        outcome("lower", ambient(lower, 7));
        value("is set", ambient(is_set, 7));
        outcome("unknown act", ambient(9, 7));
        outcome("unknown number", ambient(raise, 41));
        outcome("more arguments", prctl(libc::PR_CAP_AMBIENT, raise, [5, 1, 0]));
        show_all("sets");
        outcome("keep", prctl(libc::PR_SET_KEEPCAPS, 1, [0; 3]));
        let _ = sys!(SYS_setresuid, -1, 1000, -1);
        show_all("another effective user");
        let _ = set([KILL, KILL, KILL]);
        outcome("raise", ambient(raise, 5));
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        show_all("another user");
        outcome("clear", prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, [0; 3]));
        show_all("sets");
    });
    aside("an ambient one outlasts execve", || {
        let all = get().expect("the sets")[1];
        outcome("keep", prctl(libc::PR_SET_SECUREBITS, 0b0100, [0; 3]));
        let _ = set([all, all, KILL]);
        let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, [5, 0, 0]);
        let _ = sys!(SYS_setresuid, 1000, 1000, 1000);
        again();
    });
    aside("root with few, and execve", || {
        let _ = set([KILL, KILL, SETUID]);
        again();
    });
    aside("only the real user is root", || {
        let _ = sys!(SYS_setresuid, -1, 1000, 1000);
        again();
    });
    aside("access by the real user", || {
        std::fs::write("secret", b"").expect("a file");
        let _ = sys!(SYS_chmod, c"secret".as_ptr(), 0);
        outcome("as root", sys!(SYS_access, c"secret".as_ptr(), 4));
        let _ = sys!(SYS_setresuid, -1, 1000, -1);
        outcome("as root, acting as another", sys!(SYS_access, c"secret".as_ptr(), 4));
        let _ = (sys!(SYS_setresuid, -1, 0, -1), sys!(SYS_setresuid, 1000, 0, -1));
        outcome("as another, acting as root", sys!(SYS_access, c"secret".as_ptr(), 4));
        outcome("by the effective user", {
            sys!(SYS_faccessat2, libc::AT_FDCWD, c"secret".as_ptr(), 4, libc::AT_EACCESS)
        });
        let _ = std::fs::remove_file("secret");
    });
}

const PROGRAM: &CStr = c"./program";
const NAME: &CStr = c"security.capability";

/// A `struct vfs_cap_data` of revision 2.
fn of_file(permitted: u64, inheritable: u64, is_effective: bool) -> Vec<u8> {
    let words =
        [0x0200_0000 | u64::from(is_effective), permitted, inheritable, permitted >> 32, inheritable >> 32];
    words.iter().flat_map(|word| (*word as u32).to_le_bytes()).collect()
}

fn give(value: &[u8]) -> io::Result<i64> {
    sys!(SYS_setxattr, PROGRAM.as_ptr(), NAME.as_ptr(), value.as_ptr(), value.len(), 0)
}

fn show_given(what: &str) {
    let mut bytes = [0_u8; 64];
    let len = sys!(SYS_getxattr, PROGRAM.as_ptr(), NAME.as_ptr(), bytes.as_mut_ptr(), bytes.len());
    value(what, len.map(|len| format!("{:x?}", &bytes[..len as usize])));
}

fn copy_program(to: &str) {
    fs::copy("/proc/self/exe", to).expect("a copy");
    let _ = sys!(SYS_chmod, c".".as_ptr(), 0o755);
}

/// What a program's file brings.
fn files() {
    copy_program("program");
    let mode = |bits: u32| outcome("mode", sys!(SYS_chmod, PROGRAM.as_ptr(), bits));
    let user = || outcome("a user", sys!(SYS_setresuid, 1000, 1000, 1000));
    mode(0o755);
    let plain = of_file(KILL | CHOWN, 0, true);
    for (what, bytes) in [
        ("half", plain[..10].to_vec()),
        ("revision 1", [&[1, 0, 0, 1], &plain[4..12]].concat()),
        ("revision 4", [&[1, 0, 0, 4], &plain[4..]].concat()),
        ("more", [&plain[..], &[0; 4]].concat()),
        ("another bit", [&[3], &plain[1..]].concat()),
    ] {
        outcome(what, give(&bytes));
    }
    show_given("none");
    aside("by a user", || {
        user();
        outcome("give", give(&plain));
        outcome("nonsense", give(&plain[..10]));
    });
    aside("without SETFCAP", || {
        let all = get().expect("the sets")[1];
        let _ = set([all & !(1 << 31), all, 0]);
        outcome("give", give(&plain));
        let _ = set([1 << 31, all, 0]);
        outcome("with it alone", give(&plain));
    });
    show_given("given");
    let owned = |owner: u8| [&[1, 0, 0, 3], &plain[4..], &[owner, 0, 0, 0]].concat();
    outcome("of user 0", give(&owned(0)));
    show_given("looks like");
    aside("of user 0", || {
        user();
        execute(PROGRAM);
    });
    outcome("of user 5", give(&owned(5)));
    show_given("looks like");
    aside("of user 5", || {
        user();
        execute(PROGRAM);
    });
    for (what, bytes) in [
        ("effective", plain.clone()),
        ("permitted", of_file(KILL | CHOWN | 1 << 40, 0, false)),
        ("more than there are", of_file(KILL | 1 << 50, 0, true)),
        ("inheritable", of_file(KILL, CHOWN | SETUID, false)),
        ("none", of_file(0, 0, false)),
    ] {
        outcome(what, give(&bytes));
        aside(&format!("{what}, a user"), || {
            user();
            execute(PROGRAM);
        });
        aside(&format!("{what}, root"), || execute(PROGRAM));
        aside(&format!("{what}, only the effective user is root"), || {
            let _ = sys!(SYS_setresuid, 1000, 0, 0);
            execute(PROGRAM);
        });
        aside(&format!("{what}, without some"), || {
            outcome("drop", prctl(libc::PR_CAPBSET_DROP, 5, [0; 3]));
            let all = get().expect("the sets")[1];
            let _ = set([all, all, SETUID]);
            outcome("keep", prctl(libc::PR_SET_SECUREBITS, 0b0100, [0; 3]));
            let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, [7, 0, 0]);
            user();
            show_all("before");
            execute(PROGRAM);
        });
        for (who, keeps) in [("a user", false), ("root with few", true)] {
            aside(&format!("{what}, nothing new, {who}"), || {
                outcome("nothing new", prctl(libc::PR_SET_NO_NEW_PRIVS, 1, [0; 3]));
                if keeps {
                    outcome("few", set([CHOWN, CHOWN, 0]));
                } else {
                    user();
                }
                execute(PROGRAM);
            });
        }
    }
    aside("nothing new for who acts as root", || {
        outcome("nothing new", prctl(libc::PR_SET_NO_NEW_PRIVS, 1, [0; 3]));
        let _ = sys!(SYS_setresuid, 1000, 0, 0);
        execute(c"/proc/self/exe");
    });
    // A program of root's.
    mode(0o4755);
    for (what, bytes) in [("effective", plain.clone()), ("permitted", of_file(CHOWN, 0, false))] {
        outcome(what, give(&bytes));
        aside(&format!("{what}, set-user-id"), || {
            user();
            execute(PROGRAM);
        });
    }
    // What takes them away.
    mode(0o755);
    let change = |flags: i32| sys!(SYS_open, PROGRAM.as_ptr(), flags).unwrap_or(-1) as i32;
    let changes: [(&str, &dyn Fn() -> io::Result<i64>); 7] = [
        ("mode", &|| sys!(SYS_chmod, PROGRAM.as_ptr(), 0o711)),
        ("owner", &|| sys!(SYS_chown, PROGRAM.as_ptr(), 1000, -1)),
        ("no owner", &|| sys!(SYS_chown, PROGRAM.as_ptr(), -1, -1)),
        ("written", &|| sys!(SYS_pwrite64, change(libc::O_WRONLY), c"\x7f".as_ptr(), 1, 0)),
        ("nothing written", &|| sys!(SYS_pwrite64, change(libc::O_WRONLY), c"".as_ptr(), 0, 0)),
        ("size", &|| sys!(SYS_truncate, PROGRAM.as_ptr(), 100_000)),
        ("emptied", &|| sys!(SYS_open, PROGRAM.as_ptr(), libc::O_WRONLY | libc::O_TRUNC).map(|_| 0)),
    ];
    for (what, change) in changes {
        outcome(what, give(&plain).and_then(|_| change()));
        show_given(what);
    }
    outcome("take", give(&plain).and_then(|_| sys!(SYS_removexattr, PROGRAM.as_ptr(), NAME.as_ptr())));
    show_given("taken");
    let _ = fs::remove_file("program");
}

/// Where files bring nothing, or nothing is executed.
fn mounts() {
    let _ = fs::create_dir("mounted");
    outcome("mount", sys!(SYS_mount, c"none".as_ptr(), c"mounted".as_ptr(), c"tmpfs".as_ptr(), 0, 0));
    copy_program("mounted/program");
    let name = c"mounted/program";
    let bytes = of_file(KILL, 0, true);
    outcome("give", sys!(SYS_setxattr, name.as_ptr(), NAME.as_ptr(), bytes.as_ptr(), bytes.len(), 0));
    let remount = |flags: u64| {
        let flags = flags | libc::MS_REMOUNT | libc::MS_BIND;
        outcome("remount", sys!(SYS_mount, 0, c"mounted".as_ptr(), 0, flags, 0));
    };
    for flags in [0, libc::MS_NOSUID] {
        remount(flags);
        for mode in [0o755, 0o6755] {
            outcome("mode", sys!(SYS_chmod, name.as_ptr(), mode));
            aside(&format!("flags {flags}, mode {mode:o}"), || {
                outcome("a group", sys!(SYS_setresgid, 1000, 1000, 1000));
                outcome("a user", sys!(SYS_setresuid, 1000, 1000, 1000));
                execute(name);
            });
        }
    }
    let executable = libc::PROT_READ | libc::PROT_EXEC;
    for flags in [0, libc::MS_NOEXEC] {
        remount(flags);
        aside("execute", || {
            let file = sys!(SYS_open, name.as_ptr(), libc::O_RDONLY).unwrap_or(-1) as i32;
            let map = |rights: i32| sys!(SYS_mmap, 0, PAGE, rights, libc::MAP_PRIVATE, file, 0);
            outcome("map to execute", map(executable));
            let plain = map(libc::PROT_READ);
            show("map to read", plain.is_ok());
            outcome("execute then", sys!(SYS_mprotect, plain.unwrap_or(0), PAGE, executable));
            execute(name);
        });
    }
    outcome("unmount", sys!(SYS_umount2, c"mounted".as_ptr(), 0));
    let _ = fs::remove_dir("mounted");
}
