//! Loads and stores: elements of typed pointers and arrays.

use super::print::Printer;
use crate::graph::DType;
use crate::kernel::{Memory, Place, Value};

impl Printer<'_> {
    fn element(&self, place: &Place) -> String {
        let offset = self.name(place.offset);
        let offset = match place.plus {
            0 => offset,
            plus if plus < 0 => format!("{offset} - {}", plus.unsigned_abs()),
            plus => format!("{offset} + {plus}"),
        };
        match place.memory {
            Memory::Buffer(at) => format!("b{at}[{offset}]"),
            Memory::Local(at) => format!("l{at}[{offset}]"),
        }
    }

    pub(super) fn load(&self, place: &Place, dtype: DType) -> String {
        let (stored, element) = (self.kernel.memory_dtype(place.memory), self.element(place));
        match stored == dtype {
            true if dtype == DType::Bool => format!("{element} != 0"),
            true => element,
            false => format!("word_of(&{element})"),
        }
    }

    pub(super) fn store(&mut self, place: &Place, value: Value) {
        self.line(&format!("{} = {};", self.element(place), self.name(value)));
    }
}
