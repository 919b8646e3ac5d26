//! Generated files and the device directory.

use crate::common::*;
use fs::procfs::{Directory, Fixed, Link, LongText, Node, PROC_MAGIC, Parts, ProcFs};
use fs::*;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use syscalls::Errno;

/// Processes with their states.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<Vec<u32>>>);

struct Process {
    table: Table,
    pid: u32,
}

impl Directory for Process {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let pid = self.pid;
        match name {
            b"status" => Some(Node::Text(Arc::new(move |text: &mut Vec<u8>| {
                text.extend(format!("Pid:\t{pid}\n").bytes());
                Ok(())
            }))),
            _ => None,
        }
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        if from <= 2 {
            emit(2, b"status", FileType::Regular);
        }
    }

    fn alive(&self) -> bool {
        self.table.0.lock().unwrap().contains(&self.pid)
    }

    fn owner(&self) -> (u32, u32) {
        (self.pid, self.pid)
    }
}

impl Directory for Table {
    fn lookup(&self, name: &[u8]) -> Option<Node> {
        let pid = std::str::from_utf8(name).ok()?.parse().ok()?;
        let process = Process { table: self.clone(), pid };
        process.alive().then(|| Node::Directory(Arc::new(process)))
    }

    fn list(&self, from: u64, emit: &mut dyn FnMut(u64, &[u8], FileType) -> bool) {
        let mut pids = self.0.lock().unwrap().clone();
        pids.sort_unstable();
        for pid in pids.into_iter().filter(|pid| u64::from(*pid) + 2 >= from) {
            if !emit(u64::from(pid) + 2, pid.to_string().as_bytes(), FileType::Directory) {
                return;
            }
        }
    }
}

struct SelfLink(u32);

impl Link for SelfLink {
    fn text(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_string().into_bytes())
    }
}

/// A link to an open file, whatever its text says.
struct Opened(Path);

impl Link for Opened {
    fn text(&self) -> Result<Vec<u8>> {
        Ok(b"/no/such/path".to_vec())
    }

    fn target(&self) -> Option<Result<Path>> {
        Some(Ok(self.0.clone()))
    }

    fn is_magic(&self) -> bool {
        true
    }
}

async fn with_proc() -> (Tree, Table) {
    let tree = Tree::new(UNLIMITED);
    tree.mkdir("/proc").await.unwrap();
    tree.mkdir("/dir").await.unwrap();
    let file = tree.write_file("/dir/open", b"still here").await.unwrap();
    let directory = tree.find("/dir").await.unwrap();
    let table = Table::default();
    table.0.lock().unwrap().extend([1, 42]);
    let reads = AtomicU32::new(0);
    let counter = move |text: &mut Vec<u8>| {
        let count = reads.fetch_add(1, Relaxed);
        text.extend(format!("{count} ").repeat(1000).bytes());
        Ok(())
    };
    let entries = [
        ("counter", Node::Text(Arc::new(counter))),
        ("self", Node::Link(Arc::new(SelfLink(42)))),
        ("fd", Node::Link(Arc::new(Opened(file)))),
        ("cwd", Node::Link(Arc::new(Opened(directory)))),
    ];
    let root = Fixed::new(entries, Some(Arc::new(table.clone())));
    let at = tree.find("/proc").await.unwrap();
    let superblock = Superblock::new(ProcFs::new("proc", PROC_MAGIC, root));
    tree.namespace.mount(superblock, &at, "proc", MountFlags::empty()).unwrap();
    (tree, table)
}

