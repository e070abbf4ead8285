//! What an op is: one static record of facts and functions. There is no op enum and no trait object: every stage reads
//! the record, so a new op is one file and one line of the table in `ops`.

use std::cell::RefCell;
use std::fmt;

use super::interpret::Context;
use super::{Attr, AttrDef, Attrs, Builder, DType, Dim, Graph, Nest, Ranges, Tensor, Type, Value};

pub struct OpDef {
    /// The name in specs, in the text form and in the manual.
    pub name: &'static str,
    /// One or two sentences: what it computes, in the field's terms, and what happens at the edges.
    pub doc: &'static str,
    pub operands: Operands,
    pub attrs: &'static [AttrDef],
    /// Types in, types out.
    pub infer: fn(&Call) -> Result<Vec<Type>, OpError>,
    pub meaning: Meaning,
    /// How cotangents of its results become cotangents of its operands.
    pub gradient: Gradient,
    /// Pairs (operand, result): the result may be written over the operand's memory.
    pub aliases: &'static [(usize, usize)],
    /// A random valid instance, for differential tests; `None` for the few that only make sense in context.
    pub sample: Option<fn(&'static OpDef, &mut Sampler) -> Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    Fixed(&'static [&'static str]),
    /// Those named first, then any number of the last kind.
    Variadic(&'static [&'static str], &'static str),
}

/// Builds what an op stands for from simpler ones.
pub type Expand = fn(&mut Builder, &Call, &[Value]) -> Result<Vec<Value>, OpError>;

/// How an op computes.
#[derive(Clone, Copy)]
pub enum Meaning {
    /// By simpler ops.
    Expand(Expand),
    /// By a nest of loops around a scalar body; fusion and tiling compose nests. `eval` is only for nests whose direct
    /// interpretation would be too slow; tests hold it against the nest.
    Structured { nest: fn(&Call) -> Nest, eval: Option<fn(&Eval) -> Result<Tensor, EvalError>> },
    /// The same elements in the same row-major order under another shape: no work, a view of the operand's memory.
    View,
    /// By a procedure that no nest states, such as sorting; the schedule brings its kernel.
    Opaque { eval: fn(&Eval) -> Result<Vec<Tensor>, EvalError> },
    /// By running its regions.
    Control { eval: fn(&Eval) -> Result<Vec<Tensor>, EvalError> },
    /// By running its regions, as one kernel.
    Group { eval: fn(&Eval) -> Result<Vec<Tensor>, EvalError> },
    /// By nothing: arguments and constants.
    Source,
}

/// One per operand, in its type; `None` is zero.
pub type Cotangents = Result<Vec<Option<Value>>, OpError>;

/// Writes the cotangents of the operands.
pub type Pullback = fn(&mut Builder, &Pull) -> Cotangents;

/// How an op is differentiated. Values that are no floats carry no cotangents, so an op of those needs no rule.
#[derive(Clone, Copy)]
pub enum Gradient {
    Rule(Pullback),
    /// As `Rule`, which needs more than the op leaves behind: `keep` computes the same results, first among its own, and
    /// keeps that too. The pass puts it in the place of the op before it differentiates.
    Kept {
        keep: Expand,
        rule: Pullback,
    },
    /// Its expansion is differentiated instead.
    ThroughExpansion,
    /// Nothing passes: steps, which are flat wherever they have a slope, and what stops gradients.
    Zero,
    /// It cannot be, for this reason: the end of a sentence that begins with the op's name.
    None(&'static str),
}

/// One application during a reverse sweep, in the graph that is being written.
pub struct Pull<'a> {
    pub call: &'a Call<'a>,
    pub operands: &'a [Value],
    pub results: &'a [Value],
    /// One per result, `None` where it is zero; one of them is not.
    pub cotangents: &'a [Option<Value>],
    /// The operands whose cotangents are asked for.
    pub wanted: &'a [bool],
}

impl Pull<'_> {
    /// The cotangent of the only result.
    pub fn cotangent(&self) -> Result<Value, OpError> {
        let only = self.cotangents.first().copied().flatten();
        only.ok_or_else(|| OpError::new(format!("`{}` is differentiated without a cotangent", self.call.op.name)))
    }
}

/// An op as it is applied: everything its functions may look at.
pub struct Call<'a> {
    pub op: &'static OpDef,
    pub attrs: &'a Attrs,
    pub operands: &'a [Type],
    pub regions: &'a [Graph],
    pub sizes: &'a Ranges,
    /// What must not be negative, as far as the sizes leave that open, and what a spec is told that asks for it where it is:
    /// see `at_most` and `room`.
    pub open: &'a RefCell<Vec<(Dim, Option<OpError>)>>,
}

/// An application with values, for the reference interpreter.
pub struct Eval<'a> {
    pub call: &'a Call<'a>,
    pub operands: &'a [Tensor],
    pub results: &'a [Type],
    /// The values of sizes, the precision, and how to run regions.
    pub context: &'a Context<'a>,
}

