//! The part of the language that is written in the language, built into the compiler.

static FILES: &[(&str, &str)] = &[
    ("nn", include_str!("../../../../specs/prelude/nn.tw")),
    ("optim", include_str!("../../../../specs/prelude/optim.tw")),
    ("init", include_str!("../../../../specs/prelude/init.tw")),
];

/// The text of `use NAME { … }`.
pub fn file(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

pub fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}
