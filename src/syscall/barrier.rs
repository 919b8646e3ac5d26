//! Barriers on other CPUs (membarrier(2)).

use core::sync::atomic::Ordering;

use linux_raw_sys::general::{membarrier_cmd as command, membarrier_cmd_flag};
use syscalls::Errno;

use crate::user_memory::SysResult;
use crate::{
    arch::cpu,
    memory,
    process::{Caller, thread::Attention, tree},
};

/// What there is, as Linux 6.1 has it: a bit per command.
const COMMANDS: [command; 9] = [
    command::MEMBARRIER_CMD_GLOBAL,
    command::MEMBARRIER_CMD_GLOBAL_EXPEDITED,
    command::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
    command::MEMBARRIER_CMD_PRIVATE_EXPEDITED,
    command::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
    command::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
    command::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
    command::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
    command::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
];

/// The bits of what a space has registered for.
const PLAIN: u8 = 1;
const SYNC_CORE: u8 = 2;
const SEQUENCES: u8 = 4;

pub async fn membarrier(caller: &Caller, number: i32, flags: u32, cpu: i32) -> SysResult {
    let of_one_cpu = flags == membarrier_cmd_flag::MEMBARRIER_CMD_FLAG_CPU as u32;
    let wanted = COMMANDS.into_iter().find(|command| *command as i32 == number);
    let may_name_cpu = wanted == Some(command::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
    if flags != 0 && !(may_name_cpu && of_one_cpu) {
        return Err(Errno::EINVAL);
    }
    if number == command::MEMBARRIER_CMD_QUERY as i32 {
        return Ok(COMMANDS.into_iter().fold(0, |mask, command| mask | command as usize));
    }
    match wanted.ok_or(Errno::EINVAL)? {
        command::MEMBARRIER_CMD_GLOBAL | command::MEMBARRIER_CMD_GLOBAL_EXPEDITED => memory::barrier().await,
        command::MEMBARRIER_CMD_PRIVATE_EXPEDITED => private(caller, PLAIN).await?,
        // The interrupt serializes the instructions as well.
        command::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE => private(caller, SYNC_CORE).await?,
        command::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ => {
            let only = of_one_cpu.then_some(cpu);
            if caller.space.registrations().has(SEQUENCES) {
                abort_sequences(caller, only);
            }
            // A CPU that there is not, as on Linux, is a barrier on none.
            private(caller, SEQUENCES).await?;
        }
        command::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED => caller.space.registrations().add(PLAIN),
        command::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE => {
            caller.space.registrations().add(SYNC_CORE);
        }
        command::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ => {
            caller.space.registrations().add(SEQUENCES);
        }
        // Those who want to be reached by others' barriers are, anyway.
        _ => {}
    }
    Ok(0)
}

/// A barrier on the CPUs that run the caller's program. EPERM if it has not registered for that kind.
async fn private(caller: &Caller, kind: u8) -> Result<(), Errno> {
    if !caller.space.registrations().has(kind) {
        return Err(Errno::EPERM);
    }
    caller.space.barrier().await;
    Ok(())
}

/// Has the threads that run now, or those on one CPU, abort a restartable sequence that they are in: those that do not run
/// will anyway. The barrier that follows awaits that they are told.
fn abort_sequences(caller: &Caller, cpu: Option<i32>) {
    let tree = tree::lock();
    let threads = tree.node(caller.process().pid).into_iter().flat_map(|node| &node.threads);
    for thread in threads {
        let runs_there = thread
            .running_on()
            .is_some_and(|running| running != cpu::id() && cpu.is_none_or(|cpu| cpu as usize == running));
        if runs_there && thread.sequence.exists() {
            thread.raise(Attention::SEQUENCE);
        }
    }
    // Told before the barrier's interrupts are sent.
    core::sync::atomic::fence(Ordering::SeqCst);
}
