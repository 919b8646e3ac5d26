//! What a process or thread may ask about itself (prctl(2)).

use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::prctl as options;
use syscalls::Errno;

use super::{capability, seccomp};
use crate::process::{Caller, reaper, signal::numbers::SIGMAX};
use crate::user_memory::{self, SysResult};

pub async fn prctl(caller: &mut Caller, option: u32, arguments: [usize; 4]) -> SysResult {
    if let Some(result) = capability::prctl(caller, option, arguments) {
        return result;
    }
    let [argument, others @ ..] = arguments;
    let process = caller.process();
    match option {
        options::PR_SET_NAME => {
            let mut name = [0; 16];
            let len = user_memory::read_prefix(caller, argument, &mut name[..15]).await?;
            name[len..].fill(0);
            *caller.thread.name.lock() = name;
            Ok(0)
        }
        options::PR_GET_NAME => {
            let name = *caller.thread.name.lock();
            user_memory::copy_out(caller, argument, &name).await.map(|()| 0)
        }
        options::PR_SET_PDEATHSIG if argument <= usize::from(SIGMAX) => {
            process.death_signal.store(argument as u8, Relaxed);
            Ok(0)
        }
        options::PR_GET_PDEATHSIG => {
            let signal = process.death_signal.load(Relaxed);
            user_memory::write(caller, argument, u32::from(signal)).await.map(|()| 0)
        }
        options::PR_SET_CHILD_SUBREAPER => {
            reaper::set(process, argument != 0);
            Ok(0)
        }
        options::PR_GET_CHILD_SUBREAPER => {
            let is_subreaper = process.is_subreaper.load(Relaxed);
            user_memory::write(caller, argument, u32::from(is_subreaper)).await.map(|()| 0)
        }
        options::PR_GET_DUMPABLE => Ok(usize::from(process.is_dumpable.load(Relaxed))),
        options::PR_SET_DUMPABLE if argument <= 1 => {
            process.is_dumpable.store(argument == 1, Relaxed);
            Ok(0)
        }
        options::PR_GET_SECCOMP => Ok(caller.thread.confinement_mode().0 as usize),
        options::PR_SET_SECCOMP => seccomp::set_mode(caller, argument as u32, others[0]).await,
        options::PR_SET_NO_NEW_PRIVS if argument == 1 && others == [0; 3] => {
            process.gains_nothing.store(true, Relaxed);
            Ok(0)
        }
        options::PR_GET_NO_NEW_PRIVS if arguments == [0; 4] => {
            Ok(usize::from(process.gains_nothing.load(Relaxed)))
        }
        // There are no huge pages: it is kept and told, for the program's children, too.
        options::PR_SET_THP_DISABLE if others == [0; 3] => {
            process.refuses_huge_pages.store(argument != 0, Relaxed);
            Ok(0)
        }
        options::PR_GET_THP_DISABLE if arguments == [0; 4] => {
            Ok(usize::from(process.refuses_huge_pages.load(Relaxed)))
        }
        options::PR_GET_TID_ADDRESS => {
            let address = caller.thread.clear_tid.load(Relaxed);
            user_memory::write(caller, argument, address).await.map(|()| 0)
        }
        // Programs read the time stamp counter, and nobody may forbid it.
        options::PR_GET_TSC => user_memory::write(caller, argument, options::PR_TSC_ENABLE).await.map(|()| 0),
        options::PR_SET_TSC if argument as u32 == options::PR_TSC_ENABLE => Ok(0),
        options::PR_GET_TIMING => Ok(options::PR_TIMING_STATISTICAL as usize),
        options::PR_SET_TIMING if argument == options::PR_TIMING_STATISTICAL as usize => Ok(0),
        // It has none of these.
        options::PR_TASK_PERF_EVENTS_DISABLE | options::PR_TASK_PERF_EVENTS_ENABLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
