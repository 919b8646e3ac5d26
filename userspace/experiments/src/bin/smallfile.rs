//! `smallfile`: create, read and unlink small files in a few folders (the parallelism paper's section 4.1).

use experiments::files::smallfile;
use support::arguments::{Options, fail};
use support::clock::Count;
use support::report;

const USAGE: &str = "smallfile [--files N (100)] [--folders N (4)] [--in FOLDER (/tmp)]";

fn main() {
    let mut options = Options::parse(USAGE);
    let files = options.value("--files", 100);
    let folders = options.value("--folders", 4);
    let folder: String = options.value("--in", "/tmp".into());
    options.finish();
    match smallfile(&folder, files, folders, Count::Elapsed) {
        Ok(times) => {
            report::per_operation("smallfile_create", times.create, files);
            report::per_operation("smallfile_read", times.read, files);
            report::per_operation("smallfile_unlink", times.unlink, files);
        }
        Err(error) => fail("smallfile", &error),
    }
}
