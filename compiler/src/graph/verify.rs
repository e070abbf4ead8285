//! The verifier of graphs. It checks, in a graph and in every region, that
//!
//! - argument nodes are exactly the declared arguments, each once;
//! - every operand comes before its user and names a result that exists;
//! - every node has as many operands as its op takes, and attributes that are complete and in the order of the record;
//! - the types of every node are those that inference finds from its operands, attributes and regions;
//! - the elements of constants are as many as the shape says and representable in the element type;
//! - a region has an output, and names are unique among arguments and among outputs;
//! - an output that is a parameter or state, and has an argument of its name and role, has that argument's type;
//! - arguments and outputs of regions are data, and regions state no checks;
//! - every symbol is declared by the graph or by one around it, and bounds of a size mention only earlier sizes;
//! - a check speaks of sizes and of `i64[]` data arguments that share no size's name.
//!
//! It returns every violation, not the first.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use super::{
    ARGUMENT, Attr, Attrs, Call, Data, Dim, Graph, Node, NodeId, Operands, Origin, Role, Symbol, Tensor, Type, round,
    wrap,
};

/// One way in which a graph is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The graph, and the regions on the way: `step/loop.0`.
    pub place: String,
    /// The op of the node, where the violation has one.
    pub op: Option<&'static str>,
    pub origin: Origin,
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in @{}: ", self.place)?;
        if let Some(op) = self.op {
            write!(f, "`{op}`: ")?;
        }
        f.write_str(&self.message)?;
        match self.origin == Origin::default() {
            true => Ok(()),
            false => write!(f, " ({})", self.origin),
        }
    }
}

/// Checks every invariant of the graph.
pub fn verify(graph: &Graph) -> Result<(), Vec<Violation>> {
    let mut verifier = Verifier { violations: Vec::new() };
    verifier.graph(graph, &Scope { place: graph.name.clone(), symbols: HashSet::new(), is_region: false });
    match verifier.violations.is_empty() {
        true => Ok(()),
        false => Err(verifier.violations),
    }
}

struct Verifier {
    violations: Vec<Violation>,
}

/// What surrounds a graph.
struct Scope {
    place: String,
    symbols: HashSet<Symbol>,
    is_region: bool,
}

impl Verifier {
    fn report(&mut self, scope: &Scope, node: Option<&Node>, message: impl Into<String>) {
        self.violations.push(Violation {
            place: scope.place.clone(),
            op: node.map(|node| node.op.name),
            origin: node.map(|node| node.origin.clone()).unwrap_or_default(),
            message: message.into(),
        });
    }

    fn graph(&mut self, graph: &Graph, outer: &Scope) {
        let mut scope =
            Scope { place: outer.place.clone(), symbols: outer.symbols.clone(), is_region: outer.is_region };
        for range in graph.sizes.iter() {
            self.symbols(&scope, None, std::iter::once(&range.low).chain(&range.high));
            scope.symbols.insert(range.symbol.clone());
        }
        self.checks(graph, &scope);
        self.interface(graph, &scope);
        for id in graph.node_ids() {
            self.node(graph, id, &scope);
        }
    }

    fn checks(&mut self, graph: &Graph, scope: &Scope) {
        let mut known =
            Scope { place: scope.place.clone(), symbols: scope.symbols.clone(), is_region: scope.is_region };
        for scalar in graph.scalars() {
            let symbol = Symbol::new(&scalar.name);
            let spoken_of = graph.checks.iter().any(|check| check.not_negative.mentions(&symbol));
            if spoken_of && !known.symbols.insert(symbol) {
                self.report(scope, None, format!("a check speaks of `{}`, a size and an argument", scalar.name));
            }
        }
        self.symbols(&known, None, graph.checks.iter().map(|check| &check.not_negative));
    }

