//! Keeps images with their channels last, as kernels want them: neighbours along the channels lie side by side.
//!
//! ```text
//! convolve(x, w)        =>   C(convolve(L(x), w) {channels_last})       L(x) = permute(x, 0 2 3 .. 1), C = L⁻¹
//! f(C(x), C(y), z)      =>   C(f(x, y, L(z)))                           f elementwise
//! op(C(x)) {axes}       =>   C(op(x) {L axes})                          window, pad, concat, slice, reshape, reductions
//! concat(x, y)          =>   C(concat(L(x), L(y)) {L axes})             read by a convolution
//! ```
//! and `L(C(x)) = x`. Each is exact. What else reads an image reads `C(x)`, which is movement in its own kernel. A
//! padding that a convolution would test for at each product becomes a `pad` of its own.

use rustc_hash::{FxHashMap, FxHashSet};

use super::facts::is_elementwise;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce, op};
use crate::graph::{Attr, Attrs, Dim, Graph, NodeId, OpError, Origin, Value};

pub static PASS: Pass = Pass { name: "layout", doc: "Keeps images with their channels last.", run };

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let live = Rebuild::live(graph);
    let wanted = wanted(graph, &live);
    let mut images = Images { rebuild: Rebuild::new(graph), last: FxHashMap::default(), wanted };
    for id in live {
        let node = graph.node(id);
        let regions: Vec<Graph> = node.regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        let moved = images.moved(id).map_err(PassError::at(PASS.name, &node.origin))?;
        if !moved {
            images.show_operands(id).map_err(PassError::at(PASS.name, &node.origin))?;
            images.rebuild.copy(id, regions);
        }
    }
    for output in graph.outputs() {
        images.shown(output.value, &Origin::default()).map_err(PassError::at(PASS.name, &Origin::default()))?;
    }
    (dce::PASS.run)(&images.rebuild.finish(), context)
}

/// How an op with channels last differs from the same op with channels second.
enum Move {
    /// All operands and the result are images.
    Elementwise,
    /// All operands and the result are images; attributes that name axes, and those with an entry for each axis, follow.
    Axes { named: &'static [&'static str], each: &'static [&'static str] },
    /// The same where `keep` says that the reduced axes stay.
    Reduction,
    /// An op over spatial axes that knows of layouts.
    Spatial,
    /// Where batch and channels stay axes of their own.
    Shape,
}

/// Ops that move; the others read their operands as they were.
#[rustfmt::skip]
static MOVES: &[(&str, Move)] = &[
    ("convolve", Move::Spatial),
    ("window", Move::Spatial),
    ("concat", Move::Axes { named: &["axis"], each: &[] }),
    ("pad", Move::Axes { named: &[], each: &["low", "high"] }),
    ("slice", Move::Axes { named: &[], each: &["starts", "stops", "steps"] }),
    ("reshape", Move::Shape),
    ("broadcast", Move::Axes { named: &[], each: &["shape"] }),
    ("reduce_sum", Move::Reduction),
    ("reduce_max", Move::Reduction),
];

/// What convolutions read that is put together: better in their order from the start than turned when it is done.
fn wanted(graph: &Graph, live: &[NodeId]) -> FxHashSet<NodeId> {
    let starts = |&&id: &&NodeId| {
        let node = graph.node(id);
        node.op.name == "convolve" && node.types[0].rank() > 2 && node.attrs.get("channels_last").is_none()
    };
    let images = live.iter().filter(starts).map(|&id| graph.operands(id)[0].node);
    images.filter(|&id| graph.node(id).op.name == "concat").collect()
}

struct Images<'g> {
    rebuild: Rebuild<'g>,
    wanted: FxHashSet<NodeId>,
    /// Old values that are kept with channels last; their old order is made when something asks for it.
    last: FxHashMap<Value, Value>,
}

