//! All layouts that mke2fs makes are read, and give the tree that went in.

use crate::common::{error, read_all, read_at, run};
use crate::compare::compare;
use crate::image::{Image, mount, mount_clean, tool};
use crate::source::{folder, noise};
use fs::*;
use syscalls::Errno;

/// Makes an image with these options, and compares all of it, with lists and then with hash trees in its directories.
fn layout(options: &[&str], hash: &'static str) {
    let image = Image::make(options, Some(folder()), 64);
    image.check();
    run(async move {
        compare(&mount_clean(&image).await, folder()).await;
        image.index(hash);
        compare(&mount_clean(&image).await, folder()).await;
    });
}

#[test]
fn plain() {
    layout(&["-t", "ext4"], "half_md4");
}

#[test]
fn blocks_of_1_kib() {
    layout(&["-t", "ext4", "-b", "1024"], "half_md4");
}

#[test]
fn blocks_of_2_kib() {
    layout(&["-t", "ext4", "-b", "2048"], "tea");
}

#[test]
fn ext2() {
    layout(&["-t", "ext2", "-I", "128", "-b", "1024"], "legacy");
}

#[test]
fn ext3() {
    layout(&["-t", "ext3"], "half_md4");
}

#[test]
fn without_check_sums() {
    layout(&["-t", "ext4", "-O", "^metadata_csum,^64bit,uninit_bg", "-b", "1024"], "half_md4");
}

#[test]
fn with_groups_of_groups() {
    layout(
        &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,metadata_csum_seed,large_dir"],
        "half_md4",
    );
}

#[test]
fn without_types_in_directories() {
    layout(&["-t", "ext4", "-O", "^filetype,^sparse_super,^resize_inode,^flex_bg,^huge_file"], "half_md4");
}

#[test]
fn contents_in_inodes() {
    let image = Image::make(&["-t", "ext4", "-O", "inline_data", "-I", "512"], Some(folder()), 64);
    // mke2fs forgets holes at the end of files here.
    image.debugfs("sif /sparse size 10485760\n");
    image.check();
    run(async move {
        compare(&mount_clean(&image).await, folder()).await;
        image.index("half_md4");
        compare(&mount_clean(&image).await, folder()).await;
    });
}

/// What debugfs says of the superblock is what statfs says.
#[test]
fn statfs_is_that_of_the_tools() {
    let image = Image::make(&["-t", "ext4"], Some(folder()), 64);
    let text = tool("dumpe2fs", &["-h", image.path().to_str().unwrap()], &[0]);
    let number = move |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().parse().unwrap()
    };
    run(async move {
        let tree = mount_clean(&image).await;
        let stat = tree.root.mount().superblock().file_system().statfs().await.unwrap();
        assert_eq!(stat.magic, 0xef53);
        assert_eq!(stat.block_size, number("Block size"));
        assert_eq!(stat.blocks, number("Block count") - number("Overhead clusters"));
        assert_eq!(stat.free_blocks, number("Free blocks"));
        // As on Linux some are kept back for what must not fail.
        let kept = (number("Block count") / 50).min(4096);
        assert_eq!(stat.available_blocks, number("Free blocks") - number("Reserved block count") - kept);
        assert_eq!((stat.files, stat.free_files), (number("Inode count"), number("Free inodes")));
        assert_eq!(tree.root.mount().superblock().file_system().name(), "ext4");
    });
}

/// A file in very many pieces, with holes and with blocks that were never written between them.
#[test]
fn fragmented_files() {
    let source = crate::image::Folder::new();
    let contents = noise(4 << 20);
    std::fs::write(source.path().join("f"), &contents).unwrap();
    for options in [["-t", "ext4"], ["-t", "ext3"]] {
        let image = Image::make(&[options[0], options[1], "-b", "1024"], Some(source.path()), 32);
        let mut commands = String::new();
        for block in (10..4096).step_by(3) {
            commands += &format!("punch /f {block} {block}\n");
            if options[1] == "ext4" && block % 2 == 0 {
                commands += &format!("fallocate /f {block} {block}\n");
            }
        }
        let dumped = source.path().join("dumped");
        commands += &format!("dump /f {}\n", dumped.to_str().unwrap());
        image.debugfs(&commands);
        image.check();
        let wanted = std::fs::read(dumped).unwrap();
        assert!(wanted.len() == contents.len() && wanted != contents);
        run(async move {
            let tree = mount_clean(&image).await;
            let file = tree.find("/f").await.unwrap();
            let read = read_all(&file).await.unwrap();
            let first = read.iter().zip(&wanted).position(|(read, wanted)| read != wanted);
            assert_eq!((read.len(), first), (wanted.len(), None));
            for (offset, len) in [(0, 70_000), (10_240, 1), (1_000_001, 100_000), (4 << 20, 5)] {
                let read = read_at(&file, offset, len).await.unwrap();
                let end = (offset as usize + len).min(wanted.len());
                assert!(read == wanted[offset as usize..end]);
            }
            let inode = file.inode();
            assert_eq!(inode.seek(0, Seek::Hole).await, Ok(10_240));
            assert_eq!(inode.seek(10_240, Seek::Data).await, Ok(11_264));
            assert_eq!(inode.seek(11_300, Seek::Data).await, Ok(11_300));
            assert_eq!(error(inode.seek(4 << 20, Seek::Data).await), Errno::ENXIO);
            let page = inode.page(2, false).await.unwrap();
            assert!(page.bytes()[..] == wanted[8192..12288]);
            assert_eq!(error(inode.page(1024, false).await), Errno::EFAULT);
        });
    }
}

