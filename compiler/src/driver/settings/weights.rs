//! `[weights.NAME]`: rules from our names to theirs, as `runtime::weights::map` applies them.
//!
//! ```toml
//! "blocks.{i}.attn.qkv.weight" = "encoder.layers.{i}.in_proj_weight"
//! "fc.weight" = { transpose = "c_fc.weight" }
//! "qkv.weight" = { concat = ["q.weight", "k.weight", "v.weight"], axis = 0 }
//! "q.weight" = { split = "qkv.weight", part = 0, axis = 0 }
//! ```

use tilewright_runtime::weights::{Pattern, Recipe, Rule, WeightMap};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Reader, in_order};
use crate::front::elaborate::Setting;

/// How deep recipes may nest.
const MAX_DEPTH: usize = 8;
const RECIPES: [&str; 3] = ["concat", "split", "transpose"];

impl Reader {
    pub(super) fn weight_map(&mut self, value: &Spanned<DeValue>) -> WeightMap {
        let mut map = WeightMap::default();
        let Some(table) = value.get_ref().as_table() else {
            self.report("E0603", value.span(), "a weight map is a table of names", "not a table");
            return map;
        };
        for (ours, place, theirs) in in_order(table) {
            let ours = match ours.parse::<Pattern>() {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    self.report("E0603", place, error.to_string(), "this name");
                    None
                }
            };
            if let (Some(ours), Some(theirs)) = (ours, self.recipe(theirs, 0)) {
                map.rules.push(Rule { ours, theirs });
            }
        }
        map
    }

    fn recipe(&mut self, value: &Spanned<DeValue>, depth: usize) -> Option<Recipe> {
        match value.get_ref() {
            DeValue::String(name) => match name.parse::<Pattern>() {
                Ok(pattern) => Some(Recipe::Name(pattern)),
                Err(error) => {
                    self.report("E0603", value.span(), error.to_string(), "this name");
                    None
                }
            },
            DeValue::Table(table) if depth < MAX_DEPTH => self.composed(value, table, depth),
            _ => {
                let message = "a weight is a name in quotes, or one of `{ concat = [..] }`, `{ split = .. }`, `{ transpose = .. }`";
                self.report("E0603", value.span(), message, "none of these");
                None
            }
        }
    }

    fn composed(&mut self, whole: &Spanned<DeValue>, table: &DeTable, depth: usize) -> Option<Recipe> {
        let axis = self.number(table, "axis")?.unwrap_or(0);
        let part = self.number(table, "part")?.unwrap_or(0);
        if let Some(parts) = table.get("concat") {
            let Some(parts) = parts.get_ref().as_array() else {
                self.report("E0603", parts.span(), "`concat` takes a list", "not a list");
                return None;
            };
            let parts: Option<Vec<Recipe>> = parts.iter().map(|part| self.recipe(part, depth + 1)).collect();
            return Some(Recipe::Concat { parts: parts?, axis });
        }
        if let Some(of) = table.get("split") {
            return Some(Recipe::Split { whole: Box::new(self.recipe(of, depth + 1)?), part, axis });
        }
        if let Some(of) = table.get("transpose") {
            let axes = self.numbers(table, "axes")?;
            return Some(Recipe::Transpose { of: Box::new(self.recipe(of, depth + 1)?), axes });
        }
        let (name, place) =
            in_order(table).first().map_or(("", whole.span()), |(name, place, _)| (name, place.clone()));
        self.unknown(name, place, "recipe", &RECIPES);
        None
    }

    /// A number that may be left out; `None` if it is something else.
    fn number(&mut self, table: &DeTable, key: &str) -> Option<Option<usize>> {
        let Some(value) = table.get(key) else { return Some(None) };
        match self.setting(value) {
            Some(Setting::Int(number)) if (0..64).contains(&number) => Some(Some(number as usize)),
            _ => {
                self.report("E0603", value.span(), format!("`{key}` is a small number"), "not one");
                None
            }
        }
    }

    fn numbers(&mut self, table: &DeTable, key: &str) -> Option<Option<Vec<usize>>> {
        let Some(value) = table.get(key) else { return Some(None) };
        let Some(Setting::List(items)) = self.setting(value) else {
            self.report("E0603", value.span(), format!("`{key}` is a list of axes"), "not one");
            return None;
        };
        let axes = items.iter().map(|item| match item {
            Setting::Int(axis) => usize::try_from(*axis).ok().filter(|&axis| axis < 64),
            _ => None,
        });
        match axes.collect::<Option<Vec<usize>>>() {
            Some(axes) => Some(Some(axes)),
            None => {
                self.report("E0603", value.span(), format!("`{key}` is a list of axes"), "not one");
                None
            }
        }
    }
}
