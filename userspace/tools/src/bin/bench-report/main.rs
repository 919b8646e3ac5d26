//! `bench-report FOLDER`: turns the figures in FOLDER/results.tsv into FOLDER/report.md and plots beside it.
//!
//! Each section of the report is a function in [`sections`]; [`papers`] holds the figures of the papers Rusk carries on
//! from, and the goals; [`plot`] draws.

mod figures;
mod papers;
mod plot;
mod sections;

use figures::Figures;
use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| {
        eprintln!("bench-report FOLDER");
        std::process::exit(2)
    });
    let folder = Path::new(&folder);
    let figures = Figures::parse(&fs::read_to_string(folder.join("results.tsv"))?);
    let mut report = String::from(
        "# Measurements\n\nMade by `scripts/bench`. Rusk and Debian's Linux kernel ran in the same QEMU (TCG, no hardware \
         virtualisation). *Instructions* are exact and repeatable (`-icount shift=0`: one guest nanosecond is one \
         instruction); *wall-clock* figures are medians of paired runs and depend on the machine. *Replayed* figures are \
         computed from recorded ones, as said there.\n",
    );
    for section in sections::ALL {
        let written = section(&figures);
        report.push_str(&written.text);
        for (name, drawing) in written.plots {
            fs::write(folder.join(name), drawing)?;
        }
    }
    fs::write(folder.join("report.md"), &report)?;
    print!("{report}");
    Ok(())
}
