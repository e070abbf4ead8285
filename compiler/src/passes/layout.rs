//! Keeps images with their channels last, as kernels want them: neighbours along the channels lie side by side.
//!
//! ```text
//! convolve(x, w)        =>   C(convolve(L(x), w) {channels_last})       L(x) = permute(x, 0 2 3 .. 1), C = L⁻¹
//! f(C(x), C(y), z)      =>   C(f(x, y, L(z)))                           f elementwise
//! op(C(x)) {axes}       =>   C(op(x) {L axes})                          window, pad, concat, slice, reductions
//! split(C(x))           =>   C(split(x))                                reshape and permute among channel axes, reshape
//!                                                                       among spatial axes
//! concat(x, y)          =>   C(concat(L(x), L(y)) {L axes})             read by a convolution
//! ```
//! and `L(C(x)) = x`. Each is exact, but for a sum over positions and over channels of a group, which becomes two: the
//! first runs along whole rows of channels. What else reads an image reads `C(x)`, which is movement in its own kernel. A
//! padding that a convolution would test for at each product becomes a `pad` of its own. Convolutions of few channels at a
//! time, or of one position at a time, keep their image as it lies where they stand alone (`lone`).

mod lone;
mod order;

use rustc_hash::{FxHashMap, FxHashSet};

use self::order::Order;
use super::facts::is_elementwise;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce, op};
use crate::graph::{Attrs, Dim, Graph, NodeId, OpError, Origin, Value};

pub static PASS: Pass = Pass { name: "layout", doc: "Keeps images with their channels last.", run };

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let live = Rebuild::live(graph);
    let lone = if context.masks { lone::lone(graph, &live) } else { FxHashSet::default() };
    let wanted = wanted(graph, &live, &lone);
    let mut images = Images { rebuild: Rebuild::new(graph), last: FxHashMap::default(), wanted, lone };
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
    /// Where it splits or merges channels only, or spatial axes only.
    Split,
    /// Where it permutes channel axes only.
    Shuffle,
}

/// Ops that move; the others read their operands as they were.
#[rustfmt::skip]
static MOVES: &[(&str, Move)] = &[
    ("convolve", Move::Spatial),
    ("window", Move::Spatial),
    ("concat", Move::Axes { named: &["axis"], each: &[] }),
    ("pad", Move::Axes { named: &[], each: &["low", "high"] }),
    ("slice", Move::Axes { named: &[], each: &["starts", "stops", "steps"] }),
    ("broadcast", Move::Axes { named: &[], each: &["shape"] }),
    ("reduce_sum", Move::Reduction),
    ("reduce_max", Move::Reduction),
    ("reshape", Move::Split),
    ("permute", Move::Shuffle),
];

/// What convolutions read that is put together: better in their order from the start than turned when it is done.
fn wanted(graph: &Graph, live: &[NodeId], lone: &FxHashSet<NodeId>) -> FxHashSet<NodeId> {
    let starts = |&&id: &&NodeId| {
        let node = graph.node(id);
        let is_image = node.op.name == "convolve" && node.types[0].rank() > 2;
        is_image && node.attrs.get("channels_last").is_none() && !lone.contains(&id)
    };
    let images = live.iter().filter(starts).map(|&id| graph.operands(id)[0].node);
    images.filter(|&id| graph.node(id).op.name == "concat").collect()
}

struct Images<'g> {
    rebuild: Rebuild<'g>,
    wanted: FxHashSet<NodeId>,
    lone: FxHashSet<NodeId>,
    /// Old values that are kept with channels last, and how; their old order is made when something asks for it.
    last: FxHashMap<Value, (Value, Order)>,
}

