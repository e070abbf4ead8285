//! `winograd_image(x)`, `winograd_kernel(w)` and `winograd_result(y)`: a convolution in two axes with fewer products.
//!
//! Along an axis, `m = places` results of a kernel with `r = taps` are `y = Aᵀ [G w · Bᵀ x]` with `n = m + r - 1` products
//! instead of `m r`, by evaluating polynomials at `n - 1` points and at infinity (Toom and Cook; Winograd 1980; for images
//! Lavin and Gray 2016). In two axes each matrix stands on both sides. The points for `n = 6` are small fractions: with
//! 0, ±1, ±2 results are four times less exact.

use super::formula::Built;
use super::{constant, contract};
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Gradient, Meaning, Nest, OpDef, OpError, Operands,
    Pull, Sample, Sampler, Scalar, ScalarNode, Tensor, Type, Value, attr, axis,
};

pub static IMAGE: OpDef = OpDef {
    name: "winograd_image",
    doc: "The tiles of an image with its channels last, transformed: `[b, m h + r - 1, m w + r - 1, c]` becomes `[(m + r - \
          1)², b, h, w, c]`, where `m` is `places` and `r` is `taps`.",
    operands: Operands::Fixed(&["x"]),
    attrs: ATTRS,
    infer: infer_image,
    meaning: Meaning::Structured { nest: nest_image, eval: None },
    gradient: Gradient::Rule(gradient_image),
    aliases: &[],
    sample: Some(sample_image),
};

pub static KERNEL: OpDef = OpDef {
    name: "winograd_kernel",
    doc: "The kernel of a convolution, transformed: `[o, c, r, r]` becomes `[(m + r - 1)², o, c]`.",
    operands: Operands::Fixed(&["w"]),
    attrs: ATTRS,
    infer: infer_kernel,
    meaning: Meaning::Structured { nest: nest_kernel, eval: None },
    gradient: Gradient::Rule(gradient_kernel),
    aliases: &[],
    sample: Some(sample_kernel),
};

pub static RESULT: OpDef = OpDef {
    name: "winograd_result",
    doc: "The products of transformed tiles and kernels as an image with its channels last: `[(m + r - 1)², b, h, w, c]` \
          becomes `[b, m h, m w, c]`.",
    operands: Operands::Fixed(&["y"]),
    attrs: ATTRS,
    infer: infer_result,
    meaning: Meaning::Structured { nest: nest_result, eval: None },
    gradient: Gradient::Rule(gradient_result),
    aliases: &[],
    sample: Some(sample_result),
};

const ATTRS: &[crate::graph::AttrDef] =
    &[attr("places", AttrKind::Int, Default::Required), attr("taps", AttrKind::Int, Default::Required)];

/// The points, by `n`; infinity is one more.
const POINTS: &[(usize, &[f64])] = &[(4, &[0.0, 1.0, -1.0]), (6, &[0.0, 0.75, -0.75, 1.5, -1.5])];

type Matrix = Vec<Vec<f64>>;

/// The matrices for so many places and taps.
struct Algorithm {
    places: usize,
    taps: usize,
    points: &'static [f64],
}

/// Whether there are points for so many places and taps.
pub fn is_known(places: i64, taps: i64) -> bool {
    places > 0 && taps > 0 && points(places, taps).is_some()
}

fn points(places: i64, taps: i64) -> Option<&'static [f64]> {
    let n = usize::try_from(places.checked_add(taps)?.checked_sub(1)?).ok()?;
    POINTS.iter().find(|(known, _)| *known == n).map(|(_, points)| *points)
}

impl Algorithm {
    fn of(call: &Call) -> Result<Algorithm, OpError> {
        let (places, taps) = (call.attrs.int("places"), call.attrs.int("taps"));
        let points = if places > 0 && taps > 0 { points(places, taps) } else { None };
        let unknown = || OpError::attr("places", format!("{places} places of {taps} taps are not 4 or 6 products"));
        Ok(Algorithm { places: places as usize, taps: taps as usize, points: points.ok_or_else(unknown)? })
    }

    fn n(&self) -> usize {
        self.points.len() + 1
    }

