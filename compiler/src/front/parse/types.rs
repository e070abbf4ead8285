//! Types.
//!
//! Invariant: a type is one the language has, or an unknown name that was reported with the nearest
//! known one. Types nest only through brackets, whose depth is bounded before parsing.

use pest::iterators::Pair;

use super::build::{Builder, Built, Parts, Stop};
use super::grammar::Rule;
use crate::diag::{Diagnostic, suggest};
use crate::front::ast::*;
use crate::graph::DType;

impl Builder<'_> {
    /// From a `ty`, or the same inside a list.
    pub fn ty(&mut self, pair: Pair<Rule>, depth: usize) -> Built<Type> {
        let span = self.span(&pair);
        let part = Parts::of(pair).any()?;
        let kind = match part.as_rule() {
            Rule::ty_word => word(part.as_str()).ok_or(Stop)?,
            Rule::ty_list => {
                let inner = Parts::of(part).need(Rule::ty_inner)?;
                TypeKind::ListOf(Box::new(self.ty(inner, depth + 1)?))
            }
            Rule::ty_tensor => self.tensor(part, depth + 1)?,
            Rule::ty_tuple => {
                let mut fields = Vec::new();
                for field in Parts::of(part) {
                    let mut parts = Parts::of(field);
                    fields.push(TypeField {
                        name: parts.maybe(Rule::name).map(|name| self.ident(name)),
                        ty: self.ty(parts.need(Rule::ty)?, depth + 1)?,
                    });
                }
                self.each_once(fields.iter().filter_map(|field| field.name.as_ref()));
                TypeKind::Tuple(fields)
            }
            _ => return self.unknown(part),
        };
        Ok(Type { kind, span })
    }

    fn tensor(&mut self, pair: Pair<Rule>, depth: usize) -> Built<TypeKind> {
        let mut parts = Parts::of(pair);
        let dtype = parts.maybe(Rule::dtype).map(|dtype| self.ident(dtype));
        let mut dims = Vec::new();
        for dim in parts {
            let span = self.span(&dim);
            let part = Parts::of(dim).any()?;
            let kind = match part.as_rule() {
                Rule::rest => DimKind::Rest,
                _ if part.as_str().trim_end() == "_" => DimKind::Inferred,
                _ => DimKind::Size(self.expr(part, depth)?),
            };
            dims.push(Dim { kind, span });
        }
        Ok(TypeKind::Tensor { dtype, dims })
    }

    /// Reported; stands as a scalar tensor.
    fn unknown(&mut self, pair: Pair<Rule>) -> Built<Type> {
        let span = self.span(&pair);
        let name = self.ident(Parts::of(pair).any()?);
        let shown = &name.text;
        let mut diagnostic = Diagnostic::error("E0110", format!("no type is called `{shown}`"));
        if word(shown).is_some() {
            diagnostic = Diagnostic::error("E0110", format!("`{shown}` has no shape"))
                .at(name.span, "config, not tensors")
                .help(match shown.as_str() {
                    "int" => "integers are `i64[B, N]`, or `i32`, `i8`, `u8`, `u32`",
                    "list" => "a list of ints is `[int]`",
                    _ => "a shape alone is of the model's float type, `[B, N]`; others are `f32[B, N]`, `bf16`, `f16`, `f64`",
                });
        } else if DTYPES.contains(&shown.as_str()) {
            diagnostic = diagnostic
                .at(name.span, "an element type alone")
                .help(format!("a tensor type has a shape: `{shown}[B, N]`, or `{shown}[]` for one number"));
        } else {
            let words = TYPE_WORDS.iter().map(|(word, _)| *word);
            let is_absent = ABSENT.contains(&shown.as_str());
            let near = || other_name(shown).or_else(|| suggest(shown, words.chain(DTYPES.iter().copied())));
            let known: Vec<&str> = DTYPES.iter().copied().filter(|name| DType::from_name(name).is_some()).collect();
            diagnostic = diagnostic
                .at(name.span, "not a type")
                .did_you_mean(if is_absent { None } else { near() })
                .with_note(match is_absent {
                    true => format!("element types are `{}`", known.join(" ")),
                    false => "types are `int float bool str fn module list tree`, shapes such as `[B, N]` or `i64[B]`, and tuples of types".to_string(),
                });
        }
        self.report(diagnostic);
        let kind = TypeKind::Tensor { dtype: None, dims: Vec::new() };
        Ok(Type { kind, span })
    }
}

fn word(text: &str) -> Option<TypeKind> {
    let row = TYPE_WORDS.iter().find(|(word, _)| *word == text)?;
    Some(row.1.clone())
}

/// Element types of others, which no type here stands for.
const ABSENT: &[&str] = &["i16", "u16", "u64", "i128", "u128", "i4", "u4", "f128", "int16", "uint16", "uint64"];

/// What other languages call the types of this one.
fn other_name(name: &str) -> Option<&'static str> {
    const NAMES: &[(&str, &str)] = &[
        ("string", "str"),
        ("String", "str"),
        ("boolean", "bool"),
        ("integer", "int"),
        ("double", "f64"),
        ("half", "f16"),
        ("float64", "f64"),
        ("float32", "f32"),
        ("float16", "f16"),
        ("bfloat16", "bf16"),
        ("int64", "i64"),
        ("int32", "i32"),
        ("int8", "i8"),
        ("uint8", "u8"),
        ("usize", "int"),
        ("Tensor", "[..]"),
        ("tensor", "[..]"),
        ("Module", "module"),
        ("function", "fn"),
        ("Callable", "fn"),
    ];
    let row = NAMES.iter().find(|(other, _)| *other == name)?;
    Some(row.1)
}