impl Images<'_> {
    /// Rebuilds a node with channels last, if it is one that moves.
    fn moved(&mut self, id: NodeId) -> Result<bool, OpError> {
        let graph = self.rebuild.old;
        let node = graph.node(id);
        let rank = node.types[0].rank();
        let operands = graph.operands(id);
        let is_image = |value: &Value| self.last.contains_key(value);
        let kind = match MOVES.iter().find(|(name, _)| *name == node.op.name) {
            Some((_, kind)) => kind,
            None if is_elementwise(graph, id) => &Move::Elementwise,
            None => return Ok(false),
        };
        if node.attrs.get("channels_last").is_some() {
            return Ok(false);
        }
        let starts = node.op.name == "convolve" && rank > 2 || self.wanted.contains(&id);
        if !(starts || operands.iter().any(is_image)) || rank < 3 {
            return Ok(false);
        }
        let attrs = match kind {
            Move::Elementwise => node.attrs.clone(),
            Move::Shape => match shape_moved(&graph.type_of(operands[0]).shape, &node.types[0].shape) {
                Some(attrs) => attrs,
                None => return Ok(false),
            },
            _ if operands.iter().any(|&operand| graph.type_of(operand).rank() != rank) => return Ok(false),
            Move::Axes { named, each } => axes_moved(&node.attrs, rank, named, each),
            Move::Reduction if !node.attrs.bool("keep") => return Ok(false),
            Move::Reduction => axes_moved(&node.attrs, rank, &["axes"], &[]),
            Move::Spatial if spatial_rank(graph, id) != Some(rank) => return Ok(false),
            Move::Spatial => node.attrs.clone().with("channels_last", true),
        };
        let origin = &node.origin;
        let mut images = Vec::with_capacity(operands.len());
        for (idx, &operand) in operands.iter().enumerate() {
            let is_kernel = node.op.name == "convolve" && idx == 1;
            images.push(if is_kernel { self.shown(operand, origin)? } else { self.image(operand, origin)? });
        }
        let (mut attrs, mut x) = (attrs, images[0]);
        if node.op.name == "convolve" {
            (attrs, x) = self.padded(attrs, x, origin)?;
            images[0] = x;
        }
        let new = self.rebuild.new.apply(node.op, &images, &attrs, Vec::new(), origin)?;
        self.last.insert(Value { node: id, result: 0 }, Value { node: new, result: 0 });
        Ok(true)
    }

    /// The zeros around a convolution's image as an op of their own.
    fn padded(&mut self, attrs: Attrs, x: Value, origin: &Origin) -> Result<(Attrs, Value), OpError> {
        let bounds = |name: &str| match attrs.get(name) {
            Some(_) => attrs.dims(name),
            None => Vec::new(),
        };
        let is_spread = attrs.get("base_dilation").is_some() && attrs.ints("base_dilation").iter().any(|&n| n > 1);
        let (low, high) = (bounds("low"), bounds("high"));
        let nowhere = |dims: &[Dim]| dims.iter().all(|dim| dim.is(0));
        if is_spread || nowhere(&low) && nowhere(&high) {
            return Ok((attrs, x));
        }
        let n_axes = self.rebuild.new.type_of(x).rank() - 2;
        let around = |dims: Vec<Dim>| {
            let mut all = vec![Dim::constant(0); n_axes + 2];
            dims.into_iter().enumerate().for_each(|(axis, dim)| all[axis + 1] = dim);
            all
        };
        let (whole, order) = self.before_turns(x);
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        let [low, high] = [low, high].map(|dims| in_order(&around(dims), &back));
        let pad = Attrs::none().with("low", low).with("high", high).with("value", 0.0);
        let node = self.rebuild.new.apply(op("pad")?, &[whole], &pad, Vec::new(), origin)?;
        let mut x = Value { node, result: 0 };
        if !order.is_sorted() {
            x = self.permuted(x, &order, origin)?;
        }
        let zeros = vec![Dim::constant(0); n_axes];
        Ok((attrs.with("low", zeros.clone()).with("high", zeros), x))
    }

    /// A new value before its axes were permuted, and in which order they are now. Padding that, the convolution reads
    /// an image where it lies, and the one that padded it before reads the same.
    fn before_turns(&self, turned: Value) -> (Value, Vec<usize>) {
        let (graph, mut x) = (&self.rebuild.new, turned);
        let mut order: Vec<usize> = (0..graph.type_of(x).rank()).collect();
        while graph.node(x.node).op.name == "permute" {
            let axes = graph.node(x.node).attrs.ints("axes");
            order.iter_mut().for_each(|axis| *axis = axes[*axis] as usize);
            x = graph.operands(x.node)[0];
        }
        // What has its channels second is better turned and padded at once.
        if order == to_last(order.len()) { (turned, (0..order.len()).collect()) } else { (x, order) }
    }

    /// An old value with its channels last.
    fn image(&mut self, value: Value, origin: &Origin) -> Result<Value, OpError> {
        if let Some(&image) = self.last.get(&value) {
            return Ok(image);
        }
        let shown = self.rebuild.get(value);
        let rank = self.rebuild.new.type_of(shown).rank();
        self.permuted(shown, &to_last(rank), origin)
    }

    fn permuted(&mut self, value: Value, axes: &[usize], origin: &Origin) -> Result<Value, OpError> {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let attrs = Attrs::none().with("axes", axes);
        let node = self.rebuild.new.apply(op("permute")?, &[value], &attrs, Vec::new(), origin)?;
        Ok(Value { node, result: 0 })
    }

    /// An old value in its old order.
    fn shown(&mut self, value: Value, origin: &Origin) -> Result<Value, OpError> {
        if let Some(&image) = self.last.get(&value)
            && self.rebuild.is_unset(value.node)
        {
            let rank = self.rebuild.new.type_of(image).rank();
            let shown = self.permuted(image, &to_second(rank), origin)?;
            self.rebuild.set(value.node, vec![shown]);
        }
        Ok(self.rebuild.get(value))
    }

    fn show_operands(&mut self, id: NodeId) -> Result<(), OpError> {
        let origin = self.rebuild.old.node(id).origin.clone();
        for operand in self.rebuild.old.operands(id) {
            self.shown(operand, &origin)?;
        }
        Ok(())
    }
}

