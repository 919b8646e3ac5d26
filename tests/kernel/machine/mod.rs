//! A machine under test: a kernel in QEMU, driven over its serial line.
//!
//! [`Machine::boot`] starts one through `scripts/run`, the same way `cargo run` does; [`Machine::send`] types,
//! [`Machine::expect`] waits for text, [`Machine::end`] waits for the machine to stop and gives its status. The
//! machine ends with the value. [`batch`] runs a list of commands through the agent in the root image.

pub mod batch;
pub mod compare;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine without hardware virtualisation.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// More bytes than any test prints.
const TOO_MUCH: usize = 16 << 20;

/// Bytes of a machine's disk.
const BLANK_DISK: u64 = 64 << 20;

/// Which kernel to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The one under test.
    Rusk,
    /// Debian's, as the reference.
    Linux,
}

impl Kernel {
    /// The file that QEMU loads.
    pub fn path(self) -> PathBuf {
        match self {
            Self::Rusk => env!("CARGO_BIN_EXE_rusk").into(),
            Self::Linux => {
                static PATH: OnceLock<PathBuf> = OnceLock::new();
                PATH.get_or_init(|| script("linux-kernel", &[])).clone()
            }
        }
    }
}

/// The root of the repository.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo builds, for scripts that build more.
pub fn target() -> &'static Path {
    let kernel = Path::new(env!("CARGO_BIN_EXE_rusk"));
    kernel.ancestors().nth(2).expect("target/PROFILE/rusk")
}

/// Runs a script that prints a path.
pub fn script(name: &str, arguments: &[&str]) -> PathBuf {
    printed_by(name, arguments).trim_end().into()
}

/// What a script prints.
pub fn printed_by(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(top().join("scripts").join(name))
        .args(arguments)
        .env("CARGO_TARGET_DIR", target())
        .stderr(Stdio::inherit())
        .output()
        .expect("scripts can be run");
    assert!(output.status.success(), "scripts/{name} failed");
    String::from_utf8(output.stdout).expect("text in UTF-8")
}

/// The root image: that of `cargo run`, and the shell scripts of `tests/busybox`.
pub fn root_image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| image("test-root.cpio", &shell_scripts(), &[]))
}

/// An image of this name with the scripts in `/usr/lib/tests`, where Linux's module for loop devices is as well, and the Debian
/// packages.
pub fn image(name: &str, scripts: &[PathBuf], packages: &[&str]) -> PathBuf {
    let output = target().join(name).display().to_string();
    let module = script("linux-kernel", &["--module", "loop"]);
    let files = scripts.iter().chain([&module]);
    let additions: Vec<String> =
        files.map(|path| format!("usr/lib/tests/{}={}", file_name(path), path.display())).collect();
    let mut arguments = vec!["--output", &output];
    arguments.extend(additions.iter().flat_map(|addition| ["--add", addition]));
    arguments.extend(packages);
    script("mkroot", &arguments)
}

/// The shell scripts in `tests/busybox`.
pub fn shell_scripts() -> Vec<PathBuf> {
    files_in("tests/busybox")
}

/// The image of a disk with nothing on it, for machines that change no image.
pub fn blank_disk() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let path = target().join("blank-disk.img");
        // Another test program's machines may be reading it.
        let image = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let image = image.expect("a file");
        image.set_len(BLANK_DISK).expect("a file without contents needs no room");
        path
    })
}

/// A disk with the root of `cargo run` on it, as `mke2fs` makes a file system of this kind.
pub fn image_of_disk(name: &str, kind: &str) -> PathBuf {
    // Two tests that want the same one get the same one.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().expect("nobody panics while making one");
    let output = target().join(name).display().to_string();
    script("mkdisk", &["--output", &output, "--type", kind])
}

