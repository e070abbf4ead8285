//! What the examples of the language still lack, as a reader is told.
//!
//! `INSTA_UPDATE=always cargo test examples` rewrites the snapshots.

use std::path::Path;

use super::*;
use crate::front::elaborate::check;

/// The models of each example, and the modules that need config, with it.
const EXAMPLES: &[(&str, &[&str])] =
    &[("cnf", &[]), ("medusa", &[]), ("rl", &[]), ("ssm", &["S4", "Mamba"]), ("thundernet", &[]), ("vqgan", &[])];

#[test]
fn examples_end_in_clear_diagnostics() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/front");
    for (name, modules) in EXAMPLES {
        let file = format!("{name}.tw");
        let text = std::fs::read_to_string(folder.join("examples").join(&file)).expect("the example");
        let program = load(&HashMap::from([(file.clone(), text)]), &file);
        let mut diagnostics = check(&program);
        for module in *modules {
            let options = Options::default().set("dim", Setting::Int(32));
            diagnostics.extend(elaborate(&program, module, &options).err().unwrap_or_default());
        }
        let said: String =
            diagnostics.iter().map(|diagnostic| render(diagnostic, &program.sources, &Theme::plain())).collect();
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder.join("snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("examples__{name}"), said));
    }
}
