//! The elements of an axis at new positions, and what lies between them.

use super::Stretch;
use crate::graph::{Attrs, Builder, DType, Dim, Value};
use crate::ops::formula::Built;
use crate::ops::gather;

/// How much a cubic curve bends, as PyTorch has it.
const BEND: f64 = -0.75;

/// The element that each new one lies in.
pub fn nearest(b: &mut Builder, x: Value, stretch: &Stretch) -> Built {
    if let Some((factor, 1)) = stretch.factor {
        return repeat(b, x, stretch.axis, factor);
    }
    let step = b.position(std::slice::from_ref(&stretch.new), 0)?;
    let (old, new) = match stretch.factor {
        Some((scale, per)) => (b.number(per as f64, step)?, b.number(scale as f64, step)?),
        None => (b.size_like(&stretch.old, step)?, b.size_like(&stretch.new, step)?),
    };
    let scaled = b.mul(step, old)?;
    let at = b.floor_div(scaled, new)?;
    let at = within(b, at, &stretch.old)?;
    take(b, x, at, stretch.axis)
}

/// Each element along an axis, several times.
fn repeat(b: &mut Builder, x: Value, axis: usize, factor: i64) -> Built {
    let shape = b.shape_of(x);
    let mut apart = shape.clone();
    apart.insert(axis + 1, Dim::constant(1));
    let x = b.reshape(x, &apart)?;
    apart[axis + 1] = Dim::constant(factor);
    let x = b.broadcast(x, &apart)?;
    let mut joined = shape;
    joined[axis] = &joined[axis] * factor;
    b.reshape(x, &joined)
}

/// Along an axis, the elements on both sides of each new position, weighted by their nearness.
pub fn bilinear(b: &mut Builder, x: Value, stretch: &Stretch, align_corners: bool) -> Built {
    let at = positions(b, x, stretch, align_corners)?;
    let at = b.max_number(at, 0.0)?;
    let (low, share) = apart(b, at)?;
    let low = within(b, low, &stretch.old)?;
    let high = b.add_number(low, 1.0)?;
    let high = within(b, high, &stretch.old)?;
    let (below, above) = (take(b, x, low, stretch.axis)?, take(b, x, high, stretch.axis)?);
    let share = spread(b, share, below, stretch)?;
    let difference = b.sub(above, below)?;
    let part = b.mul(share, difference)?;
    b.add(below, part)
}

/// Along an axis, the two elements on each side of each new position, on a cubic curve; what lies outside is what the edge
/// is.
pub fn bicubic(b: &mut Builder, x: Value, stretch: &Stretch, align_corners: bool) -> Built {
    let at = positions(b, x, stretch, align_corners)?;
    let (low, share) = apart(b, at)?;
    let mut sum = None;
    for tap in 0..4 {
        let place = b.add_number(low, f64::from(tap) - 1.0)?;
        let place = b.max_number(place, 0.0)?;
        let place = within(b, place, &stretch.old)?;
        let element = take(b, x, place, stretch.axis)?;
        let weight = weight(b, share, tap)?;
        let weight = spread(b, weight, element, stretch)?;
        let part = b.mul(weight, element)?;
        sum = Some(match sum {
            Some(sum) => b.add(sum, part)?,
            None => part,
        });
    }
    sum.map_or(Ok(x), Ok)
}

/// How much one of the four elements around a position counts, `share` being how far it is from the second of them.
fn weight(b: &mut Builder, share: Value, tap: i32) -> Built {
    let distance = match tap {
        0 => b.add_number(share, 1.0)?,
        1 => share,
        _ => {
            let back = b.neg(share)?;
            b.add_number(back, f64::from(tap) - 1.0)?
        }
    };
    // Both pieces of the curve, highest power first.
    let powers = match tap {
        1 | 2 => [BEND + 2.0, -(BEND + 3.0), 0.0, 1.0],
        _ => [BEND, -5.0 * BEND, 8.0 * BEND, -4.0 * BEND],
    };
    let mut sum = b.number(powers[0], distance)?;
    for power in &powers[1..] {
        let product = b.mul(sum, distance)?;
        sum = b.add_number(product, *power)?;
    }
    Ok(sum)
}

/// Where the new elements of an axis lie between the old ones.
fn positions(b: &mut Builder, x: Value, stretch: &Stretch, align_corners: bool) -> Built {
    let Stretch { old, new, factor, .. } = stretch;
    let dtype = b.type_of(x).dtype;
    let step = b.position(std::slice::from_ref(new), 0)?;
    let step = b.cast(step, dtype)?;
    if align_corners {
        let (last_old, last_new) = (b.size_like(&(old - 1), step)?, b.size_like(&(new - 1), step)?);
        // One element lies where the first one does.
        let last_new = b.max_number(last_new, 1.0)?;
        let scaled = b.mul(step, last_old)?;
        return b.div(scaled, last_new);
    }
    let middle = b.add_number(step, 0.5)?;
    let scaled = match (factor, old.as_constant().zip(new.as_constant())) {
        (Some((scale, per)), _) => b.mul_number(middle, *per as f64 / *scale as f64)?,
        (None, Some((old, new))) => b.mul_number(middle, old as f64 / new as f64)?,
        (None, None) => {
            let (old, new) = (b.size_like(old, middle)?, b.size_like(new, middle)?);
            let ratio = b.div(old, new)?;
            b.mul(middle, ratio)?
        }
    };
    b.add_number(scaled, -0.5)
}

/// The element at or before each position, and how far behind it the position is.
fn apart(b: &mut Builder, at: Value) -> Result<(Value, Value), crate::graph::OpError> {
    let low = b.floor(at)?;
    let share = b.sub(at, low)?;
    Ok((b.cast(low, DType::I64)?, share))
}

/// Positions up to the last of an axis.
fn within(b: &mut Builder, at: Value, size: &Dim) -> Built {
    let last = b.size_like(&(size - 1), at)?;
    b.min(at, last)
}

/// A number for each place along the axis, for each element.
fn spread(b: &mut Builder, numbers: Value, like: Value, stretch: &Stretch) -> Built {
    let shape = b.shape_of(like);
    let mut column = vec![Dim::constant(1); shape.len() - stretch.axis];
    column[0] = stretch.new.clone();
    let numbers = b.reshape(numbers, &column)?;
    b.broadcast(numbers, &shape)
}

/// The elements at some positions along one axis.
fn take(b: &mut Builder, x: Value, positions: Value, axis: usize) -> Built {
    let names = |at: &str| {
        (0..b.shape_of(x).len())
            .map(|idx| if idx == axis { at.into() } else { format!("a{idx}") })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let text = format!("{}, n -> {}", names("[n]"), names("n"));
    b.apply(&gather::OP, &[x, positions], Attrs::none().with("pattern", text))
}
