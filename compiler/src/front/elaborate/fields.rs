//! How the fields of two tuples pair up: by name where both name all of theirs, else by position.
//!
//! Invariant: a pairing is a permutation. Names that differ never pair: that is an error, for one of them is a mistake.

use std::rc::Rc;

use super::Elaborator;
use super::report::{Outcome, Poisoned};
use super::value::{Field, Value};
use crate::diag::{Diagnostic, Span};

/// Where two tuples meet, and the code of the error if their names differ.
#[derive(Clone, Copy)]
pub struct Meeting {
    pub code: &'static str,
    pub found: Span,
    pub wanted: Option<Span>,
}

/// For each wanted field the place of the found one that it pairs with; `None` where the names differ. The tuples are
/// equally long, and none has a name twice.
pub fn pairing(wanted: &[Option<&str>], found: &[Option<&str>]) -> Option<Vec<usize>> {
    let named = |names: &[Option<&str>]| names.iter().all(Option::is_some);
    if !named(wanted) || !named(found) {
        return Some((0..wanted.len()).collect());
    }
    wanted.iter().map(|name| found.iter().position(|own| own == name)).collect()
}

pub fn names_of<'v>(fields: &'v [Field]) -> Vec<Option<&'v str>> {
    fields.iter().map(|field| field.name.as_deref()).collect()
}

impl<'a> Elaborator<'a> {
    /// The value with the fields of its tuples in the order of those of `model`, whose place it takes.
    pub fn in_order_of(&mut self, value: &Value<'a>, model: &Value<'a>, meeting: Meeting) -> Outcome<Value<'a>> {
        match (value, model) {
            (Value::Tuple(found), Value::Tuple(wanted)) if found.len() == wanted.len() => {
                let (found_names, wanted_names) = (names_of(found), names_of(wanted));
                let Some(order) = pairing(&wanted_names, &found_names) else {
                    return Err(self.names_differ(&wanted_names, &found_names, meeting));
                };
                let mut fields = Vec::with_capacity(order.len());
                for (place, wanted) in order.into_iter().zip(wanted.iter()) {
                    let value = self.in_order_of(&found[place].value, &wanted.value, meeting)?;
                    fields.push(Field { name: found[place].name.clone(), value });
                }
                Ok(Value::Tuple(Rc::new(fields)))
            }
            (Value::List(found), Value::List(wanted)) if found.len() == wanted.len() => {
                let pairs = found.iter().zip(wanted.iter());
                let items: Outcome<Vec<_>> =
                    pairs.map(|(found, wanted)| self.in_order_of(found, wanted, meeting)).collect();
                items.map(Value::list)
            }
            _ => Ok(value.clone()),
        }
    }

    pub fn names_differ(&mut self, wanted: &[Option<&str>], found: &[Option<&str>], meeting: Meeting) -> Poisoned {
        let listed = |names: &[Option<&str>]| {
            names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
        };
        let all = wanted.iter().flatten().copied().collect::<Vec<_>>().join(", ");
        let (wanted, found) = (listed(wanted), listed(found));
        let message = format!("a tuple of {wanted} is wanted, and this is one of {found}");
        let mut diagnostic = Diagnostic::error(meeting.code, message).at(meeting.found, format!("{found} here"));
        if let Some(at) = meeting.wanted {
            diagnostic = diagnostic.also(at, format!("{wanted} here"));
        }
        let help = "fields that have names pair by name";
        self.report(
            diagnostic.help(format!("{help}; `let ({all}) = …` takes them by position, whatever their names are")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::pairing;

    #[test]
    fn names_pair_where_both_sides_have_them() {
        let (a, b) = (Some("a"), Some("b"));
        assert_eq!(pairing(&[a, b], &[b, a]), Some(vec![1, 0]));
        assert_eq!(pairing(&[a, b], &[a, Some("c")]), None);
        assert_eq!(pairing(&[a, b], &[b, None]), Some(vec![0, 1]));
        assert_eq!(pairing(&[None, None], &[b, a]), Some(vec![0, 1]));
    }
}
