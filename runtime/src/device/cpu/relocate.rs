//! Relocations: what each kind refers to, and how its value is written into the bytes.
//!
//! Invariant: a value that does not fit its field is an error, never cut off. The tables name
//! the kinds that LLVM and Cranelift emit for x86-64 and aarch64; others are refused.

use object::elf::{self, RelocationType};

/// What the relocation's value is the address of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Symbol,
    /// The symbol, or a stub that jumps to it where it lies outside the object.
    Stub,
    /// A slot that holds the symbol's address.
    Slot,
}

/// How the value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Absolute64,
    Absolute32,
    AbsoluteSigned32,
    Relative32,
    Relative64,
    /// The word distance of an aarch64 branch.
    Branch26,
    /// The page distance of `adrp`.
    Page21,
    /// The offset inside a page, in units of `1 << n` bytes.
    PageOffset(u32),
}

pub struct Rule {
    pub kind: RelocationType,
    pub via: Via,
    pub form: Form,
}

const fn rule(kind: RelocationType, via: Via, form: Form) -> Rule {
    Rule { kind, via, form }
}

pub static X86_64: &[Rule] = &[
    rule(elf::R_X86_64_64, Via::Symbol, Form::Absolute64),
    rule(elf::R_X86_64_PC32, Via::Symbol, Form::Relative32),
    rule(elf::R_X86_64_PLT32, Via::Stub, Form::Relative32),
    rule(elf::R_X86_64_GOTPCREL, Via::Slot, Form::Relative32),
    rule(elf::R_X86_64_GOTPCRELX, Via::Slot, Form::Relative32),
    rule(elf::R_X86_64_REX_GOTPCRELX, Via::Slot, Form::Relative32),
    rule(elf::R_X86_64_32, Via::Symbol, Form::Absolute32),
    rule(elf::R_X86_64_32S, Via::Symbol, Form::AbsoluteSigned32),
    rule(elf::R_X86_64_PC64, Via::Symbol, Form::Relative64),
];

pub static AARCH64: &[Rule] = &[
    rule(elf::R_AARCH64_ABS64, Via::Symbol, Form::Absolute64),
    rule(elf::R_AARCH64_PREL32, Via::Symbol, Form::Relative32),
    rule(elf::R_AARCH64_PREL64, Via::Symbol, Form::Relative64),
    rule(elf::R_AARCH64_CALL26, Via::Stub, Form::Branch26),
    rule(elf::R_AARCH64_JUMP26, Via::Stub, Form::Branch26),
    rule(elf::R_AARCH64_ADR_PREL_PG_HI21, Via::Symbol, Form::Page21),
    rule(elf::R_AARCH64_ADD_ABS_LO12_NC, Via::Symbol, Form::PageOffset(0)),
    rule(elf::R_AARCH64_LDST8_ABS_LO12_NC, Via::Symbol, Form::PageOffset(0)),
    rule(elf::R_AARCH64_LDST16_ABS_LO12_NC, Via::Symbol, Form::PageOffset(1)),
    rule(elf::R_AARCH64_LDST32_ABS_LO12_NC, Via::Symbol, Form::PageOffset(2)),
    rule(elf::R_AARCH64_LDST64_ABS_LO12_NC, Via::Symbol, Form::PageOffset(3)),
    rule(elf::R_AARCH64_LDST128_ABS_LO12_NC, Via::Symbol, Form::PageOffset(4)),
    rule(elf::R_AARCH64_ADR_GOT_PAGE, Via::Slot, Form::Page21),
    rule(elf::R_AARCH64_LD64_GOT_LO12_NC, Via::Slot, Form::PageOffset(3)),
];

impl Form {
    pub fn width(self) -> usize {
        match self {
            Form::Absolute64 | Form::Relative64 => 8,
            _ => 4,
        }
    }

