//! Blocks and statements.

use super::{MAX_DEPTH, MAX_RANK, Parsed, Parser};
use crate::graph::Scalar;
use crate::kernel::types::matrix::{self, Matrix};
use crate::kernel::types::*;

impl<'a> Parser<'a> {
    /// Statements up to the closing brace, which stays.
    pub(super) fn block(&mut self, depth: usize) -> Parsed<Block> {
        if depth > MAX_DEPTH {
            return Err(self.cursor.error("blocks nested too deeply"));
        }
        let mut block = Block::default();
        loop {
            if self.cursor.eat("yield") {
                block.yields = self.use_values()?;
                return Ok(block);
            }
            let at = self.cursor.place();
            if self.cursor.eat("}") {
                self.cursor.back_to(at);
                return Ok(block);
            }
            block.stmts.push(self.stmt(depth)?);
        }
    }

    fn stmt(&mut self, depth: usize) -> Parsed<Stmt> {
        let mut results = Vec::new();
        if self.cursor.peek("%") {
            loop {
                let number = self.value_number()?;
                self.cursor.expect(":")?;
                let ty = self.ty()?;
                results.push(self.define(number, ty)?);
                if !self.cursor.eat(",") {
                    break;
                }
            }
            self.cursor.expect("=")?;
        }
        Ok(Stmt { op: self.op(depth)?, results })
    }

    fn op(&mut self, depth: usize) -> Parsed<Op> {
        let at = self.cursor.place();
        let name = self.cursor.word()?;
        match name {
            "const" => Ok(Op::Const(self.cursor.literal()?)),
            "cast" => Ok(Op::Cast(self.use_value()?)),
            "bitcast" => Ok(Op::Bitcast(self.use_value()?)),
            "broadcast" => Ok(Op::Broadcast(self.use_value()?)),
            "reshape" => Ok(Op::Reshape(self.use_value()?)),
            "reduce" => self.reduce(),
            "if" => self.if_op(depth),
            "barrier" => Ok(Op::Barrier),
            "index" => Ok(Op::Index(self.cursor.dim()?)),
            "contract" => self.contract(),
            "dot" => self.dot(),
            "random_bits" => self.random_bits(),
            "load" => self.load(),
            "store" => self.store(),
            "accumulate" => {
                let memory = self.memory()?;
                let access = self.access(memory)?;
                self.cursor.expect(",")?;
                Ok(Op::Accumulate(access, self.use_value()?))
            }
            "prefetch" => self.prefetch(),
            "for" => self.for_op(depth),
            "loop" => self.loop_op(depth),
            "symbol" => self.symbol_def(),
            "argument" => self.argument(),
            "lanes" => Ok(Op::Lanes),
            "extract" => {
                let (value, lane) = self.lane()?;
                Ok(Op::Extract { value, lane })
            }
            "insert" => {
                let (value, lane) = self.lane()?;
                self.cursor.expect(",")?;
                Ok(Op::Insert { value, lane, scalar: self.use_value()? })
            }
            "shuffle" => {
                let [a, b] = self.use_pair()?;
                Ok(Op::Shuffle { a, b, lanes: self.lanes()? })
            }
            "quotient" => {
                let [a, b] = self.use_pair()?;
                Ok(Op::Quotient(a, b))
            }
            "mma" => Ok(Op::Mma(self.dtype()?, self.use_values()?)),
            "matrix" => Ok(Op::Matrix(self.matrix()?)),
            "call" => Ok(Op::Call(self.scalar()?, self.use_values()?)),
            _ => match Scalar::from_name(name) {
                Some(scalar) => Ok(Op::Scalar(scalar, self.use_values()?)),
                None => Err(self.cursor.error_at(at, format!("there is no statement `{name}`"))),
            },
        }
    }

    fn use_pair(&mut self) -> Parsed<[Value; 2]> {
        let a = self.use_value()?;
        self.cursor.expect(",")?;
        Ok([a, self.use_value()?])
    }

    fn contract(&mut self) -> Parsed<Op> {
        let at = self.cursor.place();
        match self.use_values()?[..] {
            [acc, a, b] => Ok(Op::Contract { acc, a, b }),
            _ => Err(self.cursor.error_at(at, "`contract` takes three values")),
        }
    }

    fn prefetch(&mut self) -> Parsed<Op> {
        let memory = self.memory()?;
        match self.cursor.eat("at") {
            true => Ok(Op::PrefetchAt(self.place(memory)?)),
            false => Ok(Op::Prefetch(self.access(memory)?)),
        }
    }

    fn scalar(&mut self) -> Parsed<Scalar> {
        let at = self.cursor.place();
        let name = self.cursor.word()?;
        Scalar::from_name(name).ok_or_else(|| self.cursor.error_at(at, format!("there is no scalar function `{name}`")))
    }

    fn reduce(&mut self) -> Parsed<Op> {
        let scalar = self.scalar()?;
        let value = self.use_value()?;
        self.cursor.expect("axis")?;
        Ok(Op::Reduce { scalar, value, axis: self.cursor.unsigned()? as usize })
    }

