//! Products of tiles on a block of threads, whose sums and factors lie as `sharing` says.
//!
//! Invariant: a value is shared so only if all that makes it and all that uses it knows: products that are shared alike,
//! the loops that carry their sums, loads of factors, constants to start from, scalar functions of sums and of what is
//! loaded in their places, stores of sums. Anything else that meets such a value takes back that it is, and with it all
//! that depends on it.

use rustc_hash::FxHashMap;

use super::Lower;
use super::block::Spot;
use super::hazard::Use;
use super::layout::Tile;
use super::sharing::{Product, Role, Sharing};
use crate::graph::{DType, Dim};
use crate::kernel::types::*;

/// What a value is to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    product: Product,
    role: Role,
}

impl Share {
    /// A factor fits products of its own depth; sums fit any.
    fn fits(&self, other: &Share) -> bool {
        let is_same = self.product == other.product;
        self.role == other.role && (is_same || self.role == Role::Sums && self.product.has_sums_of(&other.product))
    }
}

/// By value of the source.
#[derive(Default)]
pub(super) struct Shares(Vec<Option<Share>>);

impl Shares {
    pub fn of(&self, value: Value) -> Option<&Share> {
        self.0.get(value.0 as usize)?.as_ref()
    }

    /// How many parts a thread has of the value.
    pub fn n_parts(&self, value: Value) -> Option<usize> {
        self.of(value).map(|share| share.product.positions(share.role).len())
    }
}

impl Lower<'_> {
    pub(super) fn find_shares(&mut self) {
        let kernel = self.source;
        let mma = |of: DType| self.target.mma.then_some(of);
        let mut search = Search { found: vec![None; kernel.values.len()], changed: true };
        each_stmt(&kernel.body, &mut |stmt| {
            let (of, [acc, a, b]) = match stmt.op {
                Op::Contract { acc, a, b } => (None, [acc, a, b]),
                Op::Dot { of, acc, a, b } if of.is_float() => (mma(of), [acc, a, b]),
                _ => return,
            };
            let (left, sums) = (&kernel.type_of(a).shape, &kernel.type_of(acc).shape);
            if let Some(product) = Product::find([left[0], left[1], sums[1]], self.lanes.into(), of) {
                for (value, role) in
                    [(acc, Role::Sums), (stmt.results[0], Role::Sums), (a, Role::Left), (b, Role::Right)]
                {
                    search.found[value.0 as usize].get_or_insert(Share { product, role });
                }
            }
        });
        while std::mem::take(&mut search.changed) {
            each_stmt(&kernel.body, &mut |stmt| search.carry(stmt));
        }
        search.changed = true;
        while std::mem::take(&mut search.changed) {
            each_stmt(&kernel.body, &mut |stmt| search.check(stmt));
        }
        self.shares = Shares(search.found);
    }

    /// Each element where it is multiplied or added; one that several places have is read once.
    pub(super) fn load_share(&mut self, access: &Access, otherwise: Literal, ty: &Type, share: &Share) -> Tile {
        let access = &self.without_proved_guards(access, &ty.shape);
        self.before_read(Use::of(access.memory));
        let scalar = Type::scalar(ty.dtype);
        let mut known: FxHashMap<Vec<Dim>, Value> = FxHashMap::default();
        let made = share.product.positions(share.role).into_iter().map(|position| {
            let spot = Spot::Each(&position);
            *known.entry(dims(access).map(|dim| spot.at(dim)).collect()).or_insert_with(|| {
                let (place, truth) = self.locate(access, &spot, true);
                self.load_when(truth, place, &scalar, otherwise)
            })
        });
        let parts = made.collect();
        Tile { shape: ty.shape.clone(), parts }
    }

    pub(super) fn store_share(&mut self, access: &Access, value: Value, share: &Share) {
        let tile = self.tile(value);
        let access = &self.without_proved_guards(access, &tile.shape);
        self.before_write(Use::of(access.memory));
        for (position, &part) in share.product.positions(share.role).iter().zip(&tile.parts) {
            let (place, truth) = self.locate(access, &Spot::Each(position), true);
            self.when(truth, |lower| lower.write(place, part, false));
        }
    }

    /// A constant in each of a thread's sums.
    pub(super) fn fill_share(&mut self, ty: &Type, literal: Literal, share: &Share) -> Tile {
        let part = self.literal(&Type::scalar(ty.dtype), literal);
        let n_parts = share.product.positions(share.role).len();
        Tile { shape: ty.shape.clone(), parts: vec![part; n_parts] }
    }

    pub(super) fn multiply_shares(
        &mut self,
        [acc, a, b]: [Value; 3],
        ty: &Type,
        share: &Share,
        add: &mut dyn FnMut(&mut Self, [Value; 3]) -> Value,
    ) -> Tile {
        let [mut acc, a, b] = [acc, a, b].map(|value| self.tile(value));
        match share.product.sharing {
            Sharing::Threads { .. } => {
                let depth = share.product.depth as usize;
                let (n_rows, n_columns) = (a.parts.len() / depth, b.parts.len() / depth);
                for (left, right) in a.parts.chunks(n_rows).zip(b.parts.chunks(n_columns)) {
                    for (at, sum) in acc.parts.iter_mut().enumerate() {
                        *sum = add(self, [left[at / n_columns], right[at % n_columns], *sum]);
                    }
                }
            }
            Sharing::Warps { def, .. } => {
                let [n_sums, n_left, n_right] = [&def.acc, &def.a, &def.b].map(|map| map.registers.len());
                let depth = (share.product.depth / def.words) as usize;
                let (lefts, rights) = (a.parts.len() / depth, b.parts.len() / depth);
                let n_columns = rights / n_right;
                for (left, right) in a.parts.chunks(lefts).zip(b.parts.chunks(rights)) {
                    for (at, sums) in acc.parts.chunks_mut(n_sums).enumerate() {
                        let left = &left[at / n_columns * n_left..][..n_left];
                        let right = &right[at % n_columns * n_right..][..n_right];
                        let new = self.mma(def.of, [sums, left, right]);
                        sums.copy_from_slice(&new);
                    }
                }
            }
        }
        Tile { shape: ty.shape.clone(), parts: acc.parts }
    }

    fn mma(&mut self, of: DType, operands: [&[Value]; 3]) -> Vec<Value> {
        let depth = self.depth();
        let results: Vec<Value> = operands[0].iter().map(|_| self.fresh(Type::scalar(DType::F32), depth)).collect();
        let op = Op::Mma(of, operands.concat());
        self.b.push_stmt(Stmt { results: results.clone(), op });
        results
    }
}

