//! `fsx [OPTION]...`: random operations on one file, which is compared with what it must contain after each of them.
//!
//! The idea is that of the program of this name by Avadis Tevanian at NeXT, which found bugs in every file system since.
//!
//! It prints what it has done, and a sum of the contents: the same on each file system, because what one cannot do (remove a
//! range from a file, perhaps) is done by writing instead. If something is wrong, it prints the last operations, the first
//! wrong byte, and exits with status 1; the file stays.

mod history;
mod model;
mod operation;
mod subject;

use model::Model;
use operation::Generator;
use std::path::Path;
use subject::Subject;
use support::arguments::Options;
use support::sum::Sum;

const USAGE: &str = "fsx [OPTION]...
  --directory D    where the file is made (.)
  --seed N         which operations (1)
  --operations N   how many (1000)
  --size N         bytes that the file has at most (262144)
  --compare N      compare all after each Nth operation (1); 0: only what is read, and all in the end
  --direct         read and write past the cache, too, in whole blocks of 4096 bytes
  --keep           leave the file";

/// What the command line asks for.
struct Run {
    seed: u64,
    operations: u64,
    size: u64,
    compare: u64,
    direct: bool,
}

impl Run {
    fn go(&self, path: &Path) -> Result<Model, String> {
        let mut subject = Subject::new(path, self.size, self.direct)?;
        let mut model = Model::new();
        let mut generator = Generator::new(self.seed, self.size, self.direct);
        for number in 1..=self.operations {
            let operation = generator.next(model.size());
            history::note(number, &operation);
            subject.perform(operation, number, &mut model)?;
            subject.compare_size(&model)?;
            if self.compare > 0 && number.is_multiple_of(self.compare) {
                subject.compare_all(&model, generator.coin())?;
            }
        }
        subject.reopen()?;
        subject.compare_all(&model, false)?;
        subject.compare_all(&model, true)?;
        Ok(model)
    }
}

fn main() {
    let mut options = Options::parse(USAGE);
    let run = Run {
        seed: options.value("--seed", 1),
        operations: options.value("--operations", 1000),
        size: options.value("--size", 256 << 10),
        compare: options.value("--compare", 1),
        direct: options.flag("--direct"),
    };
    let directory: String = options.value("--directory", ".".into());
    let keep = options.flag("--keep");
    options.finish();
    if run.size < operation::LEAST {
        eprintln!("--size must be {} at least", operation::LEAST);
        std::process::exit(2);
    }
    history::catch_faults();
    let path = Path::new(&directory).join(format!("fsx-{}", run.seed));
    match run.go(&path) {
        Ok(model) => {
            println!(
                "fsx: {} operations, {} bytes, sum {}",
                run.operations,
                model.size(),
                Sum::of(model.contents())
            );
            if !keep && let Err(error) = std::fs::remove_file(&path) {
                println!("fsx: removing the file: {error}");
                std::process::exit(1);
            }
        }
        Err(problem) => {
            println!("fsx: seed {}: {problem}", run.seed);
            history::show();
            std::process::exit(1);
        }
    }
}
