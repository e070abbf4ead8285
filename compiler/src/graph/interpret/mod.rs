//! The reference interpreter: what a graph means, by the plainest computation.
//!
//! Invariant: whatever the graph and the inputs, the answer is tensors or an error: sizes are checked for overflow, the
//! elements alive at one time are bounded, and so is the nesting of regions and expansions. Nodes run in order, and a
//! tensor is dropped after its last use.

mod bind;
mod column;
mod index;
pub mod matrix;
mod nest;
mod values;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::{
    Attr, Builder, Call, Eval, EvalError, Expand, Graph, Meaning, NodeId, Precision, Role, Symbol, Tensor, Type, Value,
};

pub use nest::evaluate as evaluate_nest;
use values::Values;

/// How deep regions and expansions may nest.
const MAX_DEPTH: usize = 48;

/// How many elements may be alive at one time, if nothing else is said.
pub const MAX_ELEMENTS: usize = 1 << 31;

/// What the interpretation of one graph shares: the values of sizes, limits, and expansions made so far.
pub struct Context<'a> {
    pub precision: Precision,
    sizes: &'a dyn Fn(&Symbol) -> Option<i64>,
    max_elements: usize,
    n_alive: Cell<usize>,
    depth: Cell<usize>,
    watch: Option<Watch<'a>>,
    /// By the address of the graph, which outlives the context or is owned here, and the node.
    expansions: RefCell<FxHashMap<(usize, NodeId), Rc<Graph>>>,
}

/// Is told of each node of a graph, though not of its regions, what it was given and what it made.
pub type Watch<'a> = &'a dyn Fn(NodeId, &[Tensor], &[Tensor]);

/// Evaluates `graph`. A size binds where it is the only unknown of an axis of an argument; `sizes` gives the rest.
pub fn interpret(
    graph: &Graph,
    inputs: &[Tensor],
    sizes: &dyn Fn(&Symbol) -> Option<i64>,
    precision: Precision,
) -> Result<Vec<Tensor>, EvalError> {
    interpret_within(graph, inputs, sizes, precision, MAX_ELEMENTS)
}

/// As [`interpret`], with a bound on the elements alive at one time.
pub fn interpret_within(
    graph: &Graph,
    inputs: &[Tensor],
    sizes: &dyn Fn(&Symbol) -> Option<i64>,
    precision: Precision,
    max_elements: usize,
) -> Result<Vec<Tensor>, EvalError> {
    interpret_watched(graph, inputs, sizes, precision, max_elements, None)
}

/// As [`interpret_within`], for one who watches.
pub fn interpret_watched(
    graph: &Graph,
    inputs: &[Tensor],
    sizes: &dyn Fn(&Symbol) -> Option<i64>,
    precision: Precision,
    max_elements: usize,
    watch: Option<Watch>,
) -> Result<Vec<Tensor>, EvalError> {
    let bound = bind::bind(graph, inputs)?;
    let lookup = |symbol: &Symbol| bound.get(symbol).copied().or_else(|| sizes(symbol));
    let context = Context { watch, ..Context::new(&lookup, precision, max_elements) };
    bind::check_ranges(graph, &bound)?;
    hold(graph, inputs, &lookup)?;
    context.run(graph, inputs.to_vec())
}

/// The checks of a graph, over its sizes and the values of its scalar arguments.
fn hold(graph: &Graph, inputs: &[Tensor], sizes: &dyn Fn(&Symbol) -> Option<i64>) -> Result<(), EvalError> {
    let mut scalars = FxHashMap::default();
    for (argument, input) in graph.arguments().iter().zip(inputs) {
        let own = graph.scalars().any(|scalar| scalar.value == argument.value);
        if let Some(&[value]) = input.as_ints().filter(|_| own) {
            scalars.insert(Symbol::new(&argument.name), value);
        }
    }
    let lookup = |symbol: &Symbol| sizes(symbol).or_else(|| scalars.get(symbol).copied());
    for check in &graph.checks {
        if check.not_negative.eval(&lookup).is_some_and(|value| value >= 0) {
            continue;
        }
        let mut values = Vec::new();
        check.not_negative.for_each_symbol(&mut |symbol| {
            let value = lookup(symbol).map_or("unknown".to_string(), |value| value.to_string());
            let text = format!("{symbol} = {value}");
            if !values.contains(&text) {
                values.push(text);
            }
        });
        let here = if values.is_empty() { String::new() } else { format!(", here {}", values.join(", ")) };
        return Err(EvalError::new(format!("this does not hold: `{}`{here}", check.message)));
    }
    Ok(())
}