    fn dot(&mut self) -> Parsed<Op> {
        let of = self.dtype()?;
        let at = self.cursor.place();
        match self.use_values()?[..] {
            [acc, a, b] => Ok(Op::Dot { of, acc, a, b }),
            _ => Err(self.cursor.error_at(at, "`dot` takes three values")),
        }
    }

    fn random_bits(&mut self) -> Parsed<Op> {
        self.cursor.expect("seed")?;
        let seed = self.use_value()?;
        self.cursor.expect("stream")?;
        let stream = self.use_value()?;
        self.cursor.expect("index")?;
        let index = self.one_index()?;
        self.cursor.expect("key")?;
        let key = self.cursor.unsigned()?;
        self.cursor.expect("word")?;
        let word = self.cursor.unsigned()?;
        let word = u8::try_from(word).map_err(|_| self.cursor.error("a word from 0 to 3"))?;
        Ok(Op::RandomBits(Box::new(RandomBits { seed, stream, index, key, word })))
    }

    fn load(&mut self) -> Parsed<Op> {
        let memory = self.memory()?;
        if self.cursor.eat("at") {
            return Ok(Op::LoadAt(self.place(memory)?));
        }
        let access = self.access(memory)?;
        let zero = Literal::zero(self.kernel.memory_dtype(memory));
        let otherwise = if self.cursor.eat("else") { self.cursor.literal()? } else { zero };
        Ok(Op::Load(access, otherwise))
    }

    fn store(&mut self) -> Parsed<Op> {
        let memory = self.memory()?;
        if self.cursor.eat("at") {
            let place = self.place(memory)?;
            self.cursor.expect(",")?;
            return Ok(Op::StoreAt(place, self.use_value()?));
        }
        let access = self.access(memory)?;
        self.cursor.expect(",")?;
        Ok(Op::Store(access, self.use_value()?))
    }

    fn access(&mut self, memory: Memory) -> Parsed<Box<Access>> {
        self.cursor.expect("[")?;
        let mut index = Vec::new();
        while !self.cursor.eat("]") {
            if !index.is_empty() {
                self.cursor.expect(",")?;
            }
            if index.len() == MAX_RANK {
                return Err(self.cursor.error("an access with too many indices"));
            }
            index.push(self.one_index()?);
        }
        let guards = if self.cursor.eat("where") { self.guards_before_value()? } else { Vec::new() };
        Ok(Box::new(Access { memory, index, guards }))
    }

    /// Guards, where the comma before a `%` belongs to the statement.
    fn guards_before_value(&mut self) -> Parsed<Vec<crate::graph::Dim>> {
        let mut guards = vec![self.guard()?];
        loop {
            let at = self.cursor.place();
            if !self.cursor.eat(",") {
                return Ok(guards);
            }
            if self.cursor.peek("%") {
                self.cursor.back_to(at);
                return Ok(guards);
            }
            guards.push(self.guard()?);
        }
    }

    fn one_index(&mut self) -> Parsed<Index> {
        if self.cursor.eat("@") { Ok(Index::Value(self.use_value()?)) } else { Ok(Index::Dim(self.cursor.dim()?)) }
    }

    fn place(&mut self, memory: Memory) -> Parsed<Place> {
        let offset = self.use_value()?;
        let plus = if self.cursor.eat("+") {
            self.cursor.integer()?
        } else if self.cursor.peek("-") {
            self.cursor.negative()?
        } else {
            0
        };
        let mask = if self.cursor.eat("mask") {
            let mask = self.use_value()?;
            let otherwise = if self.cursor.eat("else") { Some(self.use_value()?) } else { None };
            Some(Mask { mask, otherwise })
        } else {
            None
        };
        let streams = self.cursor.eat("stream");
        Ok(Place { memory, offset, plus, mask, streams })
    }

    fn matrix(&mut self) -> Parsed<Matrix> {
        let at = self.cursor.place();
        match self.cursor.word()? {
            "shapes" => {
                let [rows, words] = [self.lanes()?, self.lanes()?];
                let fits = |&side: &u32| u64::from(side) <= matrix::SIDE;
                if rows.len() != words.len() || !rows.iter().chain(&words).all(fits) {
                    return Err(self.cursor.error_at(at, "`shapes` takes as many rows as words, up to 16 of each"));
                }
                Ok(Matrix::Shapes(rows.iter().zip(&words).map(|(&rows, &words)| [rows as u8, words as u8]).collect()))
            }
            "zero" => Ok(Matrix::Zero(self.register()?)),
            name @ ("load" | "store") => {
                let register = self.register()?;
                self.cursor.expect(",")?;
                let memory = self.memory()?;
                self.cursor.expect("at")?;
                let place = self.place(memory)?;
                self.cursor.expect("step")?;
                let step = self.use_value()?;
                Ok(if name == "load" {
                    Matrix::Load(register, place, step)
                } else {
                    Matrix::Store(register, place, step)
                })
            }
            "dot" => {
                let (of, acc) = (self.dtype()?, self.register()?);
                self.cursor.expect(",")?;
                let a = self.register()?;
                self.cursor.expect(",")?;
                Ok(Matrix::Dot { of, acc, a, b: self.register()? })
            }
            "release" => Ok(Matrix::Release),
            name => Err(self.cursor.error_at(at, format!("there is no statement `matrix {name}`"))),
        }
    }

