//! Disks: what Rusk reads from them is what Linux reads, and what it has stored is there when the machine is off.

use crate::machine::{Kernel, LINUX_CPUS, Machine, image_of_disk};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A file for one test, in cargo's folder for such files.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A bus that disks are on: the runner's option, the first disk's name, its major.
const BUSES: [(&str, &str, u32); 2] = [("--disk", "sda", 8), ("--virtio", "vda", 254)];

#[test]
fn the_root_is_on_a_disk() {
    let root = image_of_disk("root-ext4.img", "ext4");
    let command = "grep ' / ' /proc/mounts; touch /x; md5sum /bin/busybox | cut -c -32; exit 7";
    let sum = Command::new("md5sum").arg("/bin/busybox").output().expect("md5sum runs").stdout;
    let sum = String::from_utf8_lossy(&sum[..32]).into_owned();
    for option in ["--root", "--virtio-root"] {
        let options = ["--smp", "2", "--snapshot", "--append", "ro", option, &root.display().to_string()];
        let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", command]).end();
        assert_eq!(status, Some(7), "{printed}");
        for wanted in ["/dev/root / ext4 ro", "touch: /x: Read-only file system", &sum] {
            assert!(printed.contains(wanted), "{wanted} is missing in:\n{printed}");
        }
    }
}

#[test]
fn a_root_that_is_not_there_is_told() {
    let blank = scratch("no-root.img");
    File::create(&blank).and_then(|file| file.set_len(1 << 20)).expect("a scratch file");
    let options = ["--root", &blank.display().to_string()];
    let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["true"]).end();
    assert_ne!(status, Some(0));
    assert!(printed.contains("the root on /dev/sda cannot be mounted"), "{printed}");
}

/// Names, attributes and contents of all that is mounted at /m, in few lines.
const SUMS: &str = "cd /m && find . | sort >/tmp/names && xargs stat -c '%n %a %u %g %s %Y %h %F %b' </tmp/names | md5sum
    find . -type f | sort | xargs md5sum | md5sum; find . -type l | sort | while read -r link; do readlink \"$link\"; done | md5sum
    find . -type f | wc -l";

