//! Tensors of the reference interpreter and of constants: f64 for every float, i64 for every integer and boolean.
//!
//! Invariant: `data` holds as many elements as the shape says, row-major, and every element is representable in `dtype`
//! once `rounded` has run.

use std::sync::Arc;

use tilewright_runtime::program::{to_bf16, to_f16};

use super::DType;

#[derive(Clone, Debug)]
pub struct Tensor {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Elements; clones share them.
#[derive(Clone, Debug)]
pub enum Data {
    Float(Arc<Vec<f64>>),
    Int(Arc<Vec<i64>>),
}

impl Tensor {
    pub fn floats(dtype: DType, shape: Vec<usize>, data: Vec<f64>) -> Tensor {
        assert!(dtype.is_float());
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Tensor { dtype, shape, data: Data::Float(Arc::new(data)) }
    }

    pub fn ints(dtype: DType, shape: Vec<usize>, data: Vec<i64>) -> Tensor {
        assert!(!dtype.is_float());
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Tensor { dtype, shape, data: Data::Int(Arc::new(data)) }
    }

    /// Every element the same, given as a float that is exact for the type.
    pub fn splat(dtype: DType, shape: Vec<usize>, value: f64) -> Tensor {
        let n_elements = shape.iter().product();
        match dtype.is_float() {
            true => Tensor::floats(dtype, shape, vec![value; n_elements]),
            false => Tensor::ints(dtype, shape, vec![value as i64; n_elements]),
        }
    }

    pub fn int_scalar(dtype: DType, value: i64) -> Tensor {
        Tensor::ints(dtype, Vec::new(), vec![value])
    }

    pub fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Holds as many elements as the shape says, of the kind the type says.
    pub fn is_whole(&self) -> bool {
        let n = self.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        match &self.data {
            Data::Float(data) => self.dtype.is_float() && n == Some(data.len()),
            Data::Int(data) => !self.dtype.is_float() && n == Some(data.len()),
        }
    }

    pub fn as_floats(&self) -> Option<&[f64]> {
        match &self.data {
            Data::Float(data) => Some(data),
            Data::Int(_) => None,
        }
    }

    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(data) => Some(data),
            Data::Float(_) => None,
        }
    }

    /// One element as a float.
    pub fn float_at(&self, idx: usize) -> f64 {
        match &self.data {
            Data::Float(data) => data[idx],
            Data::Int(data) => data[idx] as f64,
        }
    }

    /// The number that every element is, where a float holds it exactly.
    pub fn uniform_float(&self) -> Option<f64> {
        if !self.is_uniform() {
            return None;
        }
        match &self.data {
            Data::Float(data) => Some(data[0]),
            Data::Int(data) => exact_float(data[0]),
        }
    }

    /// One element as an integer.
    pub fn int_at(&self, idx: usize) -> i64 {
        match &self.data {
            Data::Float(data) => data[idx] as i64,
            Data::Int(data) => data[idx],
        }
    }

    /// One element, repeated to a shape.
    pub fn repeated(&self, idx: usize, shape: Vec<usize>) -> Tensor {
        let n_elements = shape.iter().product();
        let data = match &self.data {
            Data::Float(data) => Data::Float(Arc::new(vec![data[idx]; n_elements])),
            Data::Int(data) => Data::Int(Arc::new(vec![data[idx]; n_elements])),
        };
        Tensor { dtype: self.dtype, shape, data }
    }

    pub fn reshaped(&self, shape: Vec<usize>) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), self.n_elements());
        Tensor { dtype: self.dtype, shape, data: self.data.clone() }
    }

    /// The same values in another type, as the `cast` op defines it: floats round to nearest even, once; integers become
    /// floats narrower than f32 by way of that; floats to integers truncate and saturate with NaN as zero, integers wrap,
    /// and anything that is not zero is true.
    pub fn cast(&self, to: DType) -> Tensor {
        let shape = self.shape.clone();
        match (&self.data, to.is_float()) {
            (Data::Float(data), true) => Tensor::floats(to, shape, data.iter().map(|&v| round(to, v)).collect()),
            (Data::Int(data), true) => Tensor::floats(to, shape, data.iter().map(|&v| round_int(to, v)).collect()),
            (Data::Float(data), false) => Tensor::ints(to, shape, data.iter().map(|&v| saturate(to, v)).collect()),
            (Data::Int(data), false) if to == DType::Bool => {
                Tensor::ints(to, shape, data.iter().map(|&v| i64::from(v != 0)).collect())
            }
            (Data::Int(data), false) => Tensor::ints(to, shape, data.iter().map(|&v| wrap(to, v)).collect()),
        }
    }

    /// The elements as they lie in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.data {
            Data::Float(data) => match self.dtype {
                DType::F32 => data.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
                DType::F16 => data.iter().flat_map(|&v| to_f16(v).to_le_bytes()).collect(),
                DType::BF16 => data.iter().flat_map(|&v| to_bf16(v).to_le_bytes()).collect(),
                _ => data.iter().flat_map(|&v| v.to_le_bytes()).collect(),
            },
            Data::Int(data) => {
                let n_bytes = self.dtype.size_of();
                data.iter().flat_map(|&v| v.to_le_bytes().into_iter().take(n_bytes)).collect()
            }
        }
    }

    /// Bit-equal, with NaN equal to itself.
    pub fn same(&self, other: &Tensor) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && match (&self.data, &other.data) {
                (Data::Float(a), Data::Float(b)) => a.iter().zip(b.iter()).all(|(a, b)| a.to_bits() == b.to_bits()),
                (Data::Int(a), Data::Int(b)) => a == b,
                _ => false,
            }
    }
}

/// Rounds to the precision of a float type; `real` keeps every bit.
pub fn round(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F16 => to_f16(value).to_f64(),
        DType::BF16 => to_bf16(value).to_f64(),
        _ => value,
    }
}

/// An integer as a float, where that is exact.
pub fn exact_float(value: i64) -> Option<f64> {
    let float = value as f64;
    (float as i128 == i128::from(value)).then_some(float)
}

/// An integer as a float of this type; one that is narrower than f32 is reached by way of that.
pub fn round_int(dtype: DType, value: i64) -> f64 {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => round(dtype, f64::from(value as f32)),
        _ => value as f64,
    }
}

/// Wraps to the width of an integer type; a boolean keeps its lowest bit.
pub fn wrap(dtype: DType, value: i64) -> i64 {
    match dtype {
        DType::I32 => i64::from(value as i32),
        DType::I8 => i64::from(value as i8),
        DType::U8 => i64::from(value as u8),
        DType::U32 => i64::from(value as u32),
        DType::Bool => value & 1,
        _ => value,
    }
}

/// The integer next to a float towards zero, at most the limits of the type; NaN gives zero.
pub fn saturate(dtype: DType, value: f64) -> i64 {
    match dtype {
        DType::I32 => i64::from(value as i32),
        DType::I8 => i64::from(value as i8),
        DType::U8 => i64::from(value as u8),
        DType::U32 => i64::from(value as u32),
        DType::Bool => i64::from(value != 0.0),
        _ => value as i64,
    }
}

/// Whether a type holds this number as it is. The least and the greatest integer stand for the infinities, and every
/// whole number but zero is true.
pub fn holds(dtype: DType, value: f64) -> bool {
    match dtype {
        DType::Bool => value == value.trunc() && value.is_finite(),
        _ => dtype.is_float() || value.is_infinite() || saturate(dtype, value) as f64 == value,
    }
}
