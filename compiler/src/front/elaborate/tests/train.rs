//! `train` blocks through the elaborator: steps against updates made by hand.

use super::*;
use crate::driver::Interpreter;

fn trained(text: &str) -> (Model, Interpreter) {
    let program = text_of(text);
    let model = model(&program, "T", &Options::default());
    for entry in &model.entries {
        verify(entry).unwrap_or_else(|violations| panic!("{violations:?}\n{entry}"));
    }
    let mut interpreter = Interpreter::new(model.clone(), HashMap::new(), Precision::Wide);
    interpreter.initialize().expect("its params have first values");
    (model, interpreter)
}

fn number(results: &[(String, Tensor)], name: &str) -> f64 {
    results.iter().find(|(own, _)| own == name).expect("it is reported").1.float_at(0)
}

const LINE: &str = "use optim { Adam, Sgd }
module Line() {
    slope = param [2] = zeros
    fn call(x: [B, 2]) -> [B] { sum(x * slope, axis: 1) }
}
";

fn step(interpreter: &mut Interpreter, name: &str) -> Vec<(String, Tensor)> {
    let x = Tensor::floats(DType::Real, vec![2, 2], vec![1.0, 2.0, 3.0, -1.0]);
    let y = Tensor::floats(DType::Real, vec![2], vec![1.0, -2.0]);
    let inputs = HashMap::from([("x".to_string(), x), ("y".to_string(), y)]);
    interpreter.run(name, &inputs).unwrap_or_else(|error| panic!("{error}"))
}

/// The loss of `LINE` at a slope, and its gradient.
fn by_hand(slope: [f64; 2]) -> (f64, [f64; 2]) {
    let rows = [([1.0, 2.0], 1.0), ([3.0, -1.0], -2.0)];
    let mut sum = (0.0, [0.0; 2]);
    for (x, y) in rows {
        let error = x[0] * slope[0] + x[1] * slope[1] - y;
        sum.0 += error * error / 2.0;
        sum.1 = [sum.1[0] + error * x[0], sum.1[1] + error * x[1]];
    }
    sum
}

#[test]
fn momentum_descends_as_by_hand() {
    let text = format!(
        "{LINE}train T() {{
            f = Line()
            step learn(x: [B, 2], y: [B]) {{
                minimize mean((f(x) - y) ^ 2) over f using Sgd(lr: 0.1, momentum: 0.9)
                metric size = norm(f.slope)
            }}
            loop {{ learn * 3 }}
        }}"
    );
    let (model, mut interpreter) = trained(&text);
    assert_eq!(model.schedule, [("learn".to_string(), 3)]);
    assert!(model.params.is_empty());
    let paths: Vec<&str> = model.states.iter().map(|state| state.path.as_str()).collect();
    assert_eq!(paths, ["f.slope", "optim.learn.f.slope.moment"]);
    let (mut slope, mut moment) = ([0.0; 2], [0.0; 2]);
    for _ in 0..4 {
        let results = step(&mut interpreter, "learn");
        let (loss, gradient) = by_hand(slope);
        assert!((number(&results, "loss") - loss).abs() < 1e-12);
        for axis in 0..2 {
            moment[axis] = 0.9 * moment[axis] + gradient[axis];
            slope[axis] -= 0.1 * moment[axis];
        }
        let size = (slope[0] * slope[0] + slope[1] * slope[1]).sqrt();
        assert!((number(&results, "size") - size).abs() < 1e-12, "a metric sees the updated weights");
    }
}

#[test]
fn adam_descends_as_by_hand() {
    let text = format!(
        "{LINE}train T() {{
            f = Line()
            step learn(x: [B, 2], y: [B]) {{
                minimize mean((f(x) - y) ^ 2) over f using Adam(lr: 0.1)
            }}
        }}"
    );
    let (_, mut interpreter) = trained(&text);
    let (mut slope, mut mean, mut square) = ([0.0f64; 2], [0.0f64; 2], [0.0f64; 2]);
    for count in 1..5 {
        let loss = number(&step(&mut interpreter, "learn"), "loss");
        let (wanted, gradient) = by_hand(slope);
        assert!((loss - wanted).abs() < 1e-10, "{loss} is not {wanted}");
        for axis in 0..2 {
            mean[axis] = 0.9 * mean[axis] + 0.1 * gradient[axis];
            square[axis] = 0.999 * square[axis] + 0.001 * gradient[axis] * gradient[axis];
            let (m, v) = (mean[axis] / (1.0 - 0.9f64.powi(count)), square[axis] / (1.0 - 0.999f64.powi(count)));
            slope[axis] -= 0.1 * m / (v.sqrt() + 1e-8);
        }
    }
}

