//! NumPy's `.npy`: one tensor in a file.
//!
//! The header is read here, strictly: it is a Python literal of one fixed form, and a general
//! reader of such literals would recurse as deep as a file asks it to. Invariant: the bytes that
//! the header claims are compared with those that are there before anything is allocated.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::{Tensor, TensorRef, reshape};
use crate::error::{ErrorKind, RunError};
use crate::files;
use crate::program::DType;
use crate::program::dtype::n_elements;

const MAGIC: &[u8] = b"\x93NUMPY";
const MAX_RANK: usize = 32;

/// Type codes without the byte order, and what they are here; the first of a type is how it is written.
static TYPES: &[(&str, DType)] = &[
    ("f8", DType::F64),
    ("f4", DType::F32),
    ("f2", DType::F16),
    ("i8", DType::I64),
    ("i4", DType::I32),
    ("i1", DType::I8),
    ("u1", DType::U8),
    ("u4", DType::U32),
    ("b1", DType::Bool),
    (I16, DType::I32),
    (U16, DType::I32),
    (U64, DType::I64),
];

/// The byte order that is not this machine's.
const SWAPPED: &str = if cfg!(target_endian = "little") { ">" } else { "<" };
/// Integers for which there is no type here: a wider one holds them.
const I16: &str = "i2";
const U16: &str = "u2";
/// And some of these are more than the widest one holds; they are refused.
const U64: &str = "u8";

#[derive(Debug, Default, PartialEq)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn order(&self) -> &str {
        self.descr.split_at_checked(1).unwrap_or_default().0
    }

    fn code(&self) -> &str {
        self.descr.split_at_checked(1).unwrap_or_default().1
    }

    fn dtype(&self) -> Result<DType, RunError> {
        let known = TYPES.iter().find(|(code, _)| *code == self.code()).filter(|_| "<>|=".contains(self.order()));
        known.map(|&(_, dtype)| dtype).ok_or_else(|| {
            let message = format!("element type `{}` is not supported", self.descr);
            bad(message).help("convert the array with `.astype`, say to float32 or int64")
        })
    }

    /// The integers that are held in a wider type, as they are stored.
    fn narrow(&self) -> Option<fn([u8; 2]) -> i32> {
        match self.code() {
            I16 => Some(|bytes| i16::from_ne_bytes(bytes).into()),
            U16 => Some(|bytes| u16::from_ne_bytes(bytes).into()),
            _ => None,
        }
    }

    /// Bytes of all elements in the file.
    fn n_bytes(&self) -> Result<Option<usize>, RunError> {
        let held = self.dtype()?.size_of();
        let size = if self.narrow().is_some() { 2 } else { held };
        Ok(n_elements(&self.shape).and_then(|n| n.checked_mul(size)))
    }
}

pub fn read_npy(path: &Path) -> Result<Tensor, RunError> {
    let bytes = fs::read(path).map_err(|error| RunError::io("read", path, &error))?;
    npy_from_bytes(&bytes).map_err(|error| RunError::file(path, error))
}

pub fn write_npy(path: &Path, tensor: TensorRef) -> Result<(), RunError> {
    let bytes = npy_to_bytes(tensor)?;
    files::write_whole(path, |file| file.write_all(&bytes)).map_err(|error| RunError::io("write", path, &error))
}

/// The bytes of a whole file, as its header says.
pub fn npy_len(start: &[u8]) -> Result<u64, RunError> {
    let (header, data) = split_header(start)?;
    let len = header.n_bytes()?.and_then(|len| len.checked_add(start.len() - data.len()));
    len.map(|len| len as u64).ok_or_else(|| bad("an array of that size has more bytes than there can be"))
}

pub fn npy_from_bytes(bytes: &[u8]) -> Result<Tensor, RunError> {
    let (header, data) = split_header(bytes)?;
    let dtype = header.dtype()?;
    let (is_swapped, is_u64) = (header.order() == SWAPPED, header.code() == U64);
    let (expected, narrow) = (header.n_bytes()?, header.narrow());
    if expected.is_none_or(|expected| expected > data.len()) {
        return Err(bad(format!("cut off: {} bytes of data, {} needed", data.len(), expected.unwrap_or(usize::MAX))));
    }
    let data = &data[..expected.unwrap_or(0)];
    let stored: Vec<usize> = match header.fortran {
        true => header.shape.iter().rev().copied().collect(),
        false => header.shape,
    };
    let mut tensor = match narrow {
        Some(value) => widened(&stored, data, is_swapped, value)?,
        None => Tensor::from_bytes(dtype, &stored, data)?,
    };
    if is_swapped && narrow.is_none() {
        tensor.bytes_mut().chunks_exact_mut(dtype.size_of()).for_each(<[u8]>::reverse);
    }
    let unfit = tensor.as_slice::<i64>().filter(|_| is_u64).and_then(|values| values.iter().find(|&&value| value < 0));
    if let Some(&value) = unfit {
        return Err(bad(format!("{} is more than an i64 holds", value as u64)));
    }
    if header.fortran {
        let reversed: Vec<usize> = (0..stored.len()).rev().collect();
        return reshape::transpose(tensor.view(), &reversed);
    }
    Ok(tensor)
}

