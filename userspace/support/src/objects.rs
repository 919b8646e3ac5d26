//! What random calls make that outlasts all processes: objects of System V IPC.

/// Numbers of the calls and of the commands that find an object by its index, and so its id.
const KINDS: [(i64, i64, bool); 3] =
    [(libc::SYS_shmctl, 13, false), (libc::SYS_semctl, 18, true), (libc::SYS_msgctl, 11, false)];

/// More than there are, as nobody who makes them lives for long.
const INDICES: i64 = 4096;

/// Removes them all, as root.
pub fn remove_all() {
    for (call, find, has_number) in KINDS {
        for index in 0..INDICES {
            let mut told = [0_u64; 16];
            let at = told.as_mut_ptr() as i64;
            // The number of a semaphore comes before the command.
            let control = |id: i64, command: i64, at: i64| {
                let [a, b, c] = if has_number { [0, command, at] } else { [command, at, 0] };
                // SAFETY: what is told of an object is at most as long as the block.
                unsafe { libc::syscall(call, id, a, b, c) }
            };
            let id = control(index, find, at);
            if id >= 0 {
                control(id, libc::IPC_RMID.into(), 0);
            }
        }
    }
}
