//! The text form of graphs: what is read back, and what is refused with which words.

use std::collections::HashMap;

use super::*;
use crate::graph::print::print_module;
use crate::ops;

const TEXT: &str = r#"graph @"two words"(%0 "pixels": data f32[B, 3, 8*H], %1 "head.weight": param f32[3, 1]) where B in 0..4096, H in 1.. {
  check B - 2 >= 0, "at least \"two\"\u{a}images"
  %2: f32[B, 3, 8*H] = broadcast(%1) {shape = [B, 3, 8*H]}  // vit.tw:16 blocks.0.attn
  %3: f32[B, 3, 8*H] = add(%0, %2)  // "a file.tw":3 "a path"
  return %3 "logits": data, %0 "again": data
}
"#;

fn library() -> Library<'static> {
    Library::of_ops(&|name| ops::find(name))
}

#[test]
fn what_is_parsed_prints_the_same() {
    let graph = parse(TEXT, library()).unwrap();
    assert_eq!(graph.to_string(), TEXT);
    assert_eq!(&*graph.node(graph.outputs()[0].value.node).origin.file, "a file.tw");
    assert_eq!(parse(&graph.to_string(), library()).unwrap(), graph);
    let second = TEXT.replace("\"two words\"", "other");
    let both = parse_module(&format!("// entries\n{TEXT}\n{second}"), library()).unwrap();
    assert_eq!(print_module(&both), format!("{TEXT}\n{second}"));
}

#[test]
fn equality_goes_by_structure() {
    let graph = parse(TEXT, library()).unwrap();
    let renumbered = TEXT.replace("%2", "%70").replace("  // vit.tw:16 blocks.0.attn", "");
    let same = parse(&renumbered, library()).unwrap();
    assert_eq!(same, graph);
    assert_eq!(same.digest(), graph.digest());
    for (from, to) in
        [("add(%0, %2)", "add(%2, %0)"), ("1..", "2.."), ("param", "state"), ("= add", "= sub"), ("B - 2", "B - 3")]
    {
        let other = parse(&TEXT.replace(from, to), library()).unwrap();
        assert_ne!(other, graph, "{from} -> {to}");
        assert_ne!(other.digest(), graph.digest(), "{from} -> {to}");
    }
}

#[test]
fn errors_say_where_and_why() {
    for (from, to, message) in [
        ("add(%0, %2)", "add(%0, %9)", "4:32: %9 is not defined above"),
        ("add(%0, %2)", "ad(%0, %2)", "4:24: there is no op `ad`"),
        ("add(%0, %2)", "add(%0)", "4:24: `add`: `add` takes 2 operands (a, b), found 1"),
        ("add(%0, %2)", "add(%0, %1)", "4:24: `add`: `a` is"),
        ("%3: f32[B, 3, 8*H]", "%3: f32[B, 3, 7*H]", "4:7: the results of `add` have the types f32[B, 3, 8*H]"),
        ("%3: f32", "%2: f32", "4:3: %2 is defined twice"),
        ("{shape = [B, 3, 8*H]}", "{size = 3}", "3:39: `broadcast` has no attribute `size`"),
        ("{shape = [B, 3, 8*H]}", "", "3:24: `broadcast`: `shape` is missing"),
        ("data f32", "input f32", "expected a role: data, param or state"),
        ("data f32", "data f31", "there is no element type `f31`"),
        ("B in 0..4096", "B in 0..4096, B in 1..2", "the size B is declared twice"),
        ("B in 0..4096", "B in B..4096", "the range of B goes back to B"),
        ("B in 0..4096", "B in 0..B + 1", "the range of B goes back to B"),
        ("return", "", "expected `:`, found"),
        ("\"logits\": data, ", "\"logits: data\n", "a string that does not end on its line"),
    ] {
        let text = TEXT.replacen(from, to, 1);
        let error = parse(&text, library()).expect_err(to).to_string();
        assert!(error.contains(message), "{to}: {error}");
    }
}

#[test]
fn any_damage_is_an_error_and_never_a_panic() {
    for end in (0..TEXT.len() - 1).filter(|&end| TEXT.is_char_boundary(end)) {
        assert!(parse(&TEXT[..end], library()).is_err() || end + 1 == TEXT.len(), "cut at {end}");
        for insert in ["", "\"", "(", "-", "é", "99999999999999999999", "\0", "+", "{", "@x("] {
            let _ = parse(&format!("{}{insert}{}", &TEXT[..end], &TEXT[end + 1..]), library());
        }
    }
    for open in ["graph @a(", "graph @a() { %0: f32[", "graph @a() {%0: f32[] = add(", "graph @a() where A in "] {
        let _ = parse(&format!("{open}{}", "(".repeat(100_000)), library());
        let _ = parse(&format!("{open}{}", "-".repeat(100_000)), library());
    }
}

