//! What the texts of kernels of blocks have in common, whatever the language: names of values, control flow, statements.
//!
//! Invariant: a value of the kernel is `vN`; constants are written where they are used. Carried values are variables, and
//! all are read before any is set. A language says how it spells things, in its [`Dialect`], and nothing else.

use std::fmt::Write as _;

use super::CodegenError;
use crate::graph::{DType, Scalar};
use crate::kernel::*;

/// How a language spells what kernels are made of.
pub(super) trait Dialect: Sized + Default {
    /// How a message begins about what cannot be said.
    const LACKS: &str;
    const BARRIER: &[&str];
    /// What stands before a loop that is to be unrolled, one that is not, and one of which a few rounds may be.
    const UNROLL: Option<[&str; 3]>;

    fn type_name(dtype: DType) -> Result<&'static str, CodegenError>;
    fn literal(literal: Literal, dtype: DType) -> Result<String, CodegenError>;
    /// The declaration of a name that keeps its value.
    fn constant(dtype: DType, name: &str, value: &str) -> Result<String, CodegenError>;
    /// The declaration of a name that is set again.
    fn variable(dtype: DType, name: &str, value: Option<&str>) -> Result<String, CodegenError>;

    fn load(printer: &mut Printer<Self>, place: &Place, dtype: DType) -> Result<String, CodegenError>;
    fn store(printer: &mut Printer<Self>, place: &Place, value: Value) -> Result<(), CodegenError>;
    /// The call that sets the results, which are declared, to a product of warps.
    fn mma(of: DType, results: &[String], operands: &[String]) -> Result<String, CodegenError>;
    /// What any other op with one result is, as an expression.
    fn expression(printer: &mut Printer<Self>, op: &Op, dtype: DType) -> Result<String, CodegenError>;
}

pub(super) struct Printer<'a, D> {
    pub kernel: &'a Kernel,
    pub text: String,
    indent: usize,
    /// What a value is called, or its literal.
    names: Vec<Option<String>>,
    is_literal: Vec<bool>,
    n_temps: usize,
    /// What else the language has to know of the kernel.
    pub dialect: D,
}

/// What the language has no words for.
pub(super) fn lacks<D: Dialect>(what: impl std::fmt::Display) -> CodegenError {
    CodegenError::new(format!("{} {what}", D::LACKS))
}

/// What a reader is told of a buffer.
pub(super) fn described(buffer: &Buffer) -> String {
    let shape: Vec<String> = buffer.shape.iter().map(|dim| dim.to_string()).collect();
    format!("{}: {}[{}]", buffer.name, buffer.dtype, shape.join(", "))
}

/// Elements of an array that is declared for it, which has to have some.
pub(super) fn n_elements(local: &Local) -> u64 {
    Type::new(local.dtype, local.shape.clone()).n_elements().max(1)
}

/// A template with operands for `$a`, `$b` and `$c`.
pub(super) fn filled(template: &str, operands: &[String]) -> String {
    let mut text = template.to_string();
    for (sign, operand) in ["$a", "$b", "$c"].iter().zip(operands) {
        text = text.replace(sign, operand);
    }
    text
}

/// The call of a function of the device.
pub(super) fn called<D: Dialect>(
    calls: &[(Scalar, &str)],
    scalar: Scalar,
    operands: &[String],
) -> Result<String, CodegenError> {
    let name = calls.iter().find(|(other, _)| *other == scalar).map(|(_, name)| name);
    let name = name.ok_or_else(|| lacks::<D>(format!("function `{scalar}`")))?;
    Ok(format!("{name}({})", operands.join(", ")))
}

impl<'a, D: Dialect> Printer<'a, D> {
    pub fn new(kernel: &'a Kernel) -> Self {
        let n_values = kernel.values.len();
        let (names, is_literal) = (vec![None; n_values], vec![false; n_values]);
        Printer { kernel, text: String::new(), indent: 1, names, is_literal, n_temps: 0, dialect: D::default() }
    }

