//! The part of the language that is written in the language, built into the compiler.

/// `nn` comes first, as it passes on what the parts for layers define.
static FILES: &[(&str, &str)] = &[
    ("nn", include_str!("../../../../specs/prelude/nn.tw")),
    ("convolution", include_str!("../../../../specs/prelude/convolution.tw")),
    ("normalization", include_str!("../../../../specs/prelude/normalization.tw")),
    ("pooling", include_str!("../../../../specs/prelude/pooling.tw")),
    ("recurrent", include_str!("../../../../specs/prelude/recurrent.tw")),
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
