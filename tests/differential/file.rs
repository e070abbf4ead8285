//! Cases as text: a `.twir` file whose comments say how to call the graph.
//!
//! ```text
//! // what went wrong, one line or more
//! // seed: 12
//! // sizes: N = 5, 1
//! // sizes: M = 3, 8
//! // domain: x0 -2 2
//! graph @main(...) { ... }
//! ```

use std::fmt::Write;

use tilewright::compiler::graph::Domain;
use tilewright::compiler::graph::parse::{Library, parse};
use tilewright::compiler::ops;

use super::{Case, ONES, SYMBOLS};

pub fn print(case: &Case, remark: &str) -> String {
    let mut text = String::new();
    for line in remark.lines() {
        let _ = writeln!(text, "// {line}");
    }
    let _ = writeln!(text, "// seed: {}", case.seed);
    for (at, name) in SYMBOLS.iter().enumerate() {
        let each: Vec<String> = case.sizes.iter().map(|sizes| sizes[at].to_string()).collect();
        let _ = writeln!(text, "// sizes: {name} = {}", each.join(", "));
    }
    if case.has_specials {
        text.push_str("// specials\n");
    }
    for (name, Domain { low, high }) in &case.domains {
        if case.graph.arguments().iter().any(|argument| argument.name == *name) {
            let _ = writeln!(text, "// domain: {name} {low} {high}");
        }
    }
    text + &case.graph.to_string()
}

pub fn read(name: &str, text: &str) -> Result<Case, String> {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).map_err(|error| format!("{name}: {error}"))?;
    let mut case =
        Case { name: name.to_string(), graph, domains: Vec::new(), sizes: vec![ONES], has_specials: false, seed: 0 };
    for line in text.lines() {
        let number = |word: &str| word.trim().parse::<f64>().map_err(|error| format!("{name}: {line}: {error}"));
        case.has_specials |= line == "// specials";
        if let Some(rest) = line.strip_prefix("// seed:") {
            case.seed = rest.trim().parse().map_err(|error| format!("{name}: {line}: {error}"))?;
        } else if let Some((size, rest)) = line.strip_prefix("// sizes:").and_then(|rest| rest.split_once('=')) {
            let at = SYMBOLS.iter().position(|known| *known == size.trim());
            let at = at.ok_or_else(|| format!("{name}: {line}: no graph has this size"))?;
            let each: Vec<i64> = rest.split(',').map(|word| Ok(number(word)? as i64)).collect::<Result<_, String>>()?;
            case.sizes.resize(each.len(), ONES);
            case.sizes.iter_mut().zip(each).for_each(|(sizes, size)| sizes[at] = size);
        } else if let Some(rest) = line.strip_prefix("// domain:") {
            let [argument, low, high] = rest.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(format!("{name}: {line}: a name and two numbers are missing"));
            };
            case.domains.push((argument.to_string(), Domain { low: number(low)?, high: number(high)? }));
        }
    }
    Ok(case)
}
