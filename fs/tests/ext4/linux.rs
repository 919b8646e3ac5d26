//! An image as Linux leaves it when the power goes: a large directory, a small journal that has gone round several times,
//! transactions that have not been brought to their places.

use crate::common::{Tree, read_all, run};
use crate::image::{Folder, Image, mount, tool};
use crate::journal::{same_trees, walk};

use std::process::Command;

/// What Linux does before it stops.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mkdir /dev /proc /mnt
$b mount -t devtmpfs none /dev
$b mount -t proc none /proc
$b mount -t ext4 -o commit=1000 /dev/nvme0n1 /mnt || { echo mount failed; $b poweroff -f; }
cd /mnt
$b mkdir large churn
i=0
while [ $i -lt FILES ]; do
    : > large/file-with-a-longer-name-$i
    [ $((i % 500)) != 0 ] || { echo contents of $i > large/file-with-a-longer-name-$i; $b sync; }
    i=$((i + 1))
done
i=0
while [ $i -lt 300 ]; do
    $b mkdir churn/d$i; echo $i > churn/d$i/f; $b ln -s f churn/d$i/l
    [ $((i % 3)) != 0 ] || { $b rm churn/d$i/f; $b rm churn/d$i/l; $b rmdir churn/d$i; }
    [ $((i % 50)) != 0 ] || $b sync
    i=$((i + 1))
done
$b mv churn/d1 moved
$b sync
echo done-by-linux
echo b > /proc/sysrq-trigger
"#;
const FILES: usize = 12_000;

fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs Linux with the image as its disk until it stops.
fn run_linux(image: &Image) {
    let folder = Folder::new();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    let busybox = command("sh").args(["-c", "command -v busybox"]).output().unwrap().stdout;
    std::fs::copy(String::from_utf8(busybox).unwrap().trim(), root.join("bin/busybox")).unwrap();
    std::fs::write(root.join("init"), INIT.replace("FILES", &FILES.to_string())).unwrap();
    tool("chmod", &["755", root.join("init").to_str().unwrap()], &[0]);
    let pack = "cd \"$0\" && find . | cpio --quiet -o -H newc > ../root.cpio";
    tool("sh", &["-c", pack, root.to_str().unwrap()], &[0]);

    let kernel = command(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/linux-kernel")).output().unwrap();
    assert!(kernel.status.success(), "{}", String::from_utf8_lossy(&kernel.stderr));
    let drive = format!("file={},format=raw,if=none,id=disk,cache=unsafe", image.path().display());
    let output = command("timeout")
        .args(["300", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", "512", "-nographic"])
        .args(["-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel"])
        .arg(String::from_utf8(kernel.stdout).unwrap().trim())
        .arg("-initrd")
        .arg(folder.path().join("root.cpio"))
        .args(["-append", "console=ttyS0 quiet", "-drive", &drive, "-device", "nvme,drive=disk,serial=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("done-by-linux"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

async fn check(tree: &Tree) {
    for number in 0..FILES {
        let path = tree.find(&format!("/large/file-with-a-longer-name-{number}")).await.unwrap();
        if number % 500 == 0 {
            assert_eq!(read_all(&path).await.unwrap(), format!("contents of {number}\n").as_bytes());
        }
    }
    assert_eq!(tree.list("/large").await.unwrap().len(), FILES + 2);
    assert_eq!(tree.list("/churn").await.unwrap().len(), 199 + 2);
    assert_eq!(tree.read_file("/moved/l").await.unwrap(), b"1\n");
    assert_eq!(tree.stat("/large").await.unwrap().links, 2);
}

#[test]
fn a_machine_that_loses_its_power() {
    let options = ["-t", "ext4", "-b", "1024", "-J", "size=2", "-N", "20000"];
    let image = Image::make(&options, None, 48);
    run_linux(&image);
    let dirty = std::fs::read(image.path()).unwrap();
    run(async move {
        let (tree, lines) = mount(image.disk(true)).await;
        let tree = tree.unwrap();
        let lines = lines.take();
        assert!(lines.len() == 1 && lines[0].contains("replaying"), "{lines:?}");
        check(&tree).await;
        let ours = walk(&tree).await;
        drop(tree);
        // Onto the disk, and judged.
        let (tree, _) = mount(image.disk(false)).await;
        same_trees(&walk(&tree.unwrap()).await, &ours);
        image.check();
        // As e2fsck does it.
        std::fs::write(image.path(), &dirty).unwrap();
        tool("e2fsck", &["-fy", image.path().to_str().unwrap()], &[0, 1]);
        let (tree, _) = mount(image.disk(true)).await;
        same_trees(&walk(&tree.unwrap()).await, &ours);
    });
}
