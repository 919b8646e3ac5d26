//! Orphans against e2fsprogs, which make and judge the images.

use super::*;
use crate::block::BlockInode;
use crate::ext4::{Ext4, Log, options::LENIENT};
use crate::host::{RamDisk, Random};
use crate::{Device, FileSystem};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::string::String;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::vec;

/// Keeps what a file system has to say.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn line(&self, text: core::fmt::Arguments<'_>) {
        // Shown with a test that fails.
        std::println!("{text}");
        self.0.lock().unwrap().push(std::format!("{text}"));
    }
}

/// Runs a tool of e2fsprogs and returns what it printed; its status must be one of those in `fine`.
fn tool(name: &str, arguments: &[&str], fine: &[i32]) -> String {
    let paths = std::format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(name).args(arguments).env("PATH", paths).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap();
    assert!(fine.contains(&code), "{name} {arguments:?} ended with {code}:\n{text}");
    text
}

/// A file system in a folder, with files that have names and files that have none.
struct Image {
    folder: PathBuf,
    named: Vec<u32>,
    nameless: Vec<u32>,
}

impl Image {
    fn new(options: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, executor::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(std::format!("rusk-orphans-{}-{number}", std::process::id()));
        let source = folder.join("source");
        std::fs::create_dir_all(&source).unwrap();
        for number in 0..40 {
            std::fs::write(source.join(std::format!("file-{number:02}")), vec![1; number * 500]).unwrap();
        }
        let mut image = Image { folder, named: Vec::new(), nameless: Vec::new() };
        let path = image.path();
        let (path, source) = (path.to_str().unwrap(), source.to_str().unwrap());
        let mut arguments = vec!["-q", "-F", "-d", source];
        arguments.extend(options);
        arguments.extend([path, "12M"]);
        tool("mke2fs", &arguments, &[0]);
        let listed = image.debugfs("ls -p /\n");
        let files = listed.lines().filter_map(|line| {
            let mut fields = line.split('/').skip(1);
            let number = fields.next()?.parse::<u32>().ok()?;
            fields.any(|field| field.starts_with("file-")).then_some(number)
        });
        let files: Vec<_> = files.collect();
        assert_eq!(files.len(), 40);
        let mut commands = String::new();
        for (at, number) in files.into_iter().enumerate() {
            if at % 2 == 0 {
                image.named.push(number);
            } else {
                image.nameless.push(number);
                commands += &std::format!("unlink file-{at:02}\nsif <{number}> links_count 0\n");
            }
        }
        image.debugfs(&commands);
        image
    }

    fn path(&self) -> PathBuf {
        self.folder.join("image")
    }

    fn debugfs(&self, commands: &str) -> String {
        let script = self.folder.join("commands");
        std::fs::write(&script, commands).unwrap();
        tool("debugfs", &["-w", "-f", script.to_str().unwrap(), self.path().to_str().unwrap()], &[0])
    }

    fn disk(&self) -> Arc<RamDisk> {
        RamDisk::new(std::fs::read(self.path()).unwrap(), 512)
    }

    /// What a disk has now: as after a crash, or an unmount.
    fn keep(&self, disk: &RamDisk) {
        std::fs::write(self.path(), disk.contents()).unwrap();
    }