#[test]
fn processes_appear_and_vanish() {
    run(async {
        let (tree, table) = with_proc().await;
        let listed = tree.list("/proc").await.unwrap();
        assert_eq!(listed, [".", "..", "1", "42", "counter", "cwd", "fd", "self"]);
        assert_eq!(tree.read_file("/proc/42/status").await.unwrap(), b"Pid:\t42\n");
        assert_eq!(tree.read_file("/proc/self/status").await.unwrap(), b"Pid:\t42\n");
        assert_eq!(tree.stat("/proc/42").await.unwrap().uid, 42);
        let before = tree.stat("/proc/42").await.unwrap().ino;
        assert_eq!(error(tree.find("/proc/7").await), Errno::ENOENT);
        let inside = tree.find("/proc/42").await.unwrap();
        table.0.lock().unwrap().retain(|pid| *pid != 42);
        assert_eq!(error(tree.find("/proc/42").await), Errno::ENOENT);
        assert_eq!(error(tree.find("/proc/self/status").await), Errno::ENOENT);
        table.0.lock().unwrap().extend([42, 7]);
        assert!(tree.find("/proc/7").await.is_ok(), "absence must not be remembered");
        let again = tree.find("/proc/42").await.unwrap();
        assert!(again != inside, "a new process is another directory");
        assert_eq!(again.inode().attributes().ino, before);
        assert_eq!(error(tree.mkdir("/proc/x").await), Errno::ENOENT);
    });
}

#[test]
fn text_is_made_once_per_reading() {
    run(async {
        let (tree, _) = with_proc().await;
        let view = tree.view();
        let open = view.open(b"/proc/counter", OpenFlags::empty(), 0, LookupFlags::empty()).await.unwrap();
        let stream = open.stream.expect("a text of its own");
        let mut all = Vec::new();
        loop {
            let mut buffer = [0; 100];
            let count = stream.read_at(all.len() as u64, &mut &mut buffer[..]).await.unwrap();
            if count == 0 {
                break;
            }
            all.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(all, b"0 ".repeat(1000));
        // From the start again, it is made again.
        let mut buffer = [0; 2];
        stream.read_at(0, &mut &mut buffer[..]).await.unwrap();
        assert_eq!(&buffer, b"1 ");
        stream.read_at(4, &mut &mut buffer[..]).await.unwrap();
        assert_eq!(&buffer, b"1 ");
        let mut data = &b"x"[..];
        assert_eq!(stream.write_at(Position::At(0), &mut data).await.unwrap_err(), Errno::EIO);
    });
}

#[test]
fn magic_links_lead_to_open_objects() {
    run(async {
        let (tree, _) = with_proc().await;
        tree.unlink("/dir/open").await.unwrap();
        // What the text names does not exist, and neither does the file's name any more.
        assert_eq!(tree.read_file("/proc/fd").await.unwrap(), b"still here");
        tree.write_file("/dir/other", b"by cwd").await.unwrap();
        assert_eq!(tree.read_file("/proc/cwd/other").await.unwrap(), b"by cwd");
        assert_eq!(tree.read_file("/proc/cwd/../dir/other").await.unwrap(), b"by cwd");
        assert_eq!(error(tree.find("/proc/fd/").await), Errno::ENOTDIR);
        let text = tree.view().read_link(b"/proc/fd", LookupFlags::empty()).await.unwrap();
        assert_eq!(text, b"/no/such/path");
        let flags = LookupFlags::FOLLOW | LookupFlags::NO_MAGIC_LINKS;
        assert_eq!(error(tree.view().lookup(b"/proc/fd", flags).await), Errno::ELOOP);
        // Made through the link, too.
        tree.write_file("/proc/cwd/made", b"m").await.unwrap();
        assert_eq!(tree.read_file("/dir/made").await.unwrap(), b"m");
    });
}

#[test]
fn devices_are_registered() {
    run(async {
        let tree = Tree::new(UNLIMITED);
        tree.mkdir("/dev").await.unwrap();
        let devices = devfs::DevFs::new();
        let tty = Kind::Character(Device::new(5, 0));
        devices.register(b"tty", tty, 0o666, 0, 5).await.unwrap();
        let at = tree.find("/dev").await.unwrap();
        tree.namespace.mount(devices.superblock().clone(), &at, "devtmpfs", MountFlags::empty()).unwrap();
        let pts = Kind::Character(Device::new(136, 0));
        devices.register(b"pts/0", pts, 0o620, 1000, 5).await.unwrap();
        devices.register(b"stdin", Kind::Symlink(b"/proc/self/fd/0"), 0o777, 0, 0).await.unwrap();
        let stat = tree.stat("/dev/tty").await.unwrap();
        assert_eq!((stat.mode(), stat.gid, stat.rdev), (0o20666, 5, Device::new(5, 0)));
        assert_eq!(tree.stat("/dev/pts/0").await.unwrap().uid, 1000);
        // Registered anew, the node is the new one.
        devices.register(b"pts/0", pts, 0o600, 1001, 5).await.unwrap();
        assert_eq!(tree.stat("/dev/pts/0").await.unwrap().uid, 1001);
        devices.unregister(b"pts/0").await.unwrap();
        assert_eq!(error(tree.stat("/dev/pts/0").await), Errno::ENOENT);
        let opened = tree.open("/dev/tty", OpenFlags::READ_WRITE).await.unwrap();
        assert_eq!(opened.dentry().kind(), FileType::Character);
    });
}

/// Lines of numbers, of which each is made when it is read; the third fails as often as is said.
struct Lines {
    next: u32,
    made: Arc<AtomicU32>,
    failures: Arc<AtomicU32>,
}

impl Parts for Lines {
    fn next(&mut self) -> Op<'_, Result<Option<Vec<u8>>>> {
        if self.next == 2 && self.failures.load(Relaxed) > 0 {
            self.failures.fetch_sub(1, Relaxed);
            return Op::Ready(Err(Errno::ENOMEM));
        }
        if self.next == 5 {
            return Op::Ready(Ok(None));
        }
        self.next += 1;
        self.made.fetch_add(1, Relaxed);
        Op::Ready(Ok(Some(format!("line {}\n", self.next).into_bytes())))
    }
}