/// What is in a folder of the repository, by name.
pub fn files_in(folder: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(top().join(folder)).expect("the folder exists");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

/// The last component of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// A running machine. Dropping it ends it.
pub struct Machine {
    runner: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// Everything the machine has printed, carriage returns left out.
    printed: String,
    /// How much of `printed` earlier calls of `expect` have consumed.
    consumed: usize,
}

/// How many of `bytes` to take so that no UTF-8 character is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

/// The processor that suits Linux best, with what programs are to find on both kernels. (With `max` it would clear pages by
/// `rep stosb`, which the emulator does byte by byte.)
const LINUX_CPU: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+xsave,+xsaveopt,+xgetbv1,+avx,+avx2";

/// How many CPUs it gets where their number does not matter. It is the reference and not under test: with more it now and then
/// loses the timer of one in the emulator, and stands still.
pub const LINUX_CPUS: &str = "1";

/// Why [`Machine::expect`] gave up.
#[derive(Debug)]
pub enum Silence {
    /// The text did not come in time.
    TimeOut,
    /// The machine stopped.
    Stopped,
}

impl Machine {
    /// Boots a kernel with options of `scripts/run`, then a command (none: a login shell).
    pub fn boot(kernel: Kernel, options: &[&str], command: &[&str]) -> Self {
        let mut runner = Command::new(top().join("scripts/run"));
        runner.env("CARGO_TARGET_DIR", target()).arg(kernel.path()).args(["--kvm", "off"]);
        if !["--initrd", "--root", "--virtio-root"].iter().any(|root| options.contains(root)) {
            runner.arg("--initrd").arg(root_image());
        }
        if kernel == Kernel::Linux {
            runner.args(["--cpu", LINUX_CPU]);
        }
        runner.args(options).arg("--").args(command);
        Self::start(runner)
    }

    /// Starts whatever runs the machine, with its serial line on standard input and output.
    pub fn start(mut runner: Command) -> Self {
        runner.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut runner = runner.spawn().expect("the runner can be started");
        let keyboard = runner.stdin.take().expect("a pipe");
        let mut output = runner.stdout.take().expect("a pipe");
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut unsent = Vec::new();
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                unsent.extend_from_slice(&buffer[..count]);
                let rest = unsent.split_off(whole_characters(&unsent));
                if sender.send(std::mem::replace(&mut unsent, rest)).is_err() {
                    break;
                }
            }
        });
        Self { runner, keyboard, screen, printed: String::new(), consumed: 0 }
    }

    /// Types on the serial line.
    pub fn send(&mut self, text: &str) {
        // A machine that has stopped shows in the next `expect`, with what it printed.
        let _ = self.keyboard.write_all(text.as_bytes()).and_then(|()| self.keyboard.flush());
    }

    /// Waits until `text` is printed; what was printed since the last call, up to and without it.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<String, Silence> {
        let deadline = Instant::now() + patience;
        let mut searched = self.consumed;
        loop {
            if let Some(found) = self.printed[searched..].find(text) {
                let before = self.printed[self.consumed..searched + found].to_owned();
                self.consumed = searched + found + text.len();
                return Ok(before);
            }
            // The text may be split between what is here and what comes.
            let keep = self.printed.len().saturating_sub(text.len()).max(searched);
            searched = (0..=keep).rev().find(|&at| self.printed.is_char_boundary(at)).unwrap_or(searched);
            // A machine that never stops printing runs out of patience too.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.printed.len() > TOO_MUCH {
                return Err(Silence::TimeOut);
            }
            match self.screen.recv_timeout(left) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).replace('\r', "");
                    self.printed.push_str(&text);
                }
                Err(RecvTimeoutError::Timeout) => return Err(Silence::TimeOut),
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Stopped),
            }
        }
    }

    /// Like [`Machine::wait_for`], but fails the test with everything the machine printed.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.wait_for(text, PATIENCE).unwrap_or_else(|silence| {
            panic!("{silence:?} waiting for {text:?}; printed last:\n{}", self.tail())
        })
    }

    /// Waits until the machine stops; the status of `scripts/run`, and all that was printed.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        match self.wait_end() {
            Ok(status) => (status, std::mem::take(&mut self.printed)),
            Err(_) => panic!("still running; printed last:\n{}", self.tail()),
        }
    }

    /// Waits until the machine stops; the status of `scripts/run`.
    pub fn wait_end(&mut self) -> Result<Option<i32>, Silence> {
        // Text that is never printed: only the end of the output ends the wait well.
        match self.wait_for("\0 never printed", PATIENCE) {
            Err(Silence::Stopped) => Ok(self.runner.wait().expect("the runner can be waited for").code()),
            _ => Err(Silence::TimeOut),
        }
    }

    /// Switches it off at once, as when the power goes; gives all that was printed.
    pub fn kill(mut self) -> String {
        let _ = Command::new("kill").arg(self.runner.id().to_string()).status();
        match self.wait_end() {
            Ok(_) => std::mem::take(&mut self.printed),
            Err(_) => panic!("still running; printed last:\n{}", self.tail()),
        }
    }

    /// The last of what was printed.
    pub fn tail(&self) -> &str {
        let start = self.printed.len().saturating_sub(6000);
        let start = (start..).find(|&at| self.printed.is_char_boundary(at)).unwrap_or(0);
        &self.printed[start..]
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(None) = self.runner.try_wait() {
            // The runner ends QEMU when it is asked to end; killing it outright would leave QEMU behind.
            let _ = Command::new("kill").arg(self.runner.id().to_string()).status();
            let _ = self.runner.wait();
        }
    }
}