/// Integers of two bytes each, as i32.
fn widened(shape: &[usize], data: &[u8], is_swapped: bool, value: fn([u8; 2]) -> i32) -> Result<Tensor, RunError> {
    let mut tensor = Tensor::zeros(DType::I32, shape)?;
    for (wide, &[first, second]) in tensor.as_mut_slice().unwrap_or_default().iter_mut().zip(data.as_chunks().0) {
        *wide = value(if is_swapped { [second, first] } else { [first, second] });
    }
    Ok(tensor)
}

/// Types that NumPy does not have are written as the next wider one, with the same values.
pub fn npy_to_bytes(tensor: TensorRef) -> Result<Vec<u8>, RunError> {
    let widened = match tensor.dtype() {
        DType::BF16 => Some(tensor.cast(DType::F32)?),
        DType::Real => Some(tensor.cast(DType::F64)?),
        _ => None,
    };
    let tensor = widened.as_ref().map_or(tensor, Tensor::view);
    let code = TYPES.iter().find(|(_, dtype)| *dtype == tensor.dtype()).map(|(code, _)| code);
    let code = code.ok_or_else(|| bad("no such element type"))?;
    let order = match (tensor.dtype().size_of(), cfg!(target_endian = "little")) {
        (1, _) => '|',
        (_, true) => '<',
        (_, false) => '>',
    };
    let shape: String = tensor.shape().iter().map(|size| format!("{size}, ")).collect();
    let mut text = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let unpadded = MAGIC.len() + 4 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let len = u16::try_from(text.len()).map_err(|_| bad("too many axes"))?;
    Ok([MAGIC, &[1, 0], &len.to_le_bytes(), text.as_bytes(), tensor.bytes()].concat())
}

fn bad(message: impl Into<String>) -> RunError {
    RunError::new(ErrorKind::File, message)
}