#[test]
fn a_tree_is_the_same_as_on_linux() {
    let images = ["ext2", "ext3", "ext4"].map(|kind| image_of_disk(&format!("root-{kind}.img"), kind));
    let sums = |kernel: Kernel| {
        let (cpus, bus, disks) = match kernel {
            Kernel::Rusk => ("2", "--disk", ["sda", "sdb", "sdc"]),
            // Its kernel for clouds has no driver for SATA.
            Kernel::Linux => (LINUX_CPUS, "--nvme", ["nvme0n1", "nvme1n1", "nvme2n1"]),
        };
        let mut options = vec!["--smp".to_owned(), cpus.into(), "--snapshot".into()];
        options.extend(images.iter().flat_map(|image| [bus.into(), image.display().to_string()]));
        options.extend(["--append", "loglevel=1"].map(String::from));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let each = format!(
            "mkdir /m; for disk in {}; do mount -o ro -t auto /dev/$disk /m && {SUMS}; cd /; umount /m; done",
            disks.join(" ")
        );
        let (status, printed) = Machine::boot(kernel, &options, &["sh", "-c", &each]).end();
        assert_eq!(status, Some(0), "{kernel:?}:\n{printed}");
        let lines = printed.lines().filter(|line| line.ends_with("  -") || line.parse::<u32>().is_ok());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let ours = sums(Kernel::Rusk);
    assert_eq!(ours.len(), 12, "{ours:?}");
    assert_eq!(ours, sums(Kernel::Linux));
}

#[test]
fn what_is_stored_is_on_the_disk() {
    let file = fs::read("/bin/busybox").expect("the program");
    for (bus, disk, _) in BUSES {
        let image = scratch(&format!("stored-{disk}.img"));
        File::create(&image).and_then(|file| file.set_len(32 << 20)).expect("a scratch file");
        let path = image.display().to_string();
        // Written by programs, synced by one, by the call of all, and by nobody but the end of the machine.
        let command = format!(
            "dd if=/bin/busybox of=/dev/{disk} bs=4k conv=fsync 2>/dev/null
            dd if=/bin/busybox of=/dev/{disk} bs=5000 seek=1000 2>/dev/null; sync
            dd if=/bin/busybox of=/dev/{disk} bs=512 seek=40001 2>/dev/null"
        );
        let options = ["--smp", "2", bus, &path];
        let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", &command]).end();
        assert_eq!(status, Some(0), "{printed}");
        let stored = File::open(&image).expect("the image");
        for start in [0, 5_000_000, 40_001 * 512] {
            let mut bytes = vec![0; file.len()];
            stored.read_exact_at(&mut bytes, start).expect("it is within the image");
            assert!(bytes == file, "{disk} differs at {start}");
        }
        let sum = Command::new("md5sum").arg(&image).output().expect("md5sum runs").stdout;
        let options = ["--smp", "2", "--snapshot", bus, &path];
        let command = ["md5sum", &format!("/dev/{disk}")];
        let (status, printed) = Machine::boot(Kernel::Rusk, &options, &command).end();
        assert_eq!(status, Some(0), "{printed}");
        assert!(printed.contains(&*String::from_utf8_lossy(&sum[..32])), "another machine reads:\n{printed}");
    }
}

/// Forms of the same device: without the interface of before version 1, or parts of what its queue can do.
#[test]
fn virtio_disks_have_many_forms() {
    let image = scratch("forms.img");
    let bytes: Vec<u8> = (0..8_u32 << 20).map(|at| (at * 31 + at / 4096) as u8).collect();
    fs::write(&image, &bytes).expect("a scratch file");
    let sum = Command::new("md5sum").arg(&image).output().expect("md5sum runs").stdout;
    let sum = String::from_utf8_lossy(&sum[..32]).into_owned();
    let command = "md5sum /dev/vda; yes written | dd of=/dev/vda bs=4k count=600 iflag=fullblock conv=fsync 2>/dev/null
        head -c 16 /dev/vda; echo 3 >/proc/sys/vm/drop_caches; yes written | head -c 2457600 | cmp - /dev/vda 2>&1
        awk '$3 == \"vda\" { print ($4 > 0) ($8 > 0) ($19 > 0) }' /proc/diskstats";
    for form in [
        "-global virtio-blk-pci.disable-legacy=on",
        "-global virtio-blk-device.indirect_desc=off",
        "-global virtio-blk-device.event_idx=off -global virtio-blk-pci.disable-legacy=on",
        "-global virtio-blk-device.event_idx=off -global virtio-blk-device.indirect_desc=off",
        "-global virtio-blk-device.queue-size=16 -global virtio-blk-device.seg-max-adjust=on",
        "-global virtio-blk-device.config-wce=off -global virtio-blk-device.discard=off",
    ] {
        let options = ["--smp", "2", "--snapshot", "--virtio", &image.display().to_string(), "--qemu", form];
        let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", command]).end();
        assert_eq!(status, Some(0), "{form}: {printed}");
        assert!(printed.contains(&sum), "{form}: {printed}");
        assert!(printed.ends_with("written\nwritten\ncmp: EOF on -\n111\n"), "{form}: {printed}");
    }
}

#[test]
fn a_disk_may_be_for_reading_only() {
    let image = scratch("read-only.img");
    fs::write(&image, [b'x'; 4096]).expect("a scratch file");
    let disk = format!(
        "-drive if=none,id=ro,readonly=on,format=raw,file={} -device virtio-blk-pci,drive=ro",
        image.display()
    );
    let command =
        "cat /sys/block/vda/ro; head -c 3 /dev/vda; echo; echo y >/dev/vda; blockdev --getro /dev/vda";
    let options = ["--smp", "1", "--qemu", &disk];
    let (_, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", command]).end();
    let wanted = "1\nxxx\nsh: write error: Operation not permitted\n1\n";
    assert!(printed.ends_with(wanted), "{printed}");
}

#[test]
fn partitions_are_disks_of_their_own() {
    for (bus, disk, major) in BUSES {
        let image = scratch(&format!("parts-{disk}.img"));
        File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("a scratch file");
        let mut sfdisk = Command::new("/usr/sbin/sfdisk");
        sfdisk.args(["--quiet", "--label", "gpt"]).arg(&image).stdin(Stdio::piped());
        let mut running = sfdisk.spawn().expect("sfdisk runs");
        let table = b"start=2048, size=2048\nstart=4096, size=6144\n";
        running.stdin.take().expect("a pipe").write_all(table).expect("it listens");
        assert!(running.wait().expect("it ends").success());
        let file = OpenOptions::new().read(true).write(true).open(&image).expect("the image");
        file.write_all_at(b"the second one", 4096 * 512).expect("it is within the image");
        let command = format!(
            "awk '$4 ~ /{disk}/ {{ print $1, $2, $3, $4 }}' /proc/partitions; head -c 14 /dev/{disk}2; echo
            cat /sys/block/{disk}/{disk}2/start /sys/class/block/{disk}2/partition; printf first >/dev/{disk}1
            wc -c </dev/{disk}2; cat /sys/dev/block/{major}:2/size"
        );
        let options = ["--smp", "2", bus, &image.display().to_string()];
        let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", &command]).end();
        assert_eq!(status, Some(0), "{printed}");
        let list = format!("{major} 0 16384 {disk}\n{major} 1 1024 {disk}1\n{major} 2 3072 {disk}2\n");
        let wanted = format!("{list}the second one\n4096\n2\n3145728\n6144\n");
        assert!(printed.ends_with(&wanted), "{printed}");
        let mut first = [0; 5];
        file.read_exact_at(&mut first, 2048 * 512).expect("it is within the image");
        assert_eq!(&first, b"first");
    }
}

#[test]
fn a_disk_may_be_larger_than_memory() {
    let image = scratch("large.img");
    File::create(&image).and_then(|file| file.set_len(512 << 20)).expect("a scratch file");
    // Read, and written, more than there is memory; then files in memory and programs have what the cache had.
    let command = "dd if=/dev/sda of=/dev/null bs=1M 2>/dev/null && dd if=/dev/zero of=/dev/sda bs=1M count=300 2>/dev/null &&
        dd if=/dev/sda of=/dev/null bs=64k 2>/dev/null && dd if=/dev/zero of=/tmp/x bs=1M count=60 2>/dev/null &&
        dd if=/dev/sda of=/dev/null bs=64k 2>/dev/null && forkbench --mib 40 --times 2 >/dev/null && echo all is well";
    for cpus in ["1", "2"] {
        let options = ["--smp", cpus, "--mem", "192M", "--disk", &image.display().to_string()];
        let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", command]).end();
        assert_eq!(status, Some(0), "{cpus} CPUs:\n{printed}");
        assert!(printed.ends_with("all is well\n"), "{cpus} CPUs:\n{printed}");
    }
}
