//! Sizes against direct evaluation, and the bounds that kernels rely on.

use proptest::prelude::*;

use super::*;

fn dim(text: &str) -> Dim {
    text.parse().expect("a size")
}

#[test]
fn equal_polynomials_are_equal_data() {
    assert_eq!(dim("(H + 1)*(H - 1)"), dim("H^2 - 1"));
    assert_eq!(dim("2*N + N*2 - 4*N"), Dim::constant(0));
    assert_eq!(dim("floordiv(8*H + 16, 8)"), dim("H + 2"));
    assert_eq!(dim("floordiv(H*W*C, C)"), dim("H*W"));
    assert_eq!(dim("floordiv(2*h + 1, 2)"), dim("h"));
    assert_eq!(dim("mod(8*H + 3, 8)"), dim("3"));
    assert_eq!(dim("8*floordiv(N, 8) + mod(N, 8)"), dim("N"));
    assert_eq!(dim("9*floordiv(k, 9) + 3*mod(floordiv(k, 3), 3) + mod(k, 3)"), dim("k"));
    assert_eq!(dim("floordiv(floordiv(N, 2), 2)"), dim("floordiv(N, 4)"));
    assert_eq!(dim("floordiv(floordiv(N + 1, 2) + 1, 2)"), dim("floordiv(N + 3, 4)"));
    assert_eq!(dim("floordiv(8*h + 15, 16)"), dim("floordiv(h + 1, 2)"));
    assert_eq!(dim("floordiv(6*h - 4*w - 1, 10)"), dim("floordiv(3*h - 2*w - 1, 5)"));
    assert_eq!(dim("16*floordiv(8*h + 15, 16) + mod(8*h + 15, 16)"), dim("8*h + 15"));
    assert_eq!(dim("mod(6*h, 16)"), dim("2*mod(3*h, 8)"));
    assert_eq!(dim("mod(8*h + 15, 16)"), dim("8*mod(h + 1, 2) + 7"));
    assert_eq!(dim("16*floordiv(3*h, 8) + mod(6*h, 16)"), dim("6*h"));
    assert_eq!(dim("min(N + 1, N)"), dim("N"));
}

#[test]
fn text_round_trips() {
    for text in ["0", "-3", "B", "8*H*W + 3*N^2 - 1", "floordiv(N - 1, 2) + 1", "max(min(N, 64), M)"] {
        assert_eq!(dim(&dim(text).to_string()), dim(text), "{text}");
    }
}

#[test]
fn hostile_text_is_an_error() {
    for text in [
        "",
        "N +",
        "floordiv(N)",
        "99999999999999999999",
        "N^99",
        &"(".repeat(5000),
        &"-".repeat(5000),
        "(A + B + C + D + E + F)^16",
    ] {
        assert!(text.parse::<Dim>().is_err());
    }
}

#[test]
fn floors_grow_with_what_they_divide() {
    let mut ranges = Ranges::default();
    ranges.declare(Symbol::new("N"), dim("1"), None);
    ranges.declare(Symbol::new("i"), dim("0"), Some(dim("N - 1")));
    let [panel, panels] = [dim("floordiv(i, 32)"), dim("floordiv(N + 31, 32)")];
    let is_below = |a: &Dim, b: &Dim| ranges.proves_floors(&(&(b - a) - 1));
    assert!(is_below(&panel, &panels));
    assert!(!is_below(&(&panel + 1), &panels));
    assert!(!is_below(&dim("floordiv(i + 1, 32)"), &panels));
    assert!(!is_below(&dim("floordiv(i, 16)"), &panels));
}

#[test]
fn floors_are_bounded_through_a_multiple() {
    let mut ranges = Ranges::default();
    ranges.declare(Symbol::new("W"), dim("1"), None);
    ranges.declare(Symbol::new("c"), dim("0"), Some(dim("floordiv(W + 8191, 8192) - 1")));
    assert_eq!(ranges.lower_bound(&dim("floordiv(W + 1, 2) - 4096*c")), Some(1));
}

