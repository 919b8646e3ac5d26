//! Instructions per operation, counted by valgrind's callgrind: `cargo bench -p rusk-fs`.
//!
//! Each operation runs N and 2N times in a process of its own; the difference over N is its cost, start-up and tear-down
//! cancelled. What the host adds (finding the thread's worker in thread-local memory, malloc, reading the
//! clock) is in the figures.

use fs::block::BlockInode;
use fs::host::RamDisk;
use fs::memfs::{Limits, MemFs};
use fs::*;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;

const N: usize = 2000;

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Nothing,
    Walk2,
    Stat2,
    StatSymlink,
    Absent,
    Open,
    Create,
    CreateUnlink,
    MkdirRmdir,
    Rename,
    Read1,
    Read4k,
    Write1,
    Write4k,
    DiskRead4k,
    DiskWrite4k,
    Pipe5,
    Pipe64k,
    Clone,
    Clock,
    Page,
}

const OPERATIONS: &[(Operation, &str, &str)] = &[
    (Operation::Nothing, "nothing", "the loop itself"),
    (Operation::Walk2, "walk2", "lookup /tmp/kb.dat, counted, and drop"),
    (Operation::Stat2, "stat2", "metadata of /tmp/kb.dat"),
    (Operation::StatSymlink, "stat-symlink", "metadata of /bin/ls -> busybox"),
    (Operation::Absent, "absent", "lookup of a name known not to exist"),
    (Operation::Open, "open", "open /tmp/kb.dat for reading, and drop"),
    (Operation::Create, "create", "open O_CREAT of a new file in /tmp"),
    (Operation::CreateUnlink, "create-unlink", "the same, and unlink it"),
    (Operation::MkdirRmdir, "mkdir-rmdir", "make and remove a directory"),
    (Operation::Rename, "rename", "rename a file back and forth (per rename)"),
    (Operation::Read1, "read1", "read 1 byte"),
    (Operation::Read4k, "read4k", "read 4 KiB"),
    (Operation::Write1, "write1", "write 1 byte in place"),
    (Operation::Write4k, "write4k", "write 4 KiB in place"),
    (Operation::DiskRead4k, "disk-read4k", "read 4 KiB of a disk that are in memory"),
    (Operation::DiskWrite4k, "disk-write4k", "write 4 KiB of a disk that are in memory and dirty"),
    (Operation::Pipe5, "pipe5", "write and read 5 bytes through a pipe"),
    (Operation::Pipe64k, "pipe64k", "write and read 64 KiB through a pipe"),
    (Operation::Clone, "clone", "clone a path and drop it"),
    (Operation::Clock, "clock", "read the clock"),
    (Operation::Page, "page", "allocate and free a page"),
];

async fn prepare() -> (Arc<Namespace>, Path, Credentials) {
    let limits = Limits { size: Some(1 << 30), inodes: None };
    let namespace = Namespace::new(Superblock::new(MemFs::new(limits, 0o755)), "none", MountFlags::empty());
    let root = namespace.root();
    let credentials = Credentials::root();
    {
        let view = View { root: &root, start: &root, credentials: &credentials, umask: 0 };
        for directory in [b"/tmp".as_slice(), b"/bin", b"/usr"] {
            view.make(directory, Kind::Directory, 0o755).await.unwrap();
        }
        let flags = OpenFlags::CREATE | OpenFlags::READ_WRITE;
        for file in [b"/tmp/kb.dat".as_slice(), b"/bin/busybox"] {
            let file = view.open(file, flags, 0o644, LookupFlags::empty()).await.unwrap().path;
            let mut source = &[1u8; 65536][..];
            file::write(&**file.inode(), &credentials, Position::At(0), &mut source).await.unwrap();
        }
        view.make(b"/bin/ls", Kind::Symlink(b"busybox"), 0o777).await.unwrap();
    }
    (namespace, root, credentials)
}

/// The answer of an operation that has it at once, as the kernel's system calls ask for it.
fn now<T>(op: Op<'_, Result<T>>) {
    match op.ready() {
        Ok(Ok(answer)) => drop(black_box(answer)),
        Ok(Err(error)) => panic!("{error}"),
        Err(_) => panic!("not at once"),
    }
}

