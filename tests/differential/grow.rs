//! How a graph grows: one op after the other, from the samples of the op table, on values that are there already.
//!
//! A sample says which types and attributes go together. One of its operands becomes a value of the graph of the same rank;
//! the sizes of that value then replace the sample's sizes everywhere in it, and `infer` decides whether that still fits.

use std::collections::BTreeMap;

use tilewright::compiler::graph::{
    Attr, Attrs, DType, Dim, Domain, Graph, Meaning, OpDef, Origin, Role, Sample, Sampler, Tensor, Type, Value,
    saturate,
};
use tilewright::compiler::ops;

use super::{SYMBOLS, Sizes, attention, images, motifs, products, regions, rows, values};

/// Ops that rewrites look for, taken more often than the others.
const FAVOURITES: &[&str] = &[
    "neg",
    "sub",
    "add",
    "mul",
    "select",
    "not",
    "permute",
    "slice",
    "pad",
    "concat",
    "reshape",
    "broadcast",
    "pow",
    "contract",
    "reduce_max",
    "reduce_sum",
    "gather",
    "update",
    "cast",
    "floor_div",
];
/// Numbers that algebra has rules for.
const NUMBERS: &[f64] = &[0.0, 0.0, 1.0, -1.0, 2.0, 3.0];

/// Regions inside regions end here.
const MAX_DEPTH: usize = 2;

/// A value of the graph with the tensor that it is at the size the graph grows at.
#[derive(Clone)]
pub struct Known {
    pub value: Value,
    pub tensor: Tensor,
}

/// A growing graph.
pub struct Garden {
    pub graph: Graph,
    pub known: Vec<Known>,
    pub domains: Vec<(String, Domain)>,
    pub sizes: Sizes,
    pub is_symbolic: bool,
    pub has_specials: bool,
    seed: u64,
    pub is_region: bool,
}

impl Garden {
    pub fn new(graph: Graph, seed: u64, sizes: Sizes, is_symbolic: bool, has_specials: bool) -> Garden {
        let (known, domains) = (Vec::new(), Vec::new());
        Garden { graph, known, domains, sizes, is_symbolic, has_specials, seed, is_region: false }
    }

    /// A region with these values as arguments.
    pub fn region(&self, name: &str, arguments: &[(Type, Tensor)]) -> Garden {
        let mut graph = Graph::new(name);
        graph.sizes = self.graph.sizes.clone();
        let mut known = Vec::new();
        for (idx, (ty, tensor)) in arguments.iter().enumerate() {
            let value = graph.add_argument(format!("a{idx}"), Role::Data, ty.clone());
            known.push(Known { value, tensor: tensor.clone() });
        }
        Garden { graph, known, domains: Vec::new(), is_region: true, ..*self }
    }

    /// Adds up to so many ops.
    pub fn grow(&mut self, sampler: &mut Sampler, n_nodes: usize, depth: usize) {
        for _ in 0..n_nodes * 4 {
            if self.graph.n_nodes() >= n_nodes + self.graph.arguments().len() + usize::from(depth > 0) {
                break;
            }
            match sampler.int(0, 15) {
                0 if depth < MAX_DEPTH => _ = regions::grow(self, sampler, depth),
                1 => _ = rows::grow(self, sampler),
                2 => _ = attention::grow(self, sampler),
                3 => _ = images::grow(self, sampler),
                4..7 => _ = motifs::grow(self, sampler),
                7 => _ = products::grow(self, sampler),
                _ => _ = self.grow_from_table(sampler),
            }
        }
        if self.known.is_empty() {
            let ty = Type::new(DType::Real, vec![Dim::constant(3)]);
            self.fresh(sampler, &ty, values::DEFAULT_DOMAIN);
        }
    }

    fn grow_from_table(&mut self, sampler: &mut Sampler) -> Option<Vec<Value>> {
        let op = match sampler.int(0, 5) {
            0 => ops::find(*sampler.pick(FAVOURITES))?,
            // Rewrites look for an op on its own result.
            1 => self.latest_favourite()?,
            _ => *sampler.pick(ops::TABLE),
        };
        let sample = op.sample?(op, sampler);
        if matches!(op.meaning, Meaning::Opaque { .. }) && sampler.int(0, 3) > 0 {
            return None;
        }
        for _ in 0..4 {
            let (operands, attrs) = self.transplant(sampler, &sample);
            if let Some(results) = self.try_on(sampler, op, &sample, &operands, &attrs) {
                return Some(results);
            }
        }
        let mut types = sample.operands.clone();
        let mut attrs = sample.attrs.clone();
        self.make_symbolic(sampler, &mut types, &mut attrs);
        self.try_on(sampler, op, &sample, &types.into_iter().map(Operand::Wanted).collect::<Vec<_>>(), &attrs)
    }

