//! `bench-report FOLDER [BOOK]`: turns the figures in FOLDER/results.tsv into FOLDER/report.md and plots beside it.
//!
//! With BOOK, the table of each section is also written to BOOK/NAME.md, to be included in a chapter, and its plot to
//! BOOK/NAME.svg. Sections without figures are left as they are there.
//!
//! Each section of the report is a function in [`sections`]; [`papers`] holds the figures of the papers Rusk carries on
//! from, and the goals; [`plot`] and [`lanes`] draw.

mod figures;
mod lanes;
mod papers;
mod plot;
mod sections;

use figures::Figures;
use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("bench-report FOLDER [BOOK]");
        std::process::exit(2)
    };
    let folder = Path::new(&folder);
    let book = arguments.next();
    let figures = Figures::parse(&fs::read_to_string(folder.join("results.tsv"))?);
    let trace = fs::read(folder.join("lanes.trace")).unwrap_or_default();
    let trace = String::from_utf8_lossy(&trace);
    let mut report = String::from(
        "# Measurements\n\nMade by `scripts/bench`. Rusk and Debian's Linux kernel ran in the same QEMU (TCG, no hardware \
         virtualisation). *Instructions* are exact and repeatable (`-icount shift=0`: one guest nanosecond is one \
         instruction); *wall-clock* figures are the best of paired runs and depend on the machine. *Replayed* figures are \
         computed from recorded ones, as said there.\n",
    );
    for section in sections::all(&figures, &trace) {
        report.push_str(&section.text());
        let picture = section.plot.as_ref().map(|(_, drawing)| drawing);
        for folder in std::iter::once(folder).chain(book.as_deref().map(Path::new)) {
            fs::create_dir_all(folder)?;
            if let Some(drawing) = picture {
                fs::write(folder.join(format!("{}.svg", section.name)), drawing)?;
            }
        }
        if let Some(book) = &book {
            let text = format!("<!-- Written by scripts/bench --book. -->\n\n{}", section.body);
            fs::write(Path::new(book).join(format!("{}.md", section.name)), text)?;
        }
    }
    fs::write(folder.join("report.md"), &report)?;
    print!("{report}");
    Ok(())
}
