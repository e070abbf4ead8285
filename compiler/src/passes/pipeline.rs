//! The pipeline: every pass, in the order of running.
//!
//! Gradients are written out before anything else. Composites are opened next, so that each later pass sees primitives only; types are decided before constants are
//! folded, so that folding rounds as the program would; fusion comes last, on the graph that will be run: by then
//! `prepare` has split off what depends on weights alone.

use super::{
    Pass, ahead, attention, canonicalize, cse, dce, differentiate, even, expand, fold, fuse, groups, hidden, hoist,
    layout, narrow, pack, padding, phases, precision, quantize, running, split, winograd,
};

pub static PIPELINE: &[&Pass] = &[
    &differentiate::PASS,
    &expand::PASS,
    &precision::PASS,
    &running::PASS,
    &canonicalize::PASS,
    &fold::PASS,
    &canonicalize::PASS,
    &cse::PASS,
    &dce::PASS,
    &phases::PASS,
    &padding::PASS,
    &layout::PASS,
    &ahead::PASS,
    &hidden::PASS,
    &canonicalize::PASS,
    &cse::PASS,
    &attention::PASS,
    &winograd::PASS,
    &groups::PASS,
    &even::PASS,
    &narrow::PASS,
    &quantize::PASS,
    &pack::PASS,
    &split::PASS,
    &hoist::PASS,
    &cse::PASS,
    &dce::PASS,
    &fuse::PASS,
];

/// The passes before the split, and those after it.
pub fn parts() -> (&'static [&'static Pass], &'static [&'static Pass]) {
    PIPELINE.split_at(PIPELINE.len() - 1)
}

/// Every pass once, for the command line and the manual.
#[rustfmt::skip]
pub static PASSES: &[&Pass] = &[
    &differentiate::PASS, &expand::PASS, &precision::PASS, &running::PASS, &canonicalize::PASS, &fold::PASS, &cse::PASS, &dce::PASS, &phases::PASS, &padding::PASS, &layout::PASS,
    &ahead::PASS, &hidden::PASS, &attention::PASS, &winograd::PASS, &groups::PASS, &even::PASS, &narrow::PASS, &quantize::PASS, &pack::PASS, &split::PASS, &hoist::PASS, &fuse::PASS,
];

/// The pass of this name.
pub fn find(name: &str) -> Option<&'static Pass> {
    PASSES.iter().copied().find(|pass| pass.name == name)
}
