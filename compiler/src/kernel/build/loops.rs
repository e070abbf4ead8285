//! Statements of the loop level.

use super::Builder;
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;

impl Builder {
    pub fn argument(&mut self, argument: Argument) -> Value {
        self.push(Op::Argument(argument), Type::scalar(DType::I64))
    }

    /// 0, 1, … in a vector of integers.
    pub fn lanes(&mut self, dtype: DType) -> Value {
        let ty = Type::new(dtype, [u64::from(self.kernel().lanes)]);
        self.push(Op::Lanes, ty)
    }

    pub fn splat(&mut self, value: Value) -> Value {
        let lanes = u64::from(self.kernel().lanes);
        self.broadcast(value, [lanes])
    }

    pub fn extract(&mut self, value: Value, lane: u32) -> Value {
        let ty = Type::scalar(self.type_of(value).dtype);
        self.push(Op::Extract { value, lane }, ty)
    }

    pub fn insert(&mut self, value: Value, lane: u32, scalar: Value) -> Value {
        let ty = self.type_of(value).clone();
        self.push(Op::Insert { value, lane, scalar }, ty)
    }

    /// These lanes of two vectors; those of the second are numbered after those of the first.
    pub fn shuffle(&mut self, a: Value, b: Value, lanes: Vec<u32>) -> Value {
        let ty = self.type_of(a).clone();
        self.push(Op::Shuffle { a, b, lanes }, ty)
    }

    pub fn quotient(&mut self, a: Value, b: Value) -> Value {
        let ty = self.type_of(a).clone();
        self.push(Op::Quotient(a, b), ty)
    }

    /// A host function on f64 scalars.
    pub fn call(&mut self, scalar: Scalar, operands: &[Value]) -> Value {
        self.push(Op::Call(scalar, operands.to_vec()), Type::scalar(DType::F64))
    }

    pub fn load_at(&mut self, place: Place, ty: Type) -> Value {
        self.push(Op::LoadAt(place), ty)
    }

    pub fn prefetch_at(&mut self, place: Place) {
        self.push_stmt(Stmt { results: Vec::new(), op: Op::PrefetchAt(place) });
    }

    pub fn store_at(&mut self, place: Place, value: Value) {
        self.push_stmt(Stmt { results: Vec::new(), op: Op::StoreAt(place, value) });
    }
}
