//! Draws: counter-based, so that the same seed gives the same numbers wherever and however they are computed.
//!
//! Invariant: a draw's key is the FNV-1a hash of "entry:instance path#ordinal", and its stream mixes the step with the
//! indices of the loops around it. A uniform draw takes the upper 24 bits of one word, so it is exact in f32; a normal one
//! is Box and Muller's from words 0 and 1.

use tilewright_runtime::program::{SEED_INPUT, STEP_INPUT};

use super::Elaborator;
use super::call::Arg;
use super::frame::FrameKind;
use super::report::Outcome;
use super::value::{Draw, Value, Wire};
use crate::diag::Span;
use crate::graph::{self, Attrs, DType, Role, Type};

/// An odd constant that spreads consecutive indices (the golden ratio's first bits), exact as a float.
const SPREAD: i64 = 0x9E37_79B9_7F4A_7C15_u64 as i64 >> 11 | 1;

impl<'a> Elaborator<'a> {
    /// A draw of a type, or zeros or ones of it.
    pub fn draw(&mut self, draw: Draw, ty: &Type, span: Span) -> Outcome<Wire> {
        let float = Type::new(DType::Real, ty.shape.clone());
        let wire = match draw {
            Draw::Zeros => return self.number(0.0, ty, span),
            Draw::Ones => return self.number(1.0, ty, span),
            Draw::Uniform { low, high } => {
                let key = self.next_key();
                let unit = self.uniform(&float, key, 0, 0.0, span)?;
                self.scaled(unit, high - low, low, span)?
            }
            Draw::Normal { mean, std } => {
                let normal = self.normal(&float, span)?;
                self.scaled(normal, std, mean, span)?
            }
        };
        match ty.dtype == DType::Real {
            true => Ok(wire),
            false => self.cast(wire, ty.dtype, span),
        }
    }

    fn scaled(&mut self, wire: Wire, scale: f64, shift: f64, span: Span) -> Outcome<Wire> {
        let ty = self.type_of(wire);
        let scaled = match scale == 1.0 {
            true => wire,
            false => {
                let scale = self.number(scale, &ty, span)?;
                self.emit("mul", &[wire, scale], Attrs::none(), span)?
            }
        };
        match shift == 0.0 {
            true => Ok(scaled),
            false => {
                let shift = self.number(shift, &ty, span)?;
                self.emit("add", &[scaled, shift], Attrs::none(), span)
            }
        }
    }

    /// `(bits >> 8 + offset) / 2^24`.
    fn uniform(&mut self, ty: &Type, key: i64, word: i64, offset: f64, span: Span) -> Outcome<Wire> {
        let bits = self.bits(ty, key, word, span)?;
        let eight = self.number(8.0, &Type::new(DType::U32, ty.shape.clone()), span)?;
        let upper = self.emit("shr", &[bits, eight], Attrs::none(), span)?;
        let float = self.cast(upper, DType::Real, span)?;
        let float = self.scaled(float, 1.0, offset, span)?;
        self.scaled(float, 1.0 / f64::from(1 << 24), 0.0, span)
    }

    fn normal(&mut self, ty: &Type, span: Span) -> Outcome<Wire> {
        let key = self.next_key();
        let radius = self.uniform(ty, key, 0, 1.0, span)?;
        let radius = self.emit("log", &[radius], Attrs::none(), span)?;
        let radius = self.scaled(radius, -2.0, 0.0, span)?;
        let radius = self.emit("sqrt", &[radius], Attrs::none(), span)?;
        let angle = self.uniform(ty, key, 1, 0.0, span)?;
        let angle = self.scaled(angle, std::f64::consts::TAU, 0.0, span)?;
        let angle = self.emit("cos", &[angle], Attrs::none(), span)?;
        self.emit("mul", &[radius, angle], Attrs::none(), span)
    }

    fn bits(&mut self, ty: &Type, key: i64, word: i64, span: Span) -> Outcome<Wire> {
        let seed = self.seed(span)?;
        let stream = self.stream(span)?;
        let attrs = Attrs::none().with("shape", ty.shape.clone()).with("key", key).with("word", word);
        self.emit("random_bits", &[seed, stream], attrs, span)
    }

    fn next_key(&mut self) -> i64 {
        let path = match &self.entry.member {
            Some(path) => path.clone(),
            None => self.context.last().map_or(String::new(), |instance| instance.path.to_string()),
        };
        let ordinal = self.entry.draws.entry(path.clone()).or_insert(0);
        let text = format!("{}:{path}#{ordinal}", self.entry.name);
        *ordinal += 1;
        fnv1a(text.as_bytes()) as i64
    }

