//! Text that a person or a program wrote, of bounded length.
//!
//! Invariant: no more is read than was asked for, whatever a file says of its size: a device says that it has none.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a file of at most so many bytes.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    text_of(File::open(path)?, most)
}

/// The same of whatever can be read.
pub fn text_of(source: impl Read, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_and_what_is_no_text_are_refused() {
        let reason = |bytes: &[u8], most| text_of(bytes, most).map_err(|error| error.to_string());
        assert_eq!(reason("né".as_bytes(), 3).as_deref(), Ok("né"));
        assert_eq!(reason("né".as_bytes(), 2), Err("it has more than 2 bytes".to_string()));
        assert_eq!(reason(b"n\xff", 3), Err("it is not text in UTF-8".to_string()));
        assert!(text_of(io::repeat(b'n'), 1000).is_err(), "what never ends");
    }
}