    /// `Bᵀ`: row j has the coefficients of the polynomial that is zero at all points but the j-th; the last, at all.
    fn image(&self) -> Matrix {
        let but = |j: usize| self.points.iter().enumerate().filter(move |(k, _)| *k != j).map(|(_, &point)| point);
        (0..self.n()).map(|j| padded(with_zeros(but(j)), self.n())).collect()
    }

    /// `G`: the kernel's polynomial at each point, divided by what is left of the row of `Bᵀ` there.
    fn kernel(&self) -> Matrix {
        let row = |j: usize| {
            let at = self.points[j];
            let others = self.points.iter().enumerate().filter(|(k, _)| *k != j);
            let scale: f64 = others.map(|(_, other)| at - other).product();
            (0..self.taps).map(|tap| at.powi(tap as i32) / scale).collect()
        };
        (0..self.n() - 1).map(row).chain([at_infinity(self.taps)]).collect()
    }

    /// `Aᵀ`: powers of the points.
    fn result(&self) -> Matrix {
        let last = at_infinity(self.places);
        let powers = |power: usize| self.points.iter().map(move |point| point.powi(power as i32));
        (0..self.places).map(|power| powers(power).chain([last[power]]).collect()).collect()
    }
}

/// The coefficients of the product of `x - zero`, from the lowest.
fn with_zeros(zeros: impl Iterator<Item = f64>) -> Vec<f64> {
    zeros.fold(vec![1.0], |polynomial, zero| {
        let shifted = std::iter::once(0.0).chain(polynomial.iter().copied());
        let scaled = polynomial.iter().map(|&c| c * zero).chain([0.0]);
        shifted.zip(scaled).map(|(a, b)| a - b).collect()
    })
}

fn padded(mut row: Vec<f64>, len: usize) -> Vec<f64> {
    row.resize(len, 0.0);
    row
}

/// A polynomial of so many coefficients, by its highest.
fn at_infinity(len: usize) -> Vec<f64> {
    (0..len).map(|power| if power + 1 == len { 1.0 } else { 0.0 }).collect()
}

fn infer_image(call: &Call) -> Result<Vec<Type>, OpError> {
    let (x, algorithm) = (call.operand(0), Algorithm::of(call)?);
    let [batch, height, width, channels] = x.shape.as_slice() else {
        return Err(OpError::operand(0, format!("an image is [batch, height, width, channels], found {x}")));
    };
    let tiles = |extent: &Dim| (extent - algorithm.taps as i64 + 1).exact_div(&Dim::constant(algorithm.places as i64));
    let (Some(height), Some(width)) = (tiles(height), tiles(width)) else {
        let message = format!("{x} does not fall into tiles of {} places", algorithm.places);
        return Err(OpError::operand(0, message));
    };
    Ok(vec![x.with_shape(vec![n_products(&algorithm), batch.clone(), height, width, channels.clone()])])
}

fn infer_kernel(call: &Call) -> Result<Vec<Type>, OpError> {
    let (w, algorithm) = (call.operand(0), Algorithm::of(call)?);
    match w.shape.as_slice() {
        [out, channels, a, b] if [a, b].iter().all(|taps| taps.is(algorithm.taps as i64)) => {
            Ok(vec![w.with_shape(vec![n_products(&algorithm), out.clone(), channels.clone()])])
        }
        _ => Err(OpError::operand(0, format!("{w} is no kernel of {0} by {0} taps", algorithm.taps))),
    }
}

fn infer_result(call: &Call) -> Result<Vec<Type>, OpError> {
    let (y, algorithm) = (call.operand(0), Algorithm::of(call)?);
    match y.shape.as_slice() {
        [products, batch, height, width, channels] if *products == n_products(&algorithm) => {
            let [height, width] = [height, width].map(|tiles| tiles * algorithm.places as i64);
            Ok(vec![y.with_shape(vec![batch.clone(), height, width, channels.clone()])])
        }
        _ => Err(OpError::operand(0, format!("{y} does not hold {} products of tiles", n_products(&algorithm)))),
    }
}

fn n_products(algorithm: &Algorithm) -> Dim {
    Dim::constant((algorithm.n() * algorithm.n()) as i64)
}

