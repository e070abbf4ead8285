//! Loops, choices, host functions, quotients, moves between lanes.

use super::*;
use crate::kernel::{Condition, Rights};

/// One item that reads `x` and writes `y`, both of one type.
fn single(
    name: &str,
    lanes: u32,
    dtype: DType,
    n: i64,
    body: impl FnOnce(&mut Builder, Memory, Memory, Value),
) -> Case {
    let mut b = Builder::with_level(name, Level::Loop, lanes);
    let [x, y] = [("x", Rights::Read), ("y", Rights::ReadWrite)]
        .map(|(name, rights)| b.buffer(name, dtype, [Dim::constant(n)], rights));
    let size = b.size("N", 0, Some(n));
    b.grid("i", Dim::constant(1));
    let _ = size;
    let size = b.argument(Argument::Size(0));
    body(&mut b, x, y, size);
    let mut bits = Bits::new(11);
    let buffers = vec![elements(dtype, n as usize, &mut bits), vec![0; n as usize * dtype.size_of()]];
    Case { kernel: b.finish(), sizes: vec![n], buffers }
}

fn int(b: &mut Builder, value: i64) -> Value {
    b.constant(Type::scalar(DType::I64), value as f64)
}

#[test]
fn loops_carry_values_and_may_run_zero_times() {
    let sizes = [0, 1, 2, 7, 64];
    let mut cases = Vec::new();
    for size in sizes {
        let mut case = single("sums", 1, DType::I64, 64, |b, x, y, size| {
            let zero = int(b, 0);
            let one = int(b, 1);
            // Nested, with a step, swapping what is carried.
            let sums = b.value_loop((zero, size, 1), &[zero, one], |b, i, carried| {
                let inner = b.value_loop((i, size, 3), &[carried[0]], |b, j, carried| {
                    let value = b.load_at(at(x, j), Type::scalar(DType::I64));
                    vec![b.scalar(Scalar::Add, &[carried[0], value])]
                });
                b.store_at(at(y, i), inner[0]);
                let product = b.scalar(Scalar::Mul, &[carried[1], inner[0]]);
                vec![carried[1], product]
            });
            let last = int(b, 62);
            b.store_at(at(y, last), sums[0]);
            b.store_at(Place { plus: 1, ..at(y, last) }, sums[1]);
        });
        case.sizes = vec![size];
        cases.push(case);
    }
    check(&cases);
}

#[test]
fn loops_count_from_few_places_and_from_many() {
    let scalar = Type::scalar(DType::I64);
    let cases = [1, 3, 12].map(|n_places| {
        let mut case = single("places", 1, DType::I64, 256, |b, x, y, size| {
            let [zero, five, ten] = [0, 5, 10].map(|number| int(b, number));
            b.value_loop((zero, size, 2), &[], |b, i, _| {
                let row = b.scalar(Scalar::Mul, &[i, ten]);
                let rows: Vec<Value> = (0..n_places).map(|_| b.scalar(Scalar::Add, &[row, i])).collect();
                b.value_loop((i, size, 3), &[], |b, j, _| {
                    let step = b.scalar(Scalar::Mul, &[j, five]);
                    for (plus, &row) in rows.iter().enumerate() {
                        let offset = b.scalar(Scalar::Add, &[row, step]);
                        let value = b.load_at(Place { plus: plus as i64, ..at(x, offset) }, scalar.clone());
                        let other = b.load_at(at(x, j), scalar.clone());
                        let sum = b.scalar(Scalar::Add, &[value, other]);
                        b.store_at(at(y, offset), sum);
                    }
                    Vec::new()
                });
                Vec::new()
            });
        });
        case.sizes = vec![14];
        case
    });
    check(&cases);
}

#[test]
fn vectors_are_carried_through_loops_and_choices() {
    let mut cases = Vec::new();
    for lanes in [4, 16] {
        cases.push(single("carried", lanes, DType::F32, 256, |b, x, y, size| {
            let ty = vector(DType::F32, lanes);
            let zero = int(b, 0);
            let init = b.constant(ty.clone(), 0.5);
            let sums = b.value_loop((zero, size, i64::from(lanes)), &[init], |b, i, carried| {
                let value = b.load_at(at(x, i), ty.clone());
                let half = int(b, 128);
                let early = b.scalar(Scalar::Lt, &[i, half]);
                let first = b.scalar(Scalar::Max, &[carried[0], value]);
                let picked = b.if_else(
                    Condition::Value(early),
                    |_| vec![first],
                    |b| vec![b.scalar(Scalar::Min, &[first, value])],
                );
                b.store_at(at(y, i), picked[0]);
                picked
            });
            b.store_at(at(y, zero), sums[0]);
        }));
    }
    check(&cases);
}