impl<'a> Context<'a> {
    pub fn new(sizes: &'a dyn Fn(&Symbol) -> Option<i64>, precision: Precision, max_elements: usize) -> Context<'a> {
        let (n_alive, depth, expansions) = (Cell::new(0), Cell::new(0), RefCell::default());
        Context { precision, sizes, max_elements, n_alive, depth, watch: None, expansions }
    }

    pub fn value_of(&self, dim: &super::Dim) -> Result<i64, EvalError> {
        dim.eval(self.sizes).ok_or_else(|| EvalError::new(format!("the size {dim} has no value here")))
    }

    pub fn size(&self, dim: &super::Dim) -> Result<usize, EvalError> {
        let value = self.value_of(dim)?;
        usize::try_from(value).map_err(|_| EvalError::new(format!("the size {dim} is {value} here")))
    }

    /// The sizes of a shape, whose product is known to fit and to be within the limit.
    pub fn shape(&self, dims: &[super::Dim]) -> Result<Vec<usize>, EvalError> {
        let shape = dims.iter().map(|dim| self.size(dim)).collect::<Result<Vec<_>, _>>()?;
        match n_elements(&shape) {
            Some(n) if n <= self.max_elements => Ok(shape),
            _ => Err(EvalError::new(format!("a tensor of shape {shape:?} exceeds {} elements", self.max_elements))),
        }
    }

    fn n_elements(&self, types: &[Type]) -> Result<usize, EvalError> {
        let mut sum = 0usize;
        for ty in types {
            sum = sum.saturating_add(self.shape(&ty.shape)?.iter().product());
        }
        Ok(sum)
    }

    pub(super) fn symbols(&self) -> &'a dyn Fn(&Symbol) -> Option<i64> {
        self.sizes
    }