impl Call<'_> {
    /// Whether `a <= b`, unless the sizes show that it is not. What they leave open has to be asked when they are known.
    pub fn at_most(&self, a: &Dim, b: &Dim) -> bool {
        let room = b - a;
        let is_sure = self.sizes.lower_bound(&room).is_some_and(|bound| bound >= 0);
        if !is_sure {
            self.open.borrow_mut().push((room, None));
        }
        is_sure || !self.sizes.proves_lt(b, a)
    }

    /// Asks for room that graphs can do without, as passes make them, and specs cannot.
    pub fn room(&self, room: Dim, refusal: impl FnOnce() -> OpError) {
        if self.sizes.lower_bound(&room).is_none_or(|bound| bound < 0) {
            self.open.borrow_mut().push((room, Some(refusal())));
        }
    }

    pub fn operand(&self, idx: usize) -> &Type {
        &self.operands[idx]
    }

    pub fn operand_name(&self, idx: usize) -> &'static str {
        match self.op.operands {
            Operands::Fixed(names) => names.get(idx).copied().unwrap_or("operand"),
            Operands::Variadic(names, rest) => names.get(idx).copied().unwrap_or(rest),
        }
    }

    /// The attribute `axis` as a position in an operand of this rank.
    pub fn axis(&self, name: &str, rank: usize) -> Result<usize, OpError> {
        position(self.attrs.int(name), rank).map_err(|message| OpError::attr(name, message))
    }

    /// An attribute that lists axes, as sorted positions, none twice; absent means all of them.
    pub fn axes(&self, name: &str, rank: usize) -> Result<Vec<usize>, OpError> {
        let Some(Attr::Ints(axes)) = self.attrs.get(name) else { return Ok((0..rank).collect()) };
        let mut positions = Vec::with_capacity(axes.len());
        for &axis in axes {
            positions.push(position(axis, rank).map_err(|message| OpError::attr(name, message))?);
        }
        positions.sort_unstable();
        match positions.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(OpError::attr(name, format!("axis {} is named twice", pair[0]))),
            None => Ok(positions),
        }
    }

    /// Equal for every value of the sizes.
    pub fn same_size(&self, a: &Dim, b: &Dim) -> bool {
        a == b
    }
}

fn position(axis: i64, rank: usize) -> Result<usize, String> {
    let rank = rank as i64;
    let from_start = if axis < 0 { axis + rank } else { axis };
    match (0..rank).contains(&from_start) {
        true => Ok(from_start as usize),
        false => Err(format!("there is no axis {axis} in a tensor of rank {rank}")),
    }
}

impl Eval<'_> {
    pub fn size(&self, dim: &Dim) -> Result<usize, EvalError> {
        self.context.size(dim)
    }

    pub fn shape(&self, result: usize) -> Result<Vec<usize>, EvalError> {
        self.context.shape(&self.results[result].shape)
    }

    /// Runs a region of the op.
    pub fn region(&self, idx: usize, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, EvalError> {
        let region = self.call.regions.get(idx).ok_or_else(|| EvalError::new("a region is missing"))?;
        self.context.run(region, inputs)
    }
}

/// Why an op cannot be applied: the front end adds the source line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    pub message: String,
    /// The operand the message is about.
    pub operand: Option<usize>,
    /// The attribute the message is about.
    pub attr: Option<String>,
    /// Where in that attribute, if it is a string: an offset in bytes.
    pub at: Option<usize>,
    pub help: Option<String>,
}

impl OpError {
    pub fn new(message: impl Into<String>) -> OpError {
        OpError { message: message.into(), operand: None, attr: None, at: None, help: None }
    }

    pub fn operand(idx: usize, message: impl Into<String>) -> OpError {
        OpError { operand: Some(idx), ..OpError::new(message) }
    }

    pub fn attr(name: &str, message: impl Into<String>) -> OpError {
        OpError { attr: Some(name.to_string()), ..OpError::new(message) }
    }

    pub fn help(mut self, help: impl Into<String>) -> OpError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpError {}

/// Why a graph cannot be evaluated on these inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError(pub String);

impl EvalError {
    pub fn new(message: impl Into<String>) -> EvalError {
        EvalError(message.into())
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EvalError {}

/// One random application: operand types (with sizes given as constants) and attributes.
#[derive(Clone, Debug)]
pub struct Sample {
    pub operands: Vec<Type>,
    pub attrs: Attrs,
    /// The range each operand's elements are drawn from; away from poles and kinks.
    pub domains: Vec<Domain>,
}

impl Sample {
    /// Operands of type `real`, drawn from [-2, 2].
    pub fn floats(shapes: Vec<Vec<Dim>>, attrs: Attrs) -> Sample {
        let domains = vec![Domain { low: -2.0, high: 2.0 }; shapes.len()];
        Sample { operands: shapes.into_iter().map(|shape| Type::new(DType::Real, shape)).collect(), attrs, domains }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    pub low: f64,
    pub high: f64,
}

/// A small deterministic source of choices for `sample` functions (SplitMix64; Steele, Lea and Flood, 2014).
pub struct Sampler {
    state: u64,
}

impl Sampler {
    pub fn new(seed: u64) -> Sampler {
        Sampler { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// An integer in `low..=high`.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    pub fn float(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn flip(&mut self) -> bool {
        self.next() & 1 == 1
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.int(0, items.len() as i64 - 1) as usize]
    }

    /// A size that finds bugs: one, small, a prime, or just over a vector.
    pub fn size(&mut self) -> i64 {
        *self.pick(&[1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31])
    }

    pub fn shape(&mut self, rank: usize) -> Vec<Dim> {
        let mut budget = 2048i64;
        (0..rank)
            .map(|_| {
                let size = self.size().min(budget.max(1));
                budget /= size.max(1);
                Dim::constant(size)
            })
            .collect()
    }
}
