//! NumPy's `.npz`: a zip archive of `.npy` files.
//!
//! Invariant: a member is unpacked only if the archive and the array's own header agree on its size, and all of them together
//! to no more than the archive's own bytes can honestly stand for; so members that share their bytes gain nothing. What was
//! unpacked has the check sum that the archive gives for it.

use std::fs;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use npyz::npz::{NpzArchive, NpzWriter};

use super::npy::npy_len;
use super::{Tensor, TensorRef, npy_from_bytes, npy_to_bytes};
use crate::error::{ErrorKind, RunError};
use crate::files;

/// Bytes that one byte of an archive may stand for: deflating takes none for more.
const MOST_DEFLATED: u64 = 1032;
const MAX_MEMBERS: usize = 100_000;
/// Bytes in which an array's header must end; NumPy's own take some hundred.
const MAX_HEADER: u64 = 16 << 10;

/// The arrays of a file by name, in the file's order.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, RunError> {
    let file = fs::File::open(path).map_err(|error| RunError::io("open", path, &error))?;
    read(std::io::BufReader::new(file)).map_err(|error| RunError::file(path, error))
}

pub fn npz_from_bytes(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, RunError> {
    read(Cursor::new(bytes))
}

/// Writes arrays as one file, which replaces the one at the path when all of it is there.
pub fn write_npz(path: &Path, arrays: &[(String, TensorRef)]) -> Result<(), RunError> {
    files::write_whole_by_name(path, |whole| {
        let mut writer = NpzWriter::create(whole)?;
        let zip = writer.zip_writer();
        for (name, tensor) in arrays {
            let bytes = npy_to_bytes(*tensor).map_err(io::Error::other)?;
            zip.start_file(format!("{name}.npy"), Default::default()).map_err(io::Error::other)?;
            zip.write_all(&bytes)?;
        }
        zip.finish().map_err(io::Error::other)?.flush()
    })
    .map_err(|error| RunError::io("write", path, &error))
}

fn read<R: Read + Seek>(mut reader: R) -> Result<Vec<(String, Tensor)>, RunError> {
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
        let size = member.size();
        let array = match left.checked_sub(size) {
            Some(rest) => {
                left = rest;
                array(member, size)
            }
            None => Err(bad(format!("with its {size} bytes the archive unpacks to more than {len} bytes can hold"))),
        };
        arrays.push((name.clone(), array.map_err(|error| bad(format!("array `{name}`: {error}")))?));
    }
    Ok(arrays)
}

/// An array of which the archive says how many bytes it has. They are unpacked if the array's own header says the same.
fn array(mut member: impl Read, size: u64) -> Result<Tensor, RunError> {
    let failed = |error: io::Error| bad(error.to_string());
    let mut bytes = Vec::new();
    member.by_ref().take(MAX_HEADER).read_to_end(&mut bytes).map_err(failed)?;
    let needed = npy_len(&bytes)?;
    if needed != size {
        return Err(bad(format!("the archive has {size} bytes of it, and its header asks for {needed}")));
    }
    // One byte more than is there is asked for: at its end the archive's reader compares the check sum.
    member.take((size + 1).saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes).map_err(failed)?;
    npy_from_bytes(&bytes)
}

fn bad(message: String) -> RunError {
    RunError::new(ErrorKind::File, message)
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
    fn flipped_bits_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let x = Tensor::from_slice(&[50], &[1f32; 50]).unwrap();
        write_npz(&path, &[("x".into(), x.view())]).unwrap();
        let good = fs::read(&path).unwrap();
        let mut zip = NpzArchive::new(Cursor::new(&good)).unwrap();
        let member = zip.zip_archive().by_index(0).unwrap();
        let (start, end) = (member.data_start() as usize, (member.data_start() + member.compressed_size()) as usize);
        let mut n_found = 0;
        for at in start..end {
            let mut damaged = good.clone();
            damaged[at] ^= 0x10;
            match npz_from_bytes(&damaged) {
                // Some bits say nothing, such as those after the last code.
                Ok(arrays) => assert_eq!(arrays[0].1, x, "byte {at}"),
                Err(_) => n_found += 1,
            }
        }
        assert!(n_found > (end - start) / 2, "{n_found} of {}", end - start);
    }

    /// A header that asks for little before much that is packed into nothing.
    #[test]
    fn what_the_header_does_not_ask_for_is_not_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let mut bytes = npy_to_bytes(Tensor::from_slice(&[5], &[1f32; 5]).unwrap().view()).unwrap();
        bytes.resize(64 << 20, 0);
        let mut writer = NpzWriter::create(&path).unwrap();
        writer.zip_writer().start_file("x.npy", Default::default()).unwrap();
        writer.zip_writer().write_all(&bytes).unwrap();
        writer.zip_writer().finish().unwrap();
        let error = read_npz(&path).unwrap_err();
        assert!(error.message.contains("its header asks for 148"), "{error}");
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
