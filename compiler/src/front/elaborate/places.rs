//! `x[[2, 0, -1]]`: a list of places on one axis of a tensor.
//!
//! Invariant: each place lies on the axis, which is known now or checked when the entry is called. Places below zero count
//! from the end, as a single one does.

use super::Elaborator;
use super::index::Pick;
use super::report::Outcome;
use super::value::{Value, whole};
use crate::diag::Span;
use crate::front::ast::BinaryOp;
use crate::graph::{DType, Dim, Tensor};

impl<'a> Elaborator<'a> {
    pub fn pick_places(&mut self, list: &Value<'a>, size: &Dim, span: Span) -> Outcome<Pick> {
        let constant = self.constant_tensor(list, span)?;
        let Value::Constant(tensor) = &constant else { return Err(self.wanted("an index", list, span)) };
        let Some(places) = whole_numbers(tensor) else { return Err(self.wanted("a list of ints", list, span)) };
        self.all_on_axis(&places, size, span)?;
        if tensor.shape.len() == 1
            && let Some(slice) = as_slice(&places, size)
        {
            return Ok(slice);
        }
        let known: Option<Vec<i64>> = places.iter().map(|place| from_end(*place, size).as_constant()).collect();
        let made = |places: Vec<i64>| Value::Constant(Tensor::ints(DType::I64, tensor.shape.clone(), places).into());
        let index = match known {
            Some(known) => made(known),
            None => {
                let counted = made(places.iter().map(|place| i64::from(*place < 0)).collect());
                let size = (Value::size(size.clone()), span);
                let ends = self.operate(BinaryOp::Multiply, span, [(counted, span), size], span)?;
                self.operate(BinaryOp::Add, span, [(made(places), span), (ends, span)], span)?
            }
        };
        Ok(Pick::Gather(self.tensor(index, span)?, span))
    }

    /// Of places on one side of zero, the one furthest from it says it for all.
    fn all_on_axis(&mut self, places: &[i64], size: &Dim, span: Span) -> Outcome<()> {
        for extreme in [places.iter().max(), places.iter().min()].into_iter().flatten() {
            let at = from_end(*extreme, size);
            self.in_range(&at, &(&at + 1), size, span, &extreme.to_string())?;
        }
        Ok(())
    }
}

pub fn from_end(place: i64, size: &Dim) -> Dim {
    if place < 0 { size + place } else { Dim::constant(place) }
}

/// Places that follow each other are a slice, which copies nothing.
fn as_slice(places: &[i64], size: &Dim) -> Option<Pick> {
    let places: Vec<Dim> = places.iter().map(|place| from_end(*place, size)).collect();
    let follow = places.windows(2).all(|pair| pair[1] == &pair[0] + 1);
    follow.then(|| Pick::Slice(places[0].clone(), &places[places.len() - 1] + 1))
}

fn whole_numbers(tensor: &Tensor) -> Option<Vec<i64>> {
    match tensor.dtype {
        DType::Bool => None,
        _ => match tensor.as_ints() {
            Some(ints) => Some(ints.to_vec()),
            None => tensor.as_floats()?.iter().map(|number| whole(*number)).collect(),
        },
    }
}
