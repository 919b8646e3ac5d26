//! Character classes as Linux's terminals know them: Latin-1, whatever the locale of the program is.

/// A control character: 0 to 31 and DEL. The C1 range 128 to 159 does not count, as on Linux.
pub const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// A letter or digit, Latin-1 letters included: what a word is made of when one is erased.
pub fn is_alphanumeric(byte: u8) -> bool {
    static ARE: [bool; 256] = {
        let mut are = [false; 256];
        let mut byte = 0;
        while byte < are.len() {
            are[byte] =
                (byte as u8).is_ascii_alphanumeric() || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7);
            byte += 1;
        }
        are
    };
    ARE[usize::from(byte)]
}

/// Lower case for IUCLC.
pub const fn to_lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 0x20,
        _ => byte,
    }
}

/// Upper case for OLCUC. Every letter is 32 above its capital, also `ß` and `ÿ`, which have none: as on Linux.
pub const fn to_upper(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | 0xdf..=0xf6 | 0xf8..=0xff => byte - 0x20,
        _ => byte,
    }
}

/// A byte inside a UTF-8 character: it takes no column of its own.
pub const fn is_utf8_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
