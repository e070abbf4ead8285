//! The weight maps of a settings file as the runtime applies them.

use tilewright_compiler::diag::Diagnostic;
use tilewright_compiler::front::presets;
use tilewright_runtime::weights::{Recipe, Rule, WeightMap};

/// Reads the patterns of a map; those that cannot be read are diagnostics.
pub fn weight_map(map: &presets::WeightMap) -> (WeightMap, Vec<Diagnostic>) {
    let (mut read, mut diagnostics) = (WeightMap::default(), Vec::new());
    for rule in &map.rules {
        let ours = rule.ours.parse().map_err(|error| format!("{error}"));
        match ours.and_then(|ours| bound(Rule { ours, theirs: recipe(&rule.theirs)? })) {
            Ok(rule) => read.rules.push(rule),
            Err(message) => diagnostics.push(Diagnostic::error("E0507", message).at(rule.span, "this rule")),
        }
    }
    (read, diagnostics)
}

/// A rule whose names need no number that it does not have.
fn bound(rule: Rule) -> Result<Rule, String> {
    match rule.unbound() {
        None => Ok(rule),
        Some(variable) => Err(format!("`{{{variable}}}` stands on the right, and nothing on the left says what it is")),
    }
}

/// The reader of settings bounds how deep recipes nest.
fn recipe(theirs: &presets::Recipe) -> Result<Recipe, String> {
    Ok(match theirs {
        presets::Recipe::Name(name) => Recipe::Name(name.parse().map_err(|error| format!("{error}"))?),
        presets::Recipe::Concat { parts, axis } => {
            Recipe::Concat { parts: parts.iter().map(recipe).collect::<Result<_, _>>()?, axis: *axis }
        }
        presets::Recipe::Split { whole, part, axis } => {
            Recipe::Split { whole: Box::new(recipe(whole)?), part: *part, axis: *axis }
        }
        presets::Recipe::Transpose { of, axes } => Recipe::Transpose { of: Box::new(recipe(of)?), axes: axes.clone() },
    })
}

#[cfg(test)]
mod tests {
    use tilewright_compiler::diag::SourceMap;

    use super::*;

    #[test]
    fn rules_keep_their_order_and_bad_patterns_are_shown() {
        let text = "[weights.torch]\n\"z.{i}.w\" = \"y.{i+1}.v\"\n\"a.{i\" = \"b\"\n\"c\" = { transpose = \"d\" }\n\
                    \"e.{i}\" = { concat = [\"f.{i}\", \"f.{j}\"], axis = 0 }\n";
        let file = SourceMap::new().add("spec.toml", text);
        let (presets, diagnostics) = presets::read(file, text);
        assert_eq!(diagnostics, []);
        let (map, diagnostics) = weight_map(&presets.weights[0]);
        assert_eq!((map.rules.len(), diagnostics.len()), (2, 2));
        assert!(diagnostics[1].message.contains("`{j}` stands on the right"), "{diagnostics:?}");
        assert_eq!(map.source("z.4.w").as_name(), Some("y.5.v"));
    }
}
