//! Random chains of additions and loops, run in a poisoned arena against plain arithmetic: a
//! value placed over one that is still needed, or poisoned too early, shows as a wrong number.

use proptest::prelude::*;

use super::handmade::{ADD, EVERYWHERE, dim, entry, floats, launch, poisoned, port, program, value};
use crate::data::TensorRef;
use crate::program::{Bound, DType, Entry, Step, Storage, ValueDecl, ValueId};

/// A value made of two earlier ones: `a + b`, or with rounds `a + rounds * b` by a loop.
#[derive(Clone, Debug)]
struct Node {
    a: usize,
    b: usize,
    rounds: Option<i64>,
}

struct Builder {
    values: Vec<ValueDecl>,
    steps: Vec<Step>,
    number: u32,
}

impl Builder {
    fn value(&mut self, dtype: DType, shape: &[&str], storage: Storage, life: (u32, u32)) -> u32 {
        self.values.push(value(dtype, shape, storage, life));
        self.values.len() as u32 - 1
    }

    fn arena(&mut self, life: (u32, u32)) -> u32 {
        self.value(DType::F32, &["N"], Storage::Arena, life)
    }

    fn lives_until(&mut self, id: u32, step: u32) {
        let last = &mut self.values[id as usize].lifetime.1;
        *last = step.max(*last);
    }

    fn copy(from: u32, to: u32) -> Step {
        Step::Copy { from: ValueId(from), to: ValueId(to) }
    }

    fn node(&mut self, a: u32, b: u32, rounds: Option<i64>) -> u32 {
        let step = self.number;
        let Some(rounds) = rounds else {
            let sum = self.arena((step, step));
            self.steps.push(launch(ADD, &[a, b, sum], &[], "N"));
            self.lives_until(a, step);
            self.lives_until(b, step);
            self.number += 1;
            return sum;
        };
        let carry = self.arena((step, step + 3));
        let counter = self.value(DType::I64, &[], Storage::Arena, (step + 1, step + 3));
        let next = self.arena((step + 2, step + 3));
        self.steps.push(Builder::copy(a, carry));
        self.steps.push(Step::Repeat {
            counter: ValueId(counter),
            from: Bound::Size(dim("0")),
            to: Bound::Size(dim(&rounds.to_string())),
            body: vec![launch(ADD, &[carry, b, next], &[], "N"), Builder::copy(next, carry)],
        });
        self.lives_until(a, step);
        self.lives_until(b, step + 3);
        self.number += 4;
        carry
    }
}

/// The entry that computes `nodes` over one input, and gives each of them.
fn compiled(nodes: &[Node]) -> Entry {
    let mut builder = Builder { values: Vec::new(), steps: Vec::new(), number: 0 };
    let mut ids = vec![builder.value(DType::F32, &["N"], Storage::Input(0), (0, 0))];
    for node in nodes {
        let (a, b) = (ids[node.a % ids.len()], ids[node.b % ids.len()]);
        ids.push(builder.node(a, b, node.rounds));
    }
    let last = ids[nodes.len()];
    let output = builder.value(DType::F32, &["N"], Storage::Output(0), (0, 0));
    builder.lives_until(last, builder.number);
    builder.steps.push(Builder::copy(last, output));
    Entry {
        inputs: vec![port("x", DType::F32, &["N"])],
        outputs: vec![port("y", DType::F32, &["N"])],
        values: builder.values,
        steps: builder.steps,
        ..entry("call")
    }
}

fn expected(nodes: &[Node], x: f32) -> f32 {
    let mut values = vec![x];
    for node in nodes {
        let (a, b) = (values[node.a % values.len()], values[node.b % values.len()]);
        values.push(a + node.rounds.unwrap_or(1) as f32 * b);
    }
    values[nodes.len()]
}

fn node() -> impl Strategy<Value = Node> {
    (any::<u8>(), any::<u8>(), prop::option::weighted(0.3, 0i64..4)).prop_map(|(a, b, rounds)| Node {
        a: a.into(),
        b: b.into(),
        rounds,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn packed_and_poisoned_plans_give_the_same_numbers(
        nodes in prop::collection::vec(node(), 1..10),
        n in 1usize..70,
    ) {
        for open in EVERYWHERE {
            let mut session = open(&program(vec![compiled(&nodes)]), poisoned()).unwrap();
            let x: Vec<f32> = (0..n).map(|i| (i % 4) as f32).collect();
            for _ in 0..2 {
                let y = floats(&mut session, "call", &[("x", TensorRef::of(&[n], &x).unwrap())]).unwrap();
                for (x, y) in x.iter().zip(y) {
                    prop_assert_eq!(y, expected(&nodes, *x));
                }
            }
        }
    }
}
