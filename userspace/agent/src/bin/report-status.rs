//! `report-status N`: tells the host a status and powers the machine off, on a Linux guest.
//!
//! Rusk reports the status of its first process by itself. Linux has no such channel, so a script that is the
//! first process of a Linux guest ends with this: the line `exit-status: N` goes byte by byte to QEMU's debug
//! console (port 0xe9), then reboot(2) powers off.

use std::arch::asm;

/// The port of QEMU's `isa-debugcon` device.
const DEBUGCON: u16 = 0xe9;

fn main() {
    let status: u8 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    // What was printed must have left before the power does.
    // SAFETY: no memory is involved; on something that is no terminal it fails, harmlessly.
    unsafe { libc::tcdrain(1) };
    // SAFETY: asks for one port; the kernel checks privileges.
    if unsafe { libc::ioperm(DEBUGCON.into(), 1, 1) } == 0 {
        for byte in format!("exit-status: {status}\n").bytes() {
            // SAFETY: the port is ours since ioperm succeeded, and the device only takes bytes.
            unsafe { asm!("out dx, al", in("dx") DEBUGCON, in("al") byte, options(nomem, nostack)) };
        }
    }
    // SAFETY: no memory is involved.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    eprintln!("report-status: cannot power off: {}", std::io::Error::last_os_error());
    std::process::exit(1);
}
