//! Interrupts to other CPUs.
//!
//! What they mean is up to the handlers registered for their vectors (`interrupts::vector`); without one, an
//! interrupt still ends a halt and brings a CPU back from user mode, which is all that [`kick`] is for. Memory written
//! before sending is visible to the handler.

use super::apic::{self, Command};
use super::interrupts::vector;
use super::smp;

/// Brings CPU `cpu` back from a halt or from user mode, to look at what changed.
#[inline]
pub fn kick(cpu: usize) {
    send(cpu, vector::KICK);
}

/// Asks CPU `cpu` to look at its TLB requests.
#[inline]
pub fn tlb_shootdown(cpu: usize) {
    send(cpu, vector::TLB_SHOOTDOWN);
}

/// Raises `vector` on CPU `cpu`, which may be this one.
#[inline]
pub fn send(cpu: usize, vector: u8) {
    apic::send(smp::apic_id(cpu), Command::fixed(vector));
}
