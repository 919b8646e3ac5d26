//! File systems on disks that Rusk's programs write to: e2fsck, and Linux, find what they have made, and the other way round.

use crate::machine::{Kernel, LINUX_CPUS, Machine, image_of_disk};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A file for one test, in cargo's folder for such files.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// An empty file system of so many MiB.
fn make(name: &str, kind: &str, size: u64) -> PathBuf {
    let image = scratch(name);
    File::create(&image).and_then(|file| file.set_len(size << 20)).expect("a scratch file");
    let made = Command::new("/usr/sbin/mke2fs").args(["-q", "-F", "-t", kind]).arg(&image).status();
    assert!(made.expect("mke2fs runs").success());
    image
}

/// What e2fsck says of an image, if that is anything.
fn check(image: &Path) {
    let output = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(image).output().expect("e2fsck runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let is_whole = !String::from_utf8_lossy(&output.stderr).contains("skipping journal recovery")
        && !text.contains("skipping journal recovery");
    assert!(output.status.success() && is_whole, "{text}");
}

/// Boots with a disk, runs a command, and must see it end well; gives what it printed.
fn run(kernel: Kernel, cpus: &str, image: &Path, command: &str) -> String {
    let image = image.display().to_string();
    let (bus, disk) = match kernel {
        Kernel::Rusk => ("--disk", "sda"),
        // Its kernel for clouds has no driver for SATA.
        Kernel::Linux => ("--nvme", "nvme0n1"),
    };
    let command = format!("mkdir /m; set -e; {}", command.replace("DISK", &format!("/dev/{disk}")));
    let options = ["--smp", cpus, bus, &image];
    let (status, printed) = Machine::boot(kernel, &options, &["sh", "-c", &command]).end();
    assert_eq!(status, Some(0), "{kernel:?}, {cpus} CPUs:\n{printed}");
    printed
}

fn both_ways(kind: &str, cpus: &str) {
    let image = make(&format!("both-{kind}-{cpus}.img"), kind, 96);
    let ours = "mount -t ext4 DISK /m; mkdir /m/first
        fsstress --directory /m/first --seed 1 --processes 4 --operations 600 --keep --manifest /tmp/first >/dev/null
        fsx --directory /m --seed 2 --operations 1500 >/dev/null
        cp /tmp/first /m/manifest-1; umount /m";
    run(Kernel::Rusk, cpus, &image, ours);
    check(&image);
    let theirs = "mount -t ext4 DISK /m; fsstress --directory /m/first --check /m/manifest-1; mkdir /m/second
        fsstress --directory /m/second --seed 3 --processes 4 --operations 600 --keep --manifest /tmp/second >/dev/null
        cp /tmp/second /m/manifest-2; umount /m";
    run(Kernel::Linux, LINUX_CPUS, &image, theirs);
    check(&image);
    let last = "mount -t ext4 DISK /m; fsstress --directory /m/first --check /m/manifest-1
        fsstress --directory /m/second --check /m/manifest-2; rm -r /m/first
        fsstress --directory /m/second --check /m/manifest-2; umount /m; mount -o ro -t ext4 DISK /m
        fsstress --directory /m/second --check /m/manifest-2";
    run(Kernel::Rusk, cpus, &image, last);
    check(&image);
}

#[test]
fn ext4_goes_both_ways_on_one_cpu() {
    both_ways("ext4", "1");
}

#[test]
fn ext4_goes_both_ways_on_four_cpus() {
    both_ways("ext4", "4");
}

#[test]
fn ext3_and_ext2_go_both_ways() {
    both_ways("ext3", "2");
    both_ways("ext2", "2");
}

/// How accesses are noted, what options a mount has, and what a directory's default list does, are as on Linux.
#[test]
fn mounts_are_as_on_linux() {
    let script = r#"
        # After all changes, so that relatime has nothing to note.
        late() { touch -a -d 2031-01-01 $1; }
        seen() { stat -c %x $1 | grep -q ^2031 && echo "$1: not noted" || echo "$1: noted"; }
        mount -t ext4 -o commit=30,errors=remount-ro DISK /m
        options() { grep ' /m ' /proc/mounts | cut -d ' ' -f 3-; }
        options
        mkdir /m/d; echo text >/m/f; ln -s f /m/l
        for options in noatime strictatime relatime nodiratime; do
            mount -o remount,$options /m; options
            late /m/f; cat /m/f; seen /m/f
            late /m/d; ls /m/d; seen /m/d
        done
        touch -a -d @1000 /m/f; cat /m/f; stat -c %x /m/f | grep -q ^1970 || echo noted
        mount -o remount,ro /m; options; cat /m/f
        mount -o remount,rw,bogus /m 2>/dev/null || echo refused
        touch /m/new 2>/dev/null || echo read-only
        mount -o remount,rw /m; options; touch /m/new
        umount /m; mount -t ext4 -o errors=never DISK /m 2>/dev/null || echo refused
        mount -t ext4 -o commit=0,errors=remount-ro DISK /m; options; umount /m
    "#;
    let printed =
        [(Kernel::Rusk, "1"), (Kernel::Rusk, "4"), (Kernel::Linux, LINUX_CPUS)].map(|(kernel, cpus)| {
            let image = make(&format!("mounts-{kernel:?}-{cpus}.img"), "ext4", 32);
            let printed = run(kernel, cpus, &image, script);
            check(&image);
            // Without what the kernels say.
            printed.lines().filter(|line| !line.starts_with('[')).collect::<Vec<_>>().join("\n")
        });
    assert!(printed[2].contains("/m/f: not noted") && printed[2].contains("/m/f: noted"), "{}", printed[2]);
    assert_eq!(printed[0], printed[2]);
    assert_eq!(printed[1], printed[2]);
}

/// Past the page cache: what programs see is what they see on Linux, and so is what is left.
#[test]
fn direct_transfers_are_those_of_linux() {
    let printed = [(Kernel::Linux, LINUX_CPUS), (Kernel::Rusk, "1"), (Kernel::Rusk, "4")].map(|(kernel, cpus)| {
        let image = make(&format!("direct-{kernel:?}-{cpus}.img"), "ext4", 64);
        let command =
            "mount -t ext4 DISK /m; cd /m; conformance direct; cd /; umount /m; mount -t ext4 DISK /m
            md5sum $(find /m -type f | sort); fsx --directory /m --seed 5 --operations 1500 --direct; umount /m";
        let printed = run(kernel, cpus, &image, command);
        check(&image);
        // What the kernels say of themselves begins with the time.
        printed.lines().filter(|line| !line.starts_with('[')).map(str::to_owned).collect::<Vec<_>>()
    });
    let [theirs, ours @ ..] = printed;
    assert!(theirs.len() > 170, "{theirs:?}");
    for ours in ours {
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.len(), theirs.len());
    }
}

