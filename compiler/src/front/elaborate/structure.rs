//! Tuples and lists of tensors as flat rows of wires, and back: carries, branches and results of entries.

use std::rc::Rc;

use super::Elaborator;
use super::report::{Outcome, Reports};
use super::value::{Field, Value, Wire};
use crate::diag::{Diagnostic, Span};

/// Parts of a tuple or list, and of its parts, at most. Copies share them, but whoever walks through them meets each.
const MAX_PARTS: usize = 1 << 18;
const MAX_LEVELS: usize = 256;

impl<'a> Elaborator<'a> {
    /// A tuple or list that was just made, if it is not too large. It pays for what its parts hold.
    pub fn bounded(&mut self, value: Value<'a>, span: Span) -> Outcome<Value<'a>> {
        let (mut room, length) = (MAX_PARTS, parts(&value).count());
        if has_room(&value, &mut room, MAX_LEVELS) {
            self.charge(MAX_PARTS - room - length, span)?;
            return Ok(value);
        }
        let message = format!("with all in its parts this has more than {MAX_PARTS} parts, or {MAX_LEVELS} levels");
        self.error("E0407", message, span, "too large")
    }

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

/// What a tuple or list holds.
fn parts<'v, 'a>(value: &'v Value<'a>) -> Box<dyn Iterator<Item = &'v Value<'a>> + 'v> {
    match value {
        Value::Tuple(fields) => Box::new(fields.iter().map(|field| &field.value)),
        Value::List(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

fn has_room(value: &Value, room: &mut usize, levels: usize) -> bool {
    parts(value).all(|part| {
        let rest = room.checked_sub(1).filter(|_| levels > 0);
        *room = rest.unwrap_or(0);
        rest.is_some() && has_room(part, room, levels - 1)
    })
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
