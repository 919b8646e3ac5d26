//! User and group numbers, and [capabilities](crate::capabilities) and
//! [priorities](crate::scheduling).

use crate::check::{aside, outcome, show, sys, value};

fn users() -> String {
    let (mut real, mut effective, mut saved) = (0_u32, 0_u32, 0_u32);
    let _ = sys!(SYS_getresuid, &raw mut real, &raw mut effective, &raw mut saved);
    format!("{real} {effective} {saved}")
}

fn groups() -> String {
    let mut list = [0_u32; 32];
    let count = sys!(SYS_getgroups, 32, list.as_mut_ptr()).unwrap_or(0) as usize;
    format!("{:?}", &list[..count])
}

pub fn run() {
    show("users", users());
    show("as getuid says", sys!(SYS_getuid).ok() == Some(0) && sys!(SYS_geteuid).ok() == Some(0));
    aside("setuid by root is for good", || {
        outcome("setuid 1000", sys!(SYS_setuid, 1000));
        show("users", users());
        outcome("back to root", sys!(SYS_setuid, 0));
        outcome("setgid", sys!(SYS_setgid, 1000));
        outcome("setgroups", sys!(SYS_setgroups, 0, 0));
        outcome("setuid to itself", sys!(SYS_setuid, 1000));
    });
    aside("setresuid keeps a way back", || {
        outcome("setresuid", sys!(SYS_setresuid, 1000, 1001, 0));
        show("users", users());
        outcome("to a stranger", sys!(SYS_setresuid, -1, 1002, -1));
        outcome("effective to real", sys!(SYS_setresuid, -1, 1000, -1));
        show("users", users());
        outcome("effective to saved", sys!(SYS_setresuid, -1, 0, -1));
        show("users", users());
    });
    aside("setreuid", || {
        outcome("setreuid", sys!(SYS_setreuid, 1000, 1001));
        show("users", users());
        outcome("swap", sys!(SYS_setreuid, 1001, 1000));
        show("users", users());
        outcome("root again", sys!(SYS_setreuid, 0, 0));
    });
    aside("groups", || {
        outcome("setgroups", sys!(SYS_setgroups, 3, [5_u32, 7, 1000].as_ptr()));
        show("groups", groups());
        outcome("too many", sys!(SYS_setgroups, 1 << 20, crate::check::BAD));
        value("count only", sys!(SYS_getgroups, 0, 0));
        outcome("room for two", sys!(SYS_getgroups, 2, [0_u32; 2].as_mut_ptr()));
        outcome("setresgid", sys!(SYS_setresgid, 5, 6, 7));
        show("group", sys!(SYS_getegid).unwrap_or(-1));
    });
    outcome("getpriority", sys!(SYS_getpriority, libc::PRIO_PROCESS, 0));
    aside("nice", || {
        outcome("setpriority 5", sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, 5));
        value("20 - nice", sys!(SYS_getpriority, libc::PRIO_PROCESS, 0));
        outcome("setpriority 100 is 19", sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, 100));
        value("20 - nice", sys!(SYS_getpriority, libc::PRIO_PROCESS, 0));
        let _ = sys!(SYS_setuid, 1000);
        outcome("a user may not go back", sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, 0));
    });
    crate::capabilities::run();
    crate::scheduling::run();
    // A set-user-id program runs as its owner. The shell is not one; a copy of our own program is.
    aside("set-user-id program", || {
        std::fs::copy("/proc/self/exe", "setuid-program").expect("a copy");
        let name = c"setuid-program";
        let _ = sys!(SYS_chown, name.as_ptr(), 1000, 1000);
        let _ = sys!(SYS_chmod, name.as_ptr(), 0o4755);
        let arguments = [c"conformance".as_ptr(), c"child".as_ptr(), c"auxiliary".as_ptr(), std::ptr::null()];
        let environment = [std::ptr::null::<u8>()];
        let _ = sys!(SYS_execve, name.as_ptr(), arguments.as_ptr(), environment.as_ptr());
    });
}