fn split_header(bytes: &[u8]) -> Result<(Header, &[u8]), RunError> {
    let not_npy = || bad("no NumPy file");
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(not_npy)?;
    let (&[major, _], rest) = rest.split_first_chunk().ok_or_else(not_npy)?;
    let (len, rest) = if major == 1 {
        let (len, rest) = rest.split_first_chunk().ok_or_else(not_npy)?;
        (u16::from_le_bytes(*len) as usize, rest)
    } else {
        let (len, rest) = rest.split_first_chunk().ok_or_else(not_npy)?;
        (u32::from_le_bytes(*len) as usize, rest)
    };
    let (text, data) = rest.split_at_checked(len).ok_or_else(|| bad("cut off in the header"))?;
    let text = std::str::from_utf8(text).map_err(|_| bad("the header is no text"))?;
    let header = Scanner { rest: text }.header().ok_or_else(|| bad("the header cannot be read"))?;
    Ok((header, data))
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, keys in any order.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn header(mut self) -> Option<Header> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.eat("{")?;
        while self.eat("}").is_none() {
            let key = self.string()?;
            self.eat(":")?;
            match key {
                "descr" => descr = Some(self.string()?.to_string()),
                "fortran_order" => fortran = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return None,
            }
            if self.eat(",").is_none() {
                self.eat("}")?;
                break;
            }
        }
        self.rest.trim().is_empty().then_some(())?;
        Some(Header { descr: descr?, fortran: fortran?, shape: shape? })
    }

    fn eat(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote = if self.eat("'").is_some() { '\'' } else { self.eat("\"").map(|()| '"')? };
        let (text, rest) = self.rest.split_once(quote)?;
        self.rest = rest;
        Some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        if self.eat("True").is_some() { Some(true) } else { self.eat("False").map(|()| false) }
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        let mut sizes = Vec::new();
        self.eat("(")?;
        while self.eat(")").is_none() {
            let text = self.rest.trim_start();
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            sizes.push(text[..digits].parse().ok()?);
            self.rest = &text[digits..];
            let _ = self.eat("L");
            if sizes.len() > MAX_RANK {
                return None;
            }
            if self.eat(",").is_none() {
                self.eat(")")?;
                break;
            }
        }
        Some(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn every_type_comes_back() {
        for dtype in DType::ALL {
            let count = Tensor::from_slice(&[2, 3], &[0f64, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
            let tensor = count.view().cast(dtype).unwrap();
            let bytes = npy_to_bytes(tensor.view()).unwrap();
            let start = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
            assert_eq!(start % 64, 0);
            let back = npy_from_bytes(&bytes).unwrap();
            assert_eq!(back.view().to_f64(), tensor.view().to_f64());
            let stored = match dtype {
                DType::BF16 => DType::F32,
                DType::Real => DType::F64,
                other => other,
            };
            assert_eq!(back.dtype(), stored);
        }
        let scalar = Tensor::from_slice(&[], &[2.5f32]).unwrap();
        let back = npy_from_bytes(&npy_to_bytes(scalar.view()).unwrap()).unwrap();
        assert_eq!(back, scalar);
        let line = Tensor::from_slice(&[2], &[2.5f32, 3.5]).unwrap();
        assert_eq!(npy_from_bytes(&npy_to_bytes(line.view()).unwrap()).unwrap(), line);
    }

    #[test]
    fn unsigned_64_bits_are_taken_where_they_fit() {
        let header = "{'descr': '<u8', 'fortran_order': False, 'shape': (2,), }\n";
        let bytes = |values: [u64; 2]| file(header, &values.map(u64::to_le_bytes).concat());
        let tensor = npy_from_bytes(&bytes([7, i64::MAX as u64])).unwrap();
        assert_eq!(tensor.as_slice::<i64>(), Some(&[7, i64::MAX][..]));
        let error = npy_from_bytes(&bytes([7, u64::MAX])).unwrap_err().to_string();
        assert!(error.contains("18446744073709551615 is more than an i64 holds"), "{error}");
    }

    #[test]
    fn integers_of_16_bits_are_widened() {
        let read = |descr: &str, values: &[[u8; 2]]| {
            let n = values.len();
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({n},), }}\n");
            let bytes = file(&header, &values.concat());
            assert_eq!(npy_len(&bytes).unwrap(), bytes.len() as u64);
            assert!(npy_from_bytes(&bytes[..bytes.len() - 1]).is_err());
            npy_from_bytes(&bytes).unwrap().as_slice::<i32>().map(<[i32]>::to_vec)
        };
        let values = [-32768i16, -1, 7];
        assert_eq!(read("<i2", &values.map(i16::to_le_bytes)), Some(vec![-32768, -1, 7]));
        assert_eq!(read(">i2", &values.map(i16::to_be_bytes)), Some(vec![-32768, -1, 7]));
        assert_eq!(read("<u2", &values.map(i16::to_le_bytes)), Some(vec![32768, 65535, 7]));
    }

    #[test]
    fn fortran_order_and_big_endian_are_undone() {
        let header = "{'descr': '>i4', 'fortran_order': True, 'shape': (2, 3), }\n";
        let data: Vec<u8> = [1i32, 4, 2, 5, 3, 6].iter().flat_map(|v| v.to_be_bytes()).collect();
        let tensor = npy_from_bytes(&file(header, &data)).unwrap();
        assert_eq!(tensor.shape(), [2, 3]);
        assert_eq!(tensor.as_slice::<i32>(), Some(&[1, 2, 3, 4, 5, 6][..]));
    }

    #[test]
    fn hostile_files_are_errors() {
        let error = |header: &str| npy_from_bytes(&file(header, &[0; 64])).unwrap_err().message;
        let with_shape = |shape: &str| error(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"));
        assert!(with_shape("(1000000000000,)").contains("cut off"));
        assert!(with_shape("(18446744073709551615, 18446744073709551615)").contains("cut off"));
        assert!(with_shape("(99999999999999999999999,)").contains("cannot be read"));
        assert!(with_shape("(-1,)").contains("cannot be read"));
        assert!(with_shape(&"(".repeat(5000)).contains("cannot be read"));
        assert!(with_shape(&format!("({})", "1,".repeat(5000))).contains("cannot be read"));
        assert!(error("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}").contains("`<c8` is not supported"));
        assert!(error("{'descr': '', 'fortran_order': False, 'shape': (1,)}").contains("not supported"));
        assert!(error("{'descr': '\u{e9}f4', 'fortran_order': False, 'shape': (1,)}").contains("not supported"));
        let good = npy_to_bytes(Tensor::from_slice(&[3], &[1f32, 2.0, 3.0]).unwrap().view()).unwrap();
        for len in 0..good.len() {
            assert!(npy_from_bytes(&good[..len]).is_err());
        }
        let huge = [MAGIC, &[2, 0], &u32::MAX.to_le_bytes(), b"{"].concat();
        assert!(npy_from_bytes(&huge).is_err());
    }
}