struct Search {
    found: Vec<Option<Share>>,
    changed: bool,
}

impl Search {
    fn of(&self, value: Value) -> Option<Share> {
        self.found[value.0 as usize]
    }

    /// Loops carry sums in and out, and functions of sums lie as they do.
    fn carry(&mut self, stmt: &Stmt) {
        match &stmt.op {
            Op::For(inner) => (0..inner.params.len()).for_each(|at| self.spread(&carried(stmt, inner, at))),
            Op::Scalar(_, operands) => self.spread(&[operands, stmt.results.as_slice()].concat()),
            _ => {}
        }
    }

    fn spread(&mut self, group: &[Value]) {
        let sums = group.iter().find_map(|&value| self.of(value)).filter(|share| share.role == Role::Sums);
        let Some(share) = sums else { return };
        for &value in group {
            self.changed |= self.of(value).is_none();
            self.found[value.0 as usize].get_or_insert(share);
        }
    }

    /// Takes back what the statement does not go with.
    fn check(&mut self, stmt: &Stmt) {
        match &stmt.op {
            Op::For(inner) => (0..inner.params.len()).for_each(|at| self.agree(&carried(stmt, inner, at))),
            Op::Scalar(_, operands) => self.agree(&[operands, stmt.results.as_slice()].concat()),
            Op::Contract { acc, a, b } | Op::Dot { acc, a, b, .. } => {
                let group = [*acc, stmt.results[0], *a, *b];
                self.agree(&group[..2]);
                let product = self.of(*a).map(|share| share.product);
                let fits = |value: Value, role: Role| {
                    let wanted = product.map(|product| Share { product, role });
                    self.of(value).zip(wanted).is_some_and(|(own, wanted)| own.fits(&wanted))
                };
                let fit = fits(*acc, Role::Sums) && fits(*a, Role::Left) && fits(*b, Role::Right);
                if !fit {
                    self.take_back(&group);
                }
            }
            Op::Const(_) => {
                let is_sums = self.of(stmt.results[0]).is_none_or(|share| share.role == Role::Sums);
                if !is_sums {
                    self.take_back(&stmt.results);
                }
            }
            Op::Load(access, _) if is_plain(access) => {}
            Op::Store(access, value) if is_plain(access) && self.of(*value).is_none_or(|s| s.role == Role::Sums) => {}
            op => {
                self.take_back(&op.operands());
                self.take_back(&stmt.results);
                op.blocks().iter().for_each(|block| self.take_back(&block.yields));
            }
        }
    }

    /// All of them are shared alike, or none.
    fn agree(&mut self, group: &[Value]) {
        let wanted = self.of(group[0]);
        let agree = group.iter().all(|&value| match (self.of(value), wanted) {
            (Some(own), Some(wanted)) => own.fits(&wanted),
            _ => false,
        });
        if !agree {
            self.take_back(group);
        }
    }

    fn take_back(&mut self, values: &[Value]) {
        for value in values {
            self.changed |= self.found[value.0 as usize].take().is_some();
        }
    }
}

/// What a loop carries at a place: it is one value all the time.
fn carried(stmt: &Stmt, inner: &For, at: usize) -> [Value; 4] {
    [inner.params[at], inner.inits[at], inner.body.yields[at], stmt.results[at]]
}

/// The index expressions and guards of an access without data.
fn dims(access: &Access) -> impl Iterator<Item = &Dim> {
    let index = access.index.iter().filter_map(|index| if let Index::Dim(dim) = index { Some(dim) } else { None });
    index.chain(&access.guards)
}

/// No index depends on data.
fn is_plain(access: &Access) -> bool {
    access.index.iter().all(|index| matches!(index, Index::Dim(_)))
}

fn each_stmt(block: &Block, visit: &mut dyn FnMut(&Stmt)) {
    for stmt in &block.stmts {
        visit(stmt);
        stmt.op.blocks().into_iter().for_each(|inner| each_stmt(inner, visit));
    }
}
