//! Tile kernels become loop kernels.
//!
//! Invariant: the lowered kernel computes what the tile kernel does, touches no element that it does not, and has only
//! statements that every backend prints. A tile becomes its rows, each cut into vectors; see `layout`. Pure statements are
//! placed in the outermost block where their operands exist and exist there once; see `emit`. For a GPU the threads of a
//! block take the place of the lanes of a vector; see `block`.

mod access;
mod approximate;
mod block;
mod control;
mod dead;
mod dims;
mod element;
mod emit;
mod exchange;
mod gather;
mod hazard;
mod held;
mod integers;
mod interleave;
mod layout;
mod matrix;
mod owner;
mod product;
mod random;
mod scalars;
mod shapes;
mod sharing;
mod target;
mod turn;
mod version;
mod window;

pub use target::TargetDesc;

use super::types::*;
use super::{Builder, Facts, VerifyError};
use crate::graph::{DType, Dim, Symbol};
use dims::Truth;
use emit::Scope;
use layout::Tile;

/// Lowers a tile kernel for a target. Refuses kernels that do not verify, and those whose precision is not decided.
pub fn lower(kernel: &Kernel, target: &TargetDesc) -> Result<Kernel, Vec<VerifyError>> {
    let lanes = target.lanes(kernel);
    lower_with_lanes(kernel, target, lanes)
}

/// The same with a given number of lanes.
pub fn lower_with_lanes(kernel: &Kernel, target: &TargetDesc, lanes: u32) -> Result<Kernel, Vec<VerifyError>> {
    super::verify(kernel)?;
    if kernel.level == Level::Loop {
        return Ok(kernel.clone());
    }
    if let Some(place) = undecided(kernel) {
        return Err(vec![VerifyError { place, message: "its precision is not decided".into() }]);
    }
    let is_block = target.threads > 1;
    if is_block && let Some(place) = memories_and_values(kernel).find(|(_, dtype)| *dtype == DType::F64) {
        return Err(vec![VerifyError { place: place.0, message: "GPUs do not compute with f64 here".into() }]);
    }
    let mut lowering = Lower {
        source: kernel,
        target,
        lanes,
        b: Builder::like(kernel, Level::Loop, if is_block { 1 } else { lanes }),
        owners: Default::default(),
        shares: Default::default(),
        held: Default::default(),
        pending: Default::default(),
        exchanges: Vec::new(),
        tiles: vec![None; kernel.values.len()],
        scopes: vec![Scope::default()],
        homes: Vec::new(),
        symbols: Vec::new(),
        facts: Facts::of_body(kernel),
        peel: true,
    };
    match is_block {
        true => lowering.begin_block(),
        false => lowering.find_held(),
    }
    lowering.grid();
    Ok(dead::remove(lowering.b.finish()))
}

/// A memory or value that is `real`, which no machine computes with.
fn undecided(kernel: &Kernel) -> Option<String> {
    memories_and_values(kernel).find(|(_, dtype)| *dtype == DType::Real).map(|(place, _)| place)
}

fn memories_and_values(kernel: &Kernel) -> impl Iterator<Item = (String, DType)> {
    let buffers = kernel.buffers.iter().map(|buffer| (buffer.name.clone(), buffer.dtype));
    let locals = kernel.locals.iter().map(|local| (local.name.clone(), local.dtype));
    let values = kernel.values.iter().enumerate().map(|(at, ty)| (format!("%{at}"), ty.dtype));
    buffers.chain(locals).chain(values)
}

/// What an index symbol is.
#[derive(Clone, Copy, Debug)]
enum Binding {
    Value(Value),
    Constant(i64),
}

struct Lower<'k> {
    source: &'k Kernel,
    target: &'k TargetDesc,
    /// Of a vector, or the threads of a block.
    lanes: u32,
    b: Builder,
    /// What became of each value of the source.
    tiles: Vec<Option<Tile>>,
    /// One for each open block.
    scopes: Vec<Scope>,
    /// Where each value of the result is defined.
    homes: Vec<emit::Home>,
    symbols: Vec<(Symbol, Binding)>,
    facts: Facts,
    /// Whether loops are worth splitting here: not where nearly nothing runs.
    peel: bool,
    /// On GPUs: memories of which each element is used by one thread only.
    owners: owner::Owners,
    /// On GPUs: values of products that threads share in two directions.
    shares: product::Shares,
    /// Values of products that lie in registers of matrices.
    held: matrix::Held,
    /// On GPUs: what was done to memories since the last barrier.
    pending: hazard::Pending,
    /// On GPUs: shared memories through which threads exchange values.
    exchanges: Vec<exchange::Exchange>,
}