    fn latest_favourite(&self) -> Option<&'static OpDef> {
        let ops = self.known.iter().rev().take(4).map(|known| self.graph.node(known.value.node).op);
        ops.into_iter().find(|op| FAVOURITES.contains(&op.name))
    }

    /// Puts a value of the graph in the place of one operand.
    fn transplant(&self, sampler: &mut Sampler, sample: &Sample) -> (Vec<Operand>, Attrs) {
        let wanted = || sample.operands.iter().cloned().map(Operand::Wanted).collect();
        if sample.operands.is_empty() || self.known.is_empty() {
            return (wanted(), sample.attrs.clone());
        }
        let place = sampler.int(0, sample.operands.len() as i64 - 1) as usize;
        let ty = &sample.operands[place];
        let fits = |known: &&Known| {
            let found = self.graph.type_of(known.value);
            found.rank() == ty.rank()
                && (found.dtype == ty.dtype || (found.dtype.is_float() && ty.dtype == DType::Real))
        };
        let fitting: Vec<&Known> = self.known.iter().filter(fits).collect();
        if fitting.is_empty() {
            return (wanted(), sample.attrs.clone());
        }
        // Long chains come from values that are new.
        let newest = &fitting[fitting.len().saturating_sub(2)..];
        let chosen = *if sampler.flip() { sampler.pick(newest) } else { sampler.pick(&fitting) };
        let found = self.graph.type_of(chosen.value).clone();
        let sizes: BTreeMap<Dim, Dim> = ty.shape.iter().cloned().zip(found.shape.iter().cloned()).collect();
        let retype = |other: &Type| {
            let dtype = if other.dtype == ty.dtype { found.dtype } else { other.dtype };
            Type::new(dtype, other.shape.iter().map(|dim| sizes.get(dim).unwrap_or(dim).clone()).collect())
        };
        let mut operands: Vec<Operand> = sample.operands.iter().map(retype).map(Operand::Wanted).collect();
        operands[place] = Operand::Chosen(chosen.clone());
        (operands, with_sizes(&sample.attrs, &sizes))
    }

    /// A symbolic size every other time, where the graph has some.
    pub fn open_size(&self, sampler: &mut Sampler) -> Option<Dim> {
        (self.is_symbolic && sampler.flip()).then(|| open_size(sampler))
    }

    /// Now and then, sizes of a sample become symbolic wherever they stand: one of them, or two.
    fn make_symbolic(&self, sampler: &mut Sampler, types: &mut [Type], attrs: &mut Attrs) {
        let sizes: Vec<Dim> = types.iter().flat_map(|ty| ty.shape.clone()).collect();
        if !self.is_symbolic || sizes.is_empty() || sampler.int(0, 3) == 0 {
            return;
        }
        let n_open = 1 + usize::from(sampler.int(0, 2) == 0);
        let sizes: BTreeMap<Dim, Dim> =
            (0..n_open).map(|_| (sampler.pick(&sizes).clone(), open_size(sampler))).collect();
        for dim in types.iter_mut().flat_map(|ty| &mut ty.shape) {
            *dim = sizes.get(dim).unwrap_or(dim).clone();
        }
        *attrs = with_sizes(attrs, &sizes);
    }

    /// Applies an op if its types fit and its results are tame; else leaves the graph as it was.
    fn try_on(
        &mut self,
        sampler: &mut Sampler,
        op: &'static OpDef,
        sample: &Sample,
        operands: &[Operand],
        attrs: &Attrs,
    ) -> Option<Vec<Value>> {
        self.attempt(|garden| garden.place(sampler, op, sample, operands, attrs))
    }

    fn place(
        &mut self,
        sampler: &mut Sampler,
        op: &'static OpDef,
        sample: &Sample,
        operands: &[Operand],
        attrs: &Attrs,
    ) -> Option<Vec<Value>> {
        let mut chosen = Vec::new();
        for (operand, domain) in operands.iter().zip(&sample.domains) {
            chosen.push(match operand {
                Operand::Chosen(known) if within(&known.tensor, *domain) => known.clone(),
                Operand::Chosen(_) => return None,
                Operand::Wanted(ty) => self.find_or_make(sampler, ty, *domain)?,
            });
        }
        self.apply(op, &chosen, attrs, Vec::new())
    }

    /// Applies an op whose results are tame.
    pub fn apply(
        &mut self,
        op: &'static OpDef,
        operands: &[Known],
        attrs: &Attrs,
        regions: Vec<Graph>,
    ) -> Option<Vec<Value>> {
        let values: Vec<Value> = operands.iter().map(|known| known.value).collect();
        let id = self.graph.apply(op, &values, attrs, regions, &Origin::default()).ok()?;
        // Two sizes that a check at entry keeps from being negative have a product that looks positive: no kernel takes it.
        let is_open = |dim: &&Dim| self.graph.sizes.lower_bound(dim).is_none_or(|low| low < 0);
        if self.graph.node(id).types.iter().any(|ty| ty.shape.iter().filter(is_open).count() > 1) {
            return None;
        }
        let tensors: Vec<Tensor> = operands.iter().map(|known| known.tensor.clone()).collect();
        let results = match op.name {
            "constant" => vec![attrs.complete(op.attrs).ok()?.tensor("value").as_ref().clone()],
            _ => values::evaluate(&self.graph, id, &tensors, self.sizes).ok()?,
        };
        if !results.iter().all(|tensor| values::is_tame(tensor, self.has_specials)) {
            return None;
        }
        let values: Vec<Value> = self.graph.results(id).collect();
        self.known.extend(values.iter().zip(results).map(|(&value, tensor)| Known { value, tensor }));
        Some(values)
    }

    /// Adds several ops, or none of them.
    pub fn attempt<T>(&mut self, add: impl FnOnce(&mut Garden) -> Option<T>) -> Option<T> {
        let before = (self.graph.clone(), self.known.len(), self.domains.len());
        let done = add(self);
        if done.is_none() {
            self.graph = before.0;
            self.known.truncate(before.1);
            self.domains.truncate(before.2);
        }
        done
    }

    /// The first result of an op; the graph stays as it was if there is none.
    pub fn derive(&mut self, op: &str, operands: &[Known], attrs: &Attrs) -> Option<Known> {
        self.attempt(|garden| {
            garden.apply(ops::find(op)?, operands, attrs, Vec::new())?;
            garden.known.last().cloned()
        })
    }

    /// A value of exactly this type within the domain, be it old, adapted or new.
    pub fn find_or_make(&mut self, sampler: &mut Sampler, ty: &Type, domain: Domain) -> Option<Known> {
        let is_it = |known: &&Known| self.graph.type_of(known.value) == ty && within(&known.tensor, domain);
        let fitting: Vec<Known> = self.known.iter().filter(is_it).cloned().collect();
        if sampler.int(0, 6) == 0 {
            return self.fill(sampler, ty, domain);
        }
        match sampler.int(0, 9) {
            0..8 if !fitting.is_empty() => Some(sampler.pick(&fitting).clone()),
            0..5 => match self.adapt(sampler, ty) {
                Some(known) if within(&known.tensor, domain) => Some(known),
                _ => self.fresh(sampler, ty, domain),
            },
            _ => self.fresh(sampler, ty, domain),
        }
    }

    /// Another value, cast, reshaped or broadcast to a type.
    fn adapt(&mut self, sampler: &mut Sampler, ty: &Type) -> Option<Known> {
        let shape = || Attrs::none().with("shape", ty.shape.clone());
        let broadcasts = |from: &Type| {
            let skipped = ty.rank().checked_sub(from.rank());
            skipped.is_some_and(|n| from.shape.iter().zip(&ty.shape[n..]).all(|(a, b)| a.is(1) || a == b))
        };
        let mut ways: Vec<(Known, &str, Attrs)> = Vec::new();
        for known in &self.known {
            let from = self.graph.type_of(known.value);
            match () {
                () if from.shape == ty.shape && from.dtype != ty.dtype => {
                    ways.push((known.clone(), "cast", Attrs::none().with("to", ty.dtype)));
                }
                () if from.dtype != ty.dtype || from.shape == ty.shape => {}
                () if broadcasts(from) => ways.push((known.clone(), "broadcast", shape())),
                () if from.n_elements() == ty.n_elements() => ways.push((known.clone(), "reshape", shape())),
                () => {}
            }
        }
        if ways.is_empty() {
            return None;
        }
        let (known, op, attrs) = sampler.pick(&ways).clone();
        let before = self.graph.clone();
        match self.apply(ops::find(op)?, &[known], &attrs, Vec::new()) {
            Some(_) => self.known.last().cloned(),
            None => {
                self.graph = before;
                None
            }
        }
    }

    /// A new argument, or in a region something that needs no argument.
    fn fresh(&mut self, sampler: &mut Sampler, ty: &Type, domain: Domain) -> Option<Known> {
        let is_constant = ty.shape.iter().all(|dim| dim.as_constant().is_some());
        let shape = values::shape(ty, self.sizes)?;
        let is_small = shape.iter().product::<usize>() <= 64;
        if is_constant && is_small && (self.is_region || sampler.int(0, 7) == 0) {
            return self.constant(ty, values::draw(ty.dtype, shape, domain, sampler));
        }
        if self.is_region || sampler.int(0, 9) == 0 {
            return self.fill(sampler, ty, domain);
        }
        let takes_zeros = domain.low <= 0.0 && domain.high >= 0.0;
        let (letter, role) = match sampler.int(0, 9) {
            0 if takes_zeros && !self.is_symbolic => ("s", Role::State),
            1 if is_constant && ty.dtype.is_float() => ("w", Role::Param),
            _ => ("x", Role::Data),
        };
        self.argument(ty, domain, letter, role)
    }

    /// A new argument in this role, whose name begins with the letter.
    pub fn argument(&mut self, ty: &Type, domain: Domain, letter: &str, role: Role) -> Option<Known> {
        let name = format!("{letter}{}", self.graph.arguments().len());
        let value = self.graph.add_argument(name.clone(), role, ty.clone());
        self.domains.push((name.clone(), domain));
        let case = super::Case {
            name: String::new(),
            graph: self.graph.clone(),
            domains: self.domains.clone(),
            sizes: Vec::new(),
            has_specials: self.has_specials,
            seed: self.seed,
        };
        let tensor = values::arguments(&case, self.sizes)?.pop()?;
        self.known.push(Known { value, tensor });
        self.known.last().cloned()
    }

    /// The same number everywhere, often one that algebra has rules for.
    fn fill(&mut self, sampler: &mut Sampler, ty: &Type, domain: Domain) -> Option<Known> {
        let number = *sampler.pick(NUMBERS);
        let is_inside = sampler.int(0, 3) > 0 && domain.low <= number && number <= domain.high;
        let drawn = sampler.float(domain.low, domain.high).round().clamp(domain.low, domain.high);
        let value = if is_inside { number } else { drawn };
        let value = if ty.dtype.is_float() { value } else { saturate(ty.dtype, value) as f64 };
        let attrs = Attrs::none().with("value", value).with("shape", ty.shape.clone()).with("dtype", ty.dtype);
        self.apply(ops::find("fill")?, &[], &attrs, Vec::new())?;
        self.known.last().cloned()
    }

    pub fn constant(&mut self, ty: &Type, tensor: Tensor) -> Option<Known> {
        let attrs = Attrs::none().with("value", std::sync::Arc::new(Tensor { dtype: ty.dtype, ..tensor }));
        self.apply(ops::find("constant")?, &[], &attrs, Vec::new())?;
        self.known.last().cloned()
    }
}