    fn symbols<'d>(&mut self, scope: &Scope, node: Option<&Node>, dims: impl Iterator<Item = &'d Dim>) {
        let mut unknown = Vec::new();
        for dim in dims {
            dim.for_each_symbol(&mut |symbol| {
                if !scope.symbols.contains(symbol) && !unknown.contains(symbol) {
                    unknown.push(symbol.clone());
                }
            });
        }
        for symbol in unknown {
            self.report(scope, node, format!("the size {symbol} is not declared"));
        }
    }

    fn interface(&mut self, graph: &Graph, scope: &Scope) {
        let (mut arguments, mut outputs) = (HashSet::new(), HashSet::new());
        for argument in graph.arguments() {
            if !arguments.insert(&argument.name) {
                self.report(scope, None, format!("two arguments are called `{}`", argument.name));
            }
            self.symbols(scope, None, graph.type_of(argument.value).shape.iter());
        }
        for output in graph.outputs() {
            if !outputs.insert(&output.name) {
                self.report(scope, None, format!("two outputs are called `{}`", output.name));
            }
            let before = graph.arguments().iter().find(|argument| argument.name == output.name);
            let before = before.filter(|argument| argument.role == output.role && output.role != Role::Data);
            if let Some(argument) = before
                && graph.type_of(argument.value) != graph.type_of(output.value)
            {
                let (old, new) = (graph.type_of(argument.value), graph.type_of(output.value));
                self.report(scope, None, format!("`{}` enters as {old} and leaves as {new}", output.name));
            }
        }
        if scope.is_region && graph.outputs().is_empty() {
            self.report(scope, None, "there is no output");
        }
        let roles = graph.arguments().iter().map(|a| a.role).chain(graph.outputs().iter().map(|o| o.role));
        if scope.is_region && (roles.into_iter().any(|role| role != Role::Data) || !graph.checks.is_empty()) {
            self.report(scope, None, "a region has arguments or outputs that are not data, or states a check");
        }
    }

    fn node(&mut self, graph: &Graph, id: NodeId, scope: &Scope) {
        let node = graph.node(id);
        let declared = graph.arguments().iter().filter(|argument| argument.value.node == id).count();
        if std::ptr::eq(node.op, &ARGUMENT) {
            if declared != 1 {
                self.report(scope, Some(node), format!("an argument is declared {declared} times"));
            }
            return;
        }
        if declared > 0 {
            self.report(scope, Some(node), "an op is declared to be an argument");
        }
        let operands = graph.operands(id);
        for operand in &operands {
            if operand.node >= id || operand.result as usize >= graph.node(operand.node).types.len() {
                return self.report(scope, Some(node), "an operand does not come before its user, or does not exist");
            }
        }
        let types: Vec<Type> = operands.iter().map(|&value| graph.type_of(value).clone()).collect();
        self.symbols(scope, Some(node), node.types.iter().flat_map(|ty| &ty.shape).chain(dims_of(&node.attrs)));
        self.application(graph, node, &types, scope);
        for (_, attr) in node.attrs.iter() {
            if let Attr::Tensor(tensor) = attr
                && !is_sound(tensor)
            {
                self.report(scope, Some(node), "a constant whose elements do not fit its type");
            }
        }
        for (idx, region) in node.regions.iter().enumerate() {
            let place = format!("{}/{}.{idx}", scope.place, node.op.name);
            self.graph(region, &Scope { place, symbols: scope.symbols.clone(), is_region: true });
        }
    }

    /// Attributes, operand count and types against the record.
    fn application(&mut self, graph: &Graph, node: &Node, types: &[Type], scope: &Scope) {
        match node.attrs.complete(node.op.attrs) {
            Err(message) => return self.report(scope, Some(node), message),
            Ok(complete) if complete != node.attrs => {
                return self.report(scope, Some(node), "attributes that are not complete, or out of order");
            }
            Ok(_) => {}
        }
        let fits = match node.op.operands {
            Operands::Fixed(names) => names.len() == types.len(),
            Operands::Variadic(names, _) => names.len() <= types.len(),
        };
        if !fits {
            return self.report(scope, Some(node), format!("{} operands", types.len()));
        }
        let call = Call {
            op: node.op,
            attrs: &node.attrs,
            operands: types,
            regions: &node.regions,
            sizes: &graph.sizes,
            open: &RefCell::default(),
        };
        match (node.op.infer)(&call) {
            Err(error) => self.report(scope, Some(node), error.message),
            Ok(inferred) if inferred != node.types => {
                let text = |types: &[Type]| types.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
                let message = format!("has the types {}, but should have {}", text(&node.types), text(&inferred));
                self.report(scope, Some(node), message);
            }
            Ok(_) => {}
        }
    }
}

fn dims_of(attrs: &Attrs) -> impl Iterator<Item = &Dim> {
    attrs.iter().flat_map(|(_, attr)| match attr {
        Attr::Dim(dim) => std::slice::from_ref(dim),
        Attr::Dims(dims) => dims.as_slice(),
        _ => &[],
    })
}

fn is_sound(tensor: &Tensor) -> bool {
    let n_elements = tensor.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    let dtype = tensor.dtype;
    match &tensor.data {
        Data::Float(data) => {
            let fits = |v: f64| v.is_nan() || round(dtype, v).to_bits() == v.to_bits();
            dtype.is_float() && Some(data.len()) == n_elements && data.iter().all(|&v| fits(v))
        }
        Data::Int(data) => {
            !dtype.is_float() && Some(data.len()) == n_elements && data.iter().all(|&v| wrap(dtype, v) == v)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Attrs, DType};
    use crate::ops;

    fn messages(graph: &Graph) -> String {
        let violations = verify(graph).expect_err("the graph is malformed");
        violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_violation_is_reported() {
        let mut graph = Graph::new("bad");
        let ty = Type::new(DType::F32, vec![Dim::symbol("B")]);
        let x = graph.add_argument("x", Role::Data, ty.clone());
        graph.add_argument("x", Role::Data, ty.clone());
        let exp = ops::find("exp").unwrap();
        let wrong = Node {
            op: exp,
            attrs: Attrs::none().with("axis", 1),
            types: vec![Type::scalar(DType::F32)],
            regions: vec![],
            origin: Origin::default(),
        };
        graph.push(wrong.clone(), &[x]);
        graph.push(Node { attrs: Attrs::none(), ..wrong.clone() }, &[x]);
        graph.push(Node { attrs: Attrs::none(), ..wrong }, &[x, x]);
        let found = messages(&graph);
        for expected in [
            "two arguments are called `x`",
            "the size B is not declared",
            "there is no attribute `axis`",
            "has the types f32[], but should have f32[B]",
            "2 operands",
        ] {
            assert!(found.contains(expected), "{expected} is missing in\n{found}");
        }
    }

    #[test]
    fn state_keeps_its_type() {
        let mut graph = Graph::new("step");
        let shape = |n: i64| Type::new(DType::F32, vec![Dim::constant(n)]);
        let x = graph.add_argument("x", Role::Data, shape(3));
        graph.add_argument("keys", Role::State, shape(4));
        graph.add_output("keys", Role::State, x);
        assert!(messages(&graph).contains("`keys` enters as f32[4] and leaves as f32[3]"));
    }
}
