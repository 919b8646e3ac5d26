//! Changing extended attributes: against a model, and judged by e2fsprogs.

use crate::common::run;
use crate::image::{Folder, Image, LENIENT, Lines};
use crate::source::noise;
use fs::block::BlockInode;
use fs::ext4::Ext4;
use fs::host::Random;
use fs::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use syscalls::Errno;

/// A file system that is written to.
pub struct Mounted {
    disk: Arc<BlockInode>,
    pub ext4: Arc<Ext4>,
    lines: Arc<Lines>,
}

impl Mounted {
    pub async fn new(image: &Image) -> Self {
        let (lines, disk) = (Arc::new(Lines::default()), BlockInode::new(image.disk(false), Device(6), 1));
        let ext4 = Ext4::mount(disk.clone(), lines.clone(), false, LENIENT).await.unwrap();
        assert_eq!(lines.take(), [""; 0]);
        assert!(!ext4.is_read_only());
        Mounted { disk, ext4, lines }
    }

    async fn find(&self, name: &str) -> Arc<dyn Inode> {
        self.ext4.root().lookup(name.as_bytes()).await.unwrap()
    }

    async fn free_blocks(&self) -> u64 {
        self.ext4.statfs().await.unwrap().free_blocks
    }

    /// Until nobody uses the disk any more.
    pub async fn unmount(self) {
        drop(self.ext4);
        while Arc::strong_count(&self.disk) > 1 {
            executor::yield_now().await;
        }
        assert_eq!(self.lines.take(), [""; 0]);
    }
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const FILES: [&str; 4] = ["file", "directory", "link", "other"];

fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> =
        ["user.a", "user.b", "trusted.a", "security.label", "user.größe", "user.aa"]
            .map(|name| name.as_bytes().to_vec())
            .into();
    names.extend([100, 249, 250].map(|len| format!("user.{}", "n".repeat(len)).into_bytes()));
    names.extend((0..4).map(|number| format!("trusted.number-{number}").into_bytes()));
    names
}

fn image(options: &[&str]) -> Image {
    let source = Folder::new();
    std::fs::write(source.path().join("file"), noise(5000)).unwrap();
    std::fs::write(source.path().join("other"), b"o").unwrap();
    std::fs::create_dir(source.path().join("directory")).unwrap();
    std::os::unix::fs::symlink("l".repeat(100), source.path().join("link")).unwrap();
    let image = Image::make(options, Some(source.path()), 8);
    // As somebody else has made them: in the inode, in a block.
    let small = image.path().with_file_name("small");
    let large = image.path().with_file_name("large");
    std::fs::write(&small, b"small value").unwrap();
    std::fs::write(&large, noise(700)).unwrap();
    let mut commands = String::new();
    for file in ["file", "directory"] {
        for (name, value) in [("user.a", &small), ("user.b", &large), ("trusted.a", &small)] {
            commands += &format!("ea_set -f {} {file} {name}\n", value.display());
        }
    }
    image.debugfs(&commands);
    image
}

/// The attributes that the images have in the beginning.
fn made() -> Vec<Model> {
    let mut all = vec![Model::new(); FILES.len()];
    for model in &mut all[..2] {
        model.insert(b"user.a".to_vec(), b"small value".to_vec());
        model.insert(b"user.b".to_vec(), noise(700));
        model.insert(b"trusted.a".to_vec(), b"small value".to_vec());
    }
    all
}

async fn same(inode: &Arc<dyn Inode>, model: &Model) {
    let listed = inode.list_xattrs().await.unwrap();
    let mut listed: Vec<_> = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    listed.sort_unstable();
    assert_eq!(listed, model.keys().map(|name| &name[..]).collect::<Vec<_>>());
    for (name, value) in model {
        assert_eq!(&inode.xattr(name).await.unwrap(), value, "{}", String::from_utf8_lossy(name));
    }
}