fn nest_image(call: &Call) -> Nest {
    let (Ok(types), Ok(algorithm)) = (infer_image(call), Algorithm::of(call)) else { return Nest::pointwise(&[]) };
    let mut nest = Nest::pointwise(&types[0].shape);
    let at = |tile: usize, within: usize| &(&axis(tile) * algorithm.places as i64) + within as i64;
    let cell = |nest: &mut Nest, u: usize, v: usize| nest.load(0, vec![axis(1), at(2, u), at(3, v), axis(4)]);
    let products = two_sided(&mut nest, types[0].dtype, &algorithm.image(), &cell).concat();
    choose(&mut nest, axis(0), &products);
    nest
}

fn nest_kernel(call: &Call) -> Nest {
    let (Ok(types), Ok(algorithm)) = (infer_kernel(call), Algorithm::of(call)) else { return Nest::pointwise(&[]) };
    let mut nest = Nest::pointwise(&types[0].shape);
    let at = |tap: usize| Dim::constant(tap as i64);
    let cell = |nest: &mut Nest, u: usize, v: usize| nest.load(0, vec![axis(1), axis(2), at(u), at(v)]);
    let products = two_sided(&mut nest, types[0].dtype, &algorithm.kernel(), &cell).concat();
    choose(&mut nest, axis(0), &products);
    nest
}

fn nest_result(call: &Call) -> Nest {
    let (Ok(types), Ok(algorithm)) = (infer_result(call), Algorithm::of(call)) else { return Nest::pointwise(&[]) };
    let mut nest = Nest::pointwise(&types[0].shape);
    let places = Dim::constant(algorithm.places as i64);
    let [row, column] = [1, 2].map(|idx| axis(idx).floor_div(&places));
    let product = |u: usize, v: usize| Dim::constant((u * algorithm.n() + v) as i64);
    let cell = |nest: &mut Nest, u: usize, v: usize| {
        nest.load(0, vec![product(u, v), axis(0), row.clone(), column.clone(), axis(3)])
    };
    let rows = two_sided(&mut nest, types[0].dtype, &algorithm.result(), &cell);
    let rows: Vec<usize> = rows.iter().map(|row| choose(&mut nest, axis(2).modulo(&places), row)).collect();
    choose(&mut nest, axis(1).modulo(&places), &rows);
    nest
}

/// `M X Mᵀ`, for the `X` of these cells.
fn two_sided(
    nest: &mut Nest,
    dtype: DType,
    matrix: &Matrix,
    cell: &dyn Fn(&mut Nest, usize, usize) -> usize,
) -> Vec<Vec<usize>> {
    let n = matrix[0].len();
    let cells: Vec<Vec<usize>> = (0..n).map(|u| (0..n).map(|v| cell(nest, u, v)).collect()).collect();
    let column = |v: usize| cells.iter().map(|row| row[v]).collect::<Vec<usize>>();
    let columns: Vec<Vec<usize>> = (0..n).map(column).collect();
    let half = |nest: &mut Nest, row: &[f64]| columns.iter().map(|c| sum(nest, dtype, row, c)).collect::<Vec<usize>>();
    let halves: Vec<Vec<usize>> = matrix.iter().map(|row| half(nest, row)).collect();
    halves.iter().map(|half| matrix.iter().map(|row| sum(nest, dtype, row, half)).collect()).collect()
}

/// The sum of terms with these factors. What the rows of two opposite points have in common is written alike, so that it
/// is computed once: the sums of their terms and their differences, or those of even and of odd terms.
fn sum(nest: &mut Nest, dtype: DType, factors: &[f64], terms: &[usize]) -> usize {
    let with_factors: Vec<(f64, usize)> = factors.iter().copied().zip(terms.iter().copied()).collect();
    let pairs = with_factors.get(1..with_factors.len() - 1).unwrap_or_default();
    let is_paired = pairs.len() % 2 == 0 && pairs.chunks(2).all(|pair| pair[0].0.abs() == pair[1].0.abs());
    if is_paired && pairs.iter().any(|(factor, _)| *factor != 0.0) {
        let mut parts = vec![with_factors[0], with_factors[with_factors.len() - 1]];
        for pair in pairs.chunks(2) {
            let scalar = if pair[0].0 == pair[1].0 { Scalar::Add } else { Scalar::Sub };
            parts.push((pair[0].0, nest.apply(scalar, &[pair[0].1, pair[1].1])));
        }
        return chain(nest, dtype, parts);
    }
    let every = |from: usize| with_factors.iter().skip(from).step_by(2).copied().filter(|(f, _)| *f != 0.0);
    let (even, odd): (Vec<_>, Vec<_>) = (every(0).collect(), every(1).collect());
    if even.is_empty() || odd.is_empty() {
        return chain(nest, dtype, [even, odd].concat());
    }
    let is_negative = odd[0].0 < 0.0;
    let odd = odd.into_iter().map(|(factor, term)| (if is_negative { -factor } else { factor }, term)).collect();
    let (even, odd) = (chain(nest, dtype, even), chain(nest, dtype, odd));
    nest.apply(if is_negative { Scalar::Sub } else { Scalar::Add }, &[even, odd])
}

