//! What a session keeps between calls, and where it starts from.
//!
//! Invariant: states are the same wherever they are held; only the test of what a device is sent looks at where that is.

use super::super::*;
use super::handmade::*;
use crate::program::{
    Bound, Check, DType, Entry, InitValue, Relation, ScalarDecl, SliceMove, StateDecl, Storage, ValueId,
};

/// `sum <- sum + x` over a state that starts from a weight; then ten rounds of `y = y + sum`.
fn accumulate() -> (Entry, StateDecl) {
    let call = Entry {
        inputs: vec![port("x", DType::F32, &["4"]), port("rounds", DType::I64, &[])],
        outputs: vec![port("y", DType::F32, &["4"])],
        values: vec![
            value(DType::F32, &["4"], Storage::Input(0), (0, 0)),
            value(DType::I64, &[], Storage::Input(1), (0, 0)),
            value(DType::F32, &["4"], Storage::State(0), (0, 0)),
            value(DType::F32, &["4"], Storage::Arena, (0, 1)),
            value(DType::I64, &[], Storage::Arena, (3, 5)),
            value(DType::F32, &["4"], Storage::Output(0), (0, 0)),
            value(DType::F32, &["4"], Storage::Arena, (2, 6)),
            value(DType::F32, &["4"], Storage::Arena, (4, 5)),
        ],
        steps: vec![
            launch(ADD, &[0, 2, 3], &[], "4"),
            Step::Copy { from: ValueId(3), to: ValueId(2) },
            launch(SCALE, &[2, 6], &["0"], "4"),
            Step::Repeat {
                counter: ValueId(4),
                from: Bound::Size(dim("0")),
                to: Bound::Value(ValueId(1)),
                body: vec![launch(ADD, &[6, 2, 7], &[], "4"), Step::Copy { from: ValueId(7), to: ValueId(6) }],
            },
            Step::Copy { from: ValueId(6), to: ValueId(5) },
        ],
        sizes: vec![],
        ..entry("call")
    };
    let sum = StateDecl { name: "sum".into(), dtype: DType::F32, shape: vec![dim("4")], init: InitValue::Param(0) };
    (call, sum)
}

#[test]
fn state_lasts_and_loops_carry() {
    for open in EVERYWHERE {
        let (call, sum) = accumulate();
        let mut program = program(vec![call]);
        program.states.push(sum);
        let mut session = open(&program, poisoned()).unwrap();
        let x = TensorRef::of(&[4], &[1f32; 4]).unwrap();
        let mut call = |rounds: i64| {
            let rounds = TensorRef::of(&[], std::slice::from_ref(&rounds)).unwrap();
            floats(&mut session, "call", &[("x", x), ("rounds", rounds)]).unwrap()
        };
        assert_eq!(call(1), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(call(10), [20.0, 30.0, 40.0, 50.0]);
        assert_eq!(call(-3), [0.0; 4]);
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[3.0, 4.0, 5.0, 6.0][..]));
        session.reset().unwrap();
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[0.0, 1.0, 2.0, 3.0][..]));
        session.set_state("sum", TensorRef::of(&[4], &[9f32; 4]).unwrap()).unwrap();
        assert!(session.set_state("sum", TensorRef::of(&[2], &[9f32; 2]).unwrap()).is_err());
        let zero = TensorRef::of(&[], &[0i64]).unwrap();
        session.run("call", &[("x", x), ("rounds", zero)]).unwrap();
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[10.0; 4][..]));
    }
}

/// A state of N rows: `rows[at] = x`, `y = rows[at]`; `at < N` is checked at entry if `checked`.
fn rows(checked: bool) -> (Entry, StateDecl) {
    let mut call = Entry {
        inputs: vec![port("x", DType::F32, &["4"]), port("at", DType::I64, &[]), port("n", DType::U8, &["N"])],
        outputs: vec![port("y", DType::F32, &["4"])],
        values: vec![
            value(DType::F32, &["4"], Storage::Input(0), (0, 0)),
            value(DType::I64, &[], Storage::Input(1), (0, 0)),
            value(DType::F32, &["N", "4"], Storage::State(0), (0, 0)),
            value(DType::F32, &["4"], Storage::Output(0), (0, 0)),
        ],
        steps: [(0, 2, SliceMove::Write), (2, 3, SliceMove::Read)]
            .map(|(from, to, direction)| Step::CopySlice {
                from: ValueId(from),
                to: ValueId(to),
                at: ValueId(1),
                direction,
            })
            .to_vec(),
        ..entry("call")
    };
    if checked {
        call.scalars.push(ScalarDecl { symbol: Symbol::new("at"), input: 1 });
        let (left, right, message) = (dim("at + 1"), dim("N"), "the cache is full".to_string());
        call.checks.push(Check { left, relation: Relation::AtMost, right, message });
    }
    let rows =
        StateDecl { name: "rows".into(), dtype: DType::F32, shape: vec![dim("N"), dim("4")], init: InitValue::Zeros };
    (call, rows)
}

