//! Signals: who handles and who sends them.

use super::check::expect;
use super::party::nap;
use linux_raw_sys::general as linux;
use processes::instruction::Register::{self, Rax, Rcx};
use processes::program::{Label, Program};

/// `SIG_IGN`.
const IGNORE: u64 = 1;

/// The flag of handlers after which calls go on, or not.
pub fn restart_flag(restarts: bool) -> u32 {
    if restarts { linux::SA_RESTART } else { 0 }
}

/// Has a signal handled by a function that ends by [`Program::ret`].
pub fn handle(p: &mut Program, signal: u32, handler: Label, flags: u32) {
    handle_alone(p, signal, handler, flags, 0);
}

/// The same, with the signals of `mask` blocked meanwhile.
pub fn handle_alone(p: &mut Program, signal: u32, handler: Label, flags: u32, mask: u64) {
    let restorer = p.label();
    let after = p.label();
    // handler, flags, restorer, mask
    let action = p.words(&[0, u64::from(flags | linux::SA_RESTORER), 0, mask]);
    p.set(Rcx, action);
    p.set(Rax, handler);
    p.write8(Rcx, 0, Rax);
    p.set(Rax, restorer);
    p.write8(Rcx, 16, Rax);
    p.system(linux::__NR_rt_sigaction, &[signal.into(), action.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 950);
    p.jump(after);
    p.put(restorer);
    p.system(linux::__NR_rt_sigreturn, &[]);
    p.put(after);
}

/// Has a signal ignored.
pub fn ignore(p: &mut Program, signal: u32) {
    let action = p.words(&[IGNORE, 0, 0, 0]);
    p.system(linux::__NR_rt_sigaction, &[signal.into(), action.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 953);
}

/// The bit of a signal in a mask.
pub fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Keeps a signal from this thread.
pub fn block(p: &mut Program, signal: u32) {
    block_all(p, bit(signal));
}

/// Keeps all signals of a mask from this thread.
pub fn block_all(p: &mut Program, mask: u64) {
    let signals = p.words(&[mask]);
    change_mask(p, linux::SIG_BLOCK, signals);
}

/// Changes which signals this thread gets.
pub fn change_mask(p: &mut Program, how: u32, signals: usize) {
    p.system(linux::__NR_rt_sigprocmask, &[how.into(), signals.into(), 0.into(), 8.into()]);
    expect(p, Rax, &[0], 951);
}

/// Sends a signal to a process.
pub fn kill(p: &mut Program, process: Register, signal: u32) {
    p.system(linux::__NR_kill, &[process.into(), signal.into()]);
    expect(p, Rax, &[0], 952);
}

/// Sleeps as [`nap`] does, then sends SIGUSR1 to all of the group; rax is the answer.
pub fn interrupt_all(p: &mut Program, most: i64) {
    nap(p, most);
    p.system(linux::__NR_kill, &[0.into(), linux::SIGUSR1.into()]);
}
