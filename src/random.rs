//! The kernel's random numbers: one generator, seeded from the processor and from the time of events.

use conquer_once::spin::OnceCell;
use drivers::random::{EntropySource, Random, SHORT};
use executor::sync::SpinMutex;
use zerocopy::IntoBytes;

use crate::arch::{clock, cpu};

static GENERATOR: OnceCell<Random> = OnceCell::uninit();

/// The processor's own generator (RDSEED, RDRAND).
struct Processor;

impl EntropySource for Processor {
    fn gather(&self, bytes: &mut [u8; 32]) -> usize {
        let mut words = 0;
        for chunk in bytes.chunks_exact_mut(8) {
            let Some(word) = cpu::random() else { break };
            chunk.copy_from_slice(&word.to_ne_bytes());
            words += 1;
        }
        words * 64
    }
}

/// Seeds the generator. On a machine without a hardware generator the low bits of clocks stand in for it: enough to
/// tell one boot from another, not against somebody who watches the machine.
pub fn init() {
    let generator = Random::new();
    if !generator.gather_from(&Processor) {
        log::warn!("random: no hardware generator; seeding from clocks");
        for _ in 0..32 {
            let sample = [clock::cycles(), clock::machine_wall_ns()];
            generator.mix(sample.as_bytes(), 8);
        }
    }
    let _ = GENERATOR.try_init_once(|| generator);
}

/// The generator.
pub fn generator() -> &'static Random {
    match GENERATOR.get() {
        Some(generator) => generator,
        None => unreachable!("seeded at start-up, before any task runs"),
    }
}

/// Fills `bytes`.
pub fn fill(bytes: &mut [u8]) {
    // What programs ask for at their start: a few words.
    const FEW: usize = 4;
    if bytes.len() <= FEW * size_of::<usize>() {
        for chunk in bytes.chunks_mut(size_of::<usize>()) {
            let [word] = words();
            chunk.copy_from_slice(&word.to_ne_bytes()[..chunk.len()]);
        }
    } else {
        generator().fill(bytes);
    }
}

/// Gives a program up to `most` random bytes; fewer if a page is missing. Returns how many.
pub fn give(sink: &mut dyn fs::Sink, most: usize) -> usize {
    let wanted = sink.remaining().min(most);
    // On the stack, so not many.
    let mut piece = [0; SHORT];
    let mut given = 0;
    while given < wanted {
        let piece = &mut piece[..SHORT.min(wanted - given)];
        fill(piece);
        let taken = sink.put(piece);
        given += taken;
        if taken < piece.len() {
            break;
        }
    }
    given
}

/// Random numbers made in advance, as many as one request gives: it costs four thousand instructions.
struct Batch {
    words: [usize; SHORT / size_of::<usize>()],
    /// How many of the first ones have not been given out.
    left: usize,
}

static BATCH: SpinMutex<Batch> = SpinMutex::new(Batch { words: [0; SHORT / size_of::<usize>()], left: 0 });

/// A few random numbers. What is given out is forgotten here.
pub fn words<const N: usize>() -> [usize; N] {
    let mut batch = BATCH.lock();
    let batch = &mut *batch;
    core::array::from_fn(|_| {
        if batch.left == 0 {
            generator().fill(batch.words.as_mut_bytes());
            batch.left = batch.words.len();
        }
        batch.left -= 1;
        core::mem::take(&mut batch.words[batch.left])
    })
}