#[test]
fn rows_are_checked_and_state_sizes_stay_fixed() {
    for open in EVERYWHERE {
        for checked in [false, true] {
            let (call, state) = rows(checked);
            let mut program = program(vec![call]);
            program.states.push(state);
            let mut session = open(&program, poisoned()).unwrap();
            assert!(session.state("rows").is_err());
            let mut call = |at: i64, n: usize| {
                let bytes = vec![0u8; n];
                let x = TensorRef::of(&[4], &[1f32, 2.0, 3.0, 4.0]).unwrap();
                let at = TensorRef::of(&[], std::slice::from_ref(&at)).unwrap();
                let n = TensorRef::of(std::slice::from_ref(&n), &bytes).unwrap();
                floats(&mut session, "call", &[("x", x), ("at", at), ("n", n)]).map_err(|error| error.to_string())
            };
            assert_eq!(call(2, 3).unwrap(), [1.0, 2.0, 3.0, 4.0]);
            let error = call(3, 3).unwrap_err();
            assert!(
                error.contains(if checked { "the cache is full" } else { "row 3 of a tensor with 3 rows" }),
                "{error}"
            );
            assert_eq!(checked, error.contains("at is 3: the input `at`"));
            assert!(call(-1, 3).unwrap_err().contains(if checked { "row -1" } else { "row -1 of" }));
            let error = call(0, 5).unwrap_err();
            assert!(error.contains("N is 3: fixed by the first call"), "{error}");
            assert_eq!(session.state("rows").unwrap().shape(), [3, 4]);
        }
    }
}

#[test]
fn a_state_may_start_from_an_entry() {
    for open in EVERYWHERE {
        let start = Entry {
            inputs: vec![port("seed", DType::I64, &[])],
            outputs: vec![port("w2", DType::F32, &["4"])],
            values: vec![
                value(DType::F32, &["4"], Storage::Param(0), (0, 0)),
                value(DType::F32, &["4"], Storage::Output(0), (0, 0)),
            ],
            steps: vec![launch(ADD, &[0, 0, 1], &[], "4")],
            sizes: vec![],
            ..entry("start")
        };
        let (call, mut sum) = accumulate();
        sum.init = InitValue::Entry { entry: 1, output: 0 };
        let mut program = program(vec![call, start]);
        program.states.push(sum);
        let mut session = open(&program, poisoned()).unwrap();
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[0.0, 2.0, 4.0, 6.0][..]));
    }
}

/// The state waits for N, which the first call says; then it starts from an entry that is given
/// the seed, while the inputs of that first call wait.
#[test]
fn a_late_state_starts_from_an_entry_with_the_seed() {
    for open in EVERYWHERE {
        let start = Entry {
            inputs: vec![port("seed", DType::I64, &[])],
            outputs: vec![port("rows", DType::F32, &["N", "4"])],
            values: vec![
                value(DType::F32, &["4"], Storage::Param(0), (0, 0)),
                value(DType::I64, &[], Storage::Input(0), (0, 0)),
                value(DType::F32, &["N", "4"], Storage::Output(0), (0, 0)),
            ],
            steps: vec![Step::CopySlice {
                from: ValueId(0),
                to: ValueId(2),
                at: ValueId(1),
                direction: SliceMove::Write,
            }],
            ..entry("start")
        };
        let (call, mut state) = rows(true);
        state.init = InitValue::Entry { entry: 1, output: 0 };
        let mut program = program(vec![call, start]);
        program.states.push(state);
        let mut session = open(&program, Options { seed: 1, ..Options::default() }).unwrap();
        let x = TensorRef::of(&[4], &[5f32; 4]).unwrap();
        let n = TensorRef::of(&[3], &[0u8; 3]).unwrap();
        let y =
            floats(&mut session, "call", &[("x", x), ("at", TensorRef::of(&[], &[0i64]).unwrap()), ("n", n)]).unwrap();
        assert_eq!(y, [5.0; 4]);
        // Nobody wrote the third row.
        let expected = [5.0, 5.0, 5.0, 5.0, 0.0, 1.0, 2.0, 3.0];
        assert_eq!(session.state("rows").unwrap().to_f64()[..8], expected);
        let mut late = open(&program, Options { seed: 9, ..Options::default() }).unwrap();
        let error = late.run("call", &[("x", x), ("at", TensorRef::of(&[], &[0i64]).unwrap()), ("n", n)]).unwrap_err();
        assert!(error.message.contains("row 9 of a tensor with 3 rows"), "{error}");
        assert!(late.state("rows").is_err());
    }
}

