//! `fold-profile --folded|--svg [--root IMAGE]`: makes something to look at of the stacks that a kernel has sampled.
//!
//! Standard input holds what came out of the guest's debug console: lines of `profile: FRAME;FRAME;... COUNT`, outermost
//! frame first. A frame of a program is `FILE+OFFSET`; with the root image at hand it gets the name of the function there,
//! if the file has symbols. `--folded` writes the lines so, sorted; `--svg` a flame graph.

use inferno::flamegraph;
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};
use rustc_demangle::demangle;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};

/// The functions of a file of the root image.
struct Functions {
    /// Where segments begin in the file and in memory, and how long they are.
    segments: Vec<(u64, u64, u64)>,
    /// Address, size and name, by address.
    functions: Vec<(u64, u64, String)>,
}

impl Functions {
    fn new(content: &[u8]) -> Option<Self> {
        let file = object::File::parse(content).ok()?;
        let segments = file
            .segments()
            .map(|segment| (segment.file_range().0, segment.address(), segment.file_range().1));
        let symbols = file.symbols().chain(file.dynamic_symbols());
        let functions = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
        let named = functions.filter_map(|symbol| {
            Some((symbol.address(), symbol.size(), format!("{:#}", demangle(symbol.name().ok()?))))
        });
        let mut functions: Vec<_> = named.collect();
        functions.sort();
        Some(Self { segments: segments.collect(), functions })
    }

    /// The function that a byte of the file belongs to.
    fn at(&self, offset: u64) -> Option<&str> {
        let segment = self.segments.iter().find(|(start, _, len)| (*start..start + len).contains(&offset))?;
        let address = offset - segment.0 + segment.1;
        let behind = self.functions.partition_point(|(start, ..)| *start <= address);
        let (start, size, name) = self.functions.get(behind.checked_sub(1)?)?;
        // Assembly has functions without a size.
        (*size == 0 || address < start + size).then_some(name)
    }
}

/// The functions of those files of a root image that are wanted, by their absolute names.
fn read_image(image: &str, wanted: impl Fn(&str) -> bool) -> io::Result<HashMap<String, Functions>> {
    let mut found = HashMap::new();
    // Of files with several names only the last has the contents.
    let mut links: HashMap<u32, Vec<String>> = HashMap::new();
    let mut rest: Box<dyn Read> = Box::new(BufReader::new(File::open(image)?));
    loop {
        let mut entry = cpio::NewcReader::new(rest)?;
        if entry.entry().is_trailer() {
            return Ok(found);
        }
        let name = format!("/{}", entry.entry().name().trim_start_matches(['.', '/']));
        let number = entry.entry().ino();
        if wanted(&name) {
            links.entry(number).or_default().push(name);
        }
        if links.contains_key(&number) && entry.entry().file_size() > 0 {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            for name in links.remove(&number).unwrap_or_default() {
                found.extend(Functions::new(&content).map(|functions| (name, functions)));
            }
        }
        rest = entry.finish()?;
    }
}

/// A frame of a program: its file, and where in that.
fn parse_frame(frame: &str) -> Option<(&str, u64)> {
    let (file, offset) = frame.rsplit_once("+0x")?;
    Some((file, u64::from_str_radix(offset, 16).ok()?))
}

/// What a frame is called. In a picture, what has no name goes by its file's.
fn name(frame: &str, functions: &HashMap<String, Functions>, is_picture: bool) -> String {
    let Some((file, offset)) = parse_frame(frame) else { return frame.to_owned() };
    if let Some(function) = functions.get(file).and_then(|functions| functions.at(offset)) {
        return function.replace(';', ",");
    }
    let base = file.rsplit('/').next().unwrap_or(file);
    if is_picture { format!("[{base}]") } else { format!("{base}+{offset:#x}") }
}

/// The stacks of a report, with named frames, and how often each was met.
fn fold(report: &str, functions: &HashMap<String, Functions>, is_picture: bool) -> BTreeMap<String, u64> {
    let mut stacks = BTreeMap::new();
    for line in report.lines().filter_map(|line| line.strip_prefix("profile: ")) {
        let Some((stack, count)) = line.rsplit_once(' ') else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        let names: Vec<String> = stack.split(';').map(|frame| name(frame, functions, is_picture)).collect();
        *stacks.entry(names.join(";")).or_default() += count;
    }
    stacks
}

fn usage() -> ! {
    eprintln!("fold-profile --folded|--svg [--root IMAGE]");
    std::process::exit(2);
}

fn main() -> io::Result<()> {
    let (mut is_picture, mut image) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--folded" => is_picture = Some(false),
            "--svg" => is_picture = Some(true),
            "--root" => image = arguments.next(),
            _ => usage(),
        }
    }
    let Some(is_picture) = is_picture else { usage() };
    let mut report = String::new();
    io::stdin().read_to_string(&mut report)?;
    let functions = match image {
        // A compressed image, for instance, is none to look into: then programs' functions have no names.
        Some(image) => read_image(&image, |name| report.contains(&format!(";{name}+0x"))).unwrap_or_default(),
        None => HashMap::new(),
    };
    let lines: Vec<String> = fold(&report, &functions, is_picture)
        .iter()
        .map(|(stack, count)| format!("{stack} {count}"))
        .collect();
    if !is_picture {
        let mut output = io::stdout().lock();
        return lines.iter().try_for_each(|line| writeln!(output, "{line}"));
    }
    let mut options = flamegraph::Options::default();
    options.title = "Samples of a Rusk machine".into();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), io::stdout().lock())
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "profile: sh;rusk::run;poll 3\nstrace: 1 2 x\nprofile: sh;/bin/sh+0x10;/bin/sh+0x20 2\n\
        profile: sh;/bin/sh+0x11;/bin/sh+0x20 1\nexit-status: 0\n";

    #[test]
    fn frames_without_names_go_by_their_file() {
        let folded = fold(REPORT, &HashMap::new(), true);
        let expected = [("sh;[sh];[sh]", 3), ("sh;rusk::run;poll", 3)];
        assert_eq!(
            folded.iter().map(|(stack, count)| (stack.as_str(), *count)).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(fold(REPORT, &HashMap::new(), false).len(), 3);
    }

    #[test]
    fn an_offset_in_a_file_is_in_a_function() {
        let functions = Functions {
            segments: vec![(0x0, 0x400_000, 0x10), (0x10, 0x401_010, 0x100)],
            functions: vec![(0x401_010, 0x8, "first".into()), (0x401_020, 0x10, "second".into())],
        };
        for (offset, name) in [(0x10, Some("first")), (0x18, None), (0x25, Some("second")), (0x200, None)] {
            assert_eq!(functions.at(offset), name, "{offset:#x}");
        }
        let mut files = HashMap::new();
        files.insert("/bin/sh".to_owned(), functions);
        assert!(fold(REPORT, &files, true).contains_key("sh;first;second"));
    }
}
