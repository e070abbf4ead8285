//! Transposing, cutting and joining whole tensors, by bytes: element types do not matter.

use super::{Tensor, TensorRef};
use crate::error::{ErrorKind, RunError};

pub(crate) fn problem(text: &str) -> RunError {
    RunError::new(ErrorKind::Input, text)
}

/// The order of axes that undoes `axes`.
pub(crate) fn inverse(axes: &[usize]) -> Result<Vec<usize>, RunError> {
    let mut inverse = vec![usize::MAX; axes.len()];
    for (to, &from) in axes.iter().enumerate() {
        match inverse.get_mut(from) {
            Some(place) if *place == usize::MAX => *place = to,
            _ => return Err(problem(&format!("{axes:?} is no order of axes"))),
        }
    }
    Ok(inverse)
}

/// Axis `i` of the result is axis `axes[i]` of `tensor`.
pub(crate) fn transpose(tensor: TensorRef, axes: &[usize]) -> Result<Tensor, RunError> {
    let from = tensor.shape();
    if inverse(axes)?.len() != from.len() {
        return Err(problem(&format!("{axes:?} does not order {} axes", from.len())));
    }
    let size = tensor.dtype().size_of();
    let mut strides = vec![size; from.len()];
    for axis in (1..from.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(from[axis]);
    }
    let shape: Vec<usize> = axes.iter().map(|&axis| from[axis]).collect();
    let strides: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
    let mut result = Tensor::zeros(tensor.dtype(), &shape)?;
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for element in result.bytes_mut().chunks_exact_mut(size) {
        element.copy_from_slice(&tensor.bytes()[at..at + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Ok(result)
}

/// One of `n_parts` equal parts along `axis`.
pub(crate) fn part(tensor: TensorRef, axis: usize, part: usize, n_parts: usize) -> Result<Tensor, RunError> {
    let all = *tensor.shape().get(axis).ok_or_else(|| problem(&format!("there is no axis {axis}")))?;
    if part >= n_parts || all % n_parts != 0 {
        return Err(problem(&format!("there is no part {part} of {n_parts} in {all}")));
    }
    let mut shape = tensor.shape().to_vec();
    shape[axis] = all / n_parts;
    let mut result = Tensor::zeros(tensor.dtype(), &shape)?;
    if result.bytes().is_empty() {
        return Ok(result);
    }
    let inner = tensor.dtype().size_of() * shape[axis..].iter().product::<usize>();
    let rows = tensor.bytes().chunks_exact(inner * n_parts);
    for (to, row) in result.bytes_mut().chunks_exact_mut(inner).zip(rows) {
        to.copy_from_slice(&row[part * inner..][..inner]);
    }
    Ok(result)
}

pub(crate) fn concat(parts: &[TensorRef], axis: usize) -> Result<Tensor, RunError> {
    let first = parts.first().ok_or_else(|| problem("nothing to concatenate"))?;
    let mut shape = first.shape().to_vec();
    if axis >= shape.len() {
        return Err(problem(&format!("there is no axis {axis}")));
    }
    for part in &parts[1..] {
        let others = |shape: &[usize]| [&shape[..axis], &shape[axis + 1..]].concat();
        let alike = part.shape().len() == shape.len() && others(part.shape()) == others(&shape);
        if !alike || part.dtype() != first.dtype() {
            return Err(problem("the parts differ in type or in another axis"));
        }
        shape[axis] = shape[axis].saturating_add(part.shape()[axis]);
    }
    let mut result = Tensor::zeros(first.dtype(), &shape)?;
    // The sizes of a tensor without bytes may come to more than a number holds.
    if result.bytes().is_empty() {
        return Ok(result);
    }
    let size = first.dtype().size_of();
    let row = size * shape[axis..].iter().product::<usize>();
    let mut start = 0;
    for part in parts {
        let inner = size * part.shape()[axis..].iter().product::<usize>();
        if inner > 0 {
            let rows = result.bytes_mut().chunks_exact_mut(row);
            for (to, from) in rows.zip(part.bytes().chunks_exact(inner)) {
                to[start..start + inner].copy_from_slice(from);
            }
        }
        start += inner;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::DType;

    #[test]
    fn tensors_without_bytes_are_cut_and_joined() {
        for shape in [vec![0, 1 << 31, 1 << 30, 8], vec![1 << 31, 1 << 30, 8, 0]] {
            let empty = Tensor::zeros(DType::F32, &shape).unwrap();
            for (axis, size) in shape.iter().enumerate() {
                let joined = concat(&[empty.view(), empty.view()], axis).unwrap();
                assert_eq!(joined.shape()[axis], 2 * size);
                assert_eq!(part(joined.view(), axis, 1, 2).unwrap(), empty);
            }
            assert_eq!(transpose(empty.view(), &[3, 2, 1, 0]).unwrap().shape()[0], shape[3]);
        }
        let (some, none) = ([1f32, 2.0], Tensor::zeros(DType::F32, &[2, 0]).unwrap());
        let some = TensorRef::of(&[2, 1], &some).unwrap();
        assert_eq!(concat(&[none.view(), some], 1).unwrap(), some.to_tensor().unwrap());
    }
}
