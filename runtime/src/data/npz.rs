//! NumPy's `.npz`: a zip archive of `.npy` files.
//!
//! Invariant: a member is unpacked only up to the size that the archive gives for it, and all of them together to no more
//! than the archive's own bytes can honestly stand for; so members that share their bytes gain nothing.

use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use npyz::npz::{NpzArchive, NpzWriter};

use super::{Tensor, TensorRef, npy_from_bytes, npy_to_bytes};
use crate::error::{ErrorKind, RunError};

/// Bytes that one byte of an archive may stand for: deflating takes none for more.
const MOST_DEFLATED: u64 = 1032;
const MAX_MEMBERS: usize = 100_000;

/// The arrays of a file by name, in the file's order.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, RunError> {
    let file = fs::File::open(path).map_err(|error| RunError::io("open", path, &error))?;
    read(std::io::BufReader::new(file)).map_err(|error| RunError::file(path, error))
}

pub fn npz_from_bytes(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, RunError> {
    read(Cursor::new(bytes))
}

pub fn write_npz(path: &Path, arrays: &[(String, TensorRef)]) -> Result<(), RunError> {
    let failed = |error: std::io::Error| RunError::io("write", path, &error);
    let mut writer = NpzWriter::create(path).map_err(failed)?;
    for (name, tensor) in arrays {
        let bytes = npy_to_bytes(*tensor)?;
        let zip = writer.zip_writer();
        zip.start_file(format!("{name}.npy"), Default::default()).map_err(|error| RunError::file(path, error))?;
        zip.write_all(&bytes).map_err(failed)?;
    }
    writer.zip_writer().finish().map_err(|error| RunError::file(path, error))?.flush().map_err(failed)
}

fn read<R: Read + Seek>(mut reader: R) -> Result<Vec<(String, Tensor)>, RunError> {
    let bad = |message: String| RunError::new(ErrorKind::File, message);
    let len = reader.seek(SeekFrom::End(0)).map_err(|error| bad(format!("it has no end: {error}")))?;
    let mut left = len.saturating_mul(MOST_DEFLATED);
    let mut archive = NpzArchive::new(reader).map_err(|error| bad(format!("no npz archive: {error}")))?;
    let zip = archive.zip_archive();
    if zip.len() > MAX_MEMBERS {
        return Err(bad(format!("{} members are too many", zip.len())));
    }
    let mut arrays = Vec::new();
    for index in 0..zip.len() {
        let member = zip.by_index(index).map_err(|error| bad(format!("member {index}: {error}")))?;
        let Some(name) = member.name().strip_suffix(".npy").map(str::to_string) else {
            continue;
        };
        let named = |error: &dyn std::fmt::Display| bad(format!("array `{name}`: {error}"));
        let size = member.size();
        let Some(rest) = left.checked_sub(size) else {
            let message = format!("with its {size} bytes the archive unpacks to more than {len} bytes can hold");
            return Err(named(&message));
        };
        left = rest;
        // Grows with what is really there, not with what the archive claims.
        let mut bytes = Vec::new();
        member.take(size).read_to_end(&mut bytes).map_err(|error| named(&error))?;
        let tensor = npy_from_bytes(&bytes).map_err(|error| named(&error))?;
        arrays.push((name, tensor));
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let x = Tensor::from_slice(&[2, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap();
        let y = Tensor::from_slice(&[1000], &[7i64; 1000]).unwrap();
        write_npz(&path, &[("x".into(), x.view()), ("y".into(), y.view())]).unwrap();
        let back = read_npz(&path).unwrap();
        assert_eq!(back, [("x".to_string(), x), ("y".to_string(), y)]);
    }

    /// The second entry of the directory says that it lies where the first one does, and so on.
    #[test]
    fn members_that_share_their_bytes_gain_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let zeros = Tensor::zeros(crate::program::DType::U8, &[4 << 20]).unwrap();
        let once = [("x".to_string(), zeros.view())];
        write_npz(&path, &once).unwrap();
        let honest = fs::read(&path).unwrap();
        assert_eq!(npz_from_bytes(&honest).unwrap()[0].1, zeros);
        let end = honest.len() - 22;
        let number = |at: usize| u32::from_le_bytes(honest[at..at + 4].try_into().unwrap());
        let (directory_len, directory) = (number(end + 12), number(end + 16) as usize);
        let n_members = 50u16;
        let mut shared = honest[..directory].to_vec();
        for member in 0..n_members {
            let at = shared.len();
            shared.extend_from_slice(&honest[directory..end]);
            // The name, which has to be another one: `?.npy`.
            shared[at + 46] = b'0' + member as u8;
        }
        shared.extend_from_slice(&honest[end..]);
        let end = shared.len() - 22;
        shared[end + 8..end + 10].copy_from_slice(&n_members.to_le_bytes());
        shared[end + 10..end + 12].copy_from_slice(&n_members.to_le_bytes());
        shared[end + 12..end + 16].copy_from_slice(&(directory_len * u32::from(n_members)).to_le_bytes());
        let error = npz_from_bytes(&shared).unwrap_err();
        assert!(error.message.contains("unpacks to more than"), "{error}");
    }

    #[test]
    fn damaged_archives_never_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let x = Tensor::from_slice(&[50], &[1f32; 50]).unwrap();
        write_npz(&path, &[("x".into(), x.view())]).unwrap();
        let good = fs::read(&path).unwrap();
        for len in 0..good.len() {
            assert!(npz_from_bytes(&good[..len]).is_err());
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = good.clone();
                damaged[at] = value;
                let _ = npz_from_bytes(&damaged);
            }
        }
    }
}