/// The sum, term by term, those without a factor first.
fn chain(nest: &mut Nest, dtype: DType, mut parts: Vec<(f64, usize)>) -> usize {
    parts.retain(|(factor, _)| *factor != 0.0);
    parts.sort_by_key(|(factor, _)| *factor != 1.0);
    let mut total = None;
    for (factor, term) in parts {
        let constant = |nest: &mut Nest| nest.constant(dtype, factor);
        total = Some(match (total, factor) {
            (None, 1.0) => term,
            (None, _) => {
                let factor = constant(nest);
                nest.apply(Scalar::Mul, &[term, factor])
            }
            (Some(sum), 1.0) => nest.apply(Scalar::Add, &[sum, term]),
            (Some(sum), -1.0) => nest.apply(Scalar::Sub, &[sum, term]),
            (Some(sum), _) => {
                let factor = constant(nest);
                nest.apply(Scalar::Fma, &[term, factor, sum])
            }
        });
    }
    total.unwrap_or_else(|| nest.constant(dtype, 0.0))
}

/// The option of this number.
fn choose(nest: &mut Nest, number: Dim, options: &[usize]) -> usize {
    let mut chosen = options[0];
    for (idx, &option) in options.iter().enumerate().skip(1) {
        let number = nest.push(ScalarNode::Index(number.clone()));
        let from = nest.constant(DType::I64, idx as f64);
        let test = nest.apply(Scalar::Ge, &[number, from]);
        chosen = nest.apply(Scalar::Select, &[test, option, chosen]);
    }
    chosen
}

/// Products of a cotangent with a matrix from both sides, as `pattern` says of the first: axes `i` and `j` become `u` and
/// `v`.
fn pulled(b: &mut Builder, x: Value, matrix: &Matrix, patterns: [&str; 2]) -> Built {
    let ty = b.type_of(x).clone();
    let tensor = Tensor::floats(ty.dtype, vec![matrix.len(), matrix[0].len()], matrix.concat());
    let matrix = b.apply(&constant::OP, &[], Attrs::none().with("value", std::sync::Arc::new(tensor)))?;
    let times = |b: &mut Builder, x: Value, pattern: &str| {
        b.apply(&contract::OP, &[x, matrix], Attrs::none().with("pattern", pattern))
    };
    let half = times(b, x, patterns[0])?;
    times(b, half, patterns[1])
}

/// The first axis of an operand, the products, as one for each matrix.
fn apart(b: &mut Builder, x: Value, algorithm: &Algorithm) -> Built {
    let n = Dim::constant(algorithm.n() as i64);
    let shape = [&[n.clone(), n], &b.shape_of(x)[1..]].concat();
    b.reshape(x, &shape)
}

fn gradient_kernel(b: &mut Builder, pull: &Pull) -> Cotangents {
    let algorithm = Algorithm::of(pull.call)?;
    let g = pull.cotangent()?;
    let g = apart(b, g, &algorithm)?;
    Ok(vec![Some(pulled(b, g, &algorithm.kernel(), ["i j o c, i u -> u j o c", "u j o c, j v -> o c u v"])?)])
}

fn gradient_result(b: &mut Builder, pull: &Pull) -> Cotangents {
    let algorithm = Algorithm::of(pull.call)?;
    let g = pull.cotangent()?;
    let places = Dim::constant(algorithm.places as i64);
    let [products, batch, height, width, channels] = pull.call.operand(0).shape.as_slice() else {
        return Err(OpError::operand(0, "there are no products of tiles"));
    };
    let tiles = [batch, height, &places, width, &places, channels].map(Dim::clone);
    let g = b.reshape(g, &tiles)?;
    let patterns = ["b h i w j c, i u -> u b h w j c", "u b h w j c, j v -> u v b h w c"];
    let g = pulled(b, g, &algorithm.result(), patterns)?;
    Ok(vec![Some(b.reshape(g, &[products, batch, height, width, channels].map(Dim::clone))?)])
}

