//! The kernel's command line: `name=value` words, named as Linux names them; what follows `--` goes to init.

use alloc::{string::String, vec::Vec};

use conquer_once::spin::OnceCell;

use crate::{arch, memory, power};

/// What the command line says.
#[derive(Clone, Default, Debug)]
pub struct CommandLine {
    /// `init=` or `rdinit=`: the first program.
    pub init: Option<String>,
    /// `root=`: the disk with the root file system, as /dev names it.
    pub root: Option<String>,
    /// `rw`: it is mounted for writing, not only for reading as without it or after `ro`.
    pub writes_root: bool,
    /// Arguments of the first program: words after `--`, and words that the kernel does not know.
    pub arguments: Vec<String>,
    /// Environment of the first program: `NAME=value` words that the kernel does not know.
    pub environment: Vec<String>,
}

static TEXT: OnceCell<&'static str> = OnceCell::uninit();

/// The whole command line, as it was given.
pub fn text() -> &'static str {
    TEXT.try_get().copied().unwrap_or("")
}

/// The command line before there is a heap.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    text: &'a str,
}

/// Words that the kernel knows but that ask for nothing more than it does anyway.
const ACCEPTED: [&str; 6] = ["console", "rootfstype", "ip", "earlyprintk", "nokaslr", "mitigations"];

impl Options<'static> {
    /// The options in the machine's command line.
    pub fn new(text: &'static str) -> Self {
        let _ = TEXT.try_init_once(|| text);
        Self { text }
    }
}

impl<'a> Options<'a> {
    /// Words before `--`, each with its value if it has one.
    fn words(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let kernel = self.text.split(" -- ").next().unwrap_or("");
        split_words(kernel).map(|word| match word.split_once('=') {
            Some((name, value)) => (name, Some(unquote(value))),
            None => (word, None),
        })
    }

    /// `maxcpus=`: how many CPUs to start at most.
    pub fn cpus(self) -> Option<usize> {
        self.words()
            .filter(|(name, _)| *name == "maxcpus")
            .filter_map(|(_, value)| value?.parse().ok())
            .last()
    }

    /// Applies what must hold before anything is printed or started.
    pub fn apply_early(self) {
        for (name, value) in self.words() {
            match (name, value) {
                ("quiet", None) => arch::console::set_level(4),
                ("debug", None) => arch::console::set_level(8),
                ("loglevel", Some(level)) => {
                    if let Ok(level) = level.parse() {
                        arch::console::set_level(level);
                    }
                }
                ("panic", Some(seconds)) => {
                    if let Ok(seconds) = seconds.parse() {
                        arch::set_panic_timeout(seconds);
                    }
                }
                ("fork", Some(form)) => match memory::Form::from_name(form) {
                    Some(form) => memory::set_fork_form(form),
                    None => log::warn!("fork={form}: not one of serial, parallel, shared"),
                },
                ("rusk.report", Some("debugcon")) => power::report_to_debug_console(),
                ("rusk.profile", Some("debugcon")) => power::profile_to_debug_console(),
                ("rusk.measure", Some("polls")) => crate::machine::measure_polls_from_start(),
                ("rusk.trace", Some("debugcon")) => crate::trace_log::want(),
                _ => {}
            }
        }
    }

    /// The parts that need memory to keep.
    pub fn keep(self) -> CommandLine {
        let mut kept = CommandLine::default();
        for (name, value) in self.words() {
            match (name, value) {
                ("init" | "rdinit", Some(path)) => kept.init = Some(path.into()),
                ("root", Some(name)) => kept.root = Some(name.into()),
                ("ro" | "rw", None) => kept.writes_root = name == "rw",
                ("quiet" | "debug" | "loglevel" | "panic" | "fork" | "maxcpus", _) => {}
                _ if ACCEPTED.contains(&name) || name.contains('.') => {}
                (name, None) => kept.arguments.push(name.into()),
                (name, Some(value)) => kept.environment.push(alloc::format!("{name}={value}")),
            }
        }
        if let Some((_, arguments)) = self.text.split_once(" -- ") {
            kept.arguments.extend(split_words(arguments).map(|word| unquote(word).into()));
        }
        kept
    }
}

/// Words separated by blanks; double quotes keep blanks inside a word.
fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c.is_ascii_whitespace()
    })
    .filter(|word| !word.is_empty())
}

fn unquote(word: &str) -> &str {
    word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word)
}
