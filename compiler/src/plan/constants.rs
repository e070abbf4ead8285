//! The constants of a program: tensors whose bytes travel with it, each once.

use std::collections::HashMap;

use tilewright_runtime::program::{Constant, Program, to_bf16, to_f16};

use crate::graph::{DType, Data, Tensor};

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
            let data = program.add_blob(&bytes(&tensor));
            let (dtype, shape) = (tensor.dtype, tensor.shape);
            program.constants.push(Constant { name: format!("c{idx}"), dtype, shape, data });
        }
    }
}

/// The elements as they lie in memory.
pub fn bytes(tensor: &Tensor) -> Vec<u8> {
    match &tensor.data {
        Data::Float(data) => match tensor.dtype {
            DType::F32 => data.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            DType::F16 => data.iter().flat_map(|&v| to_f16(v).to_le_bytes()).collect(),
            DType::BF16 => data.iter().flat_map(|&v| to_bf16(v).to_le_bytes()).collect(),
            _ => data.iter().flat_map(|&v| v.to_le_bytes()).collect(),
        },
        Data::Int(data) => {
            let n_bytes = tensor.dtype.size_of();
            data.iter().flat_map(|&v| v.to_le_bytes().into_iter().take(n_bytes)).collect()
        }
    }
}