fn gradient_image(b: &mut Builder, pull: &Pull) -> Cotangents {
    let algorithm = Algorithm::of(pull.call)?;
    let g = pull.cotangent()?;
    let g = apart(b, g, &algorithm)?;
    let patterns = ["i j b h w c, i u -> b h u j w c", "b h u j w c, j v -> b h u w v c"];
    let g = pulled(b, g, &algorithm.image(), patterns)?;
    let g = overlapped(b, g, 3, &algorithm)?;
    Ok(vec![Some(overlapped(b, g, 1, &algorithm)?)])
}

/// Adds up what tiles have at the same place: `[…, h, n, …]` becomes `[…, m h + r - 1, …]`.
fn overlapped(b: &mut Builder, x: Value, axis: usize, algorithm: &Algorithm) -> Built {
    let (m, n) = (algorithm.places as i64, algorithm.n() as i64);
    let padded = |b: &mut Builder, x: Value, axis: usize, low: i64, high: i64| {
        b.pad_axis(x, axis, Dim::constant(low), Dim::constant(high))
    };
    let n_parts = (n as u64).div_ceil(m as u64) as i64;
    let whole = padded(b, x, axis + 1, 0, n_parts * m - n)?;
    let mut sum = None;
    for part in 0..n_parts {
        let of_tiles = b.range(whole, axis + 1, Dim::constant(part * m), Dim::constant((part + 1) * m))?;
        let mut shape = b.shape_of(of_tiles);
        shape.remove(axis + 1);
        shape[axis] = &shape[axis] * m;
        let joined = b.reshape(of_tiles, &shape)?;
        let placed = padded(b, joined, axis, part * m, n - m - part * m)?;
        sum = Some(match sum {
            Some(sum) => b.add(sum, placed)?,
            None => placed,
        });
    }
    sum.ok_or_else(|| OpError::operand(0, "there are no tiles"))
}

/// An instance: the sizes of tiles and of channels, then the attributes.
fn sampled(sampler: &mut Sampler, shape: impl Fn(i64, i64, [i64; 4]) -> Vec<i64>) -> Sample {
    let (places, taps) = *sampler.pick(&[(2, 3), (4, 3), (2, 5), (3, 2)]);
    let sizes = [1, 2, 3, 4].map(|most| sampler.int(1, most));
    let shape = shape(places, taps, sizes).into_iter().map(Dim::constant).collect();
    Sample::floats(vec![shape], Attrs::none().with("places", places).with("taps", taps))
}

fn sample_image(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    sampled(sampler, |m, r, [b, h, w, c]| vec![b, m * h + r - 1, m * w + r - 1, c])
}

fn sample_kernel(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    sampled(sampler, |_, r, [_, o, _, c]| vec![o, c, r, r])
}

fn sample_result(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    sampled(sampler, |m, r, [b, h, w, c]| vec![(m + r - 1) * (m + r - 1), b, h, w, c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_those_of_sliding() {
        for (places, taps) in [(2, 3), (4, 3), (2, 5), (3, 2), (5, 2), (3, 4)] {
            let points = points(places, taps).expect("points");
            let algorithm = Algorithm { places: places as usize, taps: taps as usize, points };
            let x: Vec<f64> = (0..algorithm.n()).map(|idx| (idx as f64 * 1.7).sin()).collect();
            let w: Vec<f64> = (0..algorithm.taps).map(|idx| (idx as f64 * 2.3 + 1.0).cos()).collect();
            let times = |matrix: &Matrix, vector: &[f64]| -> Vec<f64> {
                matrix.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
            };
            let (image, kernel) = (times(&algorithm.image(), &x), times(&algorithm.kernel(), &w));
            let products: Vec<f64> = image.iter().zip(&kernel).map(|(a, b)| a * b).collect();
            for (place, found) in times(&algorithm.result(), &products).into_iter().enumerate() {
                let wanted: f64 = w.iter().enumerate().map(|(tap, w)| w * x[place + tap]).sum();
                assert!((found - wanted).abs() < 1e-12, "{places} of {taps}: {found} {wanted}");
            }
        }
    }
}
