//! Loop devices: file systems in files on disks. e2fsck finds both whole, and Linux finds what was written.

use crate::machine::{Kernel, LINUX_CPUS, Machine};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file for one test, in cargo's folder for such files.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The image of a disk of so many MiB with an ext4 file system, in which is another one, the file `inner`.
fn make(name: &str, size: u64, inner: u64) -> PathBuf {
    let (image, folder) = (scratch(&format!("{name}.img")), scratch(name));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    let file = folder.join("inner");
    for (path, size, contents) in [(&file, inner, None), (&image, size, Some(&folder))] {
        let _ = fs::remove_file(path);
        File::create(path).and_then(|file| file.set_len(size << 20)).expect("a scratch file");
        let mut command = Command::new("/usr/sbin/mke2fs");
        command.args(["-q", "-F", "-t", "ext4"]);
        if let Some(folder) = contents {
            command.arg("-d").arg(folder);
        }
        succeeds(command.arg(path));
    }
    let _ = fs::remove_dir_all(&folder);
    image
}

/// Both file systems are whole, without a journal to be replayed.
fn check(image: &Path) {
    let inner = image.with_extension("inner");
    let dump = format!("dump inner {}", inner.display());
    for path in [image, &inner] {
        if path == inner {
            succeeds(Command::new("/usr/sbin/debugfs").args(["-R", &dump]).arg(image));
        }
        let text = succeeds(Command::new("/usr/sbin/e2fsck").arg("-fn").arg(path));
        assert!(!text.contains("skipping journal recovery"), "{text}");
    }
    let _ = fs::remove_file(inner);
}

/// Boots with a disk, runs a command with both file systems mounted at /d and /m, and must see it end well.
fn run(kernel: Kernel, options: &[&str], image: &Path, command: &str) -> String {
    let image = image.display().to_string();
    let (bus, disk, module) = match kernel {
        Kernel::Rusk => ("--disk", "sda", ""),
        // Its kernel for clouds has no driver for SATA.
        Kernel::Linux => ("--nvme", "nvme0n1", "insmod /usr/lib/tests/loop.ko;"),
    };
    let command = format!(
        "set -e; {module} mkdir /d /m; mount -t ext4 /dev/{disk} /d; mount -t ext4 -o loop /d/inner /m\n{command}"
    );
    let options = [options, &[bus, &image]].concat();
    let (status, printed) = Machine::boot(kernel, &options, &["sh", "-c", &command]).end();
    assert_eq!(status, Some(0), "{kernel:?}, {options:?}:\n{printed}");
    printed
}

#[test]
fn a_file_system_in_a_file_goes_both_ways() {
    let image = make("both", 192, 96);
    let work = |name: &str, seed: u32| {
        format!(
            "mkdir /m/{name}
            fsstress --directory /m/{name} --seed {seed} --processes 4 --operations 400 --keep --manifest /d/{name} >/dev/null
            fsx --directory /m --seed {seed} --operations 1000 >/dev/null; umount /m; test -z \"$(losetup -a)\"; umount /d"
        )
    };
    run(Kernel::Rusk, &["--smp", "4"], &image, &work("first", 1));
    check(&image);
    let theirs = format!("fsstress --directory /m/first --check /d/first; {}", work("second", 2));
    run(Kernel::Linux, &["--smp", LINUX_CPUS], &image, &theirs);
    check(&image);
    let last = "fsstress --directory /m/first --check /d/first; fsstress --directory /m/second --check /d/second
        rm -r /m/first; umount /m; mount -o loop -t ext4 /d/inner /m; fsstress --directory /m/second --check /d/second";
    // Nobody unmounts: the machine's end does.
    run(Kernel::Rusk, &["--smp", "2"], &image, last);
    check(&image);
}

