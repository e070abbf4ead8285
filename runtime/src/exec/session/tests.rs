//! Calls of programs written by hand, and what is said of wrong ones.
//!
//! Invariant: where numbers are compared, the arena is poisoned, so what nobody wrote shows as a wrong one.

mod handmade;
mod random_plans;
mod states;

use super::*;
use crate::exec::gpu::tests::complaint;
use crate::program::{Bound, DType, Entry, Storage, ValueId};
use handmade::*;

/// `y = (x + x) * N`, through two arena values.
fn double_and_scale() -> Entry {
    Entry {
        inputs: vec![port("x", DType::F32, &["N"])],
        outputs: vec![port("y", DType::F32, &["N"])],
        values: vec![
            value(DType::F32, &["N"], Storage::Input(0), (0, 0)),
            value(DType::F32, &["N"], Storage::Arena, (0, 1)),
            value(DType::F32, &["N"], Storage::Arena, (1, 2)),
            value(DType::F32, &["N"], Storage::Output(0), (2, 2)),
        ],
        steps: vec![
            launch(ADD, &[0, 0, 1], &[], "N"),
            launch(SCALE, &[1, 2], &["N"], "N"),
            Step::Copy { from: ValueId(2), to: ValueId(3) },
        ],
        labels: vec!["x + x".into(), "* N".into(), "y".into()],
        ..entry("call")
    }
}

#[test]
fn one_program_serves_every_size() {
    for open in EVERYWHERE {
        let program = program(vec![double_and_scale()]);
        for options in [poisoned(), Options { threads: 1, ..Options::default() }] {
            let mut session = open(&program, options).unwrap();
            for n in [1usize, 7, 100, 7, 1000, 3] {
                let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
                let y = floats(&mut session, "call", &[("x", TensorRef::of(&[n], &x).unwrap())]).unwrap();
                assert!(y.iter().enumerate().all(|(i, &y)| y == (2 * i * n) as f32), "n = {n}");
            }
            for n in 1..40usize {
                let x = vec![1f32; n];
                floats(&mut session, "call", &[("x", TensorRef::of(&[n], &x).unwrap())]).unwrap();
            }
            assert!(session.plans[0].len() <= MAX_PLANS);
        }
    }
}

#[test]
fn outputs_may_be_the_callers() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![double_and_scale()]), poisoned()).unwrap();
        let mut y = Tensor::zeros(DType::F32, &[3]).unwrap();
        let inputs = [("x", TensorRef::of(&[3], &[1f32, 2.0, 3.0]).unwrap())];
        session.run_into("call", &inputs, &mut [("y", y.view_mut())]).unwrap();
        assert_eq!(y.as_slice::<f32>(), Some(&[6.0, 12.0, 18.0][..]));
        let mut short = Tensor::zeros(DType::F32, &[2]).unwrap();
        let error = session.run_into("call", &inputs, &mut [("y", short.view_mut())]).unwrap_err();
        assert_eq!(error.message, "output `y` is f32[3], not f32[2]");
        assert!(session.run_into("call", &inputs, &mut []).is_err());
    }
}

#[test]
fn wrong_calls_are_explained() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![double_and_scale()]), poisoned()).unwrap();
        let x = [1f32, 2.0];
        let good = TensorRef::of(&[2], &x).unwrap();
        let flat = TensorRef::of(&[1, 2], &x).unwrap();
        let ints = TensorRef::of(&[1], &[1i32]).unwrap();
        let mut message =
            |entry: &str, inputs: &[(&str, TensorRef)]| session.run(entry, inputs).unwrap_err().to_string();
        assert!(message("cal", &[]).contains("did you mean `call`?"));
        assert!(message("call", &[]).contains("`call` needs the input `x`: f32[N]"));
        assert!(message("call", &[("z", good)]).contains("`call` has no input `z`"));
        assert!(message("call", &[("x", good), ("x", good)]).contains("passed twice"));
        assert!(message("call", &[("x", flat)]).contains("must be f32[N], not f32[1, 2]"));
        assert!(message("call", &[("x", ints)]).contains("must be f32[N], not i32[1]"));
        assert!(message("call", &[("x", TensorRef::of(&[0], &[0f32; 0]).unwrap())]).contains("from 1 to 1000, not 0"));
        let bad_size = Options { sizes: vec![("M".into(), 2)], ..Options::default() };
        let error = open(&program(vec![double_and_scale()]), bad_size).err().unwrap();
        assert!(error.to_string().contains("no size `M`"));
    }
}

#[test]
fn memory_is_limited_before_anything_runs() {
    for open in EVERYWHERE {
        let options = Options { max_memory: Some(1024), ..Options::default() };
        let mut session = open(&program(vec![double_and_scale()]), options).unwrap();
        let x = vec![1f32; 500];
        assert!(session.run("call", &[("x", TensorRef::of(&[10], &x[..10]).unwrap())]).is_ok());
        let error = session.run("call", &[("x", TensorRef::of(&[500], &x).unwrap())]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Memory);
        assert!(error.message.contains("4.0 KiB"), "{error}");
    }
}

