//! Loads and stores: elements of buffers are found in their words.
//!
//! Invariant: an element narrower than a word is stored by clearing and setting its own bits, so that threads may store to
//! the other parts of the word at the same time. The second word of an integer of 64 bits repeats the sign.

use super::has_narrow_stores;
use super::print::Printer;
use crate::codegen::CodegenError;
use crate::graph::DType;
use crate::kernel::{Memory, Place, Value};

impl Printer<'_> {
    fn offset(&self, place: &Place) -> String {
        let offset = self.name(place.offset);
        match place.plus {
            0 => offset,
            plus if plus < 0 => format!("({offset} - {})", plus.unsigned_abs()),
            plus => format!("({offset} + {plus})"),
        }
    }

    pub(super) fn load(&mut self, place: &Place, dtype: DType) -> Result<String, CodegenError> {
        let stored = self.kernel.memory_dtype(place.memory);
        let offset = self.offset(place);
        match place.memory {
            Memory::Local(at) if stored == dtype => Ok(match stored {
                DType::Bool => format!("(l{at}[{offset}] != 0u)"),
                _ => format!("l{at}[{offset}]"),
            }),
            Memory::Local(at) => {
                let offset = self.named(&offset);
                word_of_local(at, &offset, stored)
            }
            Memory::Buffer(at) => {
                let offset = self.named(&offset);
                match stored == dtype {
                    true => self.element(at, &offset, stored),
                    false => Ok(self.word_of_buffer(at, &offset, stored)),
                }
            }
        }
    }

    /// Something that stands for the expression and is no longer than a name.
    fn named(&mut self, text: &str) -> String {
        let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_name { text.to_string() } else { self.temp(text) }
    }

    fn word(&self, at: u32, index: &str) -> String {
        match has_narrow_stores(self.kernel, at as usize) {
            true => format!("atomicLoad(&b{at}[{index}])"),
            false => format!("b{at}[{index}]"),
        }
    }

    fn element(&mut self, at: u32, offset: &str, dtype: DType) -> Result<String, CodegenError> {
        let whole = self.word(at, &format!("o{at} + {offset}"));
        Ok(match dtype {
            DType::F32 => format!("bitcast<f32>({whole})"),
            DType::I32 => format!("bitcast<i32>({whole})"),
            DType::U32 => whole,
            DType::I64 => {
                let first = self.temp(&format!("o{at} + 2 * {offset}"));
                let low = self.word(at, &first);
                let low = self.temp(&format!("bitcast<i32>({low})"));
                let high = self.word(at, &format!("{first} + 1"));
                self.line(&format!("wide = wide | ({high} ^ bitcast<u32>({low} >> 31u));"));
                low
            }
            DType::F16 | DType::BF16 | DType::I8 | DType::U8 | DType::Bool => {
                let bits = self.narrow_bits(at, offset, dtype);
                match dtype {
                    DType::F16 => format!("unpack2x16float({bits}).x"),
                    DType::BF16 => format!("bitcast<f32>({bits} << 16u)"),
                    DType::I8 => format!("wrap_i8(bitcast<i32>({bits}))"),
                    DType::U8 => bits,
                    _ => format!("({bits} != 0u)"),
                }
            }
            DType::F64 | DType::Real => return Err(CodegenError::new(format!("no shader loads {dtype}"))),
        })
    }

    /// The word an element lies in, and how far from the lowest bit it does.
    fn within_word(&mut self, at: u32, offset: &str, dtype: DType) -> (String, String) {
        let per_word = 4 / dtype.size_of();
        let (by, bits) = (per_word.trailing_zeros(), 8 * dtype.size_of());
        let index = self.temp(&format!("o{at} + ({offset} >> {by}u)"));
        let shift = self.temp(&format!("u32({offset} & {}) * {bits}u", per_word - 1));
        (index, shift)
    }

    fn narrow_bits(&mut self, at: u32, offset: &str, dtype: DType) -> String {
        let (index, shift) = self.within_word(at, offset, dtype);
        let mask = if dtype.size_of() == 2 { "0xffffu" } else { "0xffu" };
        let word = self.word(at, &index);
        format!("(({word} >> {shift}) & {mask})")
    }

    /// Neighbours as one word, which may lie across two.
    fn word_of_buffer(&mut self, at: u32, offset: &str, dtype: DType) -> String {
        let (index, shift) = self.within_word(at, offset, dtype);
        let low = self.word(at, &index);
        let low = self.temp(&low);
        let name = self.next_temp();
        self.line(&format!("var {name}: u32 = {low} >> {shift};"));
        let high = self.word(at, &format!("{index} + 1"));
        self.line(&format!("if ({shift} != 0u) {{ {name} = {name} | ({high} << (32u - {shift})); }}"));
        name
    }

    pub(super) fn store(&mut self, place: &Place, value: Value) -> Result<(), CodegenError> {
        let dtype = self.kernel.memory_dtype(place.memory);
        let (offset, name) = (self.offset(place), self.name(value));
        let at = match place.memory {
            Memory::Local(at) => {
                let value = if dtype == DType::Bool { format!("u32({name})") } else { name };
                self.line(&format!("l{at}[{offset}] = {value};"));
                return Ok(());
            }
            Memory::Buffer(at) => at,
        };
        let offset = self.named(&offset);
        match dtype {
            DType::F32 | DType::I32 => self.line(&format!("b{at}[o{at} + {offset}] = bitcast<u32>({name});")),
            DType::U32 => self.line(&format!("b{at}[o{at} + {offset}] = {name};")),
            DType::I64 => {
                let value = self.temp(&name);
                self.line(&format!("b{at}[o{at} + 2 * {offset}] = bitcast<u32>({value});"));
                self.line(&format!("b{at}[o{at} + 2 * {offset} + 1] = bitcast<u32>({value} >> 31u);"));
            }
            DType::F16 | DType::BF16 | DType::I8 | DType::U8 | DType::Bool => {
                self.store_narrow(at, &offset, &name, dtype);
            }
            DType::F64 | DType::Real => return Err(CodegenError::new(format!("no shader stores {dtype}"))),
        }
        Ok(())
    }

    fn store_narrow(&mut self, at: u32, offset: &str, value: &str, dtype: DType) {
        let (index, shift) = self.within_word(at, offset, dtype);
        let mask = if dtype.size_of() == 2 { "0xffffu" } else { "0xffu" };
        let bits = match dtype {
            DType::F16 => format!("pack2x16float(vec2<f32>({value}, 0.0))"),
            DType::BF16 => format!("(bitcast<u32>({value}) >> 16u)"),
            DType::I8 => format!("(bitcast<u32>({value}) & 0xffu)"),
            DType::U8 => value.to_string(),
            _ => format!("u32({value})"),
        };
        self.line(&format!("atomicAnd(&b{at}[{index}], ~({mask} << {shift}));"));
        self.line(&format!("atomicOr(&b{at}[{index}], {bits} << {shift});"));
    }
}

/// Neighbours in a memory of the block or the thread, as one word.
fn word_of_local(at: u32, offset: &str, dtype: DType) -> Result<String, CodegenError> {
    let element = |nth: usize| format!("l{at}[{offset} + {nth}]");
    let byte = |nth: usize| format!("((u32({}) & 0xffu) << {}u)", element(nth), 8 * nth);
    Ok(match dtype {
        DType::BF16 => {
            format!("((bitcast<u32>({}) >> 16u) | (bitcast<u32>({}) & 0xffff0000u))", element(0), element(1))
        }
        DType::F16 => format!("pack2x16float(vec2<f32>({}, {}))", element(0), element(1)),
        DType::I8 | DType::U8 => format!("({} | {} | {} | {})", byte(0), byte(1), byte(2), byte(3)),
        _ => return Err(CodegenError::new(format!("no word is made of {dtype}"))),
    })
}