impl Lower<'_> {
    fn block(&mut self, block: &Block) -> Vec<Value> {
        let n_symbols = self.symbols.len();
        let mut stmts = block.stmts.as_slice();
        while let [stmt, others @ ..] = stmts {
            let n_together = self.store_interleaved(stmts);
            if n_together == 0 {
                self.stmt(stmt);
            }
            stmts = if n_together == 0 { others } else { &stmts[n_together..] };
        }
        self.symbols.truncate(n_symbols);
        block.yields.iter().flat_map(|&value| self.tile(value).parts).collect()
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let ty = stmt.results.first().map(|&result| self.source.type_of(result).clone());
        match (&stmt.op, ty) {
            (Op::For(inner), _) => self.for_loop(inner, &stmt.results),
            (Op::If(inner), _) => self.if_else(inner, &stmt.results),
            (Op::Symbol(def), _) => self.symbol_def(def),
            (Op::Store(access, value), _) if self.is_block() => self.store_in_block(access, *value, false),
            (Op::Accumulate(access, value), _) if self.is_block() => self.store_in_block(access, *value, true),
            (Op::Store(access, value), _) => match self.held.of(*value) {
                Some(held) => self.store_held(access, held),
                None => self.store(access, *value, false),
            },
            (Op::Accumulate(access, value), _) => self.store(access, *value, true),
            (Op::Prefetch(_), _) if self.is_block() => {}
            (Op::Prefetch(access), _) => self.prefetch(access),
            (op, Some(ty)) if self.held.of(stmt.results[0]).is_some() => {
                let tile = self.hold(op, &ty, stmt.results[0]);
                self.tiles[stmt.results[0].0 as usize] = Some(tile);
            }
            (op, Some(ty)) => {
                let share = self.shares.of(stmt.results[0]).copied();
                let tile = match (op, share) {
                    (Op::Load(access, otherwise), Some(share)) => self.load_share(access, *otherwise, &ty, &share),
                    (Op::Const(literal), Some(share)) => self.fill_share(&ty, *literal, &share),
                    (op, _) => self.value_of(op, &ty),
                };
                self.tiles[stmt.results[0].0 as usize] = Some(tile);
            }
            (_, None) => {}
        }
    }

    fn value_of(&mut self, op: &Op, ty: &Type) -> Tile {
        match op {
            Op::Const(literal) => self.fill(ty, *literal),
            Op::Scalar(scalar, operands) => self.elementwise(*scalar, operands, ty),
            Op::Cast(a) => {
                let source = self.tile(*a);
                self.map(ty, |lower, part| lower.cast(source.parts[part], ty.dtype))
            }
            Op::Bitcast(a) => {
                let source = self.tile(*a);
                self.map(ty, |lower, part| lower.bitcast(source.parts[part], ty.dtype))
            }
            Op::Broadcast(a) => self.broadcast_tile(*a, ty),
            Op::Reshape(a) => self.reshape(*a, ty),
            Op::Reduce { scalar, value, axis } if self.is_block() => self.reduce_in_block(*scalar, *value, *axis, ty),
            Op::Reduce { scalar, value, axis } => self.reduce(*scalar, *value, *axis, ty),
            Op::Contract { acc, a, b } => self.contract(*acc, *a, *b, ty),
            Op::Dot { of, acc, a, b } => self.dot(*of, [*acc, *a, *b], ty),
            Op::Index(dim) => self.index(dim, ty),
            Op::RandomBits(bits) => self.random_bits(bits, ty),
            Op::Load(access, otherwise) if self.is_block() => self.load_in_block(access, *otherwise, ty),
            Op::Load(access, otherwise) => self.load(access, *otherwise, ty),
            // The verifier leaves no other statement at the tile level.
            _ => self.fill(ty, Literal::zero(ty.dtype)),
        }
    }

    fn tile(&self, value: Value) -> Tile {
        match &self.tiles[value.0 as usize] {
            Some(tile) => tile.clone(),
            None => unreachable!("the verifier saw a definition of {value}"),
        }
    }

    fn set_tile(&mut self, value: Value, parts: Vec<Value>) {
        let ty = self.source.type_of(value);
        self.tiles[value.0 as usize] = Some(Tile { shape: ty.shape.clone(), parts });
    }

    /// With symbols of unrolled loops replaced by their numbers.
    fn resolve(&self, dim: &Dim) -> Dim {
        dim.substitute(&|symbol| match self.binding(symbol) {
            Some(Binding::Constant(value)) => Some(Dim::constant(value)),
            _ => None,
        })
    }

    fn binding(&self, symbol: &Symbol) -> Option<Binding> {
        self.symbols.iter().rev().find(|(other, _)| other == symbol).map(|&(_, binding)| binding)
    }
}
