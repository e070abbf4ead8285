//! Program files round-trip, and damaged or hostile ones are refused.

use super::*;
use crate::program::check::tests::good;
use proptest::prelude::*;

/// The file again with its length and hash made right, so that what is inside gets read.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let len = file.len() as u64;
    file[24..HASHED].copy_from_slice(&len.to_le_bytes());
    let hash = content_hash(&file);
    file[HASHED..PREAMBLE].copy_from_slice(hash.as_bytes());
    file
}

fn with_header(text: &str) -> Vec<u8> {
    let mut file = good().to_bytes().unwrap()[..PREAMBLE].to_vec();
    file[16..24].copy_from_slice(&(text.len() as u64).to_le_bytes());
    file.extend_from_slice(text.as_bytes());
    sealed(file)
}

#[test]
fn a_program_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.twp");
    let program = good();
    program.write_file(&path).unwrap();
    assert_eq!(Program::read_file(&path, Trust::UseObjects).unwrap(), program);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    assert!(Program::read_file(folder.path(), Trust::Rebuild).is_err());
    let file = program.to_bytes().unwrap();
    let constants = file.windows(16).rposition(|window| window == [0; 16]).unwrap();
    assert_eq!(constants % ALIGN, 0);
}

#[test]
fn code_is_dropped_unless_trusted() {
    let file = good().to_bytes().unwrap();
    let program = Program::from_bytes(&file, Trust::Rebuild).unwrap();
    assert_eq!(program.kernels[0].object, None);
    assert_eq!(program.kernels[0].text, "kernel");
    assert!(program.blobs[0].is_empty());
    assert_eq!(program.blobs[1].as_slice(), [0; 16]);
}

#[test]
fn damage_is_found() {
    let file = good().to_bytes().unwrap();
    for len in 0..file.len() {
        assert!(Program::from_bytes(&file[..len], Trust::UseObjects).is_err());
    }
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        assert!(Program::from_bytes(&damaged, Trust::UseObjects).is_err(), "byte {at}");
    }
    let mut other = file.clone();
    other[8] = 9;
    let error = Program::from_bytes(&sealed(other), Trust::Rebuild).unwrap_err();
    assert!(error.message.contains("another version (format 9"), "{error}");
}

#[test]
fn hostile_headers_are_errors() {
    let error = |file: Vec<u8>| Program::from_bytes(&file, Trust::UseObjects).unwrap_err().message;
    assert!(error(with_header("{}")).contains("bad header"));
    assert!(error(with_header(&"[".repeat(100_000))).contains("bad header"));
    let mut long = good().to_bytes().unwrap();
    long[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(error(sealed(long)).contains("longer than the file"));
    let program = serde_json::to_string(&good()).unwrap();
    for blobs in ["[[0,6]]", "[[64,18446744073709551615]]", "[[128,6],[128,16]]", "[[1000000,1]]", "[[100,0]]"] {
        let text = format!(r#"{{"program":{program},"blobs":{blobs}}}"#);
        assert!(error(with_header(&text)).contains("out of place"), "{blobs}");
    }
    let text = format!(r#"{{"program":{program},"blobs":[]}}"#);
    assert!(error(with_header(&text)).contains("malformed program"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn edited_headers_never_panic(edits in prop::collection::vec((0usize..10_000, any::<u8>()), 1..4)) {
        let file = good().to_bytes().unwrap();
        let text_len = header_of(&file).unwrap().len();
        let mut edited = file.clone();
        for (at, byte) in edits {
            edited[PREAMBLE + at % text_len] = byte;
        }
        let _ = Program::from_bytes(&sealed(edited), Trust::UseObjects);
    }
}