/// More is written than there is memory, beside programs and files in memory that have most of it.
#[test]
fn more_is_written_than_there_is_memory() {
    let image = make("memory", 700, 500);
    let command = "dd if=/dev/zero of=/m/one bs=1M count=150 iflag=fullblock 2>/dev/null; sync
        room=$(sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo); taken=$((room - 25600 - left))
        dd if=/dev/zero of=/tmp/taken bs=1k count=$taken iflag=fullblock 2>/dev/null; mkfifo /tmp/fifo
        dd if=/dev/zero of=/tmp/fifo bs=25M count=1 iflag=fullblock 2>/dev/null & exec 3</tmp/fifo; head -c 1 <&3 >/dev/null
        dd if=/dev/zero of=/m/two bs=64k count=800 iflag=fullblock conv=fsync 2>/dev/null; exec 3<&-; wait || true
        cat /m/one /m/two | tr -d '\\0' | wc -c; stat -c %s /m/one /m/two
        umount /m; umount /d; echo all is well";
    // How many KiB are left for all else. Each CPU has caches of its own. All but the first find files to cut off.
    for (cpus, memory, left) in
        [("1", "128M", 2200), ("1", "128M", 1800), ("4", "160M", 4000), ("4", "160M", 3000)]
    {
        let command = format!("left={left}\n{command}");
        let printed = run(Kernel::Rusk, &["--smp", cpus, "--mem", memory], &image, &command);
        assert_eq!(printed, "0\n157286400\n52428800\nall is well\n", "{cpus} CPUs");
        check(&image);
    }
}

/// What was synced is there after the power has gone, by way of two journals.
#[test]
fn what_was_synced_in_a_file_survives_the_power() {
    let image = make("power", 128, 64);
    let disk = image.display().to_string();
    let mut last = 0;
    for _ in 0..3 {
        let command = format!(
            "mkdir /d /m; mount -t ext4 /dev/sda /d && mount -t ext4 -o loop /d/inner /m && cd /m && i={last}
            for n in $(seq 1 {last}); do test \"$(head -n 1 file-$n)\" = \"this is $n\" || echo lost $n; done; echo checked
            while true; do i=$((i + 1)); {{ echo this is $i; head -c $((i * 977 % 50000)) /bin/busybox; }} >file-$i
                sync; echo synced $i; rm -f junk; cp /bin/busybox junk; done"
        );
        let options = ["--smp", "2", "--disk", &disk];
        let mut machine = Machine::boot(Kernel::Rusk, &options, &["sh", "-c", &command]);
        machine.expect("checked");
        machine.expect(&format!("synced {}", last + 4));
        let printed = machine.kill();
        assert!(!printed.lines().any(|line| line.starts_with("lost")), "{printed}");
        let synced = |line: &str| line.strip_prefix("synced ").and_then(|number| number.trim().parse().ok());
        last = printed.lines().filter_map(synced).max().unwrap_or(last + 4);
    }
    let command = format!(
        "for n in $(seq 1 {last}); do test \"$(head -n 1 /m/file-$n)\" = \"this is $n\"; done; umount /m; umount /d"
    );
    run(Kernel::Rusk, &["--smp", "2"], &image, &command);
    check(&image);
}

/// The file goes, or becomes shorter, or there is no room for it, while a file system in it is in use: errors, and no more.
#[test]
fn a_file_may_go_away_under_its_file_system() {
    let image = make("gone", 64, 48);
    let fill = "dd if=/dev/zero of=/d/rest bs=64k 2>/dev/null || true";
    let use_it = "{ dd if=/dev/zero of=/m/big bs=64k count=300; sync; ls -R /m; cp /bin/busybox /m; cat /m/*; sync; } >/dev/null 2>&1 || true";
    for damage in ["rm /d/inner", "truncate -s 1M /d/inner", "truncate -s 0 /d/inner", fill] {
        let command = format!(
            "{damage}; {use_it}; umount /m; test -z \"$(losetup -a)\"; rm -f /d/rest; umount /d; mount -t ext4 /dev/sda /d; echo hello >/d/alive; umount /d; echo still here"
        );
        let printed = run(Kernel::Rusk, &["--smp", "2", "--snapshot"], &image, &command);
        assert!(printed.ends_with("still here\n"), "{damage}:\n{printed}");
    }
}