    fn register(&mut self) -> Parsed<matrix::Register> {
        let number = self.cursor.unsigned()?;
        let known = matrix::Register::try_from(number).ok().filter(|&at| usize::from(at) < matrix::REGISTERS);
        known.ok_or_else(|| self.cursor.error("a register from 0 to 7"))
    }

    fn lane(&mut self) -> Parsed<(Value, u32)> {
        let value = self.use_value()?;
        self.cursor.expect("[")?;
        let lane = self.cursor.unsigned()?;
        let lane = u32::try_from(lane).map_err(|_| self.cursor.error("a lane that is too large"))?;
        self.cursor.expect("]")?;
        Ok((value, lane))
    }

    /// Numbers of lanes between brackets.
    fn lanes(&mut self) -> Parsed<Vec<u32>> {
        self.cursor.expect("[")?;
        let mut lanes = Vec::new();
        while lanes.is_empty() || self.cursor.eat(",") {
            let lane = self.cursor.unsigned()?;
            lanes.push(u32::try_from(lane).map_err(|_| self.cursor.error("a lane that is too large"))?);
        }
        self.cursor.expect("]")?;
        Ok(lanes)
    }

    fn argument(&mut self) -> Parsed<Op> {
        if self.cursor.eat("begin") {
            return Ok(Op::Argument(Argument::Begin));
        }
        if self.cursor.eat("end") {
            return Ok(Op::Argument(Argument::End));
        }
        if self.cursor.eat("thread") {
            return Ok(Op::Argument(Argument::Thread));
        }
        self.cursor.expect("size")?;
        let at = self.cursor.place();
        let symbol = self.symbol()?;
        match self.kernel.sizes.iter().position(|size| size.symbol == symbol) {
            Some(at) => Ok(Op::Argument(Argument::Size(at as u32))),
            None => Err(self.cursor.error_at(at, format!("there is no size `{symbol}`"))),
        }
    }

    fn symbol_def(&mut self) -> Parsed<Op> {
        let symbol = self.symbol()?;
        self.cursor.expect("=")?;
        let value = self.use_value()?;
        self.cursor.expect("in")?;
        let low = self.cursor.dim()?;
        self.cursor.expect("..=")?;
        let high = self.cursor.dim()?;
        Ok(Op::Symbol(Box::new(SymbolDef { symbol, value, low, high })))
    }

    fn if_op(&mut self, depth: usize) -> Parsed<Op> {
        let condition =
            if self.cursor.peek("%") { Condition::Value(self.use_value()?) } else { Condition::Guards(self.guards()?) };
        self.cursor.expect("{")?;
        let then = self.block(depth + 1)?;
        self.cursor.expect("}")?;
        let mut otherwise = Block::default();
        if self.cursor.eat("else") {
            self.cursor.expect("{")?;
            otherwise = self.block(depth + 1)?;
            self.cursor.expect("}")?;
        }
        Ok(Op::If(Box::new(If { condition, then, otherwise })))
    }

    fn for_op(&mut self, depth: usize) -> Parsed<Op> {
        let symbol = self.symbol()?;
        self.cursor.expect("in")?;
        let start = self.cursor.dim()?;
        self.cursor.expect("..")?;
        let end = self.cursor.dim()?;
        let (step, unroll, inits, params) = self.loop_tail()?;
        let body = self.loop_body(depth)?;
        Ok(Op::For(Box::new(For { symbol, start, end, step, unroll, inits, params, body })))
    }

    fn loop_op(&mut self, depth: usize) -> Parsed<Op> {
        let number = self.value_number()?;
        let index = self.define(number, Type::scalar(crate::graph::DType::I64))?;
        self.cursor.expect("in")?;
        let start = self.use_value()?;
        self.cursor.expect("..")?;
        let end = self.use_value()?;
        let (step, unroll, inits, params) = self.loop_tail()?;
        let body = self.loop_body(depth)?;
        Ok(Op::Loop(Box::new(Loop { index, start, end, step, unroll, inits, params, body })))
    }

    fn loop_tail(&mut self) -> Parsed<(i64, bool, Vec<Value>, Vec<Value>)> {
        self.cursor.expect("step")?;
        let step = self.cursor.integer()?;
        let unroll = self.cursor.eat("unroll");
        let (mut inits, mut params) = (Vec::new(), Vec::new());
        if self.cursor.eat("carry") {
            loop {
                let number = self.value_number()?;
                self.cursor.expect("=")?;
                let init = self.use_value()?;
                let ty = self.kernel.type_of(init).clone();
                params.push(self.define(number, ty)?);
                inits.push(init);
                if !self.cursor.eat(",") {
                    break;
                }
            }
        }
        Ok((step, unroll, inits, params))
    }

    fn loop_body(&mut self, depth: usize) -> Parsed<Block> {
        self.cursor.expect("{")?;
        let body = self.block(depth + 1)?;
        self.cursor.expect("}")?;
        Ok(body)
    }
}
