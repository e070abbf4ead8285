//! Walking over a kernel: the operands, definitions and inner blocks of a statement, and canonical numbering.
//!
//! Invariant: a canonical kernel numbers its values in the order in which its text defines them, and holds no others.

use super::*;

impl Op {
    /// The values that the statement itself uses; those used by its inner blocks are not among them.
    pub fn for_each_operand(&mut self, visit: &mut dyn FnMut(&mut Value)) {
        match self {
            Op::Const(_) | Op::Index(_) | Op::Barrier | Op::Argument(_) | Op::Lanes => {}
            Op::Scalar(_, operands) | Op::Call(_, operands) | Op::Mma(_, operands) => {
                operands.iter_mut().for_each(visit)
            }
            Op::Cast(a) | Op::Bitcast(a) | Op::Broadcast(a) | Op::Reshape(a) => visit(a),
            Op::Reduce { value, .. } | Op::Extract { value, .. } => visit(value),
            Op::Insert { value, scalar, .. } => [value, scalar].into_iter().for_each(visit),
            Op::Shuffle { a, b, .. } => [a, b].into_iter().for_each(visit),
            Op::Quotient(a, b) => [a, b].into_iter().for_each(visit),
            Op::Contract { acc, a, b } | Op::Dot { acc, a, b, .. } => [acc, a, b].into_iter().for_each(visit),
            Op::RandomBits(bits) => {
                visit(&mut bits.seed);
                visit(&mut bits.stream);
                visit_index(&mut bits.index, visit);
            }
            Op::Load(access, _) | Op::Prefetch(access) => {
                access.index.iter_mut().for_each(|index| visit_index(index, visit))
            }
            Op::Store(access, value) | Op::Accumulate(access, value) => {
                access.index.iter_mut().for_each(|index| visit_index(index, visit));
                visit(value);
            }
            Op::LoadAt(place) | Op::PrefetchAt(place) => visit_place(place, visit),
            Op::StoreAt(place, value) => {
                visit_place(place, visit);
                visit(value);
            }
            Op::Matrix(matrix) => {
                if let Some((place, step)) = matrix.access_mut() {
                    visit_place(place, visit);
                    visit(step);
                }
            }
            Op::Symbol(def) => visit(&mut def.value),
            Op::If(inner) => {
                if let Condition::Value(value) = &mut inner.condition {
                    visit(value);
                }
            }
            Op::For(inner) => inner.inits.iter_mut().for_each(visit),
            Op::Loop(inner) => {
                visit(&mut inner.start);
                visit(&mut inner.end);
                inner.inits.iter_mut().for_each(visit);
            }
        }
    }

    pub fn operands(&self) -> Vec<Value> {
        let mut operands = Vec::new();
        self.clone_head().for_each_operand(&mut |value| operands.push(*value));
        operands
    }

    /// The statement without the contents of its blocks.
    fn clone_head(&self) -> Op {
        match self {
            Op::For(inner) => Op::For(Box::new(For {
                symbol: inner.symbol.clone(),
                start: inner.start.clone(),
                end: inner.end.clone(),
                step: inner.step,
                unroll: inner.unroll,
                inits: inner.inits.clone(),
                params: inner.params.clone(),
                body: Block::default(),
            })),
            Op::Loop(inner) => Op::Loop(Box::new(Loop {
                inits: inner.inits.clone(),
                params: inner.params.clone(),
                body: Block::default(),
                ..**inner
            })),
            Op::If(inner) => Op::If(Box::new(If {
                condition: inner.condition.clone(),
                then: Block::default(),
                otherwise: Block::default(),
            })),
            other => other.clone(),
        }
    }

    /// The blocks inside.
    pub fn blocks(&self) -> Vec<&Block> {
        match self {
            Op::For(inner) => vec![&inner.body],
            Op::Loop(inner) => vec![&inner.body],
            Op::If(inner) => vec![&inner.then, &inner.otherwise],
            _ => Vec::new(),
        }
    }

    pub fn blocks_mut(&mut self) -> Vec<&mut Block> {
        match self {
            Op::For(inner) => vec![&mut inner.body],
            Op::Loop(inner) => vec![&mut inner.body],
            Op::If(inner) => vec![&mut inner.then, &mut inner.otherwise],
            _ => Vec::new(),
        }
    }

    /// The values that the inner blocks find defined: a loop's index, then the carried values.
    pub fn for_each_param(&mut self, visit: &mut dyn FnMut(&mut Value)) {
        match self {
            Op::For(inner) => inner.params.iter_mut().for_each(visit),
            Op::Loop(inner) => {
                visit(&mut inner.index);
                inner.params.iter_mut().for_each(visit);
            }
            _ => {}
        }
    }
}

fn visit_index(index: &mut Index, visit: &mut dyn FnMut(&mut Value)) {
    if let Index::Value(value) = index {
        visit(value);
    }
}

fn visit_place(place: &mut Place, visit: &mut dyn FnMut(&mut Value)) {
    visit(&mut place.offset);
    if let Some(mask) = &mut place.mask {
        visit(&mut mask.mask);
        if let Some(otherwise) = &mut mask.otherwise {
            visit(otherwise);
        }
    }
}

impl Kernel {
    /// The same kernel with its values renumbered in the order of their definitions. Uses of values that nothing defines
    /// keep a number of their own, for the verifier to report.
    pub fn canonical(mut self) -> Kernel {
        let mut names = vec![None; self.values.len()];
        let mut types = Vec::with_capacity(self.values.len());
        let mut body = std::mem::take(&mut self.body);
        number_definitions(&mut body, &mut |value| {
            let ty = self.values[value.0 as usize].clone();
            names[value.0 as usize].get_or_insert_with(|| {
                types.push(ty);
                Value(types.len() as u32 - 1)
            });
        });
        rename(&mut body, &mut |value| {
            let ty = self.values[value.0 as usize].clone();
            *value = *names[value.0 as usize].get_or_insert_with(|| {
                types.push(ty);
                Value(types.len() as u32 - 1)
            });
        });
        Kernel { body, values: types, ..self }
    }
}

impl Block {
    /// What the statements touch in memory, those of inner blocks too. Tile level only.
    pub fn for_each_access(&mut self, visit: &mut dyn FnMut(&mut Access)) {
        for stmt in &mut self.stmts {
            match &mut stmt.op {
                Op::Load(access, _) | Op::Store(access, _) | Op::Accumulate(access, _) | Op::Prefetch(access) => {
                    visit(access);
                }
                _ => {}
            }
            stmt.op.blocks_mut().into_iter().for_each(|inner| inner.for_each_access(visit));
        }
    }

    /// The values that are defined, used or yielded, those of inner blocks too.
    pub fn for_each_value(&mut self, visit: &mut dyn FnMut(&mut Value)) {
        rename(self, visit);
    }
}

fn number_definitions(block: &mut Block, define: &mut dyn FnMut(Value)) {
    for stmt in &mut block.stmts {
        stmt.results.iter().for_each(|&value| define(value));
        stmt.op.for_each_param(&mut |value| define(*value));
        for inner in stmt.op.blocks_mut() {
            number_definitions(inner, define);
        }
    }
}

fn rename(block: &mut Block, to: &mut dyn FnMut(&mut Value)) {
    for stmt in &mut block.stmts {
        stmt.results.iter_mut().for_each(&mut *to);
        stmt.op.for_each_operand(to);
        stmt.op.for_each_param(to);
        for inner in stmt.op.blocks_mut() {
            rename(inner, to);
        }
    }
    block.yields.iter_mut().for_each(to);
}
