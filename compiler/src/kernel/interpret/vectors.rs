//! Statements of the loop level.

use super::Memories;
use super::number::{self, Number, wrap};
use super::thread::{Ran, Thread};
use crate::kernel::types::*;

impl Thread<'_> {
    pub(super) fn vector_statement(&mut self, memories: &mut Memories, op: &Op, ty: &Type) -> Ran<Vec<Number>> {
        match op {
            Op::Argument(argument) => Ok(vec![Number::int(match argument {
                Argument::Begin => self.range.0,
                Argument::End => self.range.1,
                Argument::Size(at) => self.sizes[*at as usize],
                Argument::Thread => self.number.into(),
            })]),
            Op::Lanes => Ok((0..ty.n_elements()).map(|lane| wrap(lane as i64, ty.dtype)).collect()),
            Op::Extract { value, lane } => Ok(vec![self.get(*value)?[*lane as usize]]),
            Op::Insert { value, lane, scalar } => {
                let mut numbers = self.get(*value)?.to_vec();
                numbers[*lane as usize] = self.get(*scalar)?[0];
                Ok(numbers)
            }
            Op::Shuffle { a, b, lanes } => {
                let (a, b) = (self.get(*a)?, self.get(*b)?);
                let lane = |&lane: &u32| *a.iter().chain(b).nth(lane as usize).unwrap_or(&a[0]);
                Ok(lanes.iter().map(lane).collect())
            }
            Op::Quotient(a, b) => {
                let (a, b) = (self.int(*a)?, self.int(*b)?);
                let quotient = a.checked_div(b).ok_or_else(|| format!("{a} / {b} has no quotient"))?;
                let wrapped = wrap(quotient, ty.dtype);
                if wrapped.as_int() == quotient { Ok(vec![wrapped]) } else { Err(format!("{a} / {b} overflows")) }
            }
            Op::Call(scalar, operands) => {
                let numbers: Ran<Vec<Number>> = operands.iter().map(|&value| Ok(self.get(value)?[0])).collect();
                Ok(vec![number::apply(*scalar, ty.dtype, ty.dtype, &numbers?)])
            }
            Op::Dot { of, acc, a, b } => {
                let (acc, a, b) = (self.get(*acc)?, self.get(*a)?, self.get(*b)?);
                Ok(acc.iter().zip(a.iter().zip(b)).map(|(&acc, (&a, &b))| number::dot(*of, a, b, acc)).collect())
            }
            Op::Matrix(matrix) => self.matrix(memories, matrix).map(|()| Vec::new()),
            Op::LoadAt(place) => self.load_at(memories, place, ty),
            Op::StoreAt(place, value) => self.store_at(memories, place, *value),
            _ => Err("it is not a statement of the loop level".into()),
        }
    }

    fn load_at(&mut self, memories: &mut Memories, place: &Place, ty: &Type) -> Ran<Vec<Number>> {
        let width = self.kernel.neighbours(place.memory, ty).unwrap_or(1) as i64;
        let offsets = self.offsets(place, ty.n_elements() as usize, width)?;
        let otherwise = match place.mask.and_then(|mask| mask.otherwise) {
            Some(value) => self.get(value)?,
            None => &[],
        };
        let each = offsets.iter().enumerate().map(|(lane, flat)| match flat {
            Some(flat) => memories.read_as(place.memory, *flat, ty.dtype),
            None => otherwise.get(lane).copied().ok_or_else(|| "a masked lane has no value".to_string()),
        });
        each.collect()
    }

    fn store_at(&mut self, memories: &mut Memories, place: &Place, value: Value) -> Ran<Vec<Number>> {
        let numbers = self.get(value)?;
        for (flat, &number) in self.offsets(place, numbers.len(), 1)?.into_iter().zip(numbers) {
            if let Some(flat) = flat {
                memories.write(place.memory, flat, number)?;
            }
        }
        Ok(Vec::new())
    }

    /// Where each lane lies, of so many elements each; nothing for those that are masked out.
    fn offsets(&self, place: &Place, n_lanes: usize, width: i64) -> Ran<Vec<Option<i64>>> {
        let offset = self.get(place.offset)?;
        let mask = place.mask.map(|mask| self.get(mask.mask)).transpose()?;
        let at = |lane: usize| match offset {
            [first] => first.as_int().checked_add(lane as i64 * width)?.checked_add(place.plus),
            lanes => lanes[lane].as_int().checked_add(place.plus),
        };
        (0..n_lanes)
            .map(|lane| match mask {
                Some(mask) if mask[lane].as_int() == 0 => Ok(None),
                _ => at(lane).map(Some).ok_or_else(|| "an address overflows".to_string()),
            })
            .collect()
    }
}
