//! Numbers as the command line writes them: `5`, `[[1, 2.5], [nan, -inf]]`, `[true, false]`.
//!
//! Invariant: lists at the same depth are of the same length, so that what is read fills its shape; whole numbers stay whole.

use tilewright::Tensor;
use tilewright::runtime::program::DType;

/// Axes of a literal; lists within lists are read by recursion.
const MAX_RANK: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
}

struct Reader<'a> {
    rest: &'a str,
    /// The lengths of lists by their depth, as far as one has ended.
    shape: Vec<Option<usize>>,
    /// How deep the first number lies.
    rank: Option<usize>,
    scalars: Vec<Scalar>,
}

/// An array of bools, of i64 or of f64, or what is wrong with the text.
pub fn parse(text: &str) -> Result<Tensor, String> {
    let mut reader = Reader { rest: text, shape: Vec::new(), rank: None, scalars: Vec::new() };
    reader.value(0)?;
    if !reader.rest.trim().is_empty() {
        return Err(format!("`{}` is left over", reader.rest.trim()));
    }
    if reader.rank.is_some_and(|rank| rank != reader.shape.len()) {
        return Err(DEPTHS.to_string());
    }
    let shape: Vec<usize> = reader.shape.iter().map(|length| length.unwrap_or(0)).collect();
    tensor(&shape, &reader.scalars)
}

const DEPTHS: &str = "the rows have different depths";

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<(), String> {
        if !self.eats('[') {
            return self.scalar(depth);
        }
        if depth == MAX_RANK {
            return Err(format!("lists are nested more than {MAX_RANK} deep"));
        }
        if self.shape.len() == depth {
            self.shape.push(None);
        }
        let mut length = 0;
        while !self.eats(']') {
            if length > 0 && !self.eats(',') {
                return Err("a `,` or a `]` is missing".to_string());
            }
            self.value(depth + 1)?;
            length += 1;
        }
        match self.shape[depth].replace(length) {
            Some(before) if before != length => Err("the rows have different lengths".to_string()),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, depth: usize) -> Result<(), String> {
        let end = self.rest.find(|c: char| "[],".contains(c) || c.is_whitespace()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if *self.rank.get_or_insert(depth) != depth {
            return Err(DEPTHS.to_string());
        }
        let number = || word.parse().map(Scalar::Int).or_else(|_| word.parse().map(Scalar::Float));
        self.scalars.push(match word {
            "" => return Err("a number is missing".to_string()),
            "true" | "false" => Scalar::Bool(word == "true"),
            _ => number().map_err(|_| format!("`{word}` is no number"))?,
        });
        Ok(())
    }

    fn eats(&mut self, sign: char) -> bool {
        self.rest = self.rest.trim_start();
        let after = self.rest.strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }
}

fn tensor(shape: &[usize], scalars: &[Scalar]) -> Result<Tensor, String> {
    let bools = scalars.iter().filter(|scalar| matches!(scalar, Scalar::Bool(_))).count();
    if bools > 0 && bools < scalars.len() {
        return Err("numbers stand beside `true` or `false`".to_string());
    }
    let whole = |scalar: &Scalar| match *scalar {
        Scalar::Int(value) => Some(value),
        _ => None,
    };
    let float = |scalar: &Scalar| match *scalar {
        Scalar::Bool(value) => f64::from(u8::from(value)),
        Scalar::Int(value) => value as f64,
        Scalar::Float(value) => value,
    };
    let made = match scalars.iter().map(whole).collect::<Option<Vec<i64>>>() {
        _ if bools > 0 => {
            let bytes: Vec<u8> = scalars.iter().map(|scalar| u8::from(float(scalar) != 0.0)).collect();
            Tensor::from_bytes(DType::Bool, shape, &bytes)
        }
        Some(ints) => Tensor::from_slice(shape, &ints),
        None => Tensor::from_slice(shape, &scalars.iter().map(float).collect::<Vec<_>>()),
    };
    made.map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (DType, Vec<usize>, Vec<f64>) {
        let tensor = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (tensor.dtype(), tensor.shape().to_vec(), tensor.view().to_f64())
    }

    #[test]
    fn shapes_and_types_are_those_of_what_is_written() {
        assert_eq!(read("5"), (DType::I64, vec![], vec![5.0]));
        assert_eq!(read("[[1, +2], [-3,4]]"), (DType::I64, vec![2, 2], vec![1.0, 2.0, -3.0, 4.0]));
        assert_eq!(read("[.5, 1e-3, -inf]"), (DType::F64, vec![3], vec![0.5, 1e-3, f64::NEG_INFINITY]));
        assert_eq!(read("[true,false]"), (DType::Bool, vec![2], vec![1.0, 0.0]));
        assert_eq!(read("[[], []]"), (DType::I64, vec![2, 0], vec![]));
        assert!(read("[nan, 1]").2[0].is_nan());
    }

    #[test]
    fn what_fills_no_shape_is_refused() {
        for (text, says) in [
            ("[1, [2]]", "different depths"),
            ("[[1], 2]", "different depths"),
            ("[[], 1]", "different depths"),
            ("[[1], [2, 3]]", "different lengths"),
            ("[1 2]", "`]` is missing"),
            ("[1, 2", "missing"),
            ("[1,]", "a number is missing"),
            ("[1] 2", "left over"),
            ("[one]", "`one` is no number"),
            ("[1, true]", "beside `true`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