impl Images<'_> {
    /// Rebuilds a node with channels last, if it is one that moves.
    fn moved(&mut self, id: NodeId) -> Result<bool, OpError> {
        let graph = self.rebuild.old;
        let node = graph.node(id);
        let rank = node.types[0].rank();
        let operands = graph.operands(id);
        let kind = match MOVES.iter().find(|(name, _)| *name == node.op.name) {
            Some((_, kind)) => kind,
            None if is_elementwise(graph, id) => &Move::Elementwise,
            None => return Ok(false),
        };
        if node.attrs.get("channels_last").is_some() {
            return Ok(false);
        }
        let starts = node.op.name == "convolve" && rank > 2 && !self.lone.contains(&id) || self.wanted.contains(&id);
        let has = operands.iter().find_map(|operand| self.last.get(operand)).map(|(_, order)| *order);
        let order = if starts { Some(Order::of_image(rank)) } else { has };
        let Some(order) = order else { return Ok(false) };
        let attrs = match kind {
            Move::Split => return self.split(id, order),
            Move::Shuffle => return self.shuffled(id, order),
            _ if rank < 3 || rank != order.rank => return Ok(false),
            _ if operands.iter().any(|&operand| graph.type_of(operand).rank() != rank) => return Ok(false),
            Move::Elementwise => node.attrs.clone(),
            Move::Axes { named, each } => order.moved(&node.attrs, named, each),
            Move::Reduction if !node.attrs.bool("keep") => return Ok(false),
            Move::Reduction => return self.reduced(id, order),
            Move::Spatial if order.channels > 1 || spatial_rank(graph, id) != Some(rank) => return Ok(false),
            Move::Spatial => node.attrs.clone().with("channels_last", true),
        };
        let origin = &node.origin;
        let mut images = Vec::with_capacity(operands.len());
        for (idx, &operand) in operands.iter().enumerate() {
            let is_kernel = node.op.name == "convolve" && idx == 1;
            images.push(if is_kernel { self.shown(operand, origin)? } else { self.image(operand, order, origin)? });
        }
        let (mut attrs, mut x) = (attrs, images[0]);
        if node.op.name == "convolve" {
            (attrs, x) = self.padded(attrs, x, origin)?;
            images[0] = x;
        }
        self.keep(id, &images, &attrs, order)?;
        Ok(true)
    }

    /// Applies a node's op to images, for a result with channels last.
    fn keep(&mut self, id: NodeId, images: &[Value], attrs: &Attrs, order: Order) -> Result<Value, OpError> {
        let node = self.rebuild.old.node(id);
        let new = Value { node: self.rebuild.new.apply(node.op, images, attrs, Vec::new(), &node.origin)?, result: 0 };
        self.last.insert(Value { node: id, result: 0 }, (new, order));
        Ok(new)
    }

    /// A reshape that leaves all but the channels as it is, or batch and channels.
    fn split(&mut self, id: NodeId, order: Order) -> Result<bool, OpError> {
        let graph = self.rebuild.old;
        let from = &graph.type_of(graph.operands(id)[0]).shape;
        let to = &graph.node(id).types[0].shape;
        let Some(split) = order.split(from, to).or_else(|| order.reshaped(from, to)) else { return Ok(false) };
        let x = self.image(graph.operands(id)[0], order, &graph.node(id).origin)?;
        let attrs = split.moved(&graph.node(id).attrs, &[], &["shape"]);
        self.keep(id, &[x], &attrs, split)?;
        Ok(true)
    }

    /// A permutation that leaves all but the channels where they are.
    fn shuffled(&mut self, id: NodeId, order: Order) -> Result<bool, OpError> {
        let graph = self.rebuild.old;
        let Some(axes) = order.shuffled(&graph.node(id).attrs.ints("axes")) else { return Ok(false) };
        let x = self.image(graph.operands(id)[0], order, &graph.node(id).origin)?;
        self.keep(id, &[x], &Attrs::none().with("axes", axes), order)?;
        Ok(true)
    }

    /// A reduction, along positions first where the channels of a group are reduced with them.
    fn reduced(&mut self, id: NodeId, order: Order) -> Result<bool, OpError> {
        let graph = self.rebuild.old;
        let node = graph.node(id);
        let mut x = self.image(graph.operands(id)[0], order, &node.origin)?;
        // Without axes it goes along all of them.
        let axes = graph.with_call(id, |call| call.axes("axes", order.rank))?;
        let axes: Vec<i64> = axes.into_iter().map(|axis| axis as i64).collect();
        let (positions, channels) = order.parts(&axes);
        let is_split = channels.len() < order.channels && !channels.is_empty() && !positions.is_empty();
        let parts = if is_split { vec![positions, channels] } else { vec![[positions, channels].concat()] };
        for axes in parts {
            let attrs = order.moved(&node.attrs.clone().with("axes", axes), &["axes"], &[]);
            x = self.keep(id, &[x], &attrs, order)?;
        }
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
        let shape = &self.rebuild.new.type_of(x).shape;
        let n_axes = shape.len() - 2;
        // One channel at a time, as of a known image: the schedule has the edges apart.
        let is_apart = shape[n_axes + 1].is(attrs.int("groups"))
            && attrs.int("groups") > 1
            && shape[1..=n_axes].iter().all(|dim| dim.as_constant().is_some());
        // Of an image without elements more may be cropped than there is, if the kernel has none either.
        let is_cropped = |(axis, (low, high)): (usize, (&Dim, &Dim))| {
            (&(&shape[axis + 1] + low) + high).as_constant().is_some_and(|size| size < 0)
        };
        let is_gone = low.iter().zip(&high).enumerate().any(is_cropped);
        if is_spread || is_apart || is_gone || nowhere(&low) && nowhere(&high) {
            return Ok((attrs, x));
        }
        let around = |dims: Vec<Dim>| {
            let mut all = vec![Dim::constant(0); n_axes + 2];
            dims.into_iter().enumerate().for_each(|(axis, dim)| all[axis + 1] = dim);
            all
        };
        let (whole, turns) = self.before_turns(x);
        let mut back = vec![0; turns.len()];
        turns.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        let [low, high] = [low, high].map(|dims| order::in_order(&around(dims), &back));
        let pad = Attrs::none().with("low", low).with("high", high).with("value", 0.0);
        let node = self.rebuild.new.apply(op("pad")?, &[whole], &pad, Vec::new(), origin)?;
        let mut x = Value { node, result: 0 };
        if !turns.is_sorted() {
            x = self.permuted(x, &turns, origin)?;
        }
        let zeros = vec![Dim::constant(0); n_axes];
        Ok((attrs.with("low", zeros.clone()).with("high", zeros), x))
    }

    /// A new value before its axes were permuted, and in which order they are now. Padding that, the convolution reads
    /// an image where it lies, and the one that padded it before reads the same.
    fn before_turns(&self, turned: Value) -> (Value, Vec<usize>) {
        let (graph, mut x) = (&self.rebuild.new, turned);
        let mut turns: Vec<usize> = (0..graph.type_of(x).rank()).collect();
        while graph.node(x.node).op.name == "permute" {
            let axes = graph.node(x.node).attrs.ints("axes");
            turns.iter_mut().for_each(|axis| *axis = axes[*axis] as usize);
            x = graph.operands(x.node)[0];
        }
        // What has its channels second is better turned and padded at once.
        match turns == Order::of_image(turns.len()).to_last() {
            true => (turned, (0..turns.len()).collect()),
            false => (x, turns),
        }
    }

    /// An old value with its channels last.
    fn image(&mut self, value: Value, order: Order, origin: &Origin) -> Result<Value, OpError> {
        match self.last.get(&value) {
            Some(&(image, has)) if has == order => Ok(image),
            _ => {
                let shown = self.shown(value, origin)?;
                self.permuted(shown, &order.to_last(), origin)
            }
        }
    }

    fn permuted(&mut self, value: Value, axes: &[usize], origin: &Origin) -> Result<Value, OpError> {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let attrs = Attrs::none().with("axes", axes);
        let node = self.rebuild.new.apply(op("permute")?, &[value], &attrs, Vec::new(), origin)?;
        Ok(Value { node, result: 0 })
    }

    /// An old value in its old order.
    fn shown(&mut self, value: Value, origin: &Origin) -> Result<Value, OpError> {
        if let Some(&(image, order)) = self.last.get(&value)
            && self.rebuild.is_unset(value.node)
        {
            let shown = self.permuted(image, &order.to_second(), origin)?;
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