    pub fn line(&mut self, text: &str) {
        let indent = self.indent * 2;
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    /// A name for something that the kernel has no name for.
    pub fn next_temp(&mut self) -> String {
        self.n_temps += 1;
        format!("t{}", self.n_temps)
    }

    pub fn name(&self, value: Value) -> String {
        self.names[value.0 as usize].clone().unwrap_or_else(|| own_name(value))
    }

    pub fn operands(&self, values: &[Value]) -> Vec<String> {
        values.iter().map(|&value| self.name(value)).collect()
    }

    /// Whether a constant stands for the value.
    pub fn is_literal(&self, value: Value) -> bool {
        self.is_literal[value.0 as usize]
    }

    pub fn dtype(&self, value: Value) -> DType {
        self.kernel.type_of(value).dtype
    }

    fn call(&mut self, value: Value, name: String) {
        self.names[value.0 as usize] = Some(name);
    }

    fn set(&mut self, values: &[Value], names: &[String]) {
        for (&value, name) in values.iter().zip(names) {
            self.line(&format!("{} = {name};", own_name(value)));
        }
    }

    pub fn block(&mut self, block: &Block) -> Result<(), CodegenError> {
        block.stmts.iter().try_for_each(|stmt| self.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), CodegenError> {
        match (&stmt.op, stmt.results.as_slice()) {
            (Op::Loop(inner), results) => self.loop_stmt(inner, results)?,
            (Op::If(inner), results) => self.if_stmt(inner, results)?,
            (Op::StoreAt(place, value), []) => D::store(self, place, *value)?,
            (Op::PrefetchAt(_), []) => {}
            (Op::Barrier, []) => D::BARRIER.iter().for_each(|line| self.line(line)),
            (Op::Const(constant), &[result]) => {
                self.call(result, D::literal(*constant, self.dtype(result))?);
                self.is_literal[result.0 as usize] = true;
            }
            (Op::Mma(of, operands), results) => {
                let names: Vec<String> = results.iter().map(|&result| own_name(result)).collect();
                let text = D::mma(*of, &names, &self.operands(operands))?;
                for (&result, name) in results.iter().zip(&names) {
                    self.line(&D::variable(self.dtype(result), name, None)?);
                }
                self.line(&text);
            }
            (Op::Argument(argument), &[result]) => self.call(result, argument_name(argument)),
            (op, &[result]) => {
                let dtype = self.dtype(result);
                let text = match op {
                    Op::LoadAt(place) => D::load(self, place, dtype)?,
                    Op::Broadcast(operand) => self.name(*operand),
                    op => D::expression(self, op, dtype)?,
                };
                self.line(&D::constant(dtype, &own_name(result), &text)?);
            }
            (op, _) => return Err(lacks::<D>(format!("{op:?}"))),
        }
        Ok(())
    }

    fn loop_stmt(&mut self, inner: &Loop, results: &[Value]) -> Result<(), CodegenError> {
        for (&param, &init) in inner.params.iter().zip(&inner.inits) {
            self.line(&D::variable(self.dtype(param), &own_name(param), Some(&self.name(init)))?);
        }
        if let Some([all, none, few]) = D::UNROLL {
            match inner.unroll {
                true => self.line(all),
                // Compilers unroll what then does not fit the registers.
                false if has_rounds(&inner.body) => self.line(none),
                false => self.line(few),
            }
        }
        let (index, end) = (own_name(inner.index), self.name(inner.end));
        let start = D::variable(self.dtype(inner.index), &index, Some(&self.name(inner.start)))?;
        self.line(&format!("for ({start} {index} < {end}; {index} += {}) {{", inner.step));
        self.indent += 1;
        self.block(&inner.body)?;
        let mut next = self.operands(&inner.body.yields);
        // Of several, one may be what another was.
        if next.len() > 1 {
            for (name, &param) in next.iter_mut().zip(&inner.params) {
                let before = self.next_temp();
                self.line(&D::constant(self.dtype(param), &before, name)?);
                *name = before;
            }
        }
        self.set(&inner.params, &next);
        self.indent -= 1;
        self.line("}");
        for (&result, &param) in results.iter().zip(&inner.params) {
            self.call(result, own_name(param));
        }
        Ok(())
    }

    fn if_stmt(&mut self, inner: &If, results: &[Value]) -> Result<(), CodegenError> {
        let Condition::Value(condition) = inner.condition else {
            return Err(CodegenError::new("guards are gone at the loop level"));
        };
        for &result in results {
            self.line(&D::variable(self.dtype(result), &own_name(result), None)?);
        }
        self.line(&format!("if ({}) {{", self.name(condition)));
        self.branch(&inner.then, results)?;
        if !inner.otherwise.stmts.is_empty() || !results.is_empty() {
            self.line("} else {");
            self.branch(&inner.otherwise, results)?;
        }
        self.line("}");
        Ok(())
    }

    fn branch(&mut self, block: &Block, results: &[Value]) -> Result<(), CodegenError> {
        self.indent += 1;
        self.block(block)?;
        self.set(results, &self.operands(&block.yields));
        self.indent -= 1;
        Ok(())
    }
}

/// Whether a loop or a barrier is inside.
fn has_rounds(block: &Block) -> bool {
    block
        .stmts
        .iter()
        .any(|stmt| matches!(stmt.op, Op::Loop(_) | Op::Barrier) || stmt.op.blocks().into_iter().any(has_rounds))
}

fn own_name(value: Value) -> String {
    format!("v{}", value.0)
}

fn argument_name(argument: &Argument) -> String {
    match argument {
        Argument::Begin => "begin".to_string(),
        Argument::End => "end".to_string(),
        Argument::Thread => "thread".to_string(),
        Argument::Size(at) => format!("s{at}"),
    }
}