    fn seed(&mut self, span: Span) -> Outcome<Wire> {
        self.frame(span)?;
        let value = match self.entry.seed {
            Some(value) => value,
            None => {
                let value = self.frames[0].graph.add_argument(SEED_INPUT, Role::Data, Type::scalar(DType::I64));
                self.entry.seed = Some(value);
                value
            }
        };
        Ok(self.wire_at(value, 0))
    }

    fn wire_at(&self, value: graph::Value, depth: usize) -> Wire {
        Wire { value, depth, serial: self.frames[depth].serial, flexible: false, new_axes: 0 }
    }

    /// What makes a draw in a loop differ from its last turn.
    fn stream(&mut self, span: Span) -> Outcome<Wire> {
        let depth = self.frames.len() - 1;
        let (value, depth) = self.stream_at(depth, span)?;
        Ok(self.wire_at(value, depth))
    }

    fn stream_at(&mut self, depth: usize, span: Span) -> Outcome<(graph::Value, usize)> {
        if let Some(stream) = self.frames[depth].stream {
            return Ok((stream, depth));
        }
        if depth == 0 {
            let stream = match self.frames[0].kind {
                FrameKind::Init => {
                    let attrs = Attrs::none().with("value", 0.0).with("shape", Vec::<graph::Dim>::new());
                    self.apply_at(0, "fill", &[], attrs.with("dtype", DType::I64), span)?
                }
                _ => self.frames[0].graph.add_argument(STEP_INPUT, Role::Data, Type::scalar(DType::I64)),
            };
            self.entry.step = Some(stream);
            self.frames[0].stream = Some(stream);
            return Ok((stream, 0));
        }
        if self.frames[depth].kind == FrameKind::Branch {
            return self.stream_at(depth - 1, span);
        }
        let (outer, outer_depth) = self.stream_at(depth - 1, span)?;
        let outer = self.enter_at(self.wire_at(outer, outer_depth), depth);
        let index = match self.frames[depth].index {
            Some(index) => index,
            None => {
                let index = self.frames[depth].graph.add_argument("turn", Role::Data, Type::scalar(DType::I64));
                self.frames[depth].index = Some(index);
                index
            }
        };
        let number = |value: i64| {
            let attrs = Attrs::none().with("shape", Vec::<graph::Dim>::new()).with("dtype", DType::I64);
            attrs.with("value", value as f64)
        };
        let spread = self.apply_at(depth, "fill", &[], number(SPREAD), span)?;
        let one = self.apply_at(depth, "fill", &[], number(1), span)?;
        let product = self.apply_at(depth, "mul", &[outer, spread], Attrs::none(), span)?;
        let turn = self.apply_at(depth, "add", &[index, one], Attrs::none(), span)?;
        let stream = self.apply_at(depth, "add", &[product, turn], Attrs::none(), span)?;
        self.frames[depth].stream = Some(stream);
        Ok((stream, depth))
    }

    pub fn call_draw(&mut self, draw: Draw, args: Vec<Arg<'a>>, span: Span) -> Outcome<Value<'a>> {
        let shape = self.shape_argument(&args)?;
        self.draw(draw, &shape, span).map(Value::Wire)
    }

    /// `[B, 3]`, `B, 3` or `i64[B, 3]`.
    pub fn shape_argument(&mut self, args: &[Arg<'a>]) -> Outcome<Type> {
        if let [Arg { value: Value::Typed(dtype, sizes), span, .. }] = args {
            let shape: Outcome<Vec<_>> = sizes.iter().map(|size| self.size_of(size, *span)).collect();
            return shape.map(|shape| Type::new(*dtype, shape));
        }
        let items: Vec<(Value<'a>, Span)> = match args {
            [Arg { value: Value::List(items), span, .. }] => items.iter().map(|item| (item.clone(), *span)).collect(),
            args => args.iter().map(|arg| (arg.value.clone(), arg.span)).collect(),
        };
        let mut shape = Vec::with_capacity(items.len());
        for (item, at) in items {
            shape.push(self.size_of(&item, at)?);
        }
        Ok(Type::new(DType::Real, shape))
    }
}

/// The hash of Fowler, Noll and Vo, variant 1a, of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}
