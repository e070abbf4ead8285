//! Weights that anyone can compute from a tensor's name and shape: for tests and trial runs.
//!
//! The rule is a contract with the script that makes the golden outputs. Element `i` of a
//! tensor takes word 0 of Philox at counter (i low, i high, 0, 0) under the FNV-1a hash of the
//! name, as a number `u` in [-1, 1). Matrices and kernels scale it by sqrt(3 / fan-in), so that
//! activations keep their size; norms' weights and variances stay near one.

use std::thread;

use super::Tensor;
use crate::error::RunError;
use crate::program::DType;
use crate::program::random::{fnv1a_64, random_bits};

/// Elements below which another thread is not worth starting.
const SMALLEST_SHARE: usize = 1 << 16;

pub fn synthetic(name: &str, shape: &[usize]) -> Result<Tensor, RunError> {
    let mut tensor = Tensor::zeros(DType::F32, shape)?;
    if let Some(values) = tensor.as_mut_slice() {
        fill(name, shape, values);
    }
    Ok(tensor)
}

fn fill(name: &str, shape: &[usize], values: &mut [f32]) {
    let key = fnv1a_64(name.as_bytes());
    let (offset, scale) = offset_and_scale(name, shape);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = values.len().div_ceil(threads).max(SMALLEST_SHARE);
    let fill_part = |start: usize, part: &mut [f32]| {
        for (index, value) in part.iter_mut().enumerate() {
            *value = offset + scale * uniform(key, (start + index) as u64);
        }
    };
    thread::scope(|scope| {
        let mut parts = values.chunks_mut(share).enumerate();
        let first = parts.next();
        for (index, part) in parts {
            scope.spawn(move || fill_part(index * share, part));
        }
        if let Some((_, part)) = first {
            fill_part(0, part);
        }
    });
}

/// A multiple of 2⁻²³ in [-1, 1).
fn uniform(key: u64, index: u64) -> f32 {
    const STEP: f32 = 1.0 / (1 << 23) as f32;
    (random_bits(0, 0, key, index, 0) >> 8) as f32 * STEP - 1.0
}

fn offset_and_scale(name: &str, shape: &[usize]) -> (f32, f32) {
    if shape.len() >= 2 {
        let fan_in: f64 = shape[1..].iter().map(|&size| size as f64).product();
        return (0.0, (3.0 / fan_in).sqrt() as f32);
    }
    if name.ends_with("running_var") {
        (1.0, 0.5)
    } else if shape.len() == 1 && name.ends_with(".weight") {
        (1.0, 0.1)
    } else {
        (0.0, 0.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_the_rule() {
        let synthetic =
            |name: &str, shape: &[usize]| super::synthetic(name, shape).unwrap().as_slice::<f32>().unwrap().to_vec();
        let key = fnv1a_64(b"head.weight");
        let u = |index| (random_bits(0, 0, key, index, 0) >> 8) as f32 * 2f32.powi(-23) - 1.0;
        let matrix = synthetic("head.weight", &[2, 3]);
        assert_eq!(matrix[4], u(4));
        let kernel = synthetic("head.weight", &[2, 3, 2, 2]);
        assert_eq!(kernel[5], 0.5 * u(5));
        assert_eq!(synthetic("head.weight", &[3])[2], 1.0 + 0.1 * u(2));
        assert_eq!(synthetic("head.weight", &[])[0], 0.1 * u(0));
        let long = synthetic("head.bias", &[3 * SMALLEST_SHARE]);
        let last = long.len() - 1;
        assert_eq!(long[last], 0.1 * (uniform(fnv1a_64(b"head.bias"), last as u64)));
        let variance = synthetic("bn.running_var", &[100]);
        assert!(variance.iter().all(|v| (0.5..=1.5).contains(v)));
        let bias = synthetic("head.bias", &[100]);
        assert!(bias.iter().all(|v| v.abs() <= 0.1) && bias.iter().any(|v| v.abs() > 0.05));
    }

    #[test]
    fn what_no_memory_holds_is_an_error() {
        for shape in [&[usize::MAX, 2][..], &[1 << 45, 1 << 10]] {
            assert!(synthetic("head.weight", shape).is_err());
        }
    }

    #[test]
    fn numbers_fill_the_interval() {
        let values: Vec<f32> = (0..10_000).map(|index| uniform(fnv1a_64(b"x"), index)).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.02);
        assert!(values.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!(values.iter().any(|v| *v > 0.99) && values.iter().any(|v| *v < -0.99));
    }
}