/// Times that need the upper bits, and ones before 1970; with nanoseconds.
#[test]
fn times() {
    let image = Image::make(&["-t", "ext4"], Some(folder()), 64);
    image.debugfs(
        "sif /size-1 mtime 0x12345678\nsif /size-1 mtime_extra 0x75bcd156\n\
         sif /size-1 atime 0xffffffff\nsif /size-1 atime_extra 0x0\n\
         sif /size-1 crtime 0x7fffffff\nsif /size-1 crtime_extra 0x3\n",
    );
    run(async move {
        let stat = mount_clean(&image).await.stat("/size-1").await.unwrap();
        let time = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
        assert_eq!(stat.modified, time(0x2_1234_5678, 0x75bc_d156 >> 2));
        assert_eq!(stat.accessed, time(-1, 0));
        assert_eq!(stat.created, time(0x3_7fff_ffff, 0));
    });
}

/// Files whose sizes need all bits, in few blocks.
#[test]
fn huge_files() {
    let source = crate::image::Folder::new();
    std::fs::write(source.path().join("f"), b"beginning").unwrap();
    for (options, size) in [("ext4", (1u64 << 44) - 4096), ("ext3", 1 << 41)] {
        let image = Image::make(&["-t", options, "-b", "4096"], Some(source.path()), 16);
        image.debugfs(&format!("sif /f size {size}\n"));
        run(async move {
            let tree = mount_clean(&image).await;
            let file = tree.find("/f").await.unwrap();
            assert_eq!(file.inode().attributes().size(), size);
            assert_eq!(read_at(&file, 0, 9).await.unwrap(), b"beginning");
            assert_eq!(read_at(&file, size - 3, 9).await.unwrap(), [0; 3]);
            assert_eq!(file.inode().seek(5, Seek::Hole).await, Ok(4096));
            assert_eq!(error(file.inode().seek(4096, Seek::Data).await), Errno::ENXIO);
        });
    }
}

#[test]
fn nothing_can_be_changed() {
    let image = Image::make(&["-t", "ext4"], Some(folder()), 64);
    run(async move {
        let tree = mount_clean(&image).await;
        let file = tree.find("/size-4096").await.unwrap();
        let new = NewInode { kind: Kind::Directory, permissions: 0o755, umask: 0, uid: 0, gid: 0 };
        assert_eq!(error(tree.root.inode().create(b"new", new).await), Errno::EROFS);
        assert_eq!(error(tree.root.inode().unlink(b"size-4096", file.inode()).await), Errno::EROFS);
        assert_eq!(error(file.inode().write_at(Position::At(0), &mut &b"x"[..]).await), Errno::EROFS);
        assert_eq!(error(file.inode().page(0, true).await), Errno::EROFS);
        assert_eq!(error(set_mode_of(&file).await), Errno::EROFS);
        // One object for a file, however it is reached.
        let first = tree.find("/hard-link").await.unwrap();
        let second = tree.find("/size-4097").await.unwrap();
        assert!(std::sync::Arc::ptr_eq(first.inode(), second.inode()));
    });
}

async fn set_mode_of(file: &Path) -> Result<()> {
    file.inode().set_attributes(SetAttributes { permissions: Some(0), ..Default::default() }).await
}

/// A feature that is not supported is named.
#[test]
fn what_cannot_be_read_is_refused() {
    for (feature, name) in [("encrypt", "encrypt"), ("casefold", "casefold"), ("ea_inode", "ea_inode")] {
        let image = Image::make(&["-t", "ext4", "-O", feature], None, 16);
        run(async move {
            let (tree, lines) = mount(image.disk(true)).await;
            assert_eq!(tree.err(), Some(Errno::EINVAL));
            let lines = lines.take();
            assert!(lines.len() == 1 && lines[0].contains(name), "{lines:?}");
        });
    }
    let image = Image::make(&["-t", "ext4", "-O", "quota,project", "-I", "256"], None, 16);
    run(async move {
        let (tree, lines) = mount(image.disk(true)).await;
        assert!(tree.is_ok());
        let lines = lines.take();
        assert!(
            lines.len() == 2 && lines[0].contains("quota") && lines[1].contains("read-only"),
            "{lines:?}"
        );
    });
    run(async move {
        let disk = fs::host::RamDisk::new(vec![0; 1 << 20], 512);
        let (tree, lines) = mount(disk).await;
        assert_eq!((tree.err(), lines.take().len()), (Some(Errno::EINVAL), 0));
    });
}