    /// Runs a graph or a region on its arguments.
    pub fn run(&self, graph: &Graph, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, EvalError> {
        self.enter()?;
        let results = self.run_nodes(graph, inputs);
        self.depth.set(self.depth.get() - 1);
        results
    }

    fn enter(&self) -> Result<(), EvalError> {
        if self.depth.get() >= MAX_DEPTH {
            return Err(EvalError::new(format!("regions and expansions nest deeper than {MAX_DEPTH}")));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(())
    }

    fn run_nodes(&self, graph: &Graph, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, EvalError> {
        let mut values = Values::new(graph);
        self.accept(graph, inputs, &mut values)?;
        for id in graph.node_ids() {
            if !values.is_awaited(id) || values.is_known(id) {
                continue;
            }
            let sources = graph.operands(id);
            let operands = sources.iter().map(|&value| values.get(value)).collect::<Result<Vec<_>, _>>()?;
            let n_results = self.n_elements(&graph.node(id).types)?;
            self.reserve(n_results)?;
            let results = self.eval_node(graph, id, &operands)?;
            if let Some(watch) = self.watch.filter(|_| self.depth.get() == 1) {
                watch(id, &operands, &results);
            }
            drop(operands);
            self.release(n_results.saturating_sub(values.put(id, results)));
            self.release(sources.iter().map(|&source| values.used(source)).sum());
        }
        let outputs = graph.outputs().iter().map(|output| values.get(output.value)).collect();
        self.release(values.n_elements());
        outputs
    }

    fn accept(&self, graph: &Graph, inputs: Vec<Tensor>, values: &mut Values) -> Result<(), EvalError> {
        let arguments = graph.arguments();
        if arguments.len() != inputs.len() {
            let (wanted, found) = (arguments.len(), inputs.len());
            return Err(EvalError::new(format!("`{}` takes {wanted} arguments, found {found}", graph.name)));
        }
        for (argument, input) in arguments.iter().zip(inputs) {
            let ty = graph.type_of(argument.value);
            let shape = self.shape(&ty.shape)?;
            if shape != input.shape || ty.dtype.kind() != input.dtype.kind() || !input.is_whole() {
                let found = format!("{}{:?}", input.dtype, input.shape);
                return Err(EvalError::new(format!("the argument `{}` is {ty}, found {found}", argument.name)));
            }
            let input = match self.precision {
                Precision::Declared if ty.dtype != input.dtype => input.cast(ty.dtype),
                _ => Tensor { dtype: ty.dtype, ..input },
            };
            self.reserve(values.put(argument.value.node, vec![input]))?;
        }
        Ok(())
    }

    /// Evaluates one node on the values of its operands.
    pub fn eval_node(&self, graph: &Graph, id: NodeId, operands: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
        let node = graph.node(id);
        let shapes = node.types.iter().map(|ty| self.shape(&ty.shape)).collect::<Result<Vec<_>, _>>()?;
        let results = graph.with_call(id, |call| {
            let eval = Eval { call, operands, results: &node.types, context: self };
            match node.op.meaning {
                Meaning::Source => source(&eval),
                Meaning::View => view(&eval, &shapes),
                Meaning::Structured { eval: Some(direct), .. } => direct(&eval).map(|result| vec![result]),
                Meaning::Structured { nest, eval: None } => {
                    nest::evaluate(&nest(call), &eval).map(|result| vec![result])
                }
                Meaning::Control { eval: run } | Meaning::Group { eval: run } | Meaning::Opaque { eval: run } => {
                    run(&eval)
                }
                Meaning::Expand(expand) => {
                    let expansion = self.expansion(graph, id, expand, call)?;
                    self.run(&expansion, operands.to_vec())
                }
            }
        });
        let results = results.map_err(|error| EvalError::new(format!("in `{}`: {error}", node.op.name)))?;
        match results.iter().map(|result| &result.shape).eq(&shapes) {
            true => Ok(results),
            false => Err(EvalError::new(format!("`{}` did not give the shapes {shapes:?}", node.op.name))),
        }
    }

    fn expansion(&self, graph: &Graph, id: NodeId, expand: Expand, call: &Call) -> Result<Rc<Graph>, EvalError> {
        let key = (std::ptr::from_ref(graph).addr(), id);
        if let Some(known) = self.expansions.borrow().get(&key) {
            return Ok(known.clone());
        }
        let expansion = expand_call(call, expand).map_err(|error| EvalError::new(error.message))?;
        let expansion = Rc::new(expansion);
        self.expansions.borrow_mut().insert(key, expansion.clone());
        Ok(expansion)
    }

    fn reserve(&self, n_elements: usize) -> Result<(), EvalError> {
        self.n_alive.set(self.n_alive.get().saturating_add(n_elements));
        match self.n_alive.get() <= self.max_elements {
            true => Ok(()),
            false => Err(EvalError::new(format!("more than {} elements are alive at once", self.max_elements))),
        }
    }

    fn release(&self, n_elements: usize) {
        self.n_alive.set(self.n_alive.get().saturating_sub(n_elements));
    }
}

/// The number of elements of a shape, unless it overflows on the way.
pub fn n_elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
}

/// The expansion of one application, as a graph of its own.
pub fn expand_call(call: &Call, expand: Expand) -> Result<Graph, super::OpError> {
    let mut graph = Graph::new(call.op.name);
    graph.sizes = call.sizes.clone();
    let arguments: Vec<Value> = call
        .operands
        .iter()
        .enumerate()
        .map(|(idx, ty): (usize, &Type)| graph.add_argument(format!("x{idx}"), Role::Data, ty.clone()))
        .collect();
    let results = expand(&mut Builder::new(&mut graph, super::Origin::default()), call, &arguments)?;
    for (idx, value) in results.into_iter().enumerate() {
        graph.add_output(format!("y{idx}"), Role::Data, value);
    }
    Ok(graph)
}

fn source(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let Some(Attr::Tensor(value)) = eval.call.attrs.get("value") else {
        return Err(EvalError::new("a value from outside is missing"));
    };
    if !value.is_whole() {
        return Err(EvalError::new("a constant holds another number of elements than its shape"));
    }
    let shape = eval.shape(0)?;
    let dense = match n_elements(&value.shape) {
        Some(1) if value.shape != shape => value.repeated(0, shape),
        _ => Tensor::clone(value),
    };
    Ok(vec![Tensor { dtype: eval.results[0].dtype, ..dense }])
}

fn view(eval: &Eval, shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, EvalError> {
    let (Some(x), Some(shape)) = (eval.operands.first(), shapes.first()) else {
        return Err(EvalError::new("there is nothing to view"));
    };
    match n_elements(shape) == Some(x.n_elements()) {
        true => Ok(vec![x.reshaped(shape.clone())]),
        false => Err(EvalError::new(format!("{:?} does not hold as many elements as {shape:?}", x.shape))),
    }
}
