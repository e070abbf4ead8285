//! Which values of a kernel are held in registers of matrices: all sums and factors of products of words, or none.
//!
//! Invariant: what is held is made and used only as `matrix` knows it, once each, in the block that makes it; and of two
//! products the one is over before the other begins.

use super::matrix::{Form, Role, steps};
use crate::graph::DType;
use crate::kernel::types::*;

/// By value.
type Found = Vec<Option<(Role, Form)>>;

pub(super) fn values(kernel: &Kernel) -> Found {
    let n_values = kernel.values.len();
    let mut search = Search { kernel, found: vec![None; n_values], groups: (0..n_values).collect(), changed: true };
    search.visit(&kernel.body, &mut |search, stmt| search.product(stmt));
    if search.found.iter().all(Option::is_none) {
        return search.found;
    }
    while std::mem::take(&mut search.changed) {
        search.visit(&kernel.body, &mut |search, stmt| search.spread(stmt));
    }
    let mut lives = Lives { homes: vec![None; n_values], is_used: vec![false; n_values], now: 0, found: Vec::new() };
    let is_whole = search.block(&kernel.body, &mut lives);
    if is_whole && lives.are_apart() { search.found } else { vec![None; n_values] }
}

struct Search<'k> {
    kernel: &'k Kernel,
    found: Found,
    /// Values of one product have the same number.
    groups: Vec<usize>,
    changed: bool,
}

/// The order of things.
struct Lives {
    /// The number of the statement that opens the block in which a value is defined.
    homes: Vec<Option<usize>>,
    is_used: Vec<bool>,
    now: usize,
    /// The first and the last statement of each product.
    found: Vec<(usize, [usize; 2])>,
}