#[test]
fn bounds_follow_loop_variables() {
    let mut ranges = Ranges::default();
    ranges.declare(Symbol::new("N"), Dim::constant(1), None);
    ranges.declare(Symbol::new("i"), Dim::constant(0), Some(dim("floordiv(N, 64) - 1")));
    ranges.declare(Symbol::new("t"), Dim::constant(0), Some(Dim::constant(63)));
    assert!(ranges.proves_lt(&dim("64*i + t"), &dim("N")));
    assert!(!ranges.proves_lt(&dim("64*i + t + 1"), &dim("N")));
    assert!(ranges.proves_le(&Dim::constant(0), &dim("64*i + t")));
    assert_eq!(ranges.simplify(&dim("floordiv(64*i + t, N)")), dim("0"));
    assert_eq!(ranges.simplify(&dim("mod(i*64 + t, 64) + floordiv(t, 64)")), dim("t"));
    assert!(ranges.proves_le(&dim("min(N, 64) + i"), &dim("N + i")));
    ranges.declare(Symbol::new("M"), Dim::constant(1), None);
    assert!(ranges.proves_le(&dim("N"), &dim("N*M")));
    assert!(!ranges.proves_le(&dim("N*M"), &dim("N")));
}

#[test]
fn bounds_inside_a_loop_know_that_it_runs() {
    let mut ranges = Ranges::default();
    ranges.declare(Symbol::new("N"), Dim::constant(0), None);
    assert!(!ranges.proves_le(&Dim::constant(1), &dim("N")));
    ranges.declare(Symbol::new("g"), Dim::constant(0), Some(dim("N - 1")));
    ranges.declare(Symbol::new("l"), Dim::constant(0), Some(Dim::constant(15)));
    assert!(ranges.proves_le(&Dim::constant(1), &dim("N")));
    assert!(ranges.proves_lt(&dim("mod(l + 16*g, N)"), &dim("N")));
    assert!(ranges.proves_lt(&dim("floordiv(l + 16*g, N)"), &dim("16")));
    assert!(!ranges.proves_lt(&dim("floordiv(l + 16*g, N)"), &dim("15")));
}

#[test]
fn bounds_that_go_round_in_circles_are_dropped() {
    let mut ranges = Ranges::default();
    ranges.declare(Symbol::new("a"), dim("a"), Some(dim("a + 1")));
    ranges.declare(Symbol::new("b"), dim("a"), Some(dim("c")));
    ranges.declare(Symbol::new("c"), dim("b"), None);
    assert!(!ranges.proves_le(&Dim::constant(0), &dim("a + b + c")));
}

#[test]
fn nested_floors_are_bounded_once_each() {
    let mut ranges = Ranges::default();
    ranges.declare(Symbol::new("W"), dim("1"), None);
    let nest = |depth: usize| (0..depth).fold(dim("W"), |w, _| (&(&w * 2) + 7).floor_div(&dim("3")));
    let work = |depth: usize| {
        let found = Found::default();
        let bounds = Bounds::new(&ranges, &found);
        assert_eq!(bounds.lower_bound(&nest(depth)), ranges.lower_bound(&nest(depth)));
        assert!(bounds.lower_bound(&nest(depth)).is_some_and(|low| low >= 1));
        assert_eq!(bounds.upper_bound(&nest(depth)), None);
        found.len()
    };
    assert!(work(12) <= 3 * work(4), "{} and {}", work(12), work(4));
}

#[test]
fn affine_parts() {
    let (slope, rest) = dim("3*i*W + j + 2").affine_in(&Symbol::new("i")).expect("affine");
    assert_eq!((slope, rest), (dim("3*W"), dim("j + 2")));
    assert!(dim("i^2").affine_in(&Symbol::new("i")).is_none());
    assert!(dim("mod(i, 2)").affine_in(&Symbol::new("i")).is_none());
}