/// More often the first than the others, so that values of the same shape meet.
fn open_size(sampler: &mut Sampler) -> Dim {
    Dim::symbol(SYMBOLS[usize::from(sampler.int(0, 2) == 0)])
}

#[derive(Clone)]
enum Operand {
    Chosen(Known),
    Wanted(Type),
}

/// Sizes that stand in attributes are replaced too.
fn with_sizes(attrs: &Attrs, sizes: &BTreeMap<Dim, Dim>) -> Attrs {
    let replaced = |dim: &Dim| sizes.get(dim).unwrap_or(dim).clone();
    let mut attrs = attrs.clone();
    for (_, attr) in attrs.iter_mut() {
        match attr {
            Attr::Dim(dim) => *dim = replaced(dim),
            Attr::Dims(dims) => dims.iter_mut().for_each(|dim| *dim = replaced(dim)),
            _ => {}
        }
    }
    attrs
}

/// Domains that include zero only say how large values may be; others keep away from poles.
fn within(tensor: &Tensor, domain: Domain) -> bool {
    let (low, high) = values::extent(tensor);
    if !low.is_finite() || !high.is_finite() {
        return true;
    }
    let reach = 4.0 * domain.low.abs().max(domain.high.abs());
    match domain.low < 0.0 && domain.high > 0.0 {
        true => low >= -reach && high <= reach,
        false => low >= domain.low && high <= reach,
    }
}
