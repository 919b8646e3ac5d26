//! What a file's events are those of. It outlives the file, as one that takes part in a transfer does.

use alloc::sync::Arc;

use drivers::tty::OpenTty;
use executor::sync::{Events, Readiness, Source};
use net::unix::Socket;

use crate::file::{File, Object, Stream};

/// What a file's events are those of.
pub enum Target {
    /// A stream.
    Stream(Arc<dyn Stream>),
    /// A terminal.
    Terminal(Arc<OpenTty>),
    /// A socket.
    Socket(Arc<Socket>),
}

impl Target {
    /// None for a file on which nobody ever waits.
    pub fn of(file: &File) -> Option<Self> {
        file.watched()?;
        match file.object() {
            Object::Stream(stream, _) => Some(Self::Stream(stream.clone())),
            Object::Terminal(terminal, _) => Some(Self::Terminal(terminal.clone())),
            Object::Socket(file) => Some(Self::Socket(Arc::clone(&file.socket))),
            Object::Inode(..) | Object::Place(_) => None,
        }
    }

    /// The events that are there.
    pub fn events(&self) -> Events {
        File::with_synonyms(match self {
            Self::Stream(stream) => stream.events(),
            Self::Terminal(terminal) => terminal.events(),
            Self::Socket(socket) => socket.events(),
        })
    }
}

impl Source for Target {
    fn readiness(&self) -> &Readiness {
        static NEVER: Readiness = Readiness::new();
        match self {
            Self::Stream(stream) => stream.readiness().unwrap_or(&NEVER),
            Self::Terminal(terminal) => terminal.readiness(),
            Self::Socket(socket) => socket.readiness(),
        }
    }

    fn other_readiness(&self) -> Option<&Readiness> {
        match self {
            Self::Stream(stream) => {
                stream.write_readiness().filter(|other| !core::ptr::eq(*other, self.readiness()))
            }
            Self::Terminal(_) | Self::Socket(_) => None,
        }
    }
}
