//! The vDSO: a small shared object that the kernel maps into every program, so that asking for the time is a function
//! call and not a system call (vdso(7)).
//!
//! ```text
//!   image/lib.rs, image/vdso.lds ──build.rs──► vdso.so ──embedded──► [vdso]  read, execute
//!                                                                       │ reads (data.rs: a sequence lock)
//!   arch::clock, clock_settime ──────────publish_wall_clock──────────► [vvar]  read; the page right before it
//! ```
//!
//! All programs share the same frames. Where to start reading: [`map`], then `image/lib.rs`, which runs in user space.

mod data;

use alloc::{string::ToString, sync::Arc, vec::Vec};

use conquer_once::spin::OnceCell;
use executor::sync::SpinMutex;
use linux_raw_sys::general as linux;
use syscalls::Errno;

use crate::{
    arch::{clock, cpu},
    memory::{
        AddressSpace, Backing, FileObject, Identity, Mapping, PAGE_SIZE, RegionFlags, frame::Frame, page_of,
    },
    wall_clock,
};
use data::{Data, Snapshot};

/// The shared object, as `build.rs` made it. One segment that is the whole file, so it is mapped as it is.
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));

/// Bytes of address space that the vDSO takes: the data page and the image.
pub const SIZE: usize = PAGE_SIZE + IMAGE.len().next_multiple_of(PAGE_SIZE);

/// Frames that all programs map.
struct Shared {
    name: &'static str,
    frames: Vec<Frame>,
}

impl FileObject for Shared {
    fn page(&self, index: u64, _write: bool) -> fs::Op<'_, Result<fs::Page, Errno>> {
        let frame = usize::try_from(index).ok().and_then(|index| self.frames.get(index));
        fs::Op::Ready(frame.cloned().map(page_of).ok_or(Errno::EFAULT))
    }

    fn keeps_pages(&self) -> bool {
        true
    }

    fn has(&self, index: u64) -> bool {
        index < self.frames.len() as u64
    }

    fn identity(&self) -> Identity {
        Identity { name: self.name.to_string(), ..Identity::default() }
    }
}

/// What every program gets.
struct Vdso {
    data: Arc<Shared>,
    image: Arc<Shared>,
    /// Held by who writes the data page.
    writer: SpinMutex<()>,
}

static VDSO: OnceCell<Vdso> = OnceCell::uninit();

impl Vdso {
    fn new() -> Option<Self> {
        let mut frames = Vec::new();
        for bytes in IMAGE.chunks(PAGE_SIZE) {
            let frame = Frame::alloc_zeroed()?;
            // SAFETY: the frame is new and nobody else's, and a page holds the chunk.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), frame.as_ptr(), bytes.len()) };
            frames.push(frame);
        }
        let image = Arc::new(Shared { name: "[vdso]", frames });
        let data = Arc::new(Shared { name: "[vvar]", frames: alloc::vec![Frame::alloc_zeroed()?] });
        Some(Self { data, image, writer: SpinMutex::new(()) })
    }

    fn data(&self) -> &Data {
        // SAFETY: the frame was zeroed, which is a valid `Data`, and holds nothing else; all access is atomic, and it
        // lives as long as this.
        unsafe { &*self.data.frames[0].as_ptr().cast::<Data>() }
    }
}

/// Makes the pages that all programs map. Once, at start-up, before the first program.
pub fn init() {
    let vdso = Vdso::new().expect("there is memory at start-up");
    if cpu::features().rdtscp {
        vdso.data().announce_cpu_number();
    }
    let _ = VDSO.try_init_once(|| vdso);
    publish_wall_clock();
}

/// The vDSO; made at start-up.
fn vdso() -> &'static Vdso {
    VDSO.get().expect("made at start-up")
}

/// Tells programs what the wall clock shows. After each time it was set.
pub fn publish_wall_clock() {
    let vdso = vdso();
    let clock::Parameters { base, multiplier, .. } = *clock::parameters();
    let _writer = vdso.writer.lock();
    // Asked for under the lock: of two that set the clock at once, the last to write publishes what holds.
    vdso.data().write(Snapshot { base, multiplier, wall: wall_clock::origin() });
}

/// Maps the vDSO at `data`, where [`SIZE`] bytes must be free: the data page, then the image. Returns where the image's
/// ELF header is (`AT_SYSINFO_EHDR`).
///
/// # Errors
/// ENOMEM.
pub async fn map(space: &AddressSpace, data: usize) -> Result<usize, Errno> {
    let vdso = vdso();
    let image = data + PAGE_SIZE;
    show(space, &vdso.data, data, linux::PROT_READ, RegionFlags::NEVER_WRITE).await?;
    show(space, &vdso.image, image, linux::PROT_READ | linux::PROT_EXEC, RegionFlags::empty()).await?;
    Ok(image)
}

/// Maps all of `object`. A debugger's breakpoints in it are the program's own: the mapping is private.
async fn show(
    space: &AddressSpace,
    object: &Arc<Shared>,
    address: usize,
    prot: u32,
    extra: RegionFlags,
) -> Result<(), Errno> {
    let backing = Backing::File {
        object: object.clone(),
        offset: 0,
        readable: true,
        writable: false,
        executable: true,
    };
    let mapping = Mapping {
        hint: address,
        flags: linux::MAP_PRIVATE | linux::MAP_FIXED_NOREPLACE,
        backing,
        extra: extra | RegionFlags::FIXED_SIZE,
        ..Mapping::anonymous(object.frames.len() * PAGE_SIZE, prot)
    };
    space.map(mapping).await.map(drop)
}
