//! `diskbench`: what a read of 4 KiB from a disk costs a machine with one CPU, from the system call to the device and back.

use experiments::disks::read_pages;
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "diskbench [--disk PATH (/dev/sda)] [--depth N (1)] [--reads N (4096)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let disk: String = options.value("--disk", "/dev/sda".into());
    let depth = options.value("--depth", 1);
    let reads = options.value("--reads", 4096);
    options.finish();
    match read_pages(&disk, depth, reads) {
        Ok(elapsed) => report::per_operation(&format!("read_4k_depth_{depth}"), elapsed, reads),
        Err(error) => fail("diskbench", &error),
    }
}
