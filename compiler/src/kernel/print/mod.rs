//! Kernels as text.
//!
//! Invariant: `parse(print(kernel))` equals the kernel, if it is canonical and its names are identifiers.

mod guard;

use std::fmt::{self, Write};

use super::types::matrix::Matrix;
use super::types::*;
use crate::graph::Dim;
pub use guard::guard;

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self))
    }
}

pub fn print(kernel: &Kernel) -> String {
    let mut printer = Printer { kernel, text: String::new(), indent: 1 };
    printer.header();
    printer.block(&kernel.body);
    printer.text.push_str("}\n");
    printer.text
}

/// One statement up to its inner blocks, for messages.
pub fn statement(kernel: &Kernel, stmt: &Stmt) -> String {
    Printer { kernel, text: String::new(), indent: 0 }.statement(stmt)
}

struct Printer<'a> {
    kernel: &'a Kernel,
    text: String,
    indent: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        let indent = self.indent * 2;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    fn header(&mut self) {
        let kernel = self.kernel;
        let level = match kernel.level {
            Level::Tile => "tile".to_string(),
            Level::Loop if kernel.threads > 1 => format!("loop {} threads {}", kernel.lanes, kernel.threads),
            Level::Loop => format!("loop {}", kernel.lanes),
        };
        self.text = format!("kernel {} {level} {{\n", kernel.name);
        for size in &kernel.sizes {
            let high = size.high.map_or(String::new(), |high| format!("={high}"));
            self.line(&format!("size {} in {}..{high}", size.symbol, size.low));
        }
        for buffer in &kernel.buffers {
            let rights = rights_name(buffer.rights);
            let stream = if buffer.streamed { " stream" } else { "" };
            self.line(&format!("buffer {}: {}[{}] {rights}{stream}", buffer.name, buffer.dtype, list(&buffer.shape)));
        }
        for local in &kernel.locals {
            let scope = scope_name(local.scope);
            self.line(&format!("{scope} {}: {}[{}]", local.name, local.dtype, list(&local.shape)));
        }
        for axis in &kernel.grid {
            self.line(&format!("grid {} in {}", axis.symbol, axis.extent));
        }
        if kernel.sequential {
            self.line("sequential");
        }
    }

    fn block(&mut self, block: &Block) {
        for stmt in &block.stmts {
            let head = self.statement(stmt);
            self.line(&head);
            self.inner_blocks(&stmt.op);
        }
        if !block.yields.is_empty() {
            self.line(&format!("yield {}", list(&block.yields)));
        }
    }

    fn statement(&self, stmt: &Stmt) -> String {
        let results: Vec<String> =
            stmt.results.iter().map(|&value| format!("{value}: {}", self.kernel.type_of(value))).collect();
        let results = if results.is_empty() { String::new() } else { format!("{} = ", results.join(", ")) };
        format!("{results}{}", self.head(&stmt.op))
    }

    fn inner_blocks(&mut self, op: &Op) {
        let blocks = op.blocks();
        for (idx, block) in blocks.iter().enumerate() {
            let empty = block.stmts.is_empty() && block.yields.is_empty();
            if idx > 0 && empty {
                continue;
            }
            if idx > 0 {
                self.line("} else {");
            }
            self.indent += 1;
            self.block(block);
            self.indent -= 1;
        }
        if !blocks.is_empty() {
            self.line("}");
        }
    }

    /// A statement up to its inner blocks.
    fn head(&self, op: &Op) -> String {
        match op {
            Op::Const(literal) => format!("const {literal}"),
            Op::Scalar(scalar, operands) => format!("{scalar} {}", list(operands)),
            Op::Cast(a) => format!("cast {a}"),
            Op::Bitcast(a) => format!("bitcast {a}"),
            Op::Broadcast(a) => format!("broadcast {a}"),
            Op::Reshape(a) => format!("reshape {a}"),
            Op::Reduce { scalar, value, axis } => format!("reduce {scalar} {value} axis {axis}"),
            Op::If(inner) => match &inner.condition {
                Condition::Value(value) => format!("if {value} {{"),
                Condition::Guards(guards) => format!("if {} {{", guards_text(guards)),
            },
            Op::Barrier => "barrier".to_string(),
            Op::Index(dim) => format!("index {dim}"),
            Op::Contract { acc, a, b } => format!("contract {acc}, {a}, {b}"),
            Op::Dot { of, acc, a, b } => format!("dot {of} {acc}, {a}, {b}"),
            Op::RandomBits(bits) => format!(
                "random_bits seed {} stream {} index {} key {} word {}",
                bits.seed, bits.stream, bits.index, bits.key, bits.word
            ),
            Op::Load(access, otherwise) => self.load(access, *otherwise),
            Op::Store(access, value) => format!("store {}, {value}", self.access(access)),
            Op::Accumulate(access, value) => format!("accumulate {}, {value}", self.access(access)),
            Op::Prefetch(access) => format!("prefetch {}", self.access(access)),
            Op::For(inner) => self.for_head(inner),
            Op::Symbol(def) => format!("symbol {} = {} in {}..={}", def.symbol, def.value, def.low, def.high),
            Op::Argument(Argument::Begin) => "argument begin".to_string(),
            Op::Argument(Argument::End) => "argument end".to_string(),
            Op::Argument(Argument::Thread) => "argument thread".to_string(),
            Op::Argument(Argument::Size(at)) => {
                format!("argument size {}", self.kernel.sizes[*at as usize].symbol)
            }
            Op::Lanes => "lanes".to_string(),
            Op::Extract { value, lane } => format!("extract {value}[{lane}]"),
            Op::Insert { value, lane, scalar } => format!("insert {value}[{lane}], {scalar}"),
            Op::Shuffle { a, b, lanes } => format!("shuffle {a}, {b} {lanes:?}"),
            Op::Quotient(a, b) => format!("quotient {a}, {b}"),
            Op::Call(scalar, operands) => format!("call {scalar} {}", list(operands)),
            Op::Matrix(matrix) => self.matrix(matrix),
            Op::Mma(of, operands) => format!("mma {of} {}", list(operands)),
            Op::LoadAt(place) => format!("load {}", self.place(place)),
            Op::PrefetchAt(place) => format!("prefetch {}", self.place(place)),
            Op::StoreAt(place, value) => format!("store {}, {value}", self.place(place)),
            Op::Loop(inner) => {
                let range = format!("loop {} in {}..{}", inner.index, inner.start, inner.end);
                format!("{range}{} {{", loop_tail(inner.step, inner.unroll, &inner.params, &inner.inits))
            }
        }
    }

    fn matrix(&self, matrix: &Matrix) -> String {
        match matrix {
            Matrix::Shapes(shapes) => {
                let side = |at: usize| shapes.iter().map(|shape| shape[at]).collect::<Vec<_>>();
                format!("matrix shapes {:?} {:?}", side(0), side(1))
            }
            Matrix::Zero(register) => format!("matrix zero {register}"),
            Matrix::Load(register, place, step) => format!("matrix load {register}, {} step {step}", self.place(place)),
            Matrix::Store(register, place, step) => {
                format!("matrix store {register}, {} step {step}", self.place(place))
            }
            Matrix::Dot { of, acc, a, b } => format!("matrix dot {of} {acc}, {a}, {b}"),
            Matrix::Release => "matrix release".to_string(),
        }
    }

    fn for_head(&self, inner: &For) -> String {
        let range = format!("for {} in {}..{}", inner.symbol, inner.start, inner.end);
        format!("{range}{} {{", loop_tail(inner.step, inner.unroll, &inner.params, &inner.inits))
    }

    fn load(&self, access: &Access, otherwise: Literal) -> String {
        let partial = !access.guards.is_empty() || access.index.iter().any(|index| matches!(index, Index::Value(_)));
        let zero = Literal::zero(self.kernel.memory_dtype(access.memory));
        let text = format!("load {}", self.access(access));
        if partial || otherwise != zero { format!("{text} else {otherwise}") } else { text }
    }

    fn access(&self, access: &Access) -> String {
        let text = format!("{}[{}]", self.kernel.memory_name(access.memory), list(&access.index));
        if access.guards.is_empty() { text } else { format!("{text} where {}", guards_text(&access.guards)) }
    }

    fn place(&self, place: &Place) -> String {
        let mut text = format!("{} at {}", self.kernel.memory_name(place.memory), place.offset);
        let sign = if place.plus < 0 { '-' } else { '+' };
        if place.plus != 0 {
            let _ = write!(text, " {sign} {}", place.plus.unsigned_abs());
        }
        if let Some(mask) = &place.mask {
            let _ = write!(text, " mask {}", mask.mask);
            if let Some(otherwise) = mask.otherwise {
                let _ = write!(text, " else {otherwise}");
            }
        }
        if place.streams {
            text += " stream";
        }
        text
    }
}

pub fn rights_name(rights: Rights) -> &'static str {
    match rights {
        Rights::Read => "read",
        Rights::Write => "write",
        Rights::ReadWrite => "readwrite",
    }
}

pub fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Local => "local",
        Scope::Shared => "shared",
    }
}

fn loop_tail(step: i64, unroll: bool, params: &[Value], inits: &[Value]) -> String {
    let mut text = format!(" step {step}");
    if unroll {
        text.push_str(" unroll");
    }
    let carried: Vec<String> = params.iter().zip(inits).map(|(param, init)| format!("{param} = {init}")).collect();
    if !carried.is_empty() {
        let _ = write!(text, " carry {}", carried.join(", "));
    }
    text
}

fn guards_text(guards: &[Dim]) -> String {
    guards.iter().map(guard).collect::<Vec<_>>().join(", ")
}

fn list(items: &[impl fmt::Display]) -> String {
    items.iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Index::Dim(dim) => write!(f, "{dim}"),
            Index::Value(value) => write!(f, "@{value}"),
        }
    }
}