impl Search<'_> {
    fn of(&self, value: Value) -> Option<(Role, Form)> {
        self.found[value.0 as usize]
    }

    fn visit(&mut self, block: &Block, visit: &mut dyn FnMut(&mut Self, &Stmt)) {
        for stmt in &block.stmts {
            visit(self, stmt);
            stmt.op.blocks().into_iter().for_each(|inner| self.visit(inner, visit));
        }
    }

    fn product(&mut self, stmt: &Stmt) {
        let Op::Dot { of: DType::BF16 | DType::I8, acc, a, b } = stmt.op else { return };
        let (left, sums) = (&self.kernel.type_of(a).shape, &self.kernel.type_of(acc).shape);
        let ([rows, words], [_, columns]) = (&left[..], &sums[..]) else { return };
        let Some(form) = Form::find([*rows, *words, *columns]) else { return };
        for (value, role) in [(acc, Role::Sums), (stmt.results[0], Role::Sums), (a, Role::Left), (b, Role::Right)] {
            self.found[value.0 as usize].get_or_insert((role, form));
            self.join(acc, value);
        }
    }

    fn join(&mut self, a: Value, b: Value) {
        let [a, b] = [a, b].map(|value| self.groups[value.0 as usize]);
        if a != b {
            self.groups.iter_mut().filter(|group| **group == b).for_each(|group| *group = a);
            self.changed = true;
        }
    }

    /// Loops and conditions carry sums.
    fn spread(&mut self, stmt: &Stmt) {
        for same in carried(stmt) {
            let held = same.iter().find_map(|&value| self.of(value));
            let Some(held) = held else { continue };
            for &value in &same {
                self.changed |= self.of(value).is_none();
                self.found[value.0 as usize].get_or_insert(held);
                self.join(same[0], value);
            }
        }
    }

    /// Whether all statements of a block go with what is held.
    fn block(&self, block: &Block, lives: &mut Lives) -> bool {
        let home = lives.now;
        for stmt in &block.stmts {
            lives.now += 1;
            if !self.goes(stmt) || !stmt.op.operands().iter().all(|&value| self.is_used(value, home, lives)) {
                return false;
            }
            if let Op::For(inner) = &stmt.op {
                inner.params.iter().for_each(|&value| self.is_defined(value, lives.now, lives));
            }
            if !stmt.op.blocks().into_iter().all(|inner| self.block(inner, lives)) {
                return false;
            }
            stmt.results.iter().for_each(|&value| self.is_defined(value, home, lives));
        }
        lives.now += 1;
        block.yields.iter().all(|&value| self.is_used(value, home, lives))
    }

    fn is_used(&self, value: Value, home: usize, lives: &mut Lives) -> bool {
        let at = value.0 as usize;
        if self.found[at].is_none() {
            return true;
        }
        lives.touch(self.groups[at]);
        lives.homes[at] == Some(home) && !std::mem::replace(&mut lives.is_used[at], true)
    }

    fn is_defined(&self, value: Value, home: usize, lives: &mut Lives) {
        let at = value.0 as usize;
        if self.found[at].is_some() {
            lives.homes[at] = Some(home);
            lives.touch(self.groups[at]);
        }
    }

    /// Whether the statement makes and uses what is held as `matrix` knows it.
    fn goes(&self, stmt: &Stmt) -> bool {
        let is_held = |value: &Value| self.of(*value).is_some();
        match &stmt.op {
            Op::Dot { of: DType::BF16 | DType::I8, acc, a, b } if is_held(acc) || is_held(a) || is_held(b) => {
                let form = self.of(*acc).map(|(_, form)| form);
                let wanted = [Role::Sums, Role::Left, Role::Right].map(|role| form.map(|form| (role, form)));
                [self.of(*acc), self.of(*a), self.of(*b)] == wanted && self.of(stmt.results[0]) == wanted[0]
            }
            Op::For(_) | Op::If(_) => carried(stmt).iter().all(|same| {
                let first = self.of(same[0]);
                same.iter().all(|&value| self.of(value) == first)
            }),
            Op::Const(literal) => !stmt.results.iter().any(is_held) || literal.as_f64() == 0.0,
            Op::Load(access, _) => stmt.results.iter().all(|&value| match self.of(value) {
                Some((role, _)) => self.is_plain(access, value, role),
                None => true,
            }),
            Op::Store(access, value) => !is_held(value) || self.is_plain(access, *value, Role::Sums),
            op => !op.operands().iter().chain(&stmt.results).any(is_held),
        }
    }

    /// Rows whose elements lie side by side: words of factors, and numbers of sums.
    fn is_plain(&self, access: &Access, value: Value, role: Role) -> bool {
        let ty = self.kernel.type_of(value);
        let width = self.kernel.neighbours(access.memory, ty).map(|width| width as i64);
        let is_of_role = match role {
            Role::Sums => matches!(ty.dtype, DType::F32 | DType::I32) && width == Some(1),
            Role::Left | Role::Right => ty.dtype == DType::U32,
        };
        is_of_role && width.is_some() && steps(self.kernel, access).is_some_and(|(_, across)| Some(across) == width)
    }
}

impl Lives {
    fn touch(&mut self, group: usize) {
        let now = self.now;
        match self.found.iter_mut().find(|(other, _)| *other == group) {
            Some((_, life)) => life[1] = now,
            None => self.found.push((group, [now, now])),
        }
    }

    fn are_apart(&self) -> bool {
        let lives = self.found.iter().map(|(_, life)| life);
        let overlaps = |a: &[usize; 2], b: &[usize; 2]| a[0] <= b[1] && b[0] <= a[1];
        lives.clone().enumerate().all(|(at, own)| !lives.clone().take(at).any(|other| overlaps(own, other)))
    }
}

/// Values of a loop or a condition that are the same, before, inside and after.
fn carried(stmt: &Stmt) -> Vec<Vec<Value>> {
    match &stmt.op {
        Op::For(inner) => {
            let all = |at: usize| vec![inner.params[at], inner.inits[at], inner.body.yields[at], stmt.results[at]];
            (0..inner.params.len()).map(all).collect()
        }
        Op::If(inner) => {
            let all = |at: usize| vec![stmt.results[at], inner.then.yields[at], inner.otherwise.yields[at]];
            (0..stmt.results.len()).map(all).collect()
        }
        _ => Vec::new(),
    }
}
