//! Debian installs itself: its own dpkg, on an ext4 root that Rusk writes to, unpacks and configures packages with the scripts that
//! they bring, and e2fsck has nothing to say of the disk.

use crate::machine::{Kernel, Machine, printed_by, script, target};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What there is before: what dpkg, and the scripts of packages, cannot do without.
const TOOLS: &[&str] = &["apt", "bash", "coreutils", "dash", "debconf", "dpkg", "libc-bin", "perl", "tar"];

/// A disk with the tools, and with packages below /debs; and how many these are.
fn disk(name: &str, packages: &[&str]) -> (PathBuf, usize) {
    // With all that they depend on, each after what it needs first.
    let archives = printed_by("packages", packages);
    let image = target().join(name).display().to_string();
    let mut arguments: Vec<String> = ["--size", "1G", "--output", &image].map(String::from).into();
    for (number, archive) in archives.lines().enumerate() {
        arguments.extend(["--add".into(), format!("debs/{number:03}.deb={archive}")]);
    }
    arguments.extend(TOOLS.iter().map(ToString::to_string));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    (script("mkdisk", &arguments), archives.lines().count())
}

fn install(name: &str, cpus: &str, packages: &[&str]) {
    let (image, count) = disk(&format!("installer-{name}.img"), packages);
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("installer-{name}.img"));
    fs::copy(image, &root).expect("room for a copy");
    let script = "
        export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
        mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers /var/cache/debconf
        touch /var/lib/dpkg/status /var/lib/dpkg/available
        set -e
        /usr/bin/dpkg --unpack --force-depends /debs/*.deb >/tmp/log 2>&1 || { tail -20 /tmp/log; exit 1; }
        /usr/bin/dpkg --configure -a >/tmp/log 2>&1 || { tail -20 /tmp/log; exit 1; }
        /usr/bin/dpkg --audit
        apt-get check >/dev/null
        echo installed: $(/usr/bin/dpkg -l | grep -c ^ii)
        # As they were packed.
        /usr/bin/dpkg --verify | grep -v ' c /etc' || true";
    let options = ["--smp", cpus, "--mem", "1G", "--root", &root.display().to_string()];
    let (status, printed) = Machine::boot(Kernel::Rusk, &options, &["bash", "-c", script]).end();
    assert_eq!(status, Some(0), "{printed}");
    let told: Vec<&str> = printed.lines().filter(|line| !line.starts_with('[')).collect();
    assert_eq!(told, [format!("installed: {count}")], "{printed}");
    let output = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(&root).output().expect("e2fsck runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    fs::remove_file(&root).expect("it was there");
}

#[test]
fn packages_are_installed() {
    install("few", "2", &["hello", "sed"]);
}

/// The smallest Debian that debootstrap knows, but for what a machine without users needs not.
#[test]
#[ignore = "takes long: some ninety packages"]
fn a_minimal_debian_installs_itself() {
    let packages = [
        "apt",
        "base-files",
        "base-passwd",
        "bash",
        "coreutils",
        "dash",
        "debconf",
        "debianutils",
        "diffutils",
        "dpkg",
        "findutils",
        "grep",
        "gzip",
        "hostname",
        "init-system-helpers",
        "libc-bin",
        "login",
        "mount",
        "ncurses-base",
        "ncurses-bin",
        "passwd",
        "perl-base",
        "sed",
        "sysvinit-utils",
        "tar",
        "util-linux",
    ];
    install("minimal", "2", &packages);
}
