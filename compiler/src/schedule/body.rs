//! The scalar body of a composed nest: a hash-consed graph of terms, so that equal subexpressions are one term.
//!
//! Invariant: a term refers only to earlier terms. Guards protect loads: a load whose guard fails reads nothing.

use rustc_hash::FxHashMap;

use crate::graph::{DType, Dim, Scalar, Symbol};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TermId(u32);

/// A float constant, compared by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number(u64);

impl Number {
    pub fn new(value: f64) -> Number {
        Number(value.to_bits())
    }

    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    Const(Number),
    /// An index expression as an i64.
    Index(Dim),
    /// Whether all of these are at least zero.
    Test(Vec<Dim>),
    Load(Load),
    Apply(Scalar, Vec<TermId>),
    /// A word of two bf16, given as f32: the first in the low half.
    Pair([TermId; 2]),
    /// The sum of the products of the numbers of this type in two words.
    Dot(DType, [TermId; 2]),
    Cast(TermId),
    RandomBits {
        seed: TermId,
        stream: TermId,
        counter: TermId,
        key: u64,
        word: u32,
    },
    /// What a stage gave; after that stage only.
    Reduced(usize),
}

/// Of type u32 from an operand of narrower numbers, it reads a word of neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Load {
    pub operand: usize,
    pub index: Vec<Position>,
    pub guards: Vec<Dim>,
    pub otherwise: Number,
}

/// A position along one axis of an operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    Dim(Dim),
    /// Known only at run time; checked when used.
    Term(TermId),
}

#[derive(Clone, Debug, Default)]
pub struct Body {
    terms: Vec<(Term, DType)>,
    ids: FxHashMap<(Term, DType), TermId>,
}

impl Body {
    pub fn add(&mut self, term: Term, dtype: DType) -> TermId {
        let next = TermId(self.terms.len() as u32);
        let key = (term, dtype);
        let id = *self.ids.entry(key.clone()).or_insert(next);
        if id == next {
            self.terms.push(key);
        }
        id
    }

    pub fn term(&self, id: TermId) -> &Term {
        &self.terms[id.0 as usize].0
    }

    pub fn dtype(&self, id: TermId) -> DType {
        self.terms[id.0 as usize].1
    }

    pub fn apply(&mut self, scalar: Scalar, args: &[TermId]) -> TermId {
        let dtypes: Vec<DType> = args.iter().map(|&arg| self.dtype(arg)).collect();
        let dtype = scalar.result(&dtypes).unwrap_or(dtypes[0]);
        self.add(Term::Apply(scalar, args.to_vec()), dtype)
    }

    pub fn constant(&mut self, dtype: DType, value: f64) -> TermId {
        self.add(Term::Const(Number::new(value)), dtype)
    }

    /// The terms that `roots` need, operands first.
    pub fn needed(&self, roots: &[TermId]) -> Vec<TermId> {
        self.needed_until(roots, &|_| false)
    }

    /// The same, but nothing that only terms need which are had already.
    pub fn needed_until(&self, roots: &[TermId], is_had: &dyn Fn(TermId) -> bool) -> Vec<TermId> {
        let mut needed = vec![false; self.terms.len()];
        roots.iter().for_each(|root| needed[root.0 as usize] = true);
        for idx in (0..self.terms.len()).rev() {
            if needed[idx] && !is_had(TermId(idx as u32)) {
                self.terms[idx].0.for_each_operand(&mut |id| needed[id.0 as usize] = true);
            }
        }
        (0..self.terms.len()).filter(|&idx| needed[idx]).map(|idx| TermId(idx as u32)).collect()
    }

    /// The work of computing these terms once, in additions.
    pub fn work(&self, roots: &[TermId]) -> u64 {
        let each = self.needed(roots).into_iter().map(|id| match self.term(id) {
            Term::Apply(scalar, _) => u64::from(scalar.work()),
            Term::RandomBits { .. } => 32,
            _ => 1,
        });
        each.sum()
    }

    /// For each term that `roots` need, whether it changes along one of these axes.
    pub fn varying(&self, roots: &[TermId], along: &[Symbol]) -> FxHashMap<TermId, bool> {
        let mut varying: FxHashMap<TermId, bool> = FxHashMap::default();
        for id in self.needed(roots) {
            let mut varies = along.iter().any(|symbol| self.term(id).mentions(symbol));
            self.term(id).for_each_operand(&mut |operand| varies |= varying[&operand]);
            varying.insert(id, varies);
        }
        varying
    }

    /// The loads that `roots` need.
    pub fn loads(&self, roots: &[TermId]) -> Vec<&Load> {
        let terms = self.needed(roots).into_iter().map(|id| self.term(id));
        terms.filter_map(|term| if let Term::Load(load) = term { Some(load) } else { None }).collect()
    }

