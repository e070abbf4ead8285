//! Evaluates a nest: the body, node by node, over chunks of points in row-major order.
//!
//! Invariant: memory is read only at checked positions. A position that the nest promises to be in range and is not gives
//! an error; one that depends on data, or whose guard fails, gives `otherwise`.

use super::super::tensor::saturate;
use super::super::{DType, Data, Eval, EvalError, Nest, NestIndex, Precision, ScalarNode, Tensor};
use super::column::{Column, apply, reduce};
use super::index::{Index, Points};
use super::n_elements;
use tilewright_runtime::program::random::random_bits;

/// Points evaluated at a time.
const CHUNK: usize = 4096;

/// A nest with its sizes filled in and its loads planned.
struct Plan<'a> {
    nest: &'a Nest,
    operands: &'a [Tensor],
    extents: Vec<usize>,
    dtypes: Vec<DType>,
    /// One for each node of the body; only loads and indices have something to plan.
    steps: Vec<Step>,
    precision: Precision,
}

enum Step {
    Plain,
    Index(Index),
    /// The operand is read in the order of the points.
    Copy(usize),
    /// The operand is read at positions known to be in range.
    Affine(usize, Index),
    /// The operand is read where guards hold and indices are in range.
    Checked {
        operand: usize,
        index: Vec<Place>,
        guards: Vec<Index>,
        otherwise: f64,
    },
}

enum Place {
    Affine(Index),
    Value(usize),
}

/// The result of a nest on the operands of `eval`.
pub fn evaluate(nest: &Nest, eval: &Eval) -> Result<Tensor, EvalError> {
    let plan = Plan::new(nest, eval)?;
    let (outer, inner) = plan.extents.split_at(nest.n_parallel.min(plan.extents.len()));
    let n_results = n_elements(outer).ok_or_else(too_large)?;
    let row = n_elements(inner).ok_or_else(too_large)?;
    let dtype = *plan.dtypes.last().ok_or_else(|| EvalError::new("a nest computes nothing"))?;
    let mut results = Column::empty(dtype, n_results);
    match nest.reduce {
        None => {
            let n_points = n_results.checked_mul(row).ok_or_else(too_large)?;
            for start in (0..n_points).step_by(CHUNK) {
                results.append(plan.run(start, CHUNK.min(n_points - start))?);
            }
        }
        Some(reduction) if row == 0 => {
            results = initial(dtype, reduction.initial, n_results);
        }
        Some(reduction) => {
            n_results.checked_mul(row).ok_or_else(too_large)?;
            let combine = |column: &Column, row, precision| {
                reduce(reduction.combine, column, row, dtype, precision)
                    .ok_or_else(|| EvalError::new(format!("`{}` cannot reduce {dtype}", reduction.combine)))
            };
            let rows_at_once = (CHUNK / row).max(1);
            for first in (0..n_results).step_by(rows_at_once) {
                let n_points = rows_at_once.min(n_results - first) * row;
                let mut pieces = Column::empty(dtype, 1);
                for start in (0..n_points).step_by(CHUNK) {
                    let piece = plan.run(first * row + start, CHUNK.min(n_points - start))?;
                    match n_points <= CHUNK {
                        true => pieces = piece,
                        false => pieces.append(combine(&piece, CHUNK, Precision::Wide)?),
                    }
                }
                let n_pieces = if n_points <= CHUNK { row } else { row.div_ceil(CHUNK) };
                results.append(combine(&pieces, n_pieces, plan.precision)?);
            }
        }
    }
    let to = eval.results.first().map_or(dtype, |ty| ty.dtype);
    if to != dtype {
        results = results.cast(to, plan.precision);
    }
    Ok(match results {
        Column::Float(values) => Tensor::floats(to, outer.to_vec(), values),
        Column::Int(values) => Tensor::ints(to, outer.to_vec(), values),
    })
}

fn too_large() -> EvalError {
    EvalError::new("a nest has more points than can be counted")
}

fn initial(dtype: DType, value: f64, n: usize) -> Column {
    match dtype.is_float() {
        true => Column::Float(vec![value; n]),
        false => Column::Int(vec![saturate(dtype, value); n]),
    }
}

