//! A tensor in memory, and borrowed views of one.
//!
//! Invariant: `bytes.len() == byte_len(dtype, shape)`, elements are row-major and in the
//! machine's byte order, and the first byte is aligned for the element type. Booleans are bytes;
//! any that is not zero is true. A float whose precision is undecided is held as f64.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::element::{Element, with_element};
use crate::bytes::AlignedBytes;
use crate::error::{ErrorKind, RunError, ShapeText};
use crate::program::DType;
use crate::program::dtype::{byte_len, n_elements};

#[derive(Debug, PartialEq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: AlignedBytes,
}

#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    dtype: DType,
    shape: &'a [usize],
    bytes: &'a [u8],
}

#[derive(Debug)]
pub struct TensorMut<'a> {
    dtype: DType,
    shape: &'a [usize],
    bytes: &'a mut [u8],
}

fn check_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<(), RunError> {
    let problem = |text: String| Err(RunError::new(ErrorKind::Input, text));
    let expected = byte_len(dtype, shape);
    if expected != Some(bytes.len()) {
        let (shape, len) = (ShapeText(shape), bytes.len());
        return problem(format!("{len} bytes are no {dtype} tensor of shape {shape}"));
    }
    if !(bytes.as_ptr() as usize).is_multiple_of(dtype.size_of()) {
        return problem(format!("the bytes are not aligned for {dtype}"));
    }
    Ok(())
}

impl Tensor {
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Tensor, RunError> {
        let len = byte_len(dtype, shape).ok_or_else(|| too_large(dtype, shape))?;
        Ok(Tensor { dtype, shape: shape.to_vec(), bytes: AlignedBytes::zeroed(len)? })
    }

    pub fn from_slice<T: Element>(shape: &[usize], values: &[T]) -> Result<Tensor, RunError> {
        if n_elements(shape) != Some(values.len()) {
            let (shape, n) = (ShapeText(shape), values.len());
            let message = format!("{n} values do not fill a tensor of shape {shape}");
            return Err(RunError::new(ErrorKind::Input, message));
        }
        let mut tensor = Tensor::zeros(T::DTYPE, shape)?;
        if let Some(elements) = tensor.as_mut_slice::<T>() {
            elements.copy_from_slice(values);
        }
        Ok(tensor)
    }

    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, RunError> {
        let bytes = AlignedBytes::copy_of(bytes)?;
        check_bytes(dtype, shape, &bytes)?;
        let shape = shape.to_vec();
        Ok(Tensor { dtype, shape, bytes })
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub fn view(&self) -> TensorRef<'_> {
        TensorRef { dtype: self.dtype, shape: &self.shape, bytes: &self.bytes }
    }

    pub fn view_mut(&mut self) -> TensorMut<'_> {
        TensorMut { dtype: self.dtype, shape: &self.shape, bytes: &mut self.bytes }
    }

    /// The elements, if `T` is their type or how they are held.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        self.view().as_slice()
    }

    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        if !views_as::<T>(self.dtype) {
            return None;
        }
        let len = self.bytes.len() / size_of::<T>();
        // SAFETY: the bytes are aligned to 64, `len` elements long, and any bits are a `T`.
        Some(unsafe { std::slice::from_raw_parts_mut(self.bytes.as_mut_ptr().cast(), len) })
    }

    /// The same bytes under another shape of as many elements.
    pub fn reshaped(mut self, shape: &[usize]) -> Result<Tensor, RunError> {
        check_bytes(self.dtype, shape, &self.bytes)?;
        self.shape = shape.to_vec();
        Ok(self)
    }
}

fn views_as<T: Element>(dtype: DType) -> bool {
    let held_as = match dtype {
        DType::Bool => DType::U8,
        DType::Real => DType::F64,
        other => other,
    };
    held_as == T::DTYPE
}

fn too_large(dtype: DType, shape: &[usize]) -> RunError {
    let shape = ShapeText(shape);
    let message = format!("a {dtype} tensor of shape {shape} is larger than any memory");
    RunError::new(ErrorKind::Memory, message)
}

impl<'a> TensorRef<'a> {
    /// A view of bytes that are not a `Tensor`'s; they must be as many as the shape says, and
    /// aligned for the element type.
    pub fn new(dtype: DType, shape: &'a [usize], bytes: &'a [u8]) -> Result<Self, RunError> {
        check_bytes(dtype, shape, bytes)?;
        Ok(TensorRef { dtype, shape, bytes })
    }