    /// Writes `value` into the field that starts at address `place`.
    pub fn write(self, field: &mut [u8], place: u64, value: u64) -> Result<(), String> {
        let distance = value.wrapping_sub(place) as i64;
        let field: &mut [u8] = field.get_mut(..self.width()).ok_or("a relocation outside its section")?;
        match self {
            Form::Absolute64 => field.copy_from_slice(&value.to_le_bytes()),
            Form::Relative64 => field.copy_from_slice(&distance.to_le_bytes()),
            Form::Absolute32 => {
                let value = u32::try_from(value).map_err(|_| far(value as i64, 32))?;
                field.copy_from_slice(&value.to_le_bytes());
            }
            Form::AbsoluteSigned32 => {
                let value = signed(value as i64, 32)? as i32;
                field.copy_from_slice(&value.to_le_bytes());
            }
            Form::Relative32 => {
                let distance = signed(distance, 32)? as i32;
                field.copy_from_slice(&distance.to_le_bytes());
            }
            Form::Branch26 => {
                let words = signed(exact(distance, 2)?, 26)? as u32;
                insert(field, 0x03ff_ffff, words);
            }
            Form::Page21 => {
                let pages = signed((value >> 12).wrapping_sub(place >> 12) as i64, 21)? as u32;
                insert(field, 0x60ff_ffe0, (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5);
            }
            Form::PageOffset(scale) => {
                let offset = exact((value & 0xfff) as i64, scale)? as u32;
                insert(field, 0x003f_fc00, offset << 10);
            }
        }
        Ok(())
    }
}

/// Replaces the masked bits of an instruction.
fn insert(field: &mut [u8], mask: u32, bits: u32) {
    let old = u32::from_le_bytes(std::array::from_fn(|i| field[i]));
    let new = old & !mask | bits & mask;
    field.copy_from_slice(&new.to_le_bytes());
}

fn signed(value: i64, bits: u32) -> Result<i64, String> {
    let limit = 1i64 << (bits - 1);
    if (-limit..limit).contains(&value) { Ok(value) } else { Err(far(value, bits)) }
}

fn exact(value: i64, scale: u32) -> Result<i64, String> {
    let rest = value & ((1 << scale) - 1);
    if rest == 0 { Ok(value >> scale) } else { Err(format!("an offset of {value} is not aligned")) }
}

fn far(value: i64, bits: u32) -> String {
    format!("{value:#x} does not fit {bits} bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, old: u32, place: u64, value: u64) -> Result<u32, String> {
        let mut field = old.to_le_bytes();
        form.write(&mut field, place, value)?;
        Ok(u32::from_le_bytes(field))
    }

    #[test]
    fn fields_of_x86() {
        let place = 0x7000_0000_1000;
        assert_eq!(written(Form::Relative32, 0, place, place + 16), Ok(16));
        assert_eq!(written(Form::Relative32, 0, place, place - 4), Ok(-4i32 as u32));
        assert!(written(Form::Relative32, 0, place, 0x1000).is_err());
        assert_eq!(written(Form::Absolute32, 0, 0, 0xffff_ffff), Ok(0xffff_ffff));
        assert!(written(Form::AbsoluteSigned32, 0, 0, 0xffff_ffff).is_err());
        let mut long = [0; 8];
        Form::Absolute64.write(&mut long, 0, place).unwrap();
        assert_eq!(u64::from_le_bytes(long), place);
        assert!(Form::Absolute64.write(&mut long[..7], 0, place).is_err());
    }

    /// Against encodings printed by an assembler.
    #[test]
    fn fields_of_aarch64() {
        let (bl, adrp, add, ldr) = (0x9400_0000, 0x9000_0000, 0x9100_0000, 0xf940_0000);
        assert_eq!(written(Form::Branch26, bl, 0x1000, 0x1008), Ok(0x9400_0002));
        assert_eq!(written(Form::Branch26, bl, 0x1000, 0xffc), Ok(0x97ff_ffff));
        assert!(written(Form::Branch26, bl, 0, 1 << 27).is_err());
        assert!(written(Form::Branch26, bl, 0, 2).is_err());
        assert_eq!(written(Form::Page21, adrp, 0x1ffc, 0x2000), Ok(0xb000_0000));
        assert_eq!(written(Form::Page21, adrp, 0x1000, 0x5fff), Ok(0x9000_0020));
        assert_eq!(written(Form::Page21, adrp, 0x1000, 0x0fff), Ok(0xf0ff_ffe0));
        assert_eq!(written(Form::PageOffset(0), add, 0, 0x1123), Ok(0x9104_8c00));
        assert_eq!(written(Form::PageOffset(3), ldr, 0, 0x1010), Ok(0xf940_0800));
        assert!(written(Form::PageOffset(3), ldr, 0, 0x1011).is_err());
    }
}