async fn measure(operation: Operation, n: usize) {
    let (_namespace, root, credentials) = prepare().await;
    let view = View { root: &root, start: &root, credentials: &credentials, umask: 0 };
    let file = view.lookup(b"/tmp/kb.dat", LookupFlags::FOLLOW).await.unwrap();
    let (reader, writer) = pipe::pipe();
    let mut buffer = vec![0u8; 65536];
    let disk = BlockInode::new(RamDisk::new(vec![0; 65536], 512), Device(1), 1);
    assert_eq!(disk.write_at(Position::At(0), &mut &buffer[..]).await.unwrap().count, 65536);
    let names: Vec<String> = (0..2 * N).map(|i| format!("/tmp/sf{i}")).collect();
    let make = OpenFlags::CREATE | OpenFlags::WRITE_ONLY;
    let mut kept = Vec::with_capacity(2 * N);
    for (i, name) in names.iter().enumerate().take(n) {
        match operation {
            Operation::Nothing => drop(black_box(i)),
            Operation::Walk2 => {
                now(view.lookup(black_box(b"/tmp/kb.dat"), LookupFlags::FOLLOW));
            }
            Operation::Stat2 => {
                now(view.metadata(black_box(b"/tmp/kb.dat"), LookupFlags::FOLLOW));
            }
            Operation::StatSymlink => {
                now(view.metadata(black_box(b"/bin/ls"), LookupFlags::FOLLOW));
            }
            Operation::Absent => {
                let absent = view.metadata(black_box(b"/usr/none"), LookupFlags::FOLLOW).ready();
                black_box(absent.is_ok_and(|absent| absent.is_err()));
            }
            Operation::Open => {
                let path = black_box(b"/tmp/kb.dat");
                now(view.open(path, OpenFlags::empty(), 0, LookupFlags::empty()));
            }
            Operation::Create => {
                let path = name.as_bytes();
                kept.push(view.open(path, make, 0o644, LookupFlags::empty()).ready().ok().unwrap().unwrap());
            }
            Operation::CreateUnlink => {
                let path = name.as_bytes();
                now(view.open(path, make, 0o644, LookupFlags::empty()));
                now(view.unlink(path));
            }
            Operation::MkdirRmdir => {
                drop(view.make(b"/tmp/dir", Kind::Directory, 0o755).await.unwrap());
                view.rmdir(b"/tmp/dir").await.unwrap();
            }
            Operation::Rename => {
                let (old, new): (&[u8], &[u8]) = if i % 2 == 0 {
                    (b"/tmp/kb.dat", b"/tmp/other")
                } else {
                    (b"/tmp/other", b"/tmp/kb.dat")
                };
                view.rename(old, view, new, RenameFlags::empty()).await.unwrap();
            }
            Operation::Read1 | Operation::Read4k => {
                let len = if operation == Operation::Read1 { 1 } else { 4096 };
                let mut sink = &mut buffer[..len];
                now(file.inode().read_at(black_box(0), &mut sink));
            }
            Operation::Write1 | Operation::Write4k => {
                let len = if operation == Operation::Write1 { 1 } else { 4096 };
                let mut source = &buffer[..len];
                now(file.inode().write_at(Position::At(black_box(0)), &mut source));
            }
            Operation::DiskRead4k => {
                now(disk.read_at(black_box(0), &mut &mut buffer[..4096]));
            }
            Operation::DiskWrite4k => {
                now(disk.write_at(Position::At(black_box(0)), &mut &buffer[..4096]));
            }
            Operation::Pipe5 | Operation::Pipe64k => {
                let len = if operation == Operation::Pipe5 { 5 } else { 65536 };
                let mut source = &buffer[..len];
                black_box(writer.try_write(&mut source).unwrap());
                let mut sink = &mut buffer[..len];
                black_box(reader.try_read(&mut sink, fs::pipe::Call::default()).unwrap());
            }
            Operation::Clone => drop(black_box(file.clone())),
            Operation::Clock => drop(black_box(Timestamp::now())),
            Operation::Page => drop(black_box(Page::zeroed())),
        }
    }
    // Kept files end outside of the count.
    std::process::exit(i32::from(kept.len() > n));
}

/// Instructions of a whole process.
fn count(operation: &str, n: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["measure", operation, &n.to_string()])
        .output()
        .expect("valgrind");
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("Collected :")).unwrap_or_else(|| panic!("{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, operation, n] = arguments.as_slice()
        && mode == "measure"
    {
        let (operation, ..) = *OPERATIONS.iter().find(|(_, name, _)| name == operation).unwrap();
        let n = n.parse().unwrap();
        executor::host::block_on(1, measure(operation, n));
        return;
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    for (_, name, meaning) in OPERATIONS.iter().filter(|(_, name, _)| wanted(name)) {
        let per = (count(name, 2 * N) as f64 - count(name, N) as f64) / N as f64;
        println!("{name:14} {per:8.0}  {meaning}");
    }
}
