//! Batches of examples: which ones stand in the n-th batch is a function of the seed and of n alone.

use std::rc::Rc;

use tilewright::compiler::graph::Sampler;
use tilewright::runtime::program::Port;
use tilewright::{Error, Tensor};

use super::super::run::{Origin, converted};
use super::super::term::Failure;

#[derive(Clone)]
pub struct Batches {
    arrays: Rc<Vec<(String, Tensor)>>,
    n_examples: usize,
    size: usize,
    seed: i64,
    /// The last order that was asked for, and of which epoch it is.
    order: Option<(u64, Vec<usize>)>,
}

impl Batches {
    pub fn new(arrays: Vec<(String, Tensor)>, size: usize, seed: i64) -> Result<Batches, Error> {
        let mut n_examples = None;
        for (name, array) in &arrays {
            let Some(&n) = array.shape().first() else {
                return Err(Error::request(format!("the array `{name}` is one number: it has no examples")));
            };
            if *n_examples.get_or_insert(n) != n {
                let message = format!("the array `{name}` has {n} examples, and `{}` another number", arrays[0].0);
                return Err(Error::request(message));
            }
        }
        let n_examples = n_examples.unwrap_or(0);
        if !arrays.is_empty() && n_examples < size {
            let message = format!("a batch of {size}, and {n_examples} examples");
            return Err(Error::Request { message, help: Some("`--batch N` makes it smaller".to_string()) });
        }
        Ok(Batches { arrays: Rc::new(arrays), n_examples, size, seed, order: None })
    }

    /// What an input is in the `call`-th call of a step.
    pub fn take(&mut self, step: &str, port: &Port, call: u64) -> Result<Tensor, Failure> {
        let Some(at) = self.arrays.iter().position(|(name, _)| *name == port.name) else {
            let known: Vec<&str> = self.arrays.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("the step `{step}` needs `{}`, and the data has {}", port.name, listed(&known));
            let help = "`--data FILE.npz` holds an array for each input of a step".to_string();
            return Err(Error::Request { message, help: Some(help) }.into());
        };
        let per_epoch = (self.n_examples / self.size).max(1) as u64;
        let (epoch, nth) = (call / per_epoch, (call % per_epoch) as usize);
        let size = self.size;
        let chosen = self.order(epoch)[nth * size..(nth + 1) * size].to_vec();
        let array = &self.arrays[at].1;
        let row = array.bytes().len() / self.n_examples.max(1);
        let bytes: Vec<u8> = chosen
            .iter()
            .flat_map(|&example| array.bytes()[example * row..(example + 1) * row].iter().copied())
            .collect();
        let shape = [&[self.size], &array.shape()[1..]].concat();
        let batch = Tensor::from_bytes(array.dtype(), &shape, &bytes)?;
        Ok(converted(batch, &port.name, port.dtype, Origin::Array)?)
    }

    /// Where the data for an input has its first number that is not finite.
    pub fn first_not_finite(&self, name: &str) -> Option<String> {
        let (_, array) = self.arrays.iter().find(|(known, _)| known == name)?;
        let values = array.view().to_f64();
        let at = values.iter().position(|value| !value.is_finite())?;
        let (mut rest, mut index) = (at, array.shape().to_vec());
        for size in index.iter_mut().rev() {
            (*size, rest) = (rest % *size, rest / *size);
        }
        Some(format!("the data holds {} in `{name}`, at {index:?}", values[at]))
    }

    /// The order of the examples in an epoch.
    fn order(&mut self, epoch: u64) -> &[usize] {
        if self.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let mut sampler = Sampler::new((self.seed as u64) ^ epoch.wrapping_mul(0xD6E8_FEB8_6659_FD93));
            let mut order: Vec<usize> = (0..self.n_examples).collect();
            for last in (1..order.len()).rev() {
                order.swap(last, sampler.int(0, last as i64) as usize);
            }
            self.order = Some((epoch, order));
        }
        self.order.as_ref().map_or(&[], |(_, order)| order)
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_string(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