struct Counted {
    made: Arc<AtomicU32>,
    failures: Arc<AtomicU32>,
}

impl LongText for Counted {
    fn begin(&self) -> Result<Box<dyn Parts>> {
        Ok(Box::new(Lines { next: 0, made: self.made.clone(), failures: self.failures.clone() }))
    }
}

#[test]
fn a_long_text_is_made_as_far_as_it_is_read() {
    run(async {
        let (made, failures) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let text = Counted { made: made.clone(), failures: failures.clone() };
        let root = Fixed::new([("long", Node::Long(Arc::new(text)))], None);
        let proc = Superblock::new(ProcFs::new("proc", PROC_MAGIC, root));
        let inode = proc.root().inode().lookup(b"long").await.unwrap();
        let file = inode.open().unwrap().expect("a text of its own");
        let read = async |offset: u64, len: usize| {
            let mut bytes = vec![0; len];
            let count = file.read_at(offset, &mut &mut bytes[..]).await?;
            bytes.truncate(count);
            Ok::<_, Errno>(String::from_utf8(bytes).unwrap())
        };
        assert_eq!(read(0, 3).await.unwrap(), "lin");
        assert_eq!(made.load(Relaxed), 1, "no more than was read");
        assert_eq!(read(3, 10).await.unwrap(), "e 1\nline 2");
        assert_eq!(made.load(Relaxed), 2);
        failures.store(2, Relaxed);
        assert_eq!(read(0, 100).await.unwrap(), "line 1\nline 2\n", "from the start it is made anew");
        assert_eq!(read(14, 100).await, Err(Errno::ENOMEM), "what failed is told by who comes there");
        assert_eq!(read(14, 100).await.unwrap(), "line 3\nline 4\nline 5\n", "and made then");
        assert_eq!(read(35, 100).await.unwrap(), "");
        assert_eq!(read(99, 100).await.unwrap(), "");
        assert_eq!(read(8, 4).await.unwrap(), "ine ", "what has been made stays");
        assert_eq!(made.load(Relaxed), 7);
    });
}
