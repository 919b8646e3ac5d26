//! `synclatency`: how long an append of a page takes until it is on the disk.

use experiments::storage::sync_latencies;
use support::arguments::{Options, fail};
use support::report;

const USAGE: &str = "synclatency [--appends N (1000)] [--in FOLDER (/tmp)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let appends = options.value("--appends", 1000_u64).max(1);
    let folder: String = options.value("--in", "/tmp".into());
    options.finish();
    match sync_latencies(&folder, appends) {
        Ok(latencies) => {
            for (name, percent) in [("median", 50), ("p99", 99), ("longest", 100)] {
                let index = (latencies.len() * percent).div_ceil(100) - 1;
                report::value(&format!("fsync_{name}"), latencies[index] as f64, "ns");
            }
        }
        Err(error) => fail("synclatency", &error),
    }
}
