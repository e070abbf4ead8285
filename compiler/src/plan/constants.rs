//! The constants of a program: tensors whose bytes travel with it, each once.

use std::collections::HashMap;

use tilewright_runtime::program::{Constant, Program};

use crate::graph::Tensor;

#[derive(Default)]
pub struct Constants {
    found: Vec<Tensor>,
    by_digest: HashMap<String, u32>,
}

impl Constants {
    /// The number of this constant in the program.
    pub fn number(&mut self, tensor: &Tensor) -> u32 {
        let next = self.found.len() as u32;
        let number = *self.by_digest.entry(tensor.digest()).or_insert(next);
        if number == next {
            self.found.push(tensor.clone());
        }
        number
    }

    pub fn store(self, program: &mut Program) {
        for (idx, tensor) in self.found.into_iter().enumerate() {
            let data = program.add_blob(&tensor.to_bytes());
            let (dtype, shape) = (tensor.dtype, tensor.shape);
            program.constants.push(Constant { name: format!("c{idx}"), dtype, shape, data });
        }
    }
}
