//! `smallfile`: create, read and unlink small files in a few folders (the parallelism paper's section 4.1).

use experiments::files::{Small, smallfile};
use support::arguments::{Options, fail};
use support::clock::Count;
use support::report;

const USAGE: &str =
    "smallfile [--files N (100)] [--folders N (4)] [--bytes N (1)] [--rounds N (1)] [--in FOLDER (/tmp)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let small = Small {
        files: options.value("--files", 100).max(1),
        folders: options.value("--folders", 4).max(1),
        bytes: options.value("--bytes", 1),
        rounds: options.value("--rounds", 1).max(1),
    };
    let folder: String = options.value("--in", "/tmp".into());
    options.finish();
    match smallfile(&folder, small, Count::Elapsed) {
        Ok(times) => {
            report::per_operation("smallfile_create", times.create, small.count());
            report::per_operation("smallfile_read", times.read, small.count());
            report::per_operation("smallfile_unlink", times.unlink, small.count());
        }
        Err(error) => fail("smallfile", &error),
    }
}
