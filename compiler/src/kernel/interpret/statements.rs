//! Statements without inner blocks: those of both levels here, the others in `tiles` and `vectors`.

use super::Memories;
use super::number::{self, Number};
use super::thread::{Ran, Thread};
use crate::graph::{DType, Scalar};
use crate::kernel::types::*;

impl Thread<'_> {
    pub(super) fn statement(&mut self, memories: &mut Memories, stmt: &Stmt) -> Ran<Vec<Number>> {
        let ty = stmt.results.first().map(|&result| self.kernel.type_of(result).clone());
        let ty = ty.unwrap_or(Type::scalar(DType::Bool));
        self.spend(ty.n_elements() as usize)?;
        match &stmt.op {
            Op::Const(literal) => Ok(vec![Number::literal(*literal, ty.dtype); ty.n_elements() as usize]),
            Op::Scalar(scalar, operands) => self.elementwise(*scalar, operands, &ty),
            Op::Cast(a) => {
                let from = self.kernel.type_of(*a).dtype;
                Ok(self.get(*a)?.iter().map(|&number| number::cast(number, from, ty.dtype)).collect())
            }
            Op::Bitcast(a) => {
                let from = self.kernel.type_of(*a).dtype;
                let recast = |number: &Number| Number::from_bytes(&number.to_bytes(from)[..from.size_of()], ty.dtype);
                Ok(self.get(*a)?.iter().map(recast).collect())
            }
            Op::Broadcast(a) => self.broadcast(*a, &ty.shape),
            Op::Reshape(a) => Ok(self.get(*a)?.to_vec()),
            Op::Reduce { scalar, value, axis } => self.reduce(*scalar, *value, *axis),
            Op::Barrier | Op::Prefetch(_) | Op::PrefetchAt(_) => Ok(Vec::new()),
            op => match self.kernel.level {
                Level::Tile => self.tile_statement(memories, op, &ty),
                Level::Loop => self.vector_statement(memories, op, &ty),
            },
        }
    }

    fn elementwise(&mut self, scalar: Scalar, operands: &[Value], ty: &Type) -> Ran<Vec<Number>> {
        let from = self.kernel.type_of(operands[0]).dtype;
        let shift = matches!(scalar, Scalar::Shl | Scalar::Shr) && self.kernel.level == Level::Loop;
        let lists: Ran<Vec<&[Number]>> = operands.iter().map(|&value| self.get(value)).collect();
        let lists = lists?;
        let mut row = Vec::with_capacity(lists.len());
        (0..ty.n_elements() as usize)
            .map(|idx| {
                row.clear();
                row.extend(lists.iter().map(|list| list[idx]));
                if shift && !(0..8 * ty.dtype.size_of() as i64).contains(&row[1].as_int()) {
                    return Err(format!("it shifts by {}", row[1].as_int()));
                }
                Ok(number::apply(scalar, from, ty.dtype, &row))
            })
            .collect()
    }

    pub(super) fn broadcast(&self, value: Value, shape: &[u64]) -> Ran<Vec<Number>> {
        let from = &self.kernel.type_of(value).shape;
        let numbers = self.get(value)?;
        let at = |index: &[i64]| numbers[broadcast_offset(from, index)];
        Ok(indices(shape).map(|index| at(&index)).collect())
    }

    fn reduce(&self, scalar: Scalar, value: Value, axis: usize) -> Ran<Vec<Number>> {
        let ty = self.kernel.type_of(value);
        let numbers = self.get(value)?;
        let inner: usize = ty.shape[axis + 1..].iter().product::<u64>() as usize;
        let extent = ty.shape[axis] as usize;
        let outer = numbers.len() / (inner * extent);
        let mut results = Vec::with_capacity(outer * inner);
        for start in (0..outer).flat_map(|o| (0..inner).map(move |i| o * extent * inner + i)) {
            let mut line: Vec<Number> = (0..extent).map(|at| numbers[start + at * inner]).collect();
            while line.len() > 1 {
                let half = line.len().next_power_of_two() / 2;
                for at in half..line.len() {
                    line[at - half] = number::apply(scalar, ty.dtype, ty.dtype, &[line[at - half], line[at]]);
                }
                line.truncate(half);
            }
            results.push(line[0]);
        }
        Ok(results)
    }
}

/// All positions of a tile, row-major.
pub(super) fn indices(shape: &[u64]) -> impl Iterator<Item = Vec<i64>> {
    let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    let count = shape.iter().product::<i64>();
    (0..count).map(move |flat| {
        let mut index = vec![0; shape.len()];
        let mut rest = flat;
        for (at, &extent) in index.iter_mut().zip(&shape).rev() {
            *at = rest % extent;
            rest /= extent;
        }
        index
    })
}

/// Where the element lies that broadcasting puts at `index`.
pub(super) fn broadcast_offset(from: &[u64], index: &[i64]) -> usize {
    let skipped = index.len() - from.len();
    from.iter()
        .zip(&index[skipped..])
        .fold(0, |offset, (&extent, &at)| offset * extent as usize + if extent == 1 { 0 } else { at as usize })
}
