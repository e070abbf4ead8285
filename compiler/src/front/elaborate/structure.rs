//! Tuples and lists of tensors as flat rows of wires, and back: carries, branches and results of entries.

use std::rc::Rc;

use super::Elaborator;
use super::report::{Outcome, Reports};
use super::value::{Field, Value, Wire};
use crate::diag::{Diagnostic, Span};

impl<'a> Elaborator<'a> {
    /// The tensors and numbers of a value, in order.
    pub fn leaves(&mut self, value: &Value<'a>, span: Span, leaves: &mut Vec<Value<'a>>) -> Outcome<()> {
        match value {
            Value::Tuple(fields) => fields.iter().try_for_each(|field| self.leaves(&field.value, span, leaves)),
            Value::List(items) => items.iter().try_for_each(|item| self.leaves(item, span, leaves)),
            Value::Absent => Ok(()),
            Value::Poison => Err(Reports::silent()),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Size(_) | Value::Ratio(..) | Value::Draw(_) => {
                leaves.push(value.clone());
                Ok(())
            }
            value if value.is_tensor() => {
                leaves.push(value.clone());
                Ok(())
            }
            callable if callable.is_function() || matches!(callable, Value::Module(_)) => {
                let message = format!("a tensor is wanted here, and this is {}", callable.kind());
                let diagnostic = Diagnostic::error("E0403", message).at(span, callable.show());
                let help = "what is called is known before the model runs; call it here: `if c { f(x) } else { g(x) }`";
                Err(self.report(diagnostic.help(help)))
            }
            other => Err(self.wanted("a tensor, or a tuple or list of them", &other.clone(), span)),
        }
    }

    /// As [`Elaborator::leaves`], each with the name it has as an output.
    pub fn named_leaves(&mut self, value: &Value<'a>, name: &str, leaves: &mut Vec<(String, Value<'a>)>) {
        match value {
            Value::Tuple(fields) => {
                for (idx, field) in fields.iter().enumerate() {
                    let part = field.name.as_ref().map_or(idx.to_string(), |name| name.to_string());
                    let whole = if field.name.is_some() && name == "result" { part } else { format!("{name}.{part}") };
                    self.named_leaves(&field.value, &whole, leaves);
                }
            }
            Value::List(items) => {
                for (idx, item) in items.iter().enumerate() {
                    self.named_leaves(item, &format!("{name}.{idx}"), leaves);
                }
            }
            Value::Absent => {}
            other => leaves.push((name.to_string(), other.clone())),
        }
    }
}

/// The value again with other wires as its leaves.
pub fn rebuild<'a>(template: &Value<'a>, wires: &mut impl Iterator<Item = Wire>) -> Value<'a> {
    match template {
        Value::Tuple(fields) => {
            let mut rebuilt = Vec::with_capacity(fields.len());
            for field in fields.iter() {
                rebuilt.push(Field { name: field.name.clone(), value: rebuild(&field.value, wires) });
            }
            Value::Tuple(Rc::new(rebuilt))
        }
        Value::List(items) => {
            let mut rebuilt = Vec::with_capacity(items.len());
            for item in items.iter() {
                rebuilt.push(rebuild(item, wires));
            }
            Value::list(rebuilt)
        }
        Value::Absent => Value::Absent,
        _ => wires.next().map_or(Value::Poison, Value::Wire),
    }
}