fn any_dim() -> impl Strategy<Value = Dim> {
    let leaf = prop_oneof![(-9i64..10).prop_map(Dim::constant), "[A-C]".prop_map(Dim::symbol)];
    leaf.prop_recursive(4, 24, 2, |inner| {
        (inner.clone(), inner, 0..7).prop_map(|(a, b, op)| match op {
            0 => &a + &b,
            1 => &a - &b,
            2 => &a * &b,
            3 => a.floor_div(&Dim::constant(4)),
            4 => a.modulo(&Dim::constant(3)),
            5 => a.least(&b),
            _ => a.greatest(&b),
        })
    })
}

#[test]
fn powers_of_powers_are_refused_and_powers_that_are_not_end() {
    for text in ["(((a^16)^16)^16)^16", "a^64", "a^40*a^40", "(a + 1)^63*a"] {
        let error = text.parse::<Dim>().unwrap_err().to_string();
        assert!(error.contains("63"), "{text}: {error}");
    }
    let mut power = dim("a^63");
    for _ in 0..40 {
        power = &power * &power;
    }
    assert_eq!(power.degree(), u32::MAX);
    let at = |value: i64| power.eval(&|_| Some(value));
    assert_eq!((at(0), at(1), at(-1), at(2)), (Some(0), Some(1), Some(-1), None));
}

/// What a program file holds was printed, so it is no longer than its text.
#[test]
fn a_size_from_a_file_grows_no_longer_than_its_text() {
    let read = |text: &str| serde_json::from_str::<Dim>(&format!("{text:?}"));
    for size in ["a^3 + 2*a^2*b + 7", "floordiv(4*a*b + 3, 8)*b - min(a, b)", "0", "-5", "a^63"] {
        let printed = dim(size).to_string();
        assert_eq!(read(&printed).unwrap(), dim(size));
    }
    let nested = (0..25).fold("a".to_string(), |inner, _| format!("floordiv(({inner} + b)^2, 3)"));
    for text in ["(a+b+c+d)^10", "floordiv((a+b+c+d)^10, 2)", &nested] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("much longer when it is multiplied out"), "{error}");
    }
    assert!(nested.parse::<Dim>().is_err(), "in other texts there is a limit too");
}

#[test]
fn the_least_number_can_be_printed_and_read() {
    for size in [Dim::constant(i64::MIN), &(&dim("-9223372036854775807 - A") - 1) - &dim("A")] {
        assert_eq!(size.to_string().parse(), Ok(size));
    }
}

proptest! {
    #[test]
    fn bounds_are_sound(d in any_dim(), values in prop::array::uniform3(0i64..6)) {
        let mut ranges = Ranges::default();
        for name in ["A", "B", "C"] {
            ranges.declare(Symbol::new(name), Dim::constant(0), (name != "C").then(|| Dim::constant(5)));
        }
        let value = d.eval(&|s| Some(values[(s.name().as_bytes()[0] - b'A') as usize])).expect("small");
        prop_assert!(ranges.lower_bound(&d).is_none_or(|bound| bound <= value));
        prop_assert!(ranges.upper_bound(&d).is_none_or(|bound| bound >= value));
        prop_assert_eq!(d.to_string().parse::<Dim>().expect("printed").eval(&|s| Some(values[(s.name().as_bytes()[0] - b'A') as usize])), Some(value));
    }

    #[test]
    fn arithmetic_agrees_with_integers(a in any_dim(), b in any_dim(), by in 1i64..9, values in prop::array::uniform3(-6i64..7)) {
        let at = |d: &Dim| d.eval(&|s| Some(values[(s.name().as_bytes()[0] - b'A') as usize])).expect("small");
        prop_assert_eq!(at(&(&a + &b)), at(&a) + at(&b));
        prop_assert_eq!(at(&(&a * &b)), at(&a) * at(&b));
        prop_assert_eq!(at(&a.floor_div(&Dim::constant(by))), at(&a).div_euclid(by));
        prop_assert_eq!(at(&a.modulo(&Dim::constant(by))), at(&a).rem_euclid(by));
        let product = &a * &b;
        if at(&b) != 0 {
            prop_assert_eq!(Some(at(&product.floor_div(&b))), divide::floor_div(at(&product), at(&b)));
        }
    }
}
