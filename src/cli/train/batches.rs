//! Batches of examples: which ones stand in the n-th batch is a function of the seed and of n alone.

use std::collections::BTreeMap;
use std::rc::Rc;

use tilewright::compiler::graph::{Dim, Sampler};
use tilewright::runtime::program::Port;
use tilewright::{Error, Tensor};

use super::super::run::{Origin, converted};
use super::super::term::Failure;

#[derive(Clone)]
pub struct Batches {
    arrays: Rc<Vec<(String, Tensor)>>,
    /// How many examples each step has.
    n_examples: Rc<BTreeMap<String, usize>>,
    size: usize,
    seed: i64,
    /// The last order that was asked for: of so many examples, in which epoch.
    order: Option<((usize, u64), Vec<usize>)>,
}

impl Batches {
    /// The arrays that inputs of one step have the names of hold as many examples each; those of others are their own.
    pub fn new<'s>(
        arrays: Vec<(String, Tensor)>,
        steps: impl Iterator<Item = (&'s str, &'s [Port])>,
        size: usize,
        seed: i64,
    ) -> Result<Batches, Error> {
        let mut n_examples = BTreeMap::new();
        for (step, ports) in steps {
            let mut first: Option<(&str, usize)> = None;
            for port in ports {
                let Some((name, array)) = arrays.iter().find(|(name, _)| *name == port.name) else { continue };
                if is_whole(port, array) {
                    continue;
                }
                let Some(&n) = array.shape().first() else {
                    return Err(Error::request(format!("the array `{name}` is one number: it has no examples")));
                };
                let (other, wanted) = *first.get_or_insert((name, n));
                if n != wanted {
                    let message = format!(
                        "the step `{step}` takes one example of each array, and `{other}` has {wanted} and `{name}` {n}"
                    );
                    let help = "the first axis counts examples; an input whose first size is a number takes an array of it whole";
                    return Err(Error::Request { message, help: Some(help.to_string()) });
                }
            }
            let n = first.map_or(0, |(_, n)| n);
            if first.is_some() && n < size {
                let message = format!("a batch of {size}, and {n} examples for the step `{step}`");
                return Err(Error::Request { message, help: Some("`--batch N` makes it smaller".to_string()) });
            }
            n_examples.insert(step.to_string(), n);
        }
        Ok(Batches { arrays: Rc::new(arrays), n_examples: Rc::new(n_examples), size, seed, order: None })
    }

    /// What an input is in the `call`-th call of a step.
    pub fn take(&mut self, step: &str, port: &Port, call: u64) -> Result<Tensor, Failure> {
        let Some(at) = self.arrays.iter().position(|(name, _)| *name == port.name) else {
            let known: Vec<&str> = self.arrays.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("the step `{step}` needs `{}`, and the data has {}", port.name, listed(&known));
            let help = "`--data FILE.npz` holds an array for each input of a step".to_string();
            return Err(Error::Request { message, help: Some(help) }.into());
        };
        let (arrays, size) = (Rc::clone(&self.arrays), self.size);
        let array = &arrays[at].1;
        if is_whole(port, array) {
            let whole = Tensor::from_bytes(array.dtype(), array.shape(), array.bytes())?;
            return Ok(converted(whole, &port.name, port.dtype, Origin::Array)?);
        }
        let n = self.n_examples.get(step).copied().unwrap_or(0);
        let per_epoch = (n / size).max(1) as u64;
        let (epoch, nth) = (call / per_epoch, (call % per_epoch) as usize);
        let row = array.bytes().len() / n.max(1);
        let chosen = &self.order(n, epoch)[nth * size..(nth + 1) * size];
        let bytes: Vec<u8> = chosen
            .iter()
            .flat_map(|&example| array.bytes()[example * row..(example + 1) * row].iter().copied())
            .collect();
        let shape = [&[size], &array.shape()[1..]].concat();
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

    /// The order of so many examples in an epoch.
    fn order(&mut self, n: usize, epoch: u64) -> &[usize] {
        if self.order.as_ref().is_none_or(|(of, _)| *of != (n, epoch)) {
            let mut sampler = Sampler::new((self.seed as u64) ^ epoch.wrapping_mul(0xD6E8_FEB8_6659_FD93));
            let mut order: Vec<usize> = (0..n).collect();
            for last in (1..order.len()).rev() {
                order.swap(last, sampler.int(0, last as i64) as usize);
            }
            self.order = Some(((n, epoch), order));
        }
        self.order.as_ref().map_or(&[], |(_, order)| order)
    }
}

/// Whether an input takes an array as it is: a number, or what has a known first size which is the array's.
fn is_whole(port: &Port, array: &Tensor) -> bool {
    match (port.shape.first().map(Dim::as_constant), array.shape().first()) {
        (None, None) => true,
        (Some(Some(wanted)), Some(&found)) => usize::try_from(wanted) == Ok(found),
        _ => false,
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_string(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
