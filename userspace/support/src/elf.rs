//! Executables that name an interpreter, made from such as do not.

/// Offset of the field of the ELF header that counts the program headers, and the sizes of both kinds of headers.
const COUNT: usize = 56;
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
/// Types of program headers.
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;

/// `program` with an interpreter whose path is these bytes, which a NUL should end. Its first note makes room for the
/// header that says so; the path goes to the end of the file.
pub fn interpreted(program: &[u8], path: &[u8]) -> Vec<u8> {
    let mut program = program.to_vec();
    let at = interpreter_header(&program).expect("a program with a note");
    let (offset, size) = (program.len() as u64, path.len() as u64);
    let fields = [u64::from(PT_INTERP) | 4 << 32, offset, 0, 0, size, size, 1];
    program[at..at + PROGRAM_HEADER].copy_from_slice(fields.map(u64::to_le_bytes).as_flattened());
    program.extend_from_slice(path);
    program
}

/// Where the header of the interpreter's name is, or a note's that it can replace.
pub fn interpreter_header(program: &[u8]) -> Option<usize> {
    let headers = (0..usize::from(program[COUNT])).map(|index| HEADER + PROGRAM_HEADER * index);
    let kind = |at: usize| u32::from_le_bytes(program[at..at + 4].try_into().expect("four bytes"));
    let of_kind = |wanted| headers.clone().find(|at| kind(*at) == wanted);
    of_kind(PT_INTERP).or_else(|| of_kind(PT_NOTE))
}