/// The rank of an op over spatial axes whose operand is [batch, channels, spatial axes].
fn spatial_rank(graph: &Graph, id: NodeId) -> Option<usize> {
    let node = graph.node(id);
    match node.op.name {
        "window" => Some(node.attrs.ints("size").len() + 2),
        _ => Some(node.types[0].rank()),
    }
}

/// A reshape with the channels last, if it leaves the first two axes as they are.
fn shape_moved(from: &[Dim], to: &[Dim]) -> Option<Attrs> {
    let is_image = from.len() > 2 && to.len() > 2 && from[..2] == to[..2];
    is_image.then(|| Attrs::none().with("shape", in_order(to, &to_last(to.len()))))
}

fn axes_moved(attrs: &Attrs, rank: usize, named: &[&'static str], each: &[&'static str]) -> Attrs {
    let mut moved = attrs.clone();
    let order = to_last(rank);
    let new = |axis: i64| {
        let axis = if axis < 0 { axis + rank as i64 } else { axis };
        order.iter().position(|&from| from as i64 == axis).unwrap_or(0) as i64
    };
    for &name in named {
        match attrs.get(name) {
            Some(Attr::Int(axis)) => moved.set(name, new(*axis).into()),
            Some(Attr::Ints(axes)) => {
                let mut axes: Vec<i64> = axes.iter().map(|&axis| new(axis)).collect();
                axes.sort_unstable();
                moved.set(name, axes.into());
            }
            _ => {}
        }
    }
    for &name in each {
        match attrs.get(name) {
            Some(Attr::Dims(dims)) => moved.set(name, in_order(dims, &order).into()),
            Some(Attr::Ints(ints)) => moved.set(name, in_order(ints, &order).into()),
            _ => {}
        }
    }
    moved
}

fn in_order<T: Clone>(entries: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|&from| entries[from].clone()).collect()
}

/// `[n, c, ..]` as `[n, .., c]`.
fn to_last(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

/// `[n, .., c]` as `[n, c, ..]`.
fn to_second(rank: usize) -> Vec<usize> {
    [0, rank - 1].into_iter().chain(1..rank - 1).collect()
}