#[test]
fn modules_follow_copies_and_stay_frozen() {
    let text = format!(
        "{LINE}train T() {{
            f    = Line()
            slow = clone(f)
            other = Line()
            step learn(x: [B, 2], y: [B]) {{
                minimize mean((f(x) + other(x) - y) ^ 2) over f using Sgd(lr: 0.1)
                slow <- lerp(slow, f, 0.25)
                metric behind = norm(slow.slope) / norm(f.slope)
                metric still = norm(other.slope)
            }}
        }}"
    );
    let (model, mut interpreter) = trained(&text);
    assert_eq!(model.params.iter().map(|param| param.path.as_str()).collect::<Vec<_>>(), ["other.slope"]);
    let results = step(&mut interpreter, "learn");
    assert!((number(&results, "behind") - 0.25).abs() < 1e-12);
    assert!(number(&results, "still") == 0.0);
}

#[test]
fn a_module_is_written_under_a_condition() {
    let text = format!(
        "{LINE}train T() {{
            f     = Line()
            slow  = clone(f)
            count = state i64[] = 0
            step learn(x: [B, 2], y: [B]) {{
                minimize mean((f(x) - y) ^ 2) over f using Sgd(lr: 0.1)
                count <- count + 1
                if count % 2 == 0 {{
                    slow <- lerp(slow, f, 0.5)
                    if count == 4 {{ slow <- f }}
                }} else if count == 3 {{
                    f <- slow
                }}
                metric of_f = f.slope[0]
                metric of_slow = slow.slope[0]
            }}
        }}"
    );
    let (_, mut interpreter) = trained(&text);
    let mut slope = [0.0; 2];
    let mut slow = [0.0; 2];
    for count in 1..6 {
        let results = step(&mut interpreter, "learn");
        let (_, gradient) = by_hand(slope);
        slope = [slope[0] - 0.1 * gradient[0], slope[1] - 0.1 * gradient[1]];
        match count {
            2 => slow = slope.map(|slope| slope / 2.0),
            3 => slope = slow,
            4 => slow = slope,
            _ => {}
        }
        assert!((number(&results, "of_f") - slope[0]).abs() < 1e-12);
        assert!((number(&results, "of_slow") - slow[0]).abs() < 1e-12);
    }
}

#[test]
fn two_players_take_turns() {
    let text = "use optim { Adam, AdamW }
    module G() {
        shift = param [3] = ones
        fn call(z: [B, 3]) -> [B, 3] { z + shift }
    }
    module D() {
        w = param [3, 3] = normal(std: 0.5)
        v = param [3] = ones
        fn call(x: [B, 3]) -> [B] { einsum(\"b i, i -> b\", tanh(einsum(\"b i, i j -> b j\", x, w)), v) }
    }
    train T() {
        g = G()
        d = D()
        step critic(real: [B, 3]) {
            let fake    = stop_gradient(g(randn(B, 3)))
            let t       = rand(B, 1)
            let between = t * real + (1 - t) * fake
            let slope   = grad(sum(d(between)), between)
            let penalty = mean((norm(slope, axes: [1]) - 1) ^ 2)
            minimize mean(d(fake)) - mean(d(real)) + 10 * penalty over d using Adam(lr: 1e-2, betas: (0.0, 0.9))
            metric penalty = penalty
        }
        step generator(B: int = 4) {
            minimize -mean(d(g(randn(B, 3)))) over g using AdamW(lr: 1e-2)
        }
        loop { critic * 5, generator }
    }";
    let (model, mut interpreter) = trained(text);
    assert_eq!(model.schedule, [("critic".to_string(), 5), ("generator".to_string(), 1)]);
    let real = Tensor::floats(DType::Real, vec![4, 3], (0..12).map(|i| f64::from(i % 5) - 2.0).collect());
    let inputs = HashMap::from([("real".to_string(), real)]);
    let mut penalties = Vec::new();
    for _ in 0..40 {
        let results = interpreter.run("critic", &inputs).unwrap_or_else(|error| panic!("{error}"));
        penalties.push(number(&results, "penalty"));
    }
    assert!(penalties[39] < 0.8 * penalties[0], "{penalties:?}");
    interpreter.run("generator", &HashMap::new()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_optimizer_whose_parameters_have_defaults_is_sound() {
    let own = "module Mine(lr: float = 0.1) {
        m = state [..] = zeros
        fn update(w: [..], g: [..]) -> [..] {
            m <- 0.9 * m + g
            w - lr * m
        }
    }
    module Nested(lr: float = 0.1) {
        inner = Mine(lr)
        fn update(w: [..], g: [..]) -> [..] { inner.update(w, g) }
    }";
    for text in [own, include_str!("../../../../../specs/prelude/optim.tw")] {
        let program = text_of(text);
        let found = crate::front::elaborate::check(&program);
        assert!(found.is_empty(), "{}", shown(&program, &found));
    }
}
