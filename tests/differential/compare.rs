//! When a result counts as equal to the reference: as near as the noisy runs are, with a margin.
//!
//! Invariant: what the noise moves by more than a twentieth, or across a jump, is skipped and counted as such.

use tilewright::compiler::graph::Tensor;

/// Noise of one rounding is assumed everywhere at once; what remains is for sums in another order.
const MARGIN: f64 = 6.0;
const RELATIVE: f64 = 1e-5;
const UNSTABLE: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    Skipped,
    Exact,
    Within(f64),
}

#[derive(Clone)]
pub struct Expected {
    pub name: String,
    pub tensor: Tensor,
    pub tolerance: Tolerance,
}

/// The tolerance of a tensor, given others that should be the same.
pub fn tolerance(tensor: &Tensor, noisy: &[&Tensor]) -> Tolerance {
    let Some(values) = tensor.as_floats() else {
        let same = noisy.iter().all(|other| other.as_ints() == tensor.as_ints());
        return if same { Tolerance::Exact } else { Tolerance::Skipped };
    };
    let (mut largest, mut deviation) = (0.0f64, 0.0f64);
    for (idx, &value) in values.iter().enumerate() {
        let others = noisy.iter().map(|other| other.float_at(idx));
        if value.is_finite() {
            largest = largest.max(value.abs());
            // `max` passes over NaN, which is as far away as can be.
            let distance = |other: f64| if other.is_nan() { f64::INFINITY } else { (other - value).abs() };
            deviation = others.fold(deviation, |worst, other| worst.max(distance(other)));
        } else if others
            .into_iter()
            .any(|other| other.to_bits() != value.to_bits() && !(other.is_nan() && value.is_nan()))
        {
            return Tolerance::Skipped;
        }
    }
    let bound = MARGIN * deviation + RELATIVE * largest + 1e-30;
    match deviation.is_finite() && largest < 1e30 && MARGIN * deviation <= UNSTABLE * largest {
        true => Tolerance::Within(bound),
        false => Tolerance::Skipped,
    }
}

/// How `found` differs from what is expected, if it does.
pub fn difference(expected: &Expected, found: &Tensor) -> Option<String> {
    let Expected { name, tensor, tolerance } = expected;
    if tensor.shape != found.shape {
        return Some(format!("`{name}` has the shape {:?}, not {:?}", found.shape, tensor.shape));
    }
    let agrees = |a: f64, b: f64| match tolerance {
        Tolerance::Skipped => true,
        Tolerance::Exact => a == b,
        Tolerance::Within(bound) => a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= *bound,
    };
    let exact = |idx: usize| tensor.as_ints().is_some_and(|ints| ints[idx] == found.int_at(idx));
    let wrong: Vec<usize> = (0..tensor.n_elements())
        .filter(|&idx| !agrees(tensor.float_at(idx), found.float_at(idx)))
        .filter(|&idx| !exact(idx))
        .collect();
    let &first = wrong.first()?;
    let (n, of) = (wrong.len(), tensor.n_elements());
    let (wanted, got) = (tensor.float_at(first), found.float_at(first));
    Some(format!("`{name}`: {n} of {of} elements differ, first {first}: {got} and not {wanted} ({tolerance:?})"))
}