    /// The terms that stand for the result of a stage, one for each type that it is used in.
    pub fn results_of(&self, stage: usize) -> impl Iterator<Item = TermId> + '_ {
        let is_result = move |idx: &usize| self.terms[*idx].0 == Term::Reduced(stage);
        (0..self.terms.len()).filter(is_result).map(|idx| TermId(idx as u32))
    }

    /// Adds to `body` what a term of this one is, with index expressions rewritten.
    pub fn copy_to(&self, body: &mut Body, root: TermId, dim: &dyn Fn(&Dim) -> Dim) -> TermId {
        let copy = |body: &mut Body, id: TermId, mut term: Term| {
            term.for_each_dim_mut(&mut |d| *d = dim(d));
            body.add(term, self.dtype(id))
        };
        self.map_to(body, &mut [root], copy)[0]
    }

    /// Adds to `body` what `make` makes of each term that `roots` need, operands first: it gets the term with the operands
    /// that were made. The roots become what was made of them.
    pub fn map_to<'r>(
        &self,
        body: &mut Body,
        roots: &'r mut [TermId],
        mut make: impl FnMut(&mut Body, TermId, Term) -> TermId,
    ) -> &'r [TermId] {
        let mut map: FxHashMap<TermId, TermId> = FxHashMap::default();
        for id in self.needed(roots) {
            let mut term = self.term(id).clone();
            term.for_each_operand_mut(&mut |operand| *operand = map[operand]);
            map.insert(id, make(body, id, term));
        }
        roots.iter_mut().for_each(|root| *root = map[root]);
        roots
    }

    /// The same body with every index expression rewritten, and every load as well.
    pub fn rewrite(&self, roots: &mut [TermId], dim: &dyn Fn(&Dim) -> Dim, load: &dyn Fn(&mut Load)) -> Body {
        let mut body = Body::default();
        self.map_to(&mut body, roots, |body, id, mut term| {
            term.for_each_dim_mut(&mut |d| *d = dim(d));
            if let Term::Load(access) = &mut term {
                load(access);
            }
            body.add(term, self.dtype(id))
        });
        body
    }
}

impl Term {
    pub fn for_each_operand(&self, visit: &mut dyn FnMut(TermId)) {
        match self {
            Term::Const(_) | Term::Index(_) | Term::Test(_) | Term::Reduced(_) => {}
            Term::Load(load) => {
                for position in &load.index {
                    if let Position::Term(id) = position {
                        visit(*id);
                    }
                }
            }
            Term::Apply(_, args) => args.iter().for_each(|&id| visit(id)),
            Term::Pair(args) | Term::Dot(_, args) => args.iter().for_each(|&id| visit(id)),
            Term::Cast(arg) => visit(*arg),
            Term::RandomBits { seed, stream, counter, .. } => [*seed, *stream, *counter].into_iter().for_each(visit),
        }
    }

    pub fn for_each_operand_mut(&mut self, visit: &mut dyn FnMut(&mut TermId)) {
        match self {
            Term::Const(_) | Term::Index(_) | Term::Test(_) | Term::Reduced(_) => {}
            Term::Load(load) => {
                for position in &mut load.index {
                    if let Position::Term(id) = position {
                        visit(id);
                    }
                }
            }
            Term::Apply(_, args) => args.iter_mut().for_each(visit),
            Term::Pair(args) | Term::Dot(_, args) => args.iter_mut().for_each(visit),
            Term::Cast(arg) => visit(arg),
            Term::RandomBits { seed, stream, counter, .. } => [seed, stream, counter].into_iter().for_each(visit),
        }
    }

    /// Index expressions outside of loads' positions, and those.
    pub fn for_each_dim_mut(&mut self, visit: &mut dyn FnMut(&mut Dim)) {
        match self {
            Term::Index(dim) => visit(dim),
            Term::Test(dims) => dims.iter_mut().for_each(visit),
            Term::Load(load) => {
                for position in &mut load.index {
                    if let Position::Dim(dim) = position {
                        visit(dim);
                    }
                }
                load.guards.iter_mut().for_each(visit);
            }
            _ => {}
        }
    }

    pub fn mentions(&self, symbol: &Symbol) -> bool {
        match self {
            Term::Index(dim) => dim.mentions(symbol),
            Term::Test(dims) => dims.iter().any(|dim| dim.mentions(symbol)),
            Term::Load(load) => load.mentions(symbol),
            _ => false,
        }
    }
}

impl Load {
    pub fn mentions(&self, symbol: &Symbol) -> bool {
        self.guards.iter().chain(self.dims()).any(|dim| dim.mentions(symbol))
    }

    /// The positions that no term says.
    pub fn dims(&self) -> impl Iterator<Item = &Dim> {
        self.index.iter().filter_map(|position| if let Position::Dim(dim) = position { Some(dim) } else { None })
    }
}
