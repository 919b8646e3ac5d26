//! Command lines: `--name value`, with a default, and `--name` alone.

use pico_args::Arguments;
use std::fmt::Display;
use std::process::exit;
use std::str::FromStr;

/// Options still to be looked at. Anything wrong prints the usage text and exits with status 2.
pub struct Options {
    arguments: Arguments,
    usage: &'static str,
}

impl Options {
    /// Takes the process's arguments; `--help` prints `usage` and exits.
    pub fn parse(usage: &'static str) -> Self {
        let mut arguments = Arguments::from_env();
        if arguments.contains(["-h", "--help"]) {
            println!("{usage}");
            exit(0);
        }
        Self { arguments, usage }
    }

    /// The value of option `--name`, or `default`.
    pub fn value<T>(&mut self, name: &'static str, default: T) -> T
    where
        T: FromStr<Err: Display>,
    {
        match self.arguments.opt_value_from_str(name) {
            Ok(value) => value.unwrap_or(default),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    /// The value of option `--name`, if it is given.
    pub fn optional(&mut self, name: &'static str) -> Option<String> {
        match self.arguments.opt_value_from_str(name) {
            Ok(value) => value,
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    /// Whether option `--name`, which has no value, is given.
    pub fn flag(&mut self, name: &'static str) -> bool {
        self.arguments.contains(name)
    }

    /// The words that are no options.
    pub fn rest(self) -> Vec<String> {
        let words = self.arguments.finish();
        words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// Makes sure that no word is left over.
    pub fn finish(self) {
        let usage = self.usage;
        if let Some(word) = self.rest().first() {
            refuse(usage, &format!("unexpected argument {word}"));
        }
    }

    fn refuse(&self, problem: &str) -> ! {
        refuse(self.usage, problem)
    }
}

fn refuse(usage: &str, problem: &str) -> ! {
    eprintln!("{problem}\n{usage}");
    exit(2)
}

/// Prints an error and exits with status 1.
pub fn fail(what: &str, error: &std::io::Error) -> ! {
    eprintln!("{what}: {error}");
    exit(1)
}