/// A state of N floats that starts from `3*N` bytes of work, and an entry that says N without using it.
fn late() -> Program {
    let of_n = |name: &str| Entry {
        inputs: vec![port("x", DType::F32, &["N"])],
        outputs: vec![port("y", DType::F32, &["N"])],
        values: vec![
            value(DType::F32, &["N"], Storage::Input(0), (0, 0)),
            value(DType::F32, &["N"], Storage::Output(0), (0, 0)),
        ],
        steps: vec![launch(SCALE, &[0, 1], &["N"], "N")],
        ..entry(name)
    };
    let mut call = of_n("call");
    call.values.push(value(DType::F32, &["N"], Storage::State(0), (0, 0)));
    call.steps.push(Step::Copy { from: ValueId(0), to: ValueId(2) });
    let start = Entry {
        outputs: vec![port("s", DType::F32, &["N"])],
        values: vec![value(DType::F32, &["N", "100"], Storage::Arena, (0, 0))],
        ..entry("start")
    };
    let init = InitValue::Entry { entry: 2, output: 0 };
    let mut program = program(vec![call, of_n("other"), start]);
    program.states.push(StateDecl { name: "s".into(), dtype: DType::F32, shape: vec![dim("N")], init });
    program
}

#[test]
fn sizes_of_states_that_could_not_start_stay_open() {
    for open in EVERYWHERE {
        let mut session = open(&late(), Options { max_memory: Some(4096), ..Options::default() }).unwrap();
        let mut call = |n: usize| floats(&mut session, "call", &[("x", TensorRef::of(&[n], &vec![1f32; n]).unwrap())]);
        let error = call(50).unwrap_err();
        assert!(error.message.contains("the intermediate values of `start`"), "{error}");
        assert_eq!(error.help.as_deref(), Some("use smaller sizes, such as a smaller batch"));
        assert_eq!(call(3).unwrap(), [3.0; 3]);
        assert!(call(4).unwrap_err().to_string().contains("N is 3: fixed by the first call"));
    }
}

#[test]
fn sizes_stay_open_where_an_output_does_not_fit() {
    for open in EVERYWHERE {
        let mut session = open(&late(), Options::default()).unwrap();
        let mut into = |n: usize, m: usize| {
            let (x, mut y) = (vec![1f32; n], Tensor::zeros(DType::F32, &[m]).unwrap());
            session.run_into("call", &[("x", TensorRef::of(&[n], &x).unwrap())], &mut [("y", y.view_mut())])
        };
        assert_eq!(into(5, 3).unwrap_err().message, "output `y` is f32[5], not f32[3]");
        into(3, 3).unwrap();
    }
}

#[test]
fn a_size_that_is_fixed_is_fixed_for_entries_that_were_called_before() {
    for open in EVERYWHERE {
        let mut session = open(&late(), Options::default()).unwrap();
        let mut call = |entry: &str, n: usize| {
            floats(&mut session, entry, &[("x", TensorRef::of(&[n], &vec![1f32; n]).unwrap())]).map(|_| ())
        };
        call("other", 3).unwrap();
        call("other", 5).unwrap();
        call("call", 3).unwrap();
        call("other", 3).unwrap();
        assert!(call("other", 5).unwrap_err().to_string().contains("N is 3: fixed by the first call"));
    }
}

#[test]
fn states_stay_on_a_device_until_they_are_asked_for() {
    let (call, sum) = accumulate();
    let mut program = program(vec![call]);
    program.states.push(sum);
    let device = device();
    let mut session = open_on(&device, &program, Options::default()).unwrap();
    let x = TensorRef::of(&[4], &[1f32; 4]).unwrap();
    let zero = TensorRef::of(&[], &[0i64]).unwrap();
    let mut written = || {
        let before = device.written.load(std::sync::atomic::Ordering::Relaxed);
        session.run("call", &[("x", x), ("rounds", zero)]).unwrap();
        device.written.load(std::sync::atomic::Ordering::Relaxed) - before
    };
    assert_eq!(written(), 16 + 16 + 8, "x, the state and the rounds");
    assert_eq!(written(), 16 + 8, "the state is there");
    let state = |session: &mut Session| session.state("sum").unwrap().to_f64();
    assert_eq!(state(&mut session), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(session.states().unwrap()[0].1.to_f64(), [2.0, 3.0, 4.0, 5.0]);
    session.set_state("sum", TensorRef::of(&[4], &[7f32; 4]).unwrap()).unwrap();
    assert_eq!(state(&mut session), [7.0; 4], "what the device had is forgotten");
    session.run("call", &[("x", x), ("rounds", zero)]).unwrap();
    assert_eq!(state(&mut session), [8.0; 4]);
}
