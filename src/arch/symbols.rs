//! The kernel's function names, from the table that `scripts/link/ld.bfd` links into the image.

use super::layout::image_start;
use core::slice;

unsafe extern "C" {
    static __ksyms_start: u32;
    static __ksyms_end: u32;
}

/// The function that `address` is in: its mangled name and the distance from its start.
pub fn lookup(address: usize) -> Option<(&'static str, usize)> {
    let (functions, names) = table()?;
    let (distance, name) = find(functions, address)?;
    let name = names.get(name..)?;
    let end = name.iter().position(|&byte| byte == 0)?;
    Some((core::str::from_utf8(&name[..end]).ok()?, distance))
}

/// Where the function starts that `address` is in.
pub fn start_of(address: usize) -> Option<usize> {
    let (distance, _) = find(table()?.0, address)?;
    Some(address - distance)
}

/// Functions, each by where it starts in the image and where its name starts, and all names.
fn table() -> Option<(&'static [[u32; 2]], &'static [u8])> {
    let start = &raw const __ksyms_start;
    let len = &raw const __ksyms_end as usize - start as usize;
    if len < size_of::<u32>() {
        return None;
    }
    // SAFETY: the section holds a count, then count + 1 pairs of words, then the names, as the linker's wrapper
    // writes them.
    unsafe {
        let count = *start as usize;
        let functions = slice::from_raw_parts(start.add(1).cast::<[u32; 2]>(), count + 1);
        let text = start.add(1 + 2 * (count + 1)).cast::<u8>();
        Some((functions, slice::from_raw_parts(text, len - (text as usize - start as usize))))
    }
}

/// How far into a function `address` is, and where that one's name starts.
fn find(functions: &[[u32; 2]], address: usize) -> Option<(usize, usize)> {
    let offset = u32::try_from(address.checked_sub(image_start())?).ok()?;
    let index = functions.partition_point(|function| function[0] <= offset).checked_sub(1)?;
    // The last pair is the end of the code.
    if index + 1 == functions.len() {
        return None;
    }
    let [begin, name] = functions[index];
    Some(((offset - begin) as usize, name as usize))
}
