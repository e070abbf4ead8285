//! Products of tiles in registers of matrices, where a CPU has such.
//!
//! Invariant: values are held so only if all that makes and uses them is known: products of words that are loaded as they
//! lie, loops and conditions that carry their sums, zeros and loads to start from, stores. Each has one use, and no sums
//! live while others do, so that registers, which statements change, hold what the value that they stand for is.

use super::Lower;
use super::block::Spot;
use super::element::strides;
use super::held;
use super::layout::Tile;
use crate::graph::Dim;
use crate::kernel::types::matrix::{Matrix, REGISTERS, Register, SIDE};
use crate::kernel::types::*;

/// What is multiplied at once: rows × words by words × columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    rows: u64,
    words: u64,
    columns: u64,
}

/// What a value of the source is in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Sums,
    Left,
    Right,
}

#[derive(Default)]
pub(super) struct Held {
    /// By value of the source.
    values: Vec<Option<(Role, Form)>>,
    /// Some value is held.
    any: bool,
    /// The form for which the registers have their shapes at this point, however it was reached.
    shaped: Option<Form>,
}

impl Form {
    /// Their sums and both factors fit the registers.
    pub fn find([rows, words, columns]: [u64; 3]) -> Option<Form> {
        let form = Form { rows, words, columns };
        let [n_rows, n_columns] = form.n_registers();
        let fits = (1..=SIDE).contains(&words) && columns % SIDE == 0 && rows > 0 && columns > 0;
        (fits && n_rows * n_columns + n_rows + n_columns <= REGISTERS as u64).then_some(form)
    }

    fn n_registers(&self) -> [u64; 2] {
        [self.rows.div_ceil(SIDE), self.columns.div_ceil(SIDE)]
    }

    /// The registers of a role, each with the first row and column that it has of the value.
    fn registers(&self, role: Role) -> Vec<(Register, [i64; 2])> {
        let [n_rows, n_columns] = self.n_registers();
        let (first, rows, columns) = match role {
            Role::Sums => (0, n_rows, n_columns),
            Role::Left => (n_rows * n_columns, n_rows, 1),
            Role::Right => (n_rows * n_columns + n_rows, 1, n_columns),
        };
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let place = |(row, column)| {
            let register = first + row * columns + column;
            (register as Register, [(row * SIDE) as i64, (column * SIDE) as i64])
        };
        places.map(place).collect()
    }

    fn shapes(&self) -> Matrix {
        let shape = |role: Role, [row, _]: [i64; 2]| {
            let height = (self.rows - row as u64).min(SIDE) as u8;
            match role {
                Role::Sums => [height, SIDE as u8],
                Role::Left => [height, self.words as u8],
                Role::Right => [self.words as u8, SIDE as u8],
            }
        };
        let of = |role: Role| self.registers(role).into_iter().map(move |(_, at)| shape(role, at));
        Matrix::Shapes([Role::Sums, Role::Left, Role::Right].into_iter().flat_map(of).collect())
    }
}

impl Held {
    pub fn of(&self, value: Value) -> Option<(Role, Form)> {
        *self.values.get(value.0 as usize)?
    }

    pub fn shaped(&self) -> Option<Form> {
        self.shaped
    }

    /// The forms of the products in a block.
    fn forms(&self, block: &Block, found: &mut Vec<Form>) {
        for stmt in &block.stmts {
            let form = matches!(stmt.op, Op::Dot { .. }).then(|| self.of(stmt.results[0])).flatten();
            found.extend(form.map(|(_, form)| form).filter(|form| !found.contains(form)));
            stmt.op.blocks().into_iter().for_each(|inner| self.forms(inner, found));
        }
    }
}

impl Lower<'_> {
    pub(super) fn find_held(&mut self) {
        if !self.target.matrices || u64::from(self.lanes) != SIDE {
            return;
        }
        let values = held::values(self.source);
        self.held = Held { any: values.iter().any(Option::is_some), shaped: None, values };
    }

    /// To give shapes takes as long as ten products: where all products of a loop have one form, it is done before the
    /// loop begins.
    pub(super) fn before_products(&mut self, body: &Block) {
        let mut forms = Vec::new();
        self.held.forms(body, &mut forms);
        match forms[..] {
            [] => {}
            [form] => _ = self.shape(form),
            // What one turn leaves is there when the next begins, or nothing is, if there is no turn.
            _ => self.held.shaped = None,
        }
    }

    /// After a block that may not have run, or a loop, given what was before it.
    pub(super) fn meet_shapes(&mut self, before: Option<Form>) {
        self.held.shaped = self.held.shaped.filter(|form| before == Some(*form));
    }

    /// Whether the registers had to be given their shapes, which come with zeros.
    fn shape(&mut self, form: Form) -> bool {
        let is_new = self.held.shaped.replace(form) != Some(form);
        if is_new {
            self.push_matrix(form.shapes());
        }
        is_new
    }

    pub(super) fn end_matrices(&mut self) {
        if self.held.any {
            self.push_matrix(Matrix::Release);
        }
    }

    /// A statement whose result is held.
    pub(super) fn hold(&mut self, op: &Op, ty: &Type, result: Value) -> Tile {
        let nothing = Tile { shape: ty.shape.clone(), parts: Vec::new() };
        let Some((role, form)) = self.held.of(result) else { return nothing };
        let has_zeros = matches!(op, Op::Const(_) | Op::Load(..)) && self.shape(form);
        match op {
            Op::Const(_) if !has_zeros => {
                form.registers(role).into_iter().for_each(|(register, _)| self.push_matrix(Matrix::Zero(register)));
            }
            Op::Load(access, _) => self.move_matrices(access, role, form, Matrix::Load),
            Op::Dot { of, .. } => {
                let [left, right] = [Role::Left, Role::Right].map(|role| form.registers(role));
                let sums = form.registers(Role::Sums).into_iter();
                for ((acc, _), at) in sums.zip(0..) {
                    let (a, b) = (left[at / right.len()].0, right[at % right.len()].0);
                    self.push_matrix(Matrix::Dot { of: *of, acc, a, b });
                }
            }
            _ => {}
        }
        nothing
    }

    pub(super) fn store_held(&mut self, access: &Access, (role, form): (Role, Form)) {
        self.move_matrices(access, role, form, Matrix::Store);
    }

    fn move_matrices(&mut self, access: &Access, role: Role, form: Form, how: fn(Register, Place, Value) -> Matrix) {
        let Some((step, _)) = steps(self.source, access) else { unreachable!("the search saw both steps") };
        let step = self.dim(&step);
        for (register, at) in form.registers(role) {
            let (place, _) = self.locate(access, &Spot::One(&at), false);
            self.push_matrix(how(register, place, step));
        }
    }

    fn push_matrix(&mut self, matrix: Matrix) {
        self.b.push_stmt(Stmt { results: Vec::new(), op: Op::Matrix(matrix) });
    }
}

/// How many elements apart neighbours along the two axes of a tile lie, where that is the same everywhere.
pub(super) fn steps(kernel: &Kernel, access: &Access) -> Option<(Dim, i64)> {
    let mut flat = Dim::constant(0);
    for (index, stride) in access.index.iter().zip(&strides(&kernel.memory_shape(access.memory))) {
        let Index::Dim(dim) = index else { return None };
        flat = &flat + &(dim * stride);
    }
    let [row, column] = [0, 1].map(lane_symbol);
    let (down, rest) = flat.affine_in(&row)?;
    let (across, _) = rest.affine_in(&column)?;
    let is_plain = access.guards.is_empty() && !down.mentions(&column);
    is_plain.then_some((down, across.as_constant()?))
}