#[test]
fn choices_store_in_one_block_only() {
    let case = single("choice", 1, DType::I32, 64, |b, x, y, size| {
        let zero = int(b, 0);
        b.value_loop((zero, size, 1), &[], |b, i, _| {
            let value = b.load_at(at(x, i), Type::scalar(DType::I32));
            let bound = b.constant(Type::scalar(DType::I32), 0.0);
            let negative = b.scalar(Scalar::Lt, &[value, bound]);
            b.if_else(
                Condition::Value(negative),
                |b| {
                    b.store_at(at(y, i), value);
                    Vec::new()
                },
                |_| Vec::new(),
            );
            Vec::new()
        });
    });
    check(&[case]);
}

#[test]
fn host_functions_are_found_by_name() {
    let mut cases = Vec::new();
    let defs = crate::graph::scalar::DEFS;
    for def in &defs[Scalar::Exp as usize..=Scalar::Atan2 as usize] {
        cases.push(single(def.name, 1, DType::F64, 128, |b, x, y, size| {
            let zero = int(b, 0);
            b.value_loop((zero, size, 1), &[], |b, i, _| {
                let value = b.load_at(at(x, i), Type::scalar(DType::F64));
                let operands = vec![value; def.arity];
                let called = b.call(def.scalar, &operands);
                b.store_at(at(y, i), called);
                Vec::new()
            });
        }));
    }
    check(&cases);
}

#[test]
fn quotients_truncate() {
    let mut cases = Vec::new();
    for dtype in [DType::I64, DType::I32, DType::I8, DType::U8, DType::U32] {
        cases.push(single("quotient", 1, dtype, 128, |b, x, y, size| {
            let zero = int(b, 0);
            let divisors: Vec<Value> =
                [1.0, 3.0, 7.0, 100.0].map(|value| b.constant(Type::scalar(dtype), value)).to_vec();
            b.value_loop((zero, size, 1), &[], |b, i, _| {
                let value = b.load_at(at(x, i), Type::scalar(dtype));
                let sum = divisors.iter().fold(value, |sum, &by| {
                    let quotient = b.quotient(value, by);
                    b.scalar(Scalar::Add, &[sum, quotient])
                });
                b.store_at(at(y, i), sum);
                Vec::new()
            });
        }));
    }
    check(&cases);
}

#[test]
fn lanes_move_by_extract_insert_and_broadcast() {
    let mut cases = Vec::new();
    for (lanes, dtype) in [4, 8, 16].into_iter().flat_map(|lanes| DTYPES.map(|dtype| (lanes, dtype))) {
        cases.push(single(&format!("rotate_{dtype}_{lanes}"), lanes, dtype, 64, |b, x, y, size| {
            let zero = int(b, 0);
            b.value_loop((zero, size, i64::from(lanes)), &[], |b, i, _| {
                let value = b.load_at(at(x, i), vector(dtype, lanes));
                let first = b.extract(value, 0);
                let mut moved = b.splat(first);
                for lane in 1..lanes {
                    let element = b.extract(value, lane);
                    moved = b.insert(moved, lanes - lane, element);
                }
                b.store_at(at(y, i), moved);
                Vec::new()
            });
        }));
    }
    check(&cases);
}

#[test]
fn lanes_of_two_vectors_are_put_in_any_order() {
    let mut cases = Vec::new();
    let numbers = DTYPES.into_iter().filter(|&dtype| dtype != DType::Bool);
    for (dtype, lanes) in numbers.flat_map(|dtype| [4, 8, 16].map(|lanes| (dtype, lanes))) {
        let turns = (0..lanes).map(|lane| lane / 2 + lane % 2 * lanes).collect::<Vec<u32>>();
        let others = (0..lanes).map(|lane| (lane * 7 + 3) % (2 * lanes)).collect();
        for (name, order) in [("turns", turns), ("others", others)] {
            cases.push(single(&format!("shuffle_{dtype}_{lanes}_{name}"), lanes, dtype, 64, |b, x, y, size| {
                let zero = int(b, 0);
                b.value_loop((zero, size, i64::from(lanes)), &[], |b, i, _| {
                    let (first, second) =
                        (b.load_at(at(x, i), vector(dtype, lanes)), b.load_at(at(x, zero), vector(dtype, lanes)));
                    let shuffled = b.shuffle(first, second, order.clone());
                    b.store_at(at(y, i), shuffled);
                    Vec::new()
                });
            }));
        }
    }
    check(&cases);
}