/// Bytes that an attribute takes in a block.
fn size(name: &[u8], value: &[u8]) -> usize {
    let rest = name.len() - name.iter().position(|byte| *byte == b'.').unwrap() - 1;
    (16 + rest).next_multiple_of(4) + value.len().next_multiple_of(4)
}

/// One random change of a file and its model.
async fn change(inode: &Arc<dyn Inode>, model: &mut Model, random: &mut Random, block: usize) {
    let names = names();
    let name = &names[random.index(names.len())];
    let exists = model.contains_key(name);
    if random.index(3) == 0 {
        let wanted = if exists { Ok(()) } else { Err(Errno::ENODATA) };
        assert_eq!(inode.remove_xattr(name).await, wanted);
        model.remove(name);
        return;
    }
    let most = [1, 10, 40, 200, 600, block][random.index(6)];
    let value = noise(random.index(most + 1));
    let mode = [XattrMode::Set, XattrMode::Create, XattrMode::Replace][random.index(3)];
    let answer = inode.set_xattr(name, &value, mode).await;
    match (mode, exists) {
        (XattrMode::Create, true) => assert_eq!(answer, Err(Errno::EEXIST)),
        (XattrMode::Replace, false) => assert_eq!(answer, Err(Errno::ENODATA)),
        _ if answer == Err(Errno::ENOSPC) => {
            // Not if the block had room for everything.
            let others = model.iter().filter(|(other, _)| *other != name);
            let all: usize = others.map(|(name, value)| size(name, value)).sum();
            assert!(36 + all + size(name, &value) > block);
        }
        _ => {
            assert_eq!(answer, Ok(()));
            assert!(size(name, &value) + 36 <= block);
            model.insert(name.clone(), value);
        }
    }
    assert_eq!(inode.xattr(name).await.ok().as_ref(), model.get(name));
}

/// What debugfs finds in an image.
fn compare_with_debugfs(image: &Image, models: &[Model]) {
    let value = image.path().with_file_name("value");
    for (file, model) in FILES.iter().zip(models) {
        let listed = image.debugfs(&format!("ea_list {file}\n"));
        let count = listed.lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(count, model.len(), "{file}: {listed}");
        for (name, wanted) in model.iter().filter(|(name, _)| name.is_ascii()) {
            drop(std::fs::remove_file(&value));
            let name = String::from_utf8_lossy(name);
            image.debugfs(&format!("ea_get -f {} {file} {name}\n", value.display()));
            assert_eq!(&std::fs::read(&value).unwrap(), wanted, "{name} of {file}");
        }
    }
}

fn against_the_model(options: &'static [&'static str], block: usize, seed: u64) {
    let image = image(options);
    run(async move {
        let (mut random, mut models) = (Random::new(seed), made());
        for _ in 0..6 {
            let mounted = Mounted::new(&image).await;
            let mut inodes = Vec::new();
            for (name, model) in FILES.iter().zip(&models) {
                inodes.push(mounted.find(name).await);
                same(inodes.last().unwrap(), model).await;
            }
            for _ in 0..100 {
                let file = random.index(FILES.len());
                change(&inodes[file], &mut models[file], &mut random, block).await;
                if random.index(20) == 0 {
                    mounted.ext4.sync().await.unwrap();
                }
                if random.index(20) == 0 {
                    same(&inodes[file], &models[file]).await;
                }
            }
            let read = inodes[2].read_link().await.unwrap();
            assert_eq!(read, b"l".repeat(100));
            drop(inodes);
            mounted.unmount().await;
            image.check();
        }
        compare_with_debugfs(&image, &models);
        // All gone: no block is left.
        let mounted = Mounted::new(&image).await;
        for (file, model) in FILES.iter().zip(&models) {
            let inode = mounted.find(file).await;
            for name in model.keys() {
                inode.remove_xattr(name).await.unwrap();
            }
            same(&inode, &Model::new()).await;
        }
        mounted.unmount().await;
        image.check();
        for file in FILES {
            assert!(image.debugfs(&format!("stat {file}\n")).contains("File ACL: 0\n"));
        }
    });
}