/// `while x < limit { x = x + x }`, then `if x < limit2 { y = x + x } else { y = x }`.
fn until() -> Entry {
    let f32_at = |storage, lifetime| value(DType::F32, &["1"], storage, lifetime);
    Entry {
        inputs: vec![
            port("x", DType::F32, &["1"]),
            port("limit", DType::F32, &["1"]),
            port("other", DType::F32, &["1"]),
        ],
        outputs: vec![port("y", DType::F32, &["1"])],
        values: vec![
            f32_at(Storage::Input(0), (0, 0)),
            f32_at(Storage::Input(1), (0, 0)),
            f32_at(Storage::Input(2), (0, 0)),
            f32_at(Storage::Arena, (0, 8)),
            value(DType::Bool, &[], Storage::Arena, (2, 2)),
            f32_at(Storage::Arena, (3, 4)),
            value(DType::Bool, &[], Storage::Arena, (5, 6)),
            f32_at(Storage::Output(0), (0, 0)),
        ],
        steps: vec![
            Step::Copy { from: ValueId(0), to: ValueId(3) },
            Step::While {
                at_most: Some(Bound::Size(dim("20"))),
                cond: ValueId(4),
                test: vec![launch(LESS, &[3, 1, 4], &[], "1")],
                body: vec![launch(ADD, &[3, 3, 5], &[], "1"), Step::Copy { from: ValueId(5), to: ValueId(3) }],
            },
            launch(LESS, &[3, 2, 6], &[], "1"),
            Step::Cond {
                cond: ValueId(6),
                then: vec![launch(ADD, &[3, 3, 7], &[], "1")],
                otherwise: vec![Step::Copy { from: ValueId(3), to: ValueId(7) }],
            },
        ],
        sizes: vec![],
        ..entry("call")
    }
}

#[test]
fn while_and_cond_follow_their_conditions() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![until()]), poisoned()).unwrap();
        let mut call = |x: f32, limit: f32, other: f32| {
            let values = [[x], [limit], [other]];
            let view = |i: usize| TensorRef::of(&[1], &values[i]).unwrap();
            floats(&mut session, "call", &[("x", view(0)), ("limit", view(1)), ("other", view(2))]).unwrap()[0]
        };
        assert_eq!(call(1.0, 100.0, 0.0), 128.0);
        assert_eq!(call(1.0, 100.0, 1000.0), 256.0);
        assert_eq!(call(5.0, 1.0, 0.0), 5.0);
        assert_eq!(call(1.0, f32::INFINITY, 0.0), (1 << 20) as f32);
    }
}

#[test]
fn a_wrong_lifetime_shows_as_nan() {
    let mut call = double_and_scale();
    // The checker catches a use outside a life; a kernel that reads what nobody wrote is only seen
    // by the poison.
    call.values.push(value(DType::F32, &["N"], Storage::Arena, (1, 1)));
    call.steps[1] = launch(SCALE, &[4, 2], &["N"], "N");
    let mut session = open(&program(vec![call]), poisoned()).unwrap();
    let y = floats(&mut session, "call", &[("x", TensorRef::of(&[2], &[1f32, 2.0]).unwrap())]).unwrap();
    assert!(y.iter().all(|y| y.is_nan()));
}

#[test]
fn a_profile_counts_each_step() {
    let options = Options { profile: true, ..Options::default() };
    let mut session = open(&program(vec![double_and_scale()]), options).unwrap();
    for _ in 0..3 {
        session.run("call", &[("x", TensorRef::of(&[2], &[1f32, 2.0]).unwrap())]).unwrap();
    }
    let profile = session.profile();
    let lines: Vec<_> =
        profile.iter().map(|line| (line.what.as_str(), line.label.as_str(), line.counter.calls)).collect();
    assert_eq!(lines, [("add", "x + x", 3), ("scale", "* N", 3), ("copy", "y", 3)]);
}

#[test]
fn a_launch_must_keep_to_its_kernel() {
    for open in EVERYWHERE {
        type Edit = fn(&mut Program);
        let edits: [(&str, Edit); 5] = [
            ("`add` with n = 5, out of its range", |p| p.kernels[0].sizes[0].hi = Some(4)),
            ("`add` over 5 items instead of 10", |p| p.kernels[0].grid = dim("2*n")),
            ("with 20 bytes as argument 2, which takes 24", |p| p.kernels[0].args[2].shape = vec![dim("n + 1")]),
            ("with 20 bytes as argument 0, which takes more", |p| p.kernels[0].args[0].shape = vec![dim("n - 6")]),
            ("value 3 has 20 bytes, its storage 80", |p| p.entries[0].outputs[0].shape = vec![dim("4*N")]),
        ];
        for (message, edit) in edits {
            let mut program = program(vec![double_and_scale()]);
            edit(&mut program);
            let mut session = open(&program, poisoned()).unwrap();
            let error = session.run("call", &[("x", TensorRef::of(&[5], &[0f32; 5]).unwrap())]).unwrap_err();
            assert!(error.message.contains(message), "expected {message:?}, found {error}");
            assert_eq!(error.kind, ErrorKind::Program);
        }
    }
}

#[test]
fn a_session_can_move_to_another_thread() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![double_and_scale()]), poisoned()).unwrap();
        let y = std::thread::spawn(move || {
            let x = TensorRef::of(&[2], &[1f32, 2.0]).unwrap();
            floats(&mut session, "call", &[("x", x)]).unwrap()
        });
        assert_eq!(y.join().unwrap(), [4.0, 8.0]);
    }
}

#[test]
fn what_a_device_complains_of_fails_one_call() {
    let device = device();
    let mut session = open_on(&device, &program(vec![double_and_scale()]), Options::default()).unwrap();
    let x = TensorRef::of(&[2], &[1f32, 2.0]).unwrap();
    *device.complaint.lock().unwrap() = Some(complaint());
    let error = session.run("call", &[("x", x)]).unwrap_err();
    assert!(error.message.contains("does not fit") && error.notes[0].contains("in `call`"), "{error}");
    assert_eq!(floats(&mut session, "call", &[("x", x)]).unwrap(), [4.0, 8.0]);
}
