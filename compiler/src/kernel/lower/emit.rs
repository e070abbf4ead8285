//! Placing pure statements: as far out as their operands allow, and once.
//!
//! Invariant: a value found in a scope that is open is visible here. Nothing moves out of an `if` but cheap integer
//! arithmetic on scalars, and loads never move: a loop that runs zero times must not read. Constants are placed in the
//! block that uses them, so that they hold no register elsewhere.

use std::collections::HashMap;

use super::Lower;
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;

/// Facts about an open block.
#[derive(Default)]
pub(super) struct Scope {
    pub known: HashMap<(Op, Type), Value>,
    pub conditional: bool,
    pub proofs: HashMap<crate::graph::Dim, bool>,
}

/// Where a value is defined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub depth: usize,
    pub literal: Option<Literal>,
}

impl Lower<'_> {
    pub(super) fn depth(&self) -> usize {
        self.scopes.len() - 1
    }

    pub(super) fn open(&mut self, conditional: bool) {
        self.b.open_block();
        self.scopes.push(Scope { conditional, ..Scope::default() });
    }

    pub(super) fn close(&mut self, yields: Vec<Value>) -> Block {
        self.scopes.pop();
        self.b.close_block(yields)
    }

    pub(super) fn home_of(&self, value: Value) -> Home {
        self.homes.get(value.0 as usize).copied().unwrap_or(Home { depth: 0, literal: None })
    }

    /// Notes values that were just made as defined at a depth.
    pub(super) fn at_home(&mut self, value: Value, depth: usize, literal: Option<Literal>) {
        let at = value.0 as usize;
        self.homes.resize(self.homes.len().max(at + 1), Home { depth: 0, literal: None });
        self.homes[at] = Home { depth, literal };
    }

    /// A new value of the current block that a loop, an `if` or a block's head will define.
    pub(super) fn fresh(&mut self, ty: Type, depth: usize) -> Value {
        let value = self.b.value(ty);
        self.at_home(value, depth, None);
        value
    }

    pub(super) fn type_of(&self, value: Value) -> &Type {
        self.b.type_of(value)
    }

    pub(super) fn literal(&mut self, ty: &Type, literal: Literal) -> Value {
        self.literal_at(ty, literal, self.depth())
    }

    fn literal_at(&mut self, ty: &Type, literal: Literal, depth: usize) -> Value {
        let key = (Op::Const(literal), ty.clone());
        if let Some(&value) = self.scopes[depth].known.get(&key) {
            return value;
        }
        let value = self.b.push_at(depth, key.0.clone(), ty.clone());
        self.at_home(value, depth, Some(literal));
        self.scopes[depth].known.insert(key, value);
        value
    }

    /// A pure statement.
    pub(super) fn pure(&mut self, mut op: Op, ty: Type) -> Value {
        let home = self.place_for(&op, &ty);
        op.for_each_operand(&mut |operand| {
            let Home { literal, .. } = self.home_of(*operand);
            if let Some(literal) = literal {
                let ty = self.type_of(*operand).clone();
                *operand = self.literal_at(&ty, literal, home);
            }
        });
        let key = (op, ty);
        if let Some(value) = self.scopes.iter().find_map(|scope| scope.known.get(&key)) {
            return *value;
        }
        let value = self.b.push_at(home, key.0.clone(), key.1.clone());
        self.at_home(value, home, None);
        self.scopes[home].known.insert(key, value);
        value
    }

    fn place_for(&self, op: &Op, ty: &Type) -> usize {
        let operands = op.operands();
        let needed = operands.iter().map(|&value| self.home_of(value)).filter(|home| home.literal.is_none());
        let needed = needed.map(|home| home.depth).max().unwrap_or(0);
        use Scalar::{Add, Max, Min, Mul, Sub};
        let cheap = matches!(op, Op::Scalar(Add | Sub | Mul | Min | Max, _)) && *ty == Type::scalar(DType::I64);
        if cheap || matches!(op, Op::Argument(_)) {
            return needed;
        }
        // A divisor may be zero where the loop around does not run.
        if let Op::Quotient(_, divisor) = op
            && self.as_literal(*divisor).is_none()
        {
            return self.depth();
        }
        let barrier = self.scopes.iter().rposition(|scope| scope.conditional).unwrap_or(0);
        needed.max(barrier)
    }

    /// A load, which stays here; one from memory that nobody writes is done once.
    pub(super) fn load_place(&mut self, place: Place, ty: Type) -> Value {
        let constant = match place.memory {
            Memory::Buffer(at) => self.source.buffers[at as usize].rights == Rights::Read,
            Memory::Local(_) => false,
        };
        let key = (Op::LoadAt(place), ty);
        if constant && let Some(value) = self.scopes.iter().find_map(|scope| scope.known.get(&key)) {
            return *value;
        }
        let depth = self.depth();
        let value = self.b.push(key.0.clone(), key.1.clone());
        self.at_home(value, depth, None);
        if constant {
            self.scopes[depth].known.insert(key, value);
        }
        value
    }

    /// The literal of a constant.
    pub(super) fn as_literal(&self, value: Value) -> Option<Literal> {
        self.home_of(value).literal
    }

    pub(super) fn op(&mut self, scalar: Scalar, operands: &[Value]) -> Value {
        let dtypes: Vec<DType> = operands.iter().map(|&value| self.type_of(value).dtype).collect();
        let dtype = scalar.result(&dtypes).unwrap_or(dtypes[0]);
        let ty = self.type_of(operands[0]).with_dtype(dtype);
        self.pure(Op::Scalar(scalar, operands.to_vec()), ty)
    }

    pub(super) fn int(&mut self, value: i64) -> Value {
        self.literal(&Type::scalar(DType::I64), Literal::int(value))
    }

    /// A number in the type of another value.
    pub(super) fn like(&mut self, value: Value, number: f64) -> Value {
        let ty = self.type_of(value).clone();
        self.literal(&ty, Literal::of(ty.dtype, number))
    }

    pub(super) fn int_like(&mut self, value: Value, number: i64) -> Value {
        let ty = self.type_of(value).clone();
        self.literal(&ty, Literal::int(number))
    }

    pub(super) fn bitcast(&mut self, value: Value, dtype: DType) -> Value {
        let ty = self.type_of(value).with_dtype(dtype);
        self.pure(Op::Bitcast(value), ty)
    }

    /// A scalar in every lane.
    pub(super) fn splat(&mut self, value: Value) -> Value {
        let ty = self.type_of(value).clone();
        if self.lanes == 1 || self.is_block() || !ty.is_scalar() {
            return value;
        }
        let ty = Type::new(ty.dtype, [u64::from(self.lanes)]);
        match self.as_literal(value) {
            Some(literal) => self.literal(&ty, literal),
            None => self.pure(Op::Broadcast(value), ty),
        }
    }

    pub(super) fn extract(&mut self, value: Value, lane: u32) -> Value {
        let ty = self.type_of(value).clone();
        match self.as_literal(value) {
            _ if ty.is_scalar() => value,
            Some(literal) => self.literal(&Type::scalar(ty.dtype), literal),
            None => self.pure(Op::Extract { value, lane }, Type::scalar(ty.dtype)),
        }
    }

    /// A vector of scalars; lanes without one hold anything.
    pub(super) fn gather_lanes(&mut self, scalars: &[Value]) -> Value {
        if self.lanes == 1 {
            return scalars[0];
        }
        let mut vector = self.splat(scalars[0]);
        for (lane, &scalar) in scalars.iter().enumerate().skip(1) {
            if scalar != scalars[0] {
                let ty = self.type_of(vector).clone();
                vector = self.pure(Op::Insert { value: vector, lane: lane as u32, scalar }, ty);
            }
        }
        vector
    }

    /// 0, 1, … in the lanes of a vector of this type.
    pub(super) fn lane_numbers(&mut self, dtype: DType) -> Value {
        self.pure(Op::Lanes, Type::new(dtype, [u64::from(self.lanes)]))
    }
}