/// An op of the tests: a constant, or anything with regions.
static CONSTANT: OpDef = OpDef {
    name: "constant",
    doc: "",
    operands: super::super::Operands::Fixed(&[]),
    attrs: &[super::super::attr("value", super::super::AttrKind::Tensor, super::super::Default::Required)],
    infer: |call| {
        let value = call.attrs.tensor("value");
        let shape = value.shape.iter().map(|&size| (size as i64).into()).collect();
        Ok(vec![Type::new(value.dtype, shape)])
    },
    meaning: super::super::Meaning::Source,
    gradient: crate::graph::Gradient::Zero,
    aliases: &[],
    sample: None,
};

static GROUP: OpDef = OpDef {
    name: "group",
    operands: super::super::Operands::Variadic(&[], "captures"),
    attrs: &[],
    infer: |call| {
        let body = &call.regions[0];
        Ok(body.outputs().iter().map(|output| body.type_of(output.value).clone()).collect())
    },
    ..CONSTANT
};

fn find(name: &str) -> Option<&'static OpDef> {
    [&CONSTANT, &GROUP].into_iter().find(|op| op.name == name).or_else(|| ops::find(name))
}

#[test]
fn constants_keep_every_bit() {
    use crate::graph::{Attrs, DType};
    let odd = f64::from_bits(0xfff8_0000_0000_0123);
    let floats = vec![0.1, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, odd, 1e-310, f64::MAX, 5e-324];
    let mut tensors = vec![Tensor::floats(DType::F64, vec![3, 3], floats)];
    let thirds: Vec<f64> = (0..20).map(|i| f64::from(1.0f32 / (3.0 * i as f32 + 1.0))).collect();
    tensors.push(Tensor::floats(DType::F32, vec![4, 5], thirds));
    tensors.push(Tensor::splat(DType::BF16, vec![100, 100], -1.5));
    tensors.push(Tensor::splat(DType::F32, vec![], f64::NAN));
    tensors.push(Tensor::floats(DType::Real, vec![0, 7], vec![]));
    tensors.push(Tensor::ints(DType::I64, vec![2], vec![i64::MIN, i64::MAX]));
    tensors.push(Tensor::ints(DType::Bool, vec![2], vec![0, 1]));
    tensors.push(Tensor::ints(DType::I32, vec![5000], (0..5000).collect()));
    let mut graph = Graph::new("constants");
    for (idx, tensor) in tensors.into_iter().enumerate() {
        let attrs = Attrs::none().with("value", Arc::new(tensor));
        let node = graph.apply(&CONSTANT, &[], &attrs, vec![], &Origin::default()).unwrap();
        graph.add_output(idx.to_string(), Role::Data, Value { node, result: 0 });
    }
    let text = graph.to_string();
    assert!(text.contains("bf16[100, 100] -1.5}") && text.contains("[false, true]") && text.contains("1.0, 0.25,"));
    let store: HashMap<String, Arc<Tensor>> = graph.stored_constants().into_iter().collect();
    assert_eq!(store.len(), 1);
    let library = Library { op: &find, constant: &|hash| store.get(hash).cloned() };
    assert_eq!(parse(&text, library).unwrap(), graph);
    assert!(parse(&text, Library::of_ops(&find)).unwrap_err().message.contains("no stored constant"));
}

#[test]
fn a_splat_cannot_exhaust_memory() {
    let splat = |shape: &str| {
        format!("graph @a() {{ %0: f32{shape} = constant() {{value = f32{shape} 1.0}} return %0 \"x\": data }}")
    };
    assert!(parse(&splat("[1000, 1000]"), Library::of_ops(&find)).is_ok());
    for shape in ["[1000000000, 1000]", "[9223372036854775807, 4]", "[2000, 2000]"] {
        assert!(parse(&splat(shape), Library::of_ops(&find)).unwrap_err().message.contains("too many elements"));
    }
}

#[test]
fn regions_nest_and_are_bounded() {
    let text = "graph @a(%0 \"x\": data f32[]) {\n  %1, %2: (f32[], f32[]) = group(%0)  // a.tw:1\n    @body(%0 \"y\": data f32[]) {\n      %1: f32[] = exp(%0)\n      return %0 \"a\": data, %1 \"b\": data\n    }\n  return %2 \"out\": data\n}\n";
    let graph = parse(text, Library::of_ops(&find)).unwrap();
    assert_eq!(graph.to_string(), text);
    for (outer, inner) in [(" where N in 1..", ""), (" where N in 1..", " where none"), ("", " where N in 1..9")] {
        let (first, second) = text.split_once("data f32[]) {").unwrap();
        let (middle, rest) = second.split_once("data f32[]) {").unwrap();
        let text = format!("{first}data f32[]){outer} {{{middle}data f32[]){inner} {{{rest}");
        assert_eq!(parse(&text, Library::of_ops(&find)).unwrap().to_string(), text);
    }
    let open = "%1: f32[] = group(%0) @b(%0 \"y\": data f32[]) { ";
    let deep = format!("graph @a(%0 \"x\": data f32[]) {{ {}", open.repeat(10_000));
    assert!(parse(&deep, Library::of_ops(&find)).unwrap_err().message.contains("too deeply"));
}
