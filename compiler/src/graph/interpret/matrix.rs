//! Matrix multiplication and transposition in f64, for ops whose nests would take too long point by point.
//!
//! Invariant: an element is summed in the order of the shared axis, whatever the number of threads.

use std::borrow::Cow;

/// Rows of `b` that stay in the first cache while they are used.
const DEPTH: usize = 64;
const WIDTH: usize = 512;

/// Below this many products, starting threads costs more than it saves.
const WORTH_THREADS: usize = 1 << 21;

/// `c += a b` for row-major `a` [m, k] and `b` [k, n]; rows of `c` are `stride` apart and hold `n` elements.
pub fn multiply([m, k, n]: [usize; 3], a: &[f64], b: &[f64], c: &mut [f64], stride: usize) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let n_threads = if m.saturating_mul(k).saturating_mul(n) < WORTH_THREADS { 1 } else { available.min(m) };
    if n_threads == 1 {
        return multiply_rows([k, n], a, b, c, stride);
    }
    let n_rows = m.div_ceil(n_threads);
    std::thread::scope(|scope| {
        for (a, c) in a.chunks(n_rows * k).zip(c.chunks_mut(n_rows * stride)) {
            scope.spawn(move || multiply_rows([k, n], a, b, c, stride));
        }
    });
}

fn multiply_rows([k, n]: [usize; 2], a: &[f64], b: &[f64], c: &mut [f64], stride: usize) {
    for left in (0..n).step_by(WIDTH) {
        let right = n.min(left + WIDTH);
        for top in (0..k).step_by(DEPTH) {
            let bottom = k.min(top + DEPTH);
            for (a, c) in a.chunks(k).zip(c.chunks_mut(stride)) {
                add_products(&a[top..bottom], &b[top * n..], [left, right, n], &mut c[left..right]);
            }
        }
    }
}

/// `c += sum of a[i] * row i of b`, four rows at a time.
fn add_products(a: &[f64], b: &[f64], [left, right, n]: [usize; 3], c: &mut [f64]) {
    let row = |idx: usize| &b[idx * n + left..idx * n + right];
    let mut idx = 0;
    while idx + 4 <= a.len() {
        let (a0, a1, a2, a3) = (a[idx], a[idx + 1], a[idx + 2], a[idx + 3]);
        let rows = row(idx).iter().zip(row(idx + 1)).zip(row(idx + 2)).zip(row(idx + 3));
        for (c, (((b0, b1), b2), b3)) in c.iter_mut().zip(rows) {
            *c = *c + a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3;
        }
        idx += 4;
    }
    for (idx, &a) in a.iter().enumerate().skip(idx) {
        c.iter_mut().zip(row(idx)).for_each(|(c, b)| *c += a * b);
    }
}

/// Row-major data with its axes in another order: axis `i` of the result is axis `order[i]`.
pub fn permuted<'a>(data: &'a [f64], shape: &[usize], order: &[usize]) -> Cow<'a, [f64]> {
    if order.iter().enumerate().all(|(to, &from)| to == from) {
        return Cow::Borrowed(data);
    }
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let axes: Vec<(usize, usize)> = order.iter().map(|&axis| (shape[axis], stride(axis))).collect();
    let Some((&(inner, step), outer)) = axes.split_last() else { return Cow::Borrowed(data) };
    let mut result = Vec::with_capacity(data.len());
    let (mut position, mut start) = (vec![0; outer.len()], 0);
    while result.len() < data.len() {
        result.extend((0..inner).map(|idx| data[start + idx * step]));
        for (place, &(size, stride)) in position.iter_mut().zip(outer).rev() {
            *place += 1;
            start += stride;
            if *place < size {
                break;
            }
            start -= size * stride;
            *place = 0;
        }
    }
    Cow::Owned(result)
}