impl<'a> Plan<'a> {
    fn new(nest: &'a Nest, eval: &Eval<'a>) -> Result<Plan<'a>, EvalError> {
        let extents = nest.axes.iter().map(|dim| eval.context.size(dim)).collect::<Result<Vec<_>, _>>()?;
        let mut plan = Plan {
            nest,
            operands: eval.operands,
            extents,
            dtypes: Vec::with_capacity(nest.body.len()),
            steps: Vec::with_capacity(nest.body.len()),
            precision: eval.context.precision,
        };
        for node in &nest.body {
            let (dtype, step) = plan.prepare(node, eval)?;
            plan.dtypes.push(dtype);
            plan.steps.push(step);
        }
        Ok(plan)
    }

    fn dtype_of(&self, arg: usize) -> Result<DType, EvalError> {
        self.dtypes.get(arg).copied().ok_or_else(|| EvalError::new("a nest uses a value before it is known"))
    }

    fn prepare(&self, node: &ScalarNode, eval: &Eval) -> Result<(DType, Step), EvalError> {
        let compile = |dim| Index::compile(dim, self.extents.len(), eval.context.symbols());
        Ok(match node {
            ScalarNode::Const { dtype, .. } => (*dtype, Step::Plain),
            ScalarNode::Index(dim) => (DType::I64, Step::Index(compile(dim)?)),
            ScalarNode::Apply { scalar, args } => {
                let dtypes = args.iter().map(|&arg| self.dtype_of(arg)).collect::<Result<Vec<_>, _>>()?;
                (scalar.result(&dtypes).map_err(EvalError)?, Step::Plain)
            }
            ScalarNode::Cast { dtype, arg } => {
                self.dtype_of(*arg)?;
                (*dtype, Step::Plain)
            }
            ScalarNode::RandomBits { seed, stream, counter, .. } => {
                for arg in [seed, stream, counter] {
                    if self.dtype_of(*arg)?.is_float() {
                        return Err(EvalError::new("random bits are drawn by integers"));
                    }
                }
                (DType::U32, Step::Plain)
            }
            ScalarNode::Load { operand, index, guards, otherwise } => {
                let guards = guards.iter().map(|guard| compile(&guard.0)).collect::<Result<Vec<_>, _>>()?;
                let mut places = Vec::with_capacity(index.len());
                for place in index {
                    places.push(match place {
                        NestIndex::Affine(dim) => Place::Affine(compile(dim)?),
                        NestIndex::Value(arg) if self.dtype_of(*arg)?.is_float() => {
                            return Err(EvalError::new("a nest is indexed by a float"));
                        }
                        NestIndex::Value(arg) => Place::Value(*arg),
                    });
                }
                let tensor = self.operand(*operand)?;
                if places.len() != tensor.shape.len() {
                    return Err(EvalError::new("a load has not one index per axis"));
                }
                (tensor.dtype, self.plan_load(*operand, tensor, places, guards, *otherwise))
            }
        })
    }

    fn operand(&self, idx: usize) -> Result<&'a Tensor, EvalError> {
        self.operands.get(idx).ok_or_else(|| EvalError::new("a nest loads from an operand that is not there"))
    }

    fn plan_load(&self, operand: usize, x: &Tensor, places: Vec<Place>, guards: Vec<Index>, otherwise: f64) -> Step {
        let in_order = x.shape == self.extents
            && places.iter().enumerate().all(|(axis, place)| matches!(place, Place::Affine(i) if i.is_axis(axis)));
        if in_order && guards.is_empty() {
            return Step::Copy(operand);
        }
        let mut flat = Index::constant(0);
        let strides = strides(&x.shape);
        let safe = guards.is_empty()
            && places.iter().zip(&x.shape).zip(strides).all(|((place, &size), stride)| match place {
                Place::Affine(index) => {
                    let bounds = index.bounds(&self.extents);
                    bounds.is_some_and(|(low, high)| low >= 0 && high < size as i64)
                        && flat.add_scaled(stride as i64, index)
                }
                Place::Value(_) => false,
            });
        match safe {
            true => Step::Affine(operand, flat),
            false => Step::Checked { operand, index: places, guards, otherwise },
        }
    }

    /// The last node of the body at `len` points from `start`.
    fn run(&self, start: usize, len: usize) -> Result<Column, EvalError> {
        let points = Points::new(start, len, &self.extents);
        let mut columns: Vec<Column> = Vec::with_capacity(self.steps.len());
        for ((node, step), &dtype) in self.nest.body.iter().zip(&self.steps).zip(&self.dtypes) {
            columns.push(match (node, step) {
                (_, Step::Index(index)) => Column::Int(index.eval(&points)),
                (_, Step::Copy(operand)) => copy(self.operand(*operand)?, start, len),
                (_, Step::Affine(operand, index)) => {
                    let index = index.eval(&points);
                    read(self.operand(*operand)?, &index, |_| true, 0.0)
                }
                (_, Step::Checked { operand, index, guards, otherwise }) => {
                    self.read_checked(*operand, index, guards, *otherwise, &points, &columns)?
                }
                (ScalarNode::Const { value, .. }, _) => Column::splat(dtype, *value, len),
                (ScalarNode::Apply { scalar, args }, _) => {
                    let args: Vec<&Column> = args.iter().map(|&arg| &columns[arg]).collect();
                    apply(*scalar, &args, dtype, self.precision)
                        .ok_or_else(|| EvalError::new(format!("`{scalar}` is not defined on these types")))?
                }
                (ScalarNode::Cast { arg, .. }, _) => columns[*arg].cast(dtype, self.precision),
                (ScalarNode::RandomBits { seed, stream, counter, key, word }, _) => {
                    let [seed, stream, counter] = [seed, stream, counter].map(|&arg| columns[arg].clone().into_ints());
                    let draw = |idx: usize| random_bits(seed[idx], stream[idx], *key, counter[idx] as u64, *word);
                    Column::Int((0..len).map(|idx| i64::from(draw(idx))).collect())
                }
                _ => return Err(EvalError::new("a nest's load was not planned")),
            });
        }
        columns.pop().ok_or_else(|| EvalError::new("a nest computes nothing"))
    }

    fn read_checked(
        &self,
        operand: usize,
        places: &[Place],
        guards: &[Index],
        otherwise: f64,
        points: &Points,
        columns: &[Column],
    ) -> Result<Column, EvalError> {
        let x = self.operand(operand)?;
        let mut reads = vec![true; points.len];
        for guard in guards {
            reads.iter_mut().zip(guard.eval(points)).for_each(|(reads, value)| *reads &= value >= 0);
        }
        let mut flat = vec![0i64; points.len];
        // Data may spoil a position that the affine indices leave; so those are judged last.
        for wants_values in [true, false] {
            for ((place, &size), stride) in places.iter().zip(&x.shape).zip(strides(&x.shape)) {
                let values = match place {
                    Place::Value(arg) if wants_values => columns[*arg].clone().into_ints(),
                    Place::Affine(index) if !wants_values => index.eval(points),
                    _ => continue,
                };
                for ((flat, reads), value) in flat.iter_mut().zip(&mut reads).zip(values) {
                    let inside = value >= 0 && (value as u64) < size as u64;
                    if *reads && !inside && !wants_values {
                        let message = format!("a load at {value} of an axis of size {size}");
                        return Err(EvalError::new(message));
                    }
                    *reads &= inside;
                    *flat = flat.wrapping_add(value.wrapping_mul(stride as i64));
                }
            }
        }
        Ok(read(x, &flat, |idx| reads[idx], otherwise))
    }
}

fn strides(shape: &[usize]) -> impl Iterator<Item = usize> {
    (0..shape.len()).map(move |axis| shape[axis + 1..].iter().product())
}

fn copy(x: &Tensor, start: usize, len: usize) -> Column {
    match &x.data {
        Data::Float(data) => Column::Float(data[start..start + len].to_vec()),
        Data::Int(data) => Column::Int(data[start..start + len].to_vec()),
    }
}

fn read(x: &Tensor, flat: &[i64], reads: impl Fn(usize) -> bool, otherwise: f64) -> Column {
    fn pick<T: Copy>(data: &[T], flat: &[i64], reads: impl Fn(usize) -> bool, otherwise: T) -> Vec<T> {
        flat.iter().enumerate().map(|(idx, &at)| if reads(idx) { data[at as usize] } else { otherwise }).collect()
    }
    match &x.data {
        Data::Float(data) => Column::Float(pick(data, flat, reads, otherwise)),
        Data::Int(data) => Column::Int(pick(data, flat, reads, saturate(x.dtype, otherwise))),
    }
}