    pub fn of<T: Element>(shape: &'a [usize], values: &'a [T]) -> Result<Self, RunError> {
        // SAFETY: an `Element` has no padding, so its bytes are initialised.
        let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values)) };
        TensorRef::new(T::DTYPE, shape, bytes)
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        if !views_as::<T>(self.dtype) {
            return None;
        }
        let len = self.bytes.len() / size_of::<T>();
        // SAFETY: every constructor checks alignment and length, and any bits are a `T`.
        Some(unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast(), len) })
    }

    pub fn to_tensor(&self) -> Result<Tensor, RunError> {
        Tensor::from_bytes(self.dtype, self.shape, self.bytes)
    }

    /// Every element as a number; true is one.
    pub fn to_f64(&self) -> Vec<f64> {
        let is_bool = self.dtype == DType::Bool;
        with_element!(self.dtype, T => {
            let elements = self.as_slice::<T>().unwrap_or_default();
            let number = |&element: &T| match element.to_f64() {
                value if is_bool => f64::from(value != 0.0),
                value => value,
            };
            elements.iter().map(number).collect()
        })
    }

    /// The same values in another element type: rounded to the nearest, integers saturate,
    /// whatever is not zero is true.
    pub fn cast(&self, dtype: DType) -> Result<Tensor, RunError> {
        if dtype == self.dtype {
            return self.to_tensor();
        }
        let mut tensor = Tensor::zeros(dtype, self.shape)?;
        if self.widen_halves(&mut tensor) {
            return Ok(tensor);
        }
        with_element!(self.dtype, From => with_element!(dtype, To => {
            let from = self.as_slice::<From>().unwrap_or_default();
            let to = tensor.as_mut_slice::<To>().unwrap_or_default();
            let bools = [self.dtype, dtype].contains(&DType::Bool);
            for (to, from) in to.iter_mut().zip(from) {
                let value = from.to_f64();
                *to = To::from_f64(if bools { f64::from(value != 0.0) } else { value });
            }
        }));
        Ok(tensor)
    }

    /// The most common cast of weights, with the machine's own instructions.
    fn widen_halves(&self, to: &mut Tensor) -> bool {
        let Some(to) = to.as_mut_slice::<f32>() else {
            return false;
        };
        if let Some(halves) = self.as_slice::<f16>() {
            halves.convert_to_f32_slice(to);
        } else if let Some(halves) = self.as_slice::<bf16>() {
            halves.convert_to_f32_slice(to);
        } else {
            return false;
        }
        true
    }

    /// The elements as `f32`, without a copy where that is what they are.
    pub fn to_f32(&self) -> Result<Cow<'a, [f32]>, RunError> {
        if let Some(elements) = self.as_slice::<f32>() {
            return Ok(Cow::Borrowed(elements));
        }
        let tensor = self.cast(DType::F32)?;
        Ok(Cow::Owned(tensor.as_slice().unwrap_or_default().to_vec()))
    }
}

impl<'a> TensorMut<'a> {
    pub fn new(dtype: DType, shape: &'a [usize], bytes: &'a mut [u8]) -> Result<TensorMut<'a>, RunError> {
        check_bytes(dtype, shape, bytes)?;
        Ok(TensorMut { dtype, shape, bytes })
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_match_the_shape() {
        assert!(Tensor::from_slice(&[2, 3], &[0f32; 6]).is_ok());
        assert!(Tensor::from_slice(&[2, 3], &[0f32; 5]).is_err());
        assert!(Tensor::from_bytes(DType::F32, &[2], &[0; 7]).is_err());
        assert!(Tensor::zeros(DType::F32, &[usize::MAX, 2]).is_err());
        assert!(Tensor::zeros(DType::F64, &[1 << 61]).is_err());
        let empty = Tensor::zeros(DType::F32, &[0, usize::MAX, 2]).unwrap();
        assert_eq!(empty.as_slice::<f32>(), Some(&[][..]));
    }

    #[test]
    fn a_view_of_the_wrong_type_is_refused() {
        let tensor = Tensor::from_slice(&[2], &[1f32, 2.0]).unwrap();
        assert!(tensor.as_slice::<i32>().is_none());
        assert_eq!(tensor.as_slice::<f32>(), Some(&[1.0, 2.0][..]));
        let odd = &tensor.bytes()[1..5];
        assert!(TensorRef::new(DType::F32, &[1], odd).is_err());
        assert!(TensorRef::new(DType::U8, &[4], odd).is_ok());
    }

    #[test]
    fn casts_round_and_saturate() {
        let tensor = Tensor::from_slice(&[4], &[0.1f64, -3.7, 1e9, f64::NAN]).unwrap();
        let cast = |dtype| tensor.view().cast(dtype).unwrap();
        let half = f16::from_f64(0.1);
        let back = cast(DType::BF16).view().cast(DType::F32).unwrap();
        assert_eq!(back.as_slice::<f32>().unwrap()[1], bf16::from_f64(-3.7).to_f32());
        assert_eq!(cast(DType::F16).as_slice::<f16>().unwrap()[0], half);
        let small = cast(DType::I8);
        assert_eq!(small.as_slice::<i8>(), Some(&[0, -3, 127, 0][..]));
        assert_eq!(cast(DType::Bool).view().to_f64(), [1.0; 4]);
        assert_eq!(cast(DType::F32).view().to_f32().unwrap()[1], -3.7);
    }
}
