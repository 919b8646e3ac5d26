//! What a machine has beside processors and memory, as far as the kernel's files name it.

/// The console before there is a terminal. Nobody listens to what the kernel says.
pub mod console {
    pub fn set_level(_level: u8) {
        unreachable!("no run has a command line that says so")
    }

    pub fn set_sink(_sink: Option<fn(&[u8])>) {
        unreachable!("there is no terminal that messages could go to")
    }
}

/// Ports.
pub mod port {
    pub fn debug_console(_bytes: &[u8]) {
        unreachable!("no run has its calls logged")
    }
}

/// How long a panic is shown.
pub fn set_panic_timeout(_seconds: u64) {
    unreachable!("no run has a command line that says so")
}
