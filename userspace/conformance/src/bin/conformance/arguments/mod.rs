//! Each system call with each of its arguments wrong in every way that there is: the errors.
//!
//! [`table`] lists the calls with the kinds of their arguments, [`kind`] what an argument of a kind can be, [`stage`] what
//! they work on. A call that is good but for one argument is made for each thing that this argument can be instead.

mod kind;
mod stage;
mod table;

use crate::check::{aside, call, sys};
use kind::Kind;
use stage::Stage;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use support::memory::Shared;
use support::process::{Child, fork};
use table::CALLS;

/// What is done to arguments of one kind: an outcome, and the variants that have it.
type Group = (String, Vec<String>);

pub fn run() {
    let names = HostNames::get();
    for (name, number, arguments) in CALLS {
        // What one call does to the process, no other sees.
        aside(name, || {
            let made = Shared::new(AtomicU64::new(0)).expect("shared memory");
            let caller = fork(|| {
                handle_alarms();
                let stage = Stage::new();
                print!("{}", table_of(&stage, &made, name, *number, arguments));
                let _ = std::io::stdout().flush();
                0
            });
            interrupt_waits(caller.expect("fork"), &made);
        });
    }
    names.set();
}

/// What some of the calls change for everybody.
struct HostNames(libc::utsname);

impl HostNames {
    fn get() -> Self {
        // SAFETY: all zeros is a value, which the call fills in.
        let mut names = Self(unsafe { std::mem::zeroed() });
        sys!(SYS_uname, &raw mut names.0).expect("uname");
        names
    }

    fn set(&self) {
        for (number, name) in
            [(libc::SYS_sethostname, &self.0.nodename), (libc::SYS_setdomainname, &self.0.domainname)]
        {
            let length = name.iter().take_while(|character| **character != 0).count();
            let _ = call(number, &[name.as_ptr() as usize, length]);
        }
    }
}

/// Lets SIGALRM interrupt a call, and do nothing else.
fn handle_alarms() {
    extern "C" fn ignore(_signal: i32) {}
    let handler: extern "C" fn(i32) = ignore;
    // SAFETY: the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
    }
}

/// Waits until the caller has ended, and interrupts each call that it is seen to wait in for a while.
fn interrupt_waits(caller: Child, made: &AtomicU64) {
    const LOOK_MS: u64 = 5;
    const LOOKS: usize = 20;
    const PATIENCE: usize = 2000;
    let (mut call, mut looks, mut asleep) = (0, 0, 0);
    loop {
        match sys!(SYS_wait4, caller.pid, std::ptr::null_mut::<i32>(), libc::WNOHANG, 0) {
            Ok(0) => {}
            _ => return,
        }
        support::clock::sleep_ms(LOOK_MS);
        let now = made.load(Ordering::SeqCst);
        if now != call {
            (call, looks, asleep) = (now, 0, 0);
        }
        looks += 1;
        asleep = if caller.state() == 'S' { asleep + 1 } else { 0 };
        if asleep == LOOKS {
            asleep = 0;
            let _ = caller.kill(libc::SIGALRM);
        }
        if looks == PATIENCE {
            println!("(no signal ends call {now})");
            let _ = caller.kill(libc::SIGKILL);
        }
    }
}

/// The outcomes of one call, a line for each argument.
///
/// `made` counts the calls.
fn table_of(stage: &Stage, made: &AtomicU64, name: &str, number: i64, arguments: &[Kind]) -> String {
    let good = || -> Vec<usize> {
        arguments.iter().enumerate().map(|(place, kind)| kind.good(stage, place)).collect()
    };
    let make = |words: &[usize]| {
        made.fetch_add(1, Ordering::SeqCst);
        support::errno::outcome(&call(number, words))
    };
    let mut text = format!("{name}: {}\n", make(&good()));
    for (place, kind) in arguments.iter().enumerate() {
        let mut groups: Vec<Group> = Vec::new();
        for (variant, value) in kind.others(stage) {
            let mut words = good();
            words[place] = value;
            let outcome = make(&words);
            match groups.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, variants)) => variants.push(variant),
                None => groups.push((outcome, vec![variant])),
            }
        }
        if groups.is_empty() {
            continue;
        }
        let _ = write!(text, "  {} {}:", place + 1, kind.name());
        for (outcome, variants) in groups {
            let _ = write!(text, " {outcome}({})", variants.join(" "));
        }
        text.push('\n');
    }
    text
}
