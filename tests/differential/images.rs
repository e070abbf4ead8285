//! Random images and what slides over them: convolutions, depthwise among them, pooling, sums over positions, channel
//! shuffles and group means, with channels second or last.

use tilewright::compiler::graph::{Attrs, DType, Dim, Role, Sampler, Type, Value};

use super::grow::{Garden, Known};
use super::values::DEFAULT_DOMAIN;

const FUNCTIONS: &[&str] = &["relu", "tanh", "neg", "square"];
const POOLS: &[&str] = &["max_pool", "avg_pool"];
const REDUCTIONS: &[&str] = &["mean", "reduce_max", "reduce_sum"];

/// Adds a small network over an image; leaves the graph as it was if that does not work out.
pub fn grow(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    garden.attempt(|garden| match sampler.int(0, 7) {
        0 => wide(garden, sampler),
        _ => network(garden, sampler),
    })
}

/// A convolution with a weight that is large enough to be taken tile by tile, and what may follow in its kernel. What is
/// infinite spreads over tiles.
fn wide(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    if garden.is_region || garden.has_specials {
        return None;
    }
    let (channels, out) = (*sampler.pick(&[32, 40]), *sampler.pick(&[32, 35]));
    let [height, width] = [sampler.int(11, 17), sampler.int(11, 17)];
    let taps = *sampler.pick(&[3, 3, 3, 5]);
    let mut argument = |letter: &str, role: Role, shape: [i64; 4]| {
        garden.argument(&Type::new(DType::Real, shape.map(Dim::constant).to_vec()), DEFAULT_DOMAIN, letter, role)
    };
    let x = argument("x", Role::Data, [1, channels, height, width])?;
    let w = argument("w", Role::Param, [out, channels, taps, taps])?;
    let padding = vec![Dim::constant(sampler.int(0, taps / 2)); 2];
    let attrs = Attrs::none().with("low", padding.clone()).with("high", padding);
    let mut y = garden.derive("convolve", &[x, w], &attrs)?;
    if sampler.flip() {
        y = garden.derive(*sampler.pick(FUNCTIONS), &[y], &Attrs::none())?;
    }
    Some(vec![y.value])
}

fn network(garden: &mut Garden, sampler: &mut Sampler) -> Option<Vec<Value>> {
    let batch = garden.open_size(sampler).unwrap_or_else(|| Dim::constant(sampler.int(1, 2)));
    let channels = *sampler.pick(&[1, 2, 4, 6, 16, 20]);
    let [height, width] = [sampler.int(3, 9), sampler.int(3, 12)];
    let shape = [vec![batch], [channels, height, width].map(Dim::constant).to_vec()].concat();
    let dtype = *sampler.pick(&[DType::Real, DType::F32]);
    let mut x = garden.find_or_make(sampler, &Type::new(dtype, shape), DEFAULT_DOMAIN)?;
    for _ in 0..sampler.int(1, 3) {
        x = match sampler.int(0, 6) {
            0 | 1 => convolution(garden, sampler, &x)?,
            2 | 3 => pool(garden, sampler, &x)?,
            4 => shuffle(garden, sampler, &x)?,
            5 => centred(garden, sampler, &x)?,
            _ => garden.derive(*sampler.pick(FUNCTIONS), &[x], &Attrs::none())?,
        };
    }
    if sampler.int(0, 2) == 0 {
        let attrs = Attrs::none().with("axes", vec![2, 3]).with("keep", sampler.flip());
        x = garden.derive(*sampler.pick(REDUCTIONS), &[x], &attrs)?;
    }
    Some(vec![x.value])
}

fn n_channels(garden: &Garden, x: &Known) -> Option<i64> {
    garden.graph.type_of(x.value).shape[1].as_constant()
}

/// Depthwise, in groups, or whole.
fn convolution(garden: &mut Garden, sampler: &mut Sampler, x: &Known) -> Option<Known> {
    let channels = n_channels(garden, x)?;
    let groups = match sampler.int(0, 3) {
        0 | 1 => channels,
        2 if channels % 2 == 0 => 2,
        _ => 1,
    };
    let out = if groups == channels { channels } else { groups * sampler.int(1, 9) };
    let window = [sampler.int(1, 3), sampler.int(1, 5)];
    let shape = [out, channels / groups, window[0], window[1]].map(Dim::constant).to_vec();
    let ty = Type::new(garden.graph.type_of(x.value).dtype, shape);
    let w = garden.find_or_make(sampler, &ty, DEFAULT_DOMAIN)?;
    let padding = window.map(|size| Dim::constant(sampler.int(0, size / 2))).to_vec();
    let attrs = Attrs::none().with("stride", vec![sampler.int(1, 2), sampler.int(1, 2)]).with("groups", groups);
    garden.derive("convolve", &[x.clone(), w], &attrs.with("low", padding.clone()).with("high", padding))
}

fn pool(garden: &mut Garden, sampler: &mut Sampler, x: &Known) -> Option<Known> {
    let size = vec![sampler.int(1, 3), sampler.int(2, 3)];
    let padding: Vec<Dim> = size.iter().map(|size| Dim::constant(sampler.int(0, size / 2))).collect();
    let attrs = Attrs::none().with("stride", vec![sampler.int(1, 2), sampler.int(1, 3)]).with("size", size);
    garden.derive(*sampler.pick(POOLS), &[x.clone()], &attrs.with("low", padding.clone()).with("high", padding))
}

/// Channels in groups, with groups and channels exchanged.
fn shuffle(garden: &mut Garden, sampler: &mut Sampler, x: &Known) -> Option<Known> {
    let shape = garden.graph.type_of(x.value).shape.clone();
    let groups = *sampler.pick(&[1, 2]);
    let channels = n_channels(garden, x).filter(|channels| channels % groups == 0)?;
    let sizes = |first: i64, second: i64| {
        let split = [first, second].map(Dim::constant);
        [&shape[..1], &split, &shape[2..]].concat()
    };
    let split =
        garden.derive("reshape", &[x.clone()], &Attrs::none().with("shape", sizes(groups, channels / groups)))?;
    let axes = if sampler.int(0, 4) == 0 { vec![0, 2, 1, 4, 3] } else { vec![0, 2, 1, 3, 4] };
    let turned = garden.derive("permute", &[split], &Attrs::none().with("axes", axes.clone()))?;
    let is_upright = axes[3] == 4;
    let shape = if is_upright { [&shape[..2], &[shape[3].clone(), shape[2].clone()]].concat() } else { shape };
    garden.derive("reshape", &[turned], &Attrs::none().with("shape", shape))
}

/// Less the mean of its group of channels, as group norms begin.
fn centred(garden: &mut Garden, sampler: &mut Sampler, x: &Known) -> Option<Known> {
    let shape = garden.graph.type_of(x.value).shape.clone();
    let groups = *sampler.pick(&[1, 2]);
    let channels = n_channels(garden, x).filter(|channels| channels % groups == 0)?;
    let split = [&shape[..1], &[groups, channels / groups].map(Dim::constant), &shape[2..]].concat();
    let full = Attrs::none().with("shape", split);
    let x = garden.derive("reshape", &[x.clone()], &full)?;
    let along = Attrs::none().with("axes", vec![2, 3, 4]).with("keep", true);
    let mean = garden.derive(*sampler.pick(REDUCTIONS), &[x.clone()], &along)?;
    let mean = garden.derive("broadcast", &[mean], &full)?;
    let centred = garden.derive("sub", &[x, mean], &Attrs::none())?;
    garden.derive("reshape", &[centred], &Attrs::none().with("shape", shape))
}