#[test]
fn the_root_is_written_to() {
    let root = scratch("written-root.img");
    fs::copy(image_of_disk("root-ext4.img", "ext4"), &root).expect("room for a copy");
    let options = ["--smp", "2", "--root", &root.display().to_string()];
    let first = "grep ' / ' /proc/mounts; mkdir -p /etc/new; echo hello >/etc/new/file; cp /bin/busybox /busybox; ln -s /busybox /link
        mount -o remount,ro / && ! touch /never && mount -o remount,rw / && rm -r /etc/new && mv /link /moved";
    let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", first]).end();
    assert_eq!(status, Some(0), "{printed}");
    assert!(printed.contains("/dev/root / ext4 rw"), "{printed}");
    // The machine ended without an unmount, but in good order.
    check(&root);
    let second = "cmp /moved /bin/busybox && test ! -e /etc/new && readlink /moved && poweroff -f";
    let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", second]).end();
    assert_eq!(status, Some(0), "{printed}");
    check(&root);
}

/// Files that say which they are, synced one by one; the machine is killed at some moment.
fn power_goes(times: u32) {
    // Each time some ten files are added, of 25 KiB on average.
    let image = make("power.img", "ext4", 64 + u64::from(times));
    let disk = image.display().to_string();
    let mut last = 0u32;
    for time in 0..times {
        let command = format!(
            "mkdir /m; mount -t ext4 /dev/sda /m && cd /m && i={last}; for n in $(seq 1 {last}); do
                test \"$(head -n 1 file-$n)\" = \"this is $n\" || echo lost $n; done; echo checked
            while true; do i=$((i + 1)); {{ echo this is $i; head -c $((i * 977 % 50000)) /bin/busybox; }} >new-$i || exit; mkdir dir-$i
                mv new-$i file-$i && sync && echo synced $i || exit; rmdir dir-$i; rm -f junk; cp /bin/busybox junk; done"
        );
        let mut machine =
            Machine::boot(Kernel::Rusk, &["--smp", "2", "--disk", &disk], &["sh", "-c", &command]);
        machine.expect("checked");
        let few = 3 + time % 5;
        machine.expect(&format!("synced {}", last + few));
        // Somewhere in what comes next.
        std::thread::sleep(Duration::from_millis(u64::from(time) * 37 % 300));
        let printed = machine.kill();
        assert!(!printed.lines().any(|line| line.starts_with("lost")), "{printed}");
        let synced = |line: &str| line.strip_prefix("synced ").and_then(|number| number.trim().parse().ok());
        last = printed.lines().filter_map(synced).max().unwrap_or(last + few);
    }
    let command = format!(
        "mount -t ext4 DISK /m; cd /m; for n in $(seq 1 {last}); do test \"$(head -n 1 file-$n)\" = \"this is $n\"; done; cd /; umount /m"
    );
    run(Kernel::Rusk, "2", &image, &command);
    check(&image);
}

#[test]
fn what_was_synced_survives_the_power() {
    power_goes(6);
}

#[test]
#[ignore = "takes long: two hundred times"]
fn what_was_synced_survives_the_power_often() {
    power_goes(200);
}
