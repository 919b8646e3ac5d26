//! Images made by e2fsprogs, in memory, and what is on them.

extern crate std;

use crate::{
    Device, FileType, Op, Result,
    block::{BlockDevice, BlockDeviceRef, BlockInode, Transfer},
    ext4::{
        Ext4, Log,
        features::Incompatible,
        node::{Expected, Node},
        options::LENIENT,
        volume::Volume,
    },
    host::RamDisk,
};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Keeps what a file system has to say.
#[derive(Default)]
pub struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn line(&self, text: core::fmt::Arguments<'_>) {
        std::println!("{text}");
        self.0.lock().unwrap().push(text.to_string());
    }
}

impl Lines {
    /// What it has said since the last time.
    pub fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A file system in a file, with a directory `/d` and a file `/f`.
pub struct Image {
    folder: PathBuf,
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Image {
    pub fn make(options: &[&str], size: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let folder = std::env::temp_dir().join(format!("rusk-directories-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let image = Image { folder };
        let size = format!("{size}M");
        let mut arguments = vec!["-q", "-F"];
        arguments.extend(options);
        let path = image.path();
        arguments.extend([path.as_str(), &size]);
        image.tool("mke2fs", &arguments, &[0]);
        image.debugfs("mkdir d\nmknod f p\n");
        image
    }

    pub fn path(&self) -> String {
        self.folder.join("image").to_str().unwrap().into()
    }

    /// Runs a tool of e2fsprogs and returns what it printed; its status must be one of those in `fine`.
    pub fn tool(&self, name: &str, arguments: &[&str], fine: &[i32]) -> String {
        let paths = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let output = Command::new(name).args(arguments).env("PATH", paths).output();
        let output = output.unwrap_or_else(|error| panic!("{name} (of e2fsprogs) does not start: {error}"));
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        let short: String = text.chars().take(4000).collect();
        assert!(
            code.is_some_and(|code| fine.contains(&code)),
            "{name} {arguments:?} ended with {code:?}:\n{short}"
        );
        text
    }

    pub fn debugfs(&self, commands: &str) -> String {
        let script = self.folder.join("commands");
        std::fs::write(&script, commands).unwrap();
        self.tool("debugfs", &["-w", "-f", script.to_str().unwrap(), &self.path()], &[0])
    }

    /// Has e2fsck look at it.
    pub fn check(&self) {
        self.tool("e2fsck", &["-fn", &self.path()], &[0]);
    }

    /// Sets how directories hash their names.
    pub fn set_hash(&self, hash: &str, unsigned: bool) {
        self.tool("tune2fs", &["-E", &format!("hash_alg={hash}"), &self.path()], &[0]);
        self.debugfs(&format!("ssv flags {}\n", 1 + i32::from(unsigned)));
    }

    /// The names that `debugfs` lists in `/d`.
    pub fn list(&self) -> Vec<Vec<u8>> {
        let text = self.debugfs("ls -p /d\n");
        // Inode, mode, owner, group, name, size; also of records without a file.
        let names = text.lines().filter_map(|line| line.strip_prefix('/')?.split('/').nth(4));
        names.filter(|name| !matches!(*name, "" | "." | "..")).map(|name| name.as_bytes().to_vec()).collect()
    }

    pub fn read(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    pub fn write(&self, bytes: &[u8]) {
        std::fs::write(self.path(), bytes).unwrap();
    }
}

/// A mounted image.
pub struct Mounted {
    pub disk: Arc<RamDisk>,
    pub lines: Arc<Lines>,
    pub volume: Arc<Volume>,
    file_system: Arc<Ext4>,
    pub directory: Arc<Node>,
    pub file: Arc<Node>,
}

/// A disk that has its callers wait for a turn or two.
struct Slow(Arc<RamDisk>);

impl BlockDevice for Slow {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn sector_size(&self) -> u32 {
        self.0.sector_size()
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn transfer(&self, transfer: Transfer) -> Op<'static, Result<()>> {
        let disk = self.0.clone();
        Op::waiting(async move {
            executor::yield_now().await;
            disk.transfer(transfer).await?;
            executor::yield_now().await;
            Ok(())
        })
    }

    fn flush(&self) -> Op<'static, Result<()>> {
        Op::Ready(Ok(()))
    }
}

impl Mounted {
    pub async fn new(bytes: Vec<u8>, read_only: bool) -> Self {
        let disk = RamDisk::new(bytes, 512);
        Self::on(disk.clone(), disk, read_only).await
    }

    /// From a disk for which is waited.
    pub async fn slow(bytes: Vec<u8>) -> Self {
        let disk = RamDisk::new(bytes, 512);
        Self::on(disk.clone(), Arc::new(Slow(disk)), false).await
    }

    async fn on(disk: Arc<RamDisk>, device: BlockDeviceRef, read_only: bool) -> Self {
        let lines = Arc::new(Lines::default());
        let inode = BlockInode::new(device, Device(6), 1);
        let file_system = Ext4::mount(inode, lines.clone(), read_only, LENIENT).await.unwrap();
        let volume = file_system.volume.clone();
        let root = Node::read(&volume, 2, Expected::Name).await.unwrap();
        let [directory, file] = [root.find(b"d").await.unwrap().0, root.find(b"f").await.unwrap().0];
        let directory = Arc::new(Node::read(&volume, directory, Expected::Name).await.unwrap());
        let file = Arc::new(Node::read(&volume, file, Expected::Name).await.unwrap());
        Mounted { disk, lines, volume, file_system, directory, file }
    }

    /// Enters a name of the file.
    pub async fn enter(&self, name: &[u8]) -> Result<()> {
        let plan = self.directory.plan_entry(name.into()).await?;
        let apply = self.volume.begin(plan.credits() + 1).await?;
        plan.apply(&apply, &self.file);
        self.directory.store(&apply);
        Ok(())
    }

    /// The file of a name.
    pub async fn find(&self, name: &[u8]) -> Result<u32> {
        self.directory.find(name).await.map(|(number, _)| number)
    }

    /// Removes a name, which is found wherever the file was last seen.
    pub async fn remove(&self, name: &[u8]) -> Result<()> {
        let entry = self.directory.find_entry_of(name, &self.file).await?;
        assert_eq!(entry.whereabouts(), self.directory.find_entry(name).await?.whereabouts());
        let apply = self.volume.begin(entry.credits() + 1).await?;
        entry.remove(&apply);
        self.directory.store(&apply);
        Ok(())
    }

    /// All names, as they are listed a few at a time.
    pub async fn names(&self) -> Vec<Vec<u8>> {
        let mut listing = Listing::default();
        while listing.go_on(&self.directory, 37).await {}
        listing.seen
    }

    /// Unmounts, and writes what is on the disk into the image. The file has so many names more than its first.
    pub async fn end(self, image: &Image, names: usize) {
        {
            let apply = self.volume.begin(1).await.unwrap();
            self.file.attributes.set_links(1 + names as u32);
            self.file.store(&apply);
        }
        let (disk, lines) = (self.disk.clone(), self.lines.clone());
        self.abandon().await;
        assert_eq!(lines.take(), [""; 0]);
        image.write(&disk.contents());
    }

    /// Unmounts.
    pub async fn abandon(self) {
        let Mounted { volume, file_system, directory, file, .. } = self;
        drop((file_system, directory, file));
        // The tasks that commit and unmount have it, too.
        while Arc::strong_count(&volume) > 1 {
            executor::yield_now().await;
        }
    }
}

/// A listing that is going on.
#[derive(Default)]
pub struct Listing {
    cookie: u64,
    pub seen: Vec<Vec<u8>>,
}

impl Listing {
    /// Lists up to so many entries; false at the end.
    pub async fn go_on(&mut self, directory: &Node, most: usize) -> bool {
        let mut room = most;
        let typed = directory.volume.geometry.has(Incompatible::FILETYPE);
        let kind = if typed { FileType::Fifo } else { FileType::Untyped };
        let before = self.seen.len();
        directory
            .list(self.cookie.max(2), &mut |entry| {
                if room == 0 {
                    return false;
                }
                room -= 1;
                assert!(entry.next > self.cookie && entry.next < 1 << 63);
                assert_eq!(entry.kind, kind);
                self.cookie = entry.next;
                self.seen.push(entry.name.to_vec());
                true
            })
            .await
            .unwrap();
        self.seen.len() > before
    }
}
