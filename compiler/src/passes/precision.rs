//! Decides undecided floats.
//!
//! ```text
//! real[…]   =>   float[…]        in arguments, attributes, constants and regions; float is the context's choice
//! ```
//! Types that are written in a spec stay, and so do casts between them and `real`, which become casts to or from the
//! chosen type (of no effect where they agree: `canonicalize` drops those). Constants are rounded to nearest.

use std::sync::Arc;

use super::narrow::RESULT;
use super::rebuild::Rebuild;
use super::{Context, Narrowing, Pass, PassError};
use crate::graph::{Attr, Attrs, DType, Graph, Type, round};

pub static PASS: Pass = Pass { name: "precision", doc: "Replaces undecided floats by the chosen type.", run };

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let decide = |dtype: DType| if dtype == DType::Real { context.float } else { dtype };
    let mut rebuild = Rebuild::with_types(graph, |ty: &Type| ty.with_dtype(decide(ty.dtype)));
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        let regions = node.regions.iter().map(|region| run(region, context)).collect::<Result<_, _>>()?;
        let mut attrs = decided(&node.attrs, &decide);
        // Whose type nobody wrote may read narrower numbers, and gives what it would have given.
        let is_open = node.types.iter().all(|ty| ty.dtype == DType::Real) && graph.operands(id).len() == 2;
        if is_open && context.narrowing != Narrowing::None && node.op.attrs.iter().any(|attr| attr.name == RESULT) {
            attrs.set(RESULT, Attr::DType(context.float));
        }
        rebuild.reapply(id, &attrs, regions).map_err(PassError::at(PASS.name, &node.origin))?;
    }
    Ok(rebuild.finish())
}

fn decided(attrs: &Attrs, decide: &dyn Fn(DType) -> DType) -> Attrs {
    let mut attrs = attrs.clone();
    for (_, attr) in attrs.iter_mut() {
        match attr {
            Attr::DType(dtype) => *dtype = decide(*dtype),
            Attr::Tensor(tensor) if decide(tensor.dtype) != tensor.dtype => {
                *tensor = Arc::new(tensor.cast(decide(tensor.dtype)));
            }
            _ => {}
        }
    }
    // A number beside an element type is of that type.
    let dtype = attrs.iter().find_map(|(_, attr)| if let Attr::DType(dtype) = attr { Some(*dtype) } else { None });
    for (_, attr) in attrs.iter_mut() {
        if let (Attr::Float(value), Some(dtype)) = (attr, dtype.filter(|dtype| dtype.is_float())) {
            *value = round(dtype, *value);
        }
    }
    attrs
}
