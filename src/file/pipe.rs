//! Pipes and named pipes as streams.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use executor::sync::{Events, Readiness};
use fs::{
    Credentials, Path, Source,
    pipe::{Call, Pipe, ReadEnd, WriteEnd},
};
use linux_raw_sys::general as linux;
use syscalls::Errno;

use super::{File, Node, Object, Stream};
use crate::{
    process::{Caller, interruptible},
    user_memory::UserBuffer,
};

struct Reader {
    end: ReadEnd,
    /// None if it was opened by a path.
    node: Option<Arc<Node>>,
}

struct Writer {
    end: WriteEnd,
    packets: Packets,
    /// As the reader's.
    node: Option<Arc<Node>>,
}

/// Whether what a program writes goes in as packets: what `O_DIRECT` means for the writing end of a pipe. With a name, a pipe
/// cannot be opened so.
#[derive(Default)]
struct Packets(AtomicBool);

impl Packets {
    fn of(flags: u32) -> Self {
        Self(AtomicBool::new(flags & linux::O_DIRECT != 0))
    }

    fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    #[inline(always)]
    fn write(&self, pipe: &Pipe, source: &mut (impl Source + ?Sized)) -> Result<usize, Errno> {
        if self.0.load(Ordering::Relaxed) { pipe.try_write_packets(source) } else { pipe.try_write(source) }
    }
}

impl Stream for Reader {
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, call: Call) -> Result<usize, Errno> {
        self.end.try_read(sink, call)
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(self.end.reader())
    }

    fn events(&self) -> Events {
        self.end.read_events()
    }

    fn readable(&self) -> Result<usize, Errno> {
        Ok(self.end.len())
    }

    fn pipe(&self) -> Option<&Pipe> {
        Some(&self.end)
    }

    fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }
}

impl Stream for Writer {
    fn try_write(&self, _caller: &Caller, source: &mut UserBuffer) -> Result<usize, Errno> {
        self.packets.write(&self.end, source)
    }

    fn try_write_kernel(&self, _caller: &Caller, bytes: &[u8]) -> Result<usize, Errno> {
        self.end.try_write(&mut &*bytes)
    }

    fn set_direct(&self, direct: bool) {
        self.packets.set(direct);
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(self.end.writer())
    }

    fn events(&self) -> Events {
        self.end.write_events()
    }

    fn readable(&self) -> Result<usize, Errno> {
        Ok(self.end.len())
    }

    fn pipe(&self) -> Option<&Pipe> {
        Some(&self.end)
    }

    fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }
}

/// Makes a pipe; returns the open files of its reading and its writing end.
pub fn new_pipe(maker: &Credentials, flags: u32) -> (Arc<File>, Arc<File>) {
    let (reader, writer) = fs::pipe::pipe();
    let node = Node::of_pipe(reader.pipe(), maker);
    let status = flags & linux::O_NONBLOCK;
    let reader: Arc<dyn Stream> = Arc::new(Reader { end: reader, node: Some(node.clone()) });
    let packets = Packets::of(flags);
    let writer: Arc<dyn Stream> = Arc::new(Writer { end: writer, packets, node: Some(node) });
    let direct = flags & linux::O_DIRECT;
    (
        File::new(Object::Stream(reader, None), status | linux::O_RDONLY),
        File::new(Object::Stream(writer, None), status | direct | linux::O_WRONLY),
    )
}

/// A named pipe that is open for reading and writing at once (fifo(7)).
struct Both {
    reader: ReadEnd,
    writer: WriteEnd,
    packets: Packets,
}

impl Drop for Both {
    fn drop(&mut self) {
        self.reader.part();
    }
}

impl Stream for Both {
    fn try_read(&self, _caller: &Caller, sink: &mut UserBuffer, call: Call) -> Result<usize, Errno> {
        self.reader.try_read(sink, call)
    }

    fn try_write(&self, _caller: &Caller, source: &mut UserBuffer) -> Result<usize, Errno> {
        self.packets.write(&self.writer, source)
    }

    fn try_write_kernel(&self, _caller: &Caller, bytes: &[u8]) -> Result<usize, Errno> {
        self.writer.try_write(&mut &*bytes)
    }

    fn set_direct(&self, direct: bool) {
        self.packets.set(direct);
    }

    fn readiness(&self) -> Option<&Readiness> {
        Some(self.reader.reader())
    }

    fn write_readiness(&self) -> Option<&Readiness> {
        Some(self.writer.writer())
    }

    fn events(&self) -> Events {
        self.reader.read_events() | self.writer.write_events()
    }

    fn readable(&self) -> Result<usize, Errno> {
        Ok(self.reader.len())
    }

    fn pipe(&self) -> Option<&Pipe> {
        Some(&self.reader)
    }
}

/// Opens a named pipe: waits for the other end as fifo(7) says; ENXIO for a writer that may not wait.
pub async fn open_fifo(caller: &Caller, path: Path, flags: u32) -> Result<Arc<File>, Errno> {
    let pipe = path.inode().attributes().attached_or_insert(Pipe::new);
    // A pipe without a name, opened by its link in /proc, waits for nobody, as on Linux.
    let named = Node::at(&path).is_none();
    let nonblocking = flags & linux::O_NONBLOCK != 0;
    let stream: Arc<dyn Stream> = match flags & linux::O_ACCMODE {
        linux::O_RDONLY => {
            let end = if named && !nonblocking {
                interruptible(&caller.thread, pipe.open_read_with_writer()).await?
            } else {
                pipe.open_read()
            };
            Arc::new(Reader { end, node: None })
        }
        linux::O_WRONLY => {
            let end = if !named {
                pipe.open_write()
            } else if nonblocking {
                pipe.open_write_to_reader().ok_or(Errno::ENXIO)?
            } else {
                interruptible(&caller.thread, pipe.open_write_with_reader()).await?
            };
            Arc::new(Writer { end, packets: Packets::default(), node: None })
        }
        _ => {
            let (reader, writer) = pipe.open_both();
            Arc::new(Both { reader, writer, packets: Packets::default() })
        }
    };
    Ok(File::new(Object::Stream(stream, Some(path)), flags))
}