#[test]
fn set_and_removed() {
    against_the_model(&["-t", "ext4", "-b", "4096"], 4096, 1);
}

#[test]
fn set_and_removed_in_blocks_of_1_kib() {
    against_the_model(&["-t", "ext4", "-b", "1024", "-I", "512"], 1024, 2);
}

#[test]
fn set_and_removed_without_check_sums() {
    against_the_model(&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"], 1024, 3);
}

#[test]
fn set_and_removed_in_small_inodes() {
    against_the_model(&["-t", "ext3", "-I", "128", "-b", "4096"], 4096, 4);
    against_the_model(&["-t", "ext2", "-I", "128", "-b", "1024"], 1024, 5);
}

/// A block that two files have is nobody's to change.
#[test]
fn shared_blocks() {
    for options in [&["-t", "ext4"][..], &["-t", "ext2", "-b", "1024"]] {
        let image = image(options);
        let stat = image.debugfs("stat file\n");
        let block = stat.split("File ACL: ").nth(1).unwrap().lines().next().unwrap().trim().to_string();
        image.debugfs(&format!("sif other file_acl {block}\n"));
        let path = image.path();
        // Which counts who has it.
        crate::image::tool("e2fsck", &["-fy", path.to_str().unwrap()], &[1]);
        run(async move {
            let mounted = Mounted::new(&image).await;
            let free = mounted.free_blocks().await;
            let (file, other) = (mounted.find("file").await, mounted.find("other").await);
            let before = file.xattr(b"user.b").await.unwrap();
            assert_eq!(other.xattr(b"user.b").await.unwrap(), before);
            file.set_xattr(b"user.b", &noise(650), XattrMode::Replace).await.unwrap();
            assert_eq!(other.xattr(b"user.b").await.unwrap(), before);
            assert_eq!(mounted.free_blocks().await, free - 1);
            other.set_xattr(b"user.b", &noise(640), XattrMode::Replace).await.unwrap();
            assert_eq!(mounted.free_blocks().await, free - 1);
            assert_eq!(file.xattr(b"user.b").await.unwrap(), noise(650));
            drop((file, other));
            mounted.unmount().await;
            image.check();
            let mounted = Mounted::new(&image).await;
            assert_eq!(mounted.find("other").await.xattr(b"user.b").await.unwrap(), noise(640));
            mounted.unmount().await;
        });
    }
}

/// The first attribute of a file system is noted in the superblock.
#[test]
fn the_first_of_all() {
    let image = Image::make(&["-t", "ext4", "-O", "^ext_attr"], None, 8);
    run(async move {
        let mounted = Mounted::new(&image).await;
        let root = mounted.ext4.root();
        root.set_xattr(b"user.first", &noise(500), XattrMode::Create).await.unwrap();
        assert_eq!(root.remove_xattr(b"user.none").await, Err(Errno::ENODATA));
        assert_eq!(root.set_xattr(b"odd.name", b"", XattrMode::Set).await, Err(Errno::EOPNOTSUPP));
        assert_eq!(root.set_xattr(b"system.data", b"", XattrMode::Set).await, Err(Errno::EOPNOTSUPP));
        drop(root);
        mounted.unmount().await;
        image.check();
        let mounted = Mounted::new(&image).await;
        assert_eq!(mounted.ext4.root().xattr(b"user.first").await.unwrap(), noise(500));
        mounted.unmount().await;
    });
}

/// An inode that was changed and given up is read again before that is on the disk.
#[test]
fn read_again_before_the_commit() {
    let image = image(&["-t", "ext4"]);
    run(async move {
        let mounted = Mounted::new(&image).await;
        for round in 0..3 {
            let value = noise(round);
            mounted.find("other").await.set_xattr(b"user.a", &value, XattrMode::Set).await.unwrap();
            assert_eq!(mounted.find("other").await.xattr(b"user.a").await.unwrap(), value);
        }
        mounted.unmount().await;
        image.check();
    });
}

/// Who is killed while he waits has changed nothing.
#[test]
fn callers_that_are_killed() {
    let image = image(&["-t", "ext4", "-b", "1024"]);
    let bytes = std::fs::read(image.path()).unwrap();
    run(async move {
        let mut polls = 0;
        loop {
            std::fs::write(image.path(), &bytes).unwrap();
            let mounted = Mounted::new(&image).await;
            let free = mounted.free_blocks().await;
            let file = mounted.find("other").await;
            let value = noise(800);
            let mut setting = file.set_xattr(b"user.new", &value, XattrMode::Set);
            let mut ended = matches!(setting, Op::Ready(_));
            for _ in 0..polls {
                if ended {
                    break;
                }
                ended =
                    std::pin::Pin::new(&mut setting).poll(&mut Context::from_waker(Waker::noop())).is_ready();
                executor::yield_now().await;
            }
            drop(setting);
            if ended {
                assert_eq!(file.xattr(b"user.new").await.unwrap(), value);
            } else {
                assert_eq!(file.xattr(b"user.new").await, Err(Errno::ENODATA));
                assert_eq!(mounted.free_blocks().await, free);
            }
            drop(file);
            mounted.unmount().await;
            image.check();
            if ended {
                break;
            }
            polls += 1;
        }
        assert!(polls > 1, "only {polls} polls");
    });
}

/// Without free blocks there is room in inodes only.
#[test]
fn a_full_disk() {
    let image = image(&["-t", "ext4", "-b", "4096"]);
    let fill = image.path().with_file_name("fill");
    let free = image.debugfs("show_super_stats -h\n");
    let free = free.lines().find_map(|line| line.strip_prefix("Free blocks:")).unwrap().trim();
    let free: usize = free.parse().unwrap();
    std::fs::write(&fill, vec![1; free * 4096]).unwrap();
    image.debugfs(&format!("write {} fill\n", fill.display()));
    image.check();
    run(async move {
        let mounted = Mounted::new(&image).await;
        assert_eq!(mounted.free_blocks().await, 0);
        let other = mounted.find("other").await;
        assert_eq!(other.set_xattr(b"user.a", &noise(200), XattrMode::Set).await, Err(Errno::ENOSPC));
        other.set_xattr(b"user.a", b"short", XattrMode::Set).await.unwrap();
        // The block of this one is there.
        let file = mounted.find("file").await;
        file.set_xattr(b"user.b", &noise(3000), XattrMode::Set).await.unwrap();
        file.remove_xattr(b"user.b").await.unwrap();
        drop((other, file));
        mounted.unmount().await;
        image.check();
    });
}

/// Capabilities that a program has on the disk are known without being looked for, and go with the first change of its contents.
#[test]
fn capabilities_go_with_what_they_were_given_to() {
    let image = image(&["-t", "ext4", "-b", "4096"]);
    let value = image.path().with_file_name("capability");
    std::fs::write(&value, [&[1, 0, 0, 2, 33][..], &[0; 15]].concat()).unwrap();
    image.debugfs(&format!("ea_set -f {} file security.capability\n", value.display()));
    image.check();
    run(async move {
        let mounted = Mounted::new(&image).await;
        let (file, other) = (mounted.find("file").await, mounted.find("other").await);
        assert!(file.attributes().has_capabilities() && file.attributes().is_privileged());
        assert!(!other.attributes().has_capabilities());
        assert_eq!(file.xattr(CAPABILITY).await.unwrap().len(), 20);
        let write = async |bytes: &[u8]| {
            let mut source = bytes;
            fs::file::write(&*file, &Credentials::root(), Position::At(0), &mut source).await.unwrap()
        };
        assert_eq!(write(b"").await.count, 0);
        assert!(file.attributes().has_capabilities());
        assert_eq!(write(b"x").await.count, 1);
        assert!(!file.attributes().has_capabilities());
        assert_eq!(file.xattr(CAPABILITY).await, Err(Errno::ENODATA));
        assert_eq!(file.xattr(b"user.a").await.unwrap(), b"small value");
        drop((file, other));
        mounted.unmount().await;
        image.check();
    });
}