    /// Has e2fsck put it in order, and returns what it said.
    fn repair(&self) -> String {
        let path = self.path();
        let text = tool("e2fsck", &["-fy", path.to_str().unwrap()], &[0, 1]);
        tool("e2fsck", &["-fn", path.to_str().unwrap()], &[0]);
        text
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

struct Mounted {
    disk: Arc<BlockInode>,
    ext4: Arc<Ext4>,
    lines: Arc<Lines>,
}

impl Mounted {
    async fn new(disk: &Arc<RamDisk>) -> Self {
        let (lines, disk) = (Arc::new(Lines::default()), BlockInode::new(disk.clone(), Device(6), 1));
        // Without what a mount for writing does about orphans.
        let ext4 = Ext4::mount(disk.clone(), lines.clone(), true, LENIENT).await.unwrap();
        let mounted = Mounted { disk, ext4, lines };
        mounted.volume().enable_writing().await.unwrap();
        assert!(!mounted.ext4.is_read_only());
        mounted.volume().open_orphans().await.unwrap();
        mounted
    }

    fn volume(&self) -> &Arc<Volume> {
        &self.ext4.volume
    }

    async fn nodes(&self, numbers: &[u32]) -> Vec<Arc<Node>> {
        let mut nodes = Vec::new();
        for number in numbers {
            nodes.push(Arc::new(Node::read(self.volume(), *number, Expected::Use).await.unwrap()));
        }
        nodes
    }

    async fn note(&self, node: &Arc<Node>) {
        let apply = self.volume().begin(1 + ORPHAN_CREDITS).await.unwrap();
        apply.note_orphan(node);
        node.store(&apply);
    }

    async fn forget(&self, node: &Arc<Node>) {
        let apply = self.volume().begin(1 + ORPHAN_CREDITS).await.unwrap();
        apply.forget_orphan(node);
        node.store(&apply);
    }

    async fn unmount(self) {
        drop(self.ext4);
        while Arc::strong_count(&self.disk) > 1 {
            executor::yield_now().await;
        }
    }
}

fn set(numbers: &[u32]) -> BTreeSet<u32> {
    numbers.iter().copied().collect()
}

/// Notes and forgets in any order; is interrupted, goes on with what the disk says, and ends.
async fn note_and_forget(image: Image, seed: u64) {
    let (mut random, disk) = (Random::new(seed), image.disk());
    let mounted = Mounted::new(&disk).await;
    assert_eq!(mounted.volume().orphans_on_disk().await.unwrap(), []);
    let (named, nameless) = (mounted.nodes(&image.named).await, mounted.nodes(&image.nameless).await);
    let mut noted = BTreeSet::new();
    for _ in 0..300 {
        let node = &named[random.index(named.len())];
        match random.index(5) {
            0 => mounted.volume().commit().await.unwrap(),
            1 | 2 => {
                mounted.note(node).await;
                noted.insert(node.number);
            }
            _ => {
                mounted.forget(node).await;
                noted.remove(&node.number);
            }
        }
    }
    assert!(noted.len() > 3 && noted.len() < named.len());
    for node in &nameless {
        mounted.note(node).await;
        noted.insert(node.number);
    }
    mounted.volume().commit().await.unwrap();
    mounted.volume().checkpoint().await.unwrap();
    // The power goes. e2fsck deletes those without names, and nothing else has to be done.
    let crashed = disk.contents();
    image.keep(&disk);
    let said = image.repair();
    for number in &image.nameless {
        assert!(said.contains(&std::format!("Clearing orphaned inode {number} ")), "{said}");
    }
    for word in ["Pass 1", "<y>", "Fix", "bitmap", "count wrong", "Unattached"] {
        let found = said.matches(word).count();
        assert_eq!(found, usize::from(word == "Pass 1"), "{word} in: {said}");
    }
    for node in &nameless {
        mounted.forget(node).await;
    }
    for node in &named {
        mounted.forget(node).await;
    }
    drop((named, nameless));
    let volume = mounted.volume();
    assert!(volume.orphans.is_file_empty());
    assert!(mounted.lines.0.lock().unwrap().is_empty());
    mounted.unmount().await;

    // All are found, and forgotten in another order; some are noted meanwhile.
    let disk = RamDisk::new(crashed, 512);
    let mounted = Mounted::new(&disk).await;
    let found = mounted.volume().orphans_on_disk().await.unwrap();
    assert_eq!(set(&found), noted);
    assert_eq!(found.len(), noted.len());
    let mut nodes = mounted.nodes(&image.named).await;
    random.shuffle(&mut nodes);
    for node in &nodes {
        if random.index(2) == 0 {
            mounted.volume().adopt_orphan(node);
        }
        if random.index(4) == 0 {
            mounted.note(node).await;
        }
        if random.index(3) == 0 {
            mounted.volume().commit().await.unwrap();
        }
        mounted.forget(node).await;
    }
    drop(nodes);
    assert_eq!(set(&mounted.volume().orphans_on_disk().await.unwrap()), set(&image.nameless));
    // Those without names stay, and are found by e2fsck although all was unmounted.
    mounted.unmount().await;
    image.keep(&disk);
    let said = image.repair();
    for number in &image.nameless {
        assert!(said.contains(&std::format!("Clearing orphaned inode {number} ")), "{said}");
    }
    assert!(!said.contains("<y>") && !said.contains("Fix"), "{said}");
    let mounted = Mounted::new(&image.disk()).await;
    assert_eq!(mounted.volume().orphans_on_disk().await.unwrap(), []);
    mounted.unmount().await;
}

fn run(options: &[&str], seed: u64) {
    let image = Image::new(options);
    executor::host::block_on(1, note_and_forget(image, seed));
}

#[test]
fn in_the_file() {
    run(&["-t", "ext4", "-O", "orphan_file"], 1);
    run(&["-t", "ext4", "-b", "1024", "-O", "orphan_file,^metadata_csum"], 2);
}

#[test]
fn in_the_list() {
    run(&["-t", "ext4", "-O", "^orphan_file"], 3);
    run(&["-t", "ext4", "-b", "1024", "-O", "^orphan_file"], 4);
    run(&["-t", "ext3", "-I", "128"], 5);
}

#[test]
fn in_the_list_without_a_journal() {
    run(&["-t", "ext2", "-b", "1024"], 6);
}

/// In a full file nobody is noted; the others are in the list.
#[test]
fn a_full_file() {
    let image = Image::new(&["-t", "ext4", "-b", "1024", "-O", "orphan_file"]);
    executor::host::block_on(1, async move {
        let (mut random, disk) = (Random::new(7), image.disk());
        let mounted = Mounted::new(&disk).await;
        let volume = mounted.volume();
        let mut taken = Vec::new();
        loop {
            let apply = volume.begin(1).await.unwrap();
            let Some(place) = volume.orphans.file.note(&apply, image.named[0]) else { break };
            taken.push(place);
        }
        let places: BTreeSet<u32> = taken.iter().copied().collect();
        assert_eq!((places.len(), places.last().copied()), (taken.len(), Some(taken.len() as u32 - 1)));
        let mut nodes = mounted.nodes(&image.nameless).await;
        for node in &nodes {
            mounted.note(node).await;
            assert!(matches!(*node.noted.slot.lock(), Slot::List));
        }
        volume.commit().await.unwrap();
        random.shuffle(&mut taken);
        for place in taken {
            let apply = volume.begin(1).await.unwrap();
            volume.orphans.file.forget(&apply, place);
        }
        assert!(volume.orphans.is_file_empty());
        // There is room again.
        let mut others = mounted.nodes(&image.named).await;
        for node in &others {
            mounted.note(node).await;
            assert!(matches!(*node.noted.slot.lock(), Slot::File(_)));
        }
        volume.commit().await.unwrap();
        volume.checkpoint().await.unwrap();
        image.keep(&disk);
        let said = image.repair();
        assert_eq!(said.matches("Clearing orphaned inode").count(), nodes.len(), "{said}");
        nodes.append(&mut others);
        random.shuffle(&mut nodes);
        for node in nodes {
            mounted.forget(&node).await;
        }
        mounted.unmount().await;
    });
}

/// What is to be deleted stays noted when it has been cut off, and what is cut off when it loses its name.
#[test]
fn both_at_once() {
    let image = Image::new(&["-t", "ext4"]);
    executor::host::block_on(1, async move {
        let mounted = Mounted::new(&image.disk()).await;
        let nodes = mounted.nodes(&[image.named[0], image.nameless[0]]).await;
        for node in &nodes {
            mounted.note(node).await;
            mounted.note(node).await;
            let apply = mounted.volume().begin(1 + ORPHAN_CREDITS).await.unwrap();
            apply.forget_cut(node);
            node.store(&apply);
        }
        assert!(matches!(*nodes[0].noted.slot.lock(), Slot::Nowhere));
        assert!(matches!(*nodes[1].noted.slot.lock(), Slot::List));
        drop(nodes);
        mounted.unmount().await;
    });
}

/// A mount for writing deletes those without names and forgets the others; one that is free or spoilt is left as it is.
#[test]
fn mounting_ends_them() {
    for feature in ["orphan_file", "^orphan_file"] {
        let image = Image::new(&["-t", "ext4", "-b", "1024", "-O", feature]);
        executor::host::block_on(1, async move {
            let disk = image.disk();
            let mounted = Mounted::new(&disk).await;
            for node in mounted.nodes(&[&image.named[..], &image.nameless].concat()).await {
                mounted.note(&node).await;
            }
            let volume = mounted.volume();
            let has_file = {
                let apply = volume.begin(1).await.unwrap();
                volume.orphans.file.note(&apply, volume.geometry.inodes).is_some()
            };
            volume.commit().await.unwrap();
            volume.checkpoint().await.unwrap();
            image.keep(&disk);
            mounted.unmount().await;
            let spoilt = image.nameless[3];
            image.debugfs(&std::format!("sif <{spoilt}> mode 0\n"));
            let disk = image.disk();
            let (lines, node) = (Arc::new(Lines::default()), BlockInode::new(disk.clone(), Device(6), 1));
            let ext4 = Ext4::mount(node.clone(), lines.clone(), false, LENIENT).await.unwrap();
            let said = lines.0.lock().unwrap().join("\n");
            assert!(said.contains("deleted 19 files without names, cut off 20"), "{said}");
            assert!(said.contains("has no type") && said.contains("is free") == has_file, "{said}");
            Mounted { disk: node, ext4, lines }.unmount().await;
            image.keep(&disk);
            image.repair();
        });
    }
}

/// Many at once, on several CPUs.
#[test]
fn from_several_cpus() {
    for feature in ["orphan_file", "^orphan_file"] {
        let image = Image::new(&["-t", "ext4", "-O", feature]);
        executor::host::block_on(4, async move {
            let disk = image.disk();
            let mounted = Arc::new(Mounted::new(&disk).await);
            let mut tasks = Vec::new();
            for part in image.named.chunks(3) {
                let (part, mounted) = (part.to_vec(), mounted.clone());
                tasks.push(executor::spawn(async move {
                    let nodes = mounted.nodes(&part).await;
                    let mut random = Random::new(u64::from(part[0]));
                    for _ in 0..400 {
                        let node = &nodes[random.index(nodes.len())];
                        match random.index(20) {
                            0 => mounted.volume().commit().await.unwrap(),
                            1..10 => mounted.note(node).await,
                            _ => mounted.forget(node).await,
                        }
                    }
                    for node in nodes {
                        mounted.note(&node).await;
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            for node in mounted.nodes(&image.nameless).await {
                mounted.note(&node).await;
            }
            mounted.volume().commit().await.unwrap();
            let crashed = RamDisk::new(disk.contents(), 512);
            let again = Mounted::new(&crashed).await;
            let found = again.volume().orphans_on_disk().await.unwrap();
            assert_eq!(found.len(), 40);
            let mut nodes = again.nodes(&image.named).await;
            Random::new(8).shuffle(&mut nodes);
            for node in nodes {
                again.forget(&node).await;
            }
            again.unmount().await;
            image.keep(&crashed);
            let said = image.repair();
            assert_eq!(said.matches("Clearing orphaned inode").count(), 20, "{said}");
            assert!(!said.contains("<y>") && !said.contains("Fix"), "{said}");
            Arc::into_inner(mounted).unwrap().unmount().await;
        });
    }
}

/// Whatever the disk says, there is an end, and what comes after it is right again.
#[test]
fn hostile_lists() {
    let image = Image::new(&["-t", "ext4", "-O", "^orphan_file"]);
    let (one, two) = (image.nameless[0], image.nameless[1]);
    for (first, next, found) in [
        (one, [two, one], vec![one, two]),
        (one, [one, 0], vec![one]),
        (one, [two, 5], vec![one, two]),
        (one, [0xffff_ffff, 0], vec![one]),
        (1_000_000, [0, 0], vec![]),
        (8, [0, 0], vec![]),
    ] {
        image.debugfs(&std::format!(
            "ssv last_orphan {first}\nsif <{one}> dtime {}\nsif <{two}> dtime {}\n",
            next[0],
            next[1],
        ));
        let (disk, named) = (image.disk(), image.named.clone());
        executor::host::block_on(1, async move {
            let mounted = Mounted::new(&disk).await;
            assert_eq!(mounted.volume().orphans_on_disk().await.unwrap(), found);
            assert_eq!(mounted.lines.0.lock().unwrap().len(), 2);
            let nodes = mounted.nodes(&named).await;
            for node in nodes.iter().chain(&mounted.nodes(&found).await) {
                mounted.note(node).await;
            }
            mounted.volume().commit().await.unwrap();
            let crashed = RamDisk::new(disk.contents(), 512);
            let again = Mounted::new(&crashed).await;
            let wanted = set(&[&named[..], &found].concat());
            assert_eq!(set(&again.volume().orphans_on_disk().await.unwrap()), wanted);
            again.unmount().await;
            for node in nodes.iter().chain(&mounted.nodes(&found).await) {
                mounted.forget(node).await;
            }
            drop(nodes);
            mounted.unmount().await;
        });
    }
}

/// Numbers in the file that are no files' are not found.
#[test]
fn a_hostile_file() {
    let image = Image::new(&["-t", "ext4", "-O", "orphan_file,^metadata_csum"]);
    executor::host::block_on(1, async move {
        let disk = image.disk();
        let mounted = Mounted::new(&disk).await;
        let volume = mounted.volume();
        let good = image.named[0];
        for number in [1, good, 0xffff_ffff, good, volume.geometry.orphan_file] {
            let apply = volume.begin(1).await.unwrap();
            volume.orphans.file.note(&apply, number).unwrap();
        }
        volume.commit().await.unwrap();
        let again = Mounted::new(&RamDisk::new(disk.contents(), 512)).await;
        assert_eq!(again.volume().orphans_on_disk().await.unwrap(), [good]);
        again.unmount().await;
        mounted.unmount().await;
    });
}
