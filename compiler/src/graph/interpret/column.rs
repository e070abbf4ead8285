//! Columns: the values of one node of a nest's body at consecutive points.
//!
//! Invariant: integers are wrapped to their type; floats are rounded to theirs when the precision is declared.

use super::super::scalar::Signature;
use super::super::tensor::saturate;
use super::super::{DType, Precision, Scalar, round, round_int, wrap};

#[derive(Clone, Debug)]
pub enum Column {
    Float(Vec<f64>),
    Int(Vec<i64>),
}

impl Column {
    pub fn splat(dtype: DType, value: f64, len: usize) -> Column {
        match dtype.is_float() {
            true => Column::Float(vec![value; len]),
            false => Column::Int(vec![saturate(dtype, value); len]),
        }
    }

    pub fn empty(dtype: DType, capacity: usize) -> Column {
        match dtype.is_float() {
            true => Column::Float(Vec::with_capacity(capacity)),
            false => Column::Int(Vec::with_capacity(capacity)),
        }
    }

    pub fn append(&mut self, other: Column) {
        match (self, other) {
            (Column::Float(all), Column::Float(mut more)) => all.append(&mut more),
            (Column::Int(all), Column::Int(mut more)) => all.append(&mut more),
            (all, more) => *all = more,
        }
    }

    /// The values as integers; floats do not occur where this is asked.
    pub fn into_ints(self) -> Vec<i64> {
        match self {
            Column::Int(values) => values,
            Column::Float(values) => values.into_iter().map(|value| value as i64).collect(),
        }
    }

    fn settled(mut self, dtype: DType, precision: Precision) -> Column {
        match &mut self {
            Column::Float(values) if precision == Precision::Declared && rounds(dtype) => {
                values.iter_mut().for_each(|value| *value = round(dtype, *value));
            }
            Column::Int(values) if dtype != DType::I64 => {
                values.iter_mut().for_each(|value| *value = wrap(dtype, *value));
            }
            _ => {}
        }
        self
    }

    pub fn cast(&self, to: DType, precision: Precision) -> Column {
        let asked = precision == Precision::Asked && matches!(to, DType::F16 | DType::BF16);
        let column = match (self, to.is_float()) {
            (Column::Float(values), true) if asked => Column::Float(values.iter().map(|&v| round(to, v)).collect()),
            (Column::Float(values), true) => Column::Float(values.clone()),
            (Column::Int(values), true) if precision == Precision::Declared || asked => {
                Column::Float(values.iter().map(|&v| round_int(to, v)).collect())
            }
            (Column::Int(values), true) => Column::Float(values.iter().map(|&v| v as f64).collect()),
            (Column::Float(values), false) => Column::Int(values.iter().map(|&v| saturate(to, v)).collect()),
            (Column::Int(values), false) if to == DType::Bool => {
                Column::Int(values.iter().map(|&v| i64::from(v != 0)).collect())
            }
            (Column::Int(values), false) => Column::Int(values.clone()),
        };
        column.settled(to, precision)
    }
}

fn rounds(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

/// Applies a scalar function to columns of types it accepts; `None` when they are of other kinds.
pub fn apply(scalar: Scalar, args: &[&Column], dtype: DType, precision: Precision) -> Option<Column> {
    let def = scalar.def();
    let column = match (def.signature, args) {
        (Signature::Select, [Column::Int(test), a, b]) => select(test, a, b)?,
        (_, [Column::Float(_), ..]) => {
            let args = args.iter().map(|arg| as_floats(arg)).collect::<Option<Vec<_>>>()?;
            let values = map(def.float?, &args);
            match dtype.is_float() {
                true => Column::Float(values),
                false => Column::Int(values.into_iter().map(|value| value as i64).collect()),
            }
        }
        (_, [Column::Int(_), ..]) => {
            let args = args.iter().map(|arg| as_ints(arg)).collect::<Option<Vec<_>>>()?;
            Column::Int(map(def.int?, &args))
        }
        _ => return None,
    };
    Some(column.settled(dtype, precision))
}

fn as_floats(column: &Column) -> Option<&[f64]> {
    match column {
        Column::Float(values) => Some(values),
        Column::Int(_) => None,
    }
}

fn as_ints(column: &Column) -> Option<&[i64]> {
    match column {
        Column::Int(values) => Some(values),
        Column::Float(_) => None,
    }
}

fn map<T: Copy + Default>(f: fn(T, T, T) -> T, args: &[&[T]]) -> Vec<T> {
    let zero = T::default();
    match args {
        [a] => a.iter().map(|&a| f(a, zero, zero)).collect(),
        [a, b] => a.iter().zip(*b).map(|(&a, &b)| f(a, b, zero)).collect(),
        [a, b, c] => a.iter().zip(*b).zip(*c).map(|((&a, &b), &c)| f(a, b, c)).collect(),
        _ => Vec::new(),
    }
}

fn select(test: &[i64], a: &Column, b: &Column) -> Option<Column> {
    fn pick<T: Copy>(test: &[i64], a: &[T], b: &[T]) -> Vec<T> {
        test.iter().zip(a).zip(b).map(|((&test, &a), &b)| if test != 0 { a } else { b }).collect()
    }
    match (a, b) {
        (Column::Float(a), Column::Float(b)) => Some(Column::Float(pick(test, a, b))),
        (Column::Int(a), Column::Int(b)) => Some(Column::Int(pick(test, a, b))),
        _ => None,
    }
}

/// Combines every `row` values to one. Floats are combined in f64 and pairwise, whatever their type, and rounded once.
pub fn reduce(scalar: Scalar, column: &Column, row: usize, dtype: DType, precision: Precision) -> Option<Column> {
    let column = match column {
        Column::Float(values) => {
            let f = scalar.def().float?;
            // A sum begins at zero, as in kernels: of negative zeros it is not negative.
            let begun = |all: f64| if scalar == Scalar::Add { all + 0.0 } else { all };
            Column::Float(values.chunks(row).map(|row| begun(pairwise(row, &|a, b| f(a, b, 0.0)))).collect())
        }
        Column::Int(values) => {
            let f = scalar.def().int?;
            Column::Int(values.chunks(row).map(|row| pairwise(row, &|a, b| wrap(dtype, f(a, b, 0)))).collect())
        }
    };
    Some(column.settled(dtype, precision))
}

fn pairwise<T: Copy + Default>(values: &[T], f: &impl Fn(T, T) -> T) -> T {
    match values {
        [] => T::default(),
        [first, rest @ ..] if values.len() <= 16 => rest.iter().fold(*first, |sum, &value| f(sum, value)),
        _ => {
            let (left, right) = values.split_at(values.len() / 2);
            f(pairwise(left, f), pairwise(right, f))
        }
    }
}
