//! Loads a relocatable ELF object into this process.
//!
//! Both backends emit ELF whatever the host system is, so one loader serves all. Code and stubs
//! come first, read-only data and address slots after the next page boundary; all of it lies in
//! one mapping, so everything inside reaches everything else.
//!
//! Invariant: an object that uses anything unusual (writable data, thread-locals, an unknown
//! relocation or symbol) is refused with its name, and malformed bytes are an error. What a
//! well-formed object does when called is not checked: it is trusted.

use object::read::{Object as _, ObjectSection, ObjectSymbol};
use object::read::{RelocationTarget, SectionIndex, SymbolIndex, SymbolSection};
use object::{Architecture, ObjectKind, RelocationFlags, SectionFlags, elf};
use rustc_hash::FxHashMap;

use super::pages::{Pages, Sealed, page_size};
use super::relocate::{AARCH64, Form, Rule, Via, X86_64};
use super::{Hosts, KernelFn};
use crate::error::{ErrorKind, RunError};

/// More than any set of kernels needs.
const MAX_BYTES: usize = 1 << 30;
const STUB: usize = 16;
const SLOT: usize = 8;

/// An object in memory, ready to be called.
pub struct Object {
    pages: Sealed,
    functions: FxHashMap<String, usize>,
}

impl Object {
    pub fn load(bytes: &[u8], hosts: &Hosts) -> Result<Object, RunError> {
        load(bytes, hosts).map_err(|problem| RunError::new(ErrorKind::Code, format!("cannot load code: {problem}")))
    }

    /// The address of a function that the object defines.
    pub fn function(&self, name: &str) -> Option<*const ()> {
        let offset = self.functions.get(name)?;
        Some((self.pages.address() + offset) as *const ())
    }

    pub(super) fn kernel(&self, name: &str) -> Result<KernelFn, RunError> {
        let Some(address) = self.function(name) else {
            let message = format!("the code defines no function `{name}`");
            return Err(RunError::new(ErrorKind::Code, message));
        };
        // SAFETY: the address is that of a function in sealed pages; that it has a kernel's
        // signature is part of trusting the object.
        Ok(unsafe { std::mem::transmute::<*const (), KernelFn>(address) })
    }
}

struct Relocation {
    section: SectionIndex,
    offset: u64,
    target: RelocationTarget,
    addend: i64,
    via: Via,
    form: Form,
}

/// Where everything goes, as offsets into the mapping.
#[derive(Default)]
struct Layout {
    sections: FxHashMap<SectionIndex, usize>,
    stubs: FxHashMap<SymbolIndex, usize>,
    slots: FxHashMap<SymbolIndex, usize>,
    code_len: usize,
    len: usize,
}

fn load(bytes: &[u8], hosts: &Hosts) -> Result<Object, String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let rules = rules_for(&file)?;
    let relocations = relocations(&file, rules)?;
    let layout = layout(&file, &relocations)?;
    let low = relocations.iter().any(|r| matches!(r.form, Form::Absolute32 | Form::AbsoluteSigned32));
    let mut pages = Pages::new(layout.len, low).map_err(|error| error.to_string())?;
    let loading = Loading { file: &file, hosts, layout: &layout, base: pages.address() as u64 };
    loading.fill(pages.bytes(), &relocations)?;
    let functions = loading.functions()?;
    let pages = pages.seal(layout.code_len).map_err(|error| error.to_string())?;
    Ok(Object { pages, functions })
}

fn rules_for(file: &object::File) -> Result<&'static [Rule], String> {
    let elf64 = matches!(file, object::File::Elf64(_)) && file.is_little_endian();
    if !elf64 || file.kind() != ObjectKind::Relocatable {
        return Err("it is no relocatable 64-bit ELF object".to_string());
    }
    let (rules, here) = match file.architecture() {
        Architecture::X86_64 => (X86_64, cfg!(target_arch = "x86_64")),
        Architecture::Aarch64 => (AARCH64, cfg!(target_arch = "aarch64")),
        other => return Err(format!("it is for {other:?}")),
    };
    if here { Ok(rules) } else { Err(format!("it is for {:?}, not for this machine", file.architecture())) }
}

/// Sections that take part: those that a process would see, but for unwind tables.
fn is_loaded(section: &object::Section) -> bool {
    let unwind = section.name().is_ok_and(|name| name.starts_with(".eh_frame"));
    section_flags(section) & elf::SHF_ALLOC.0 != 0 && !unwind
}

fn is_code(section: &object::Section) -> bool {
    section_flags(section) & elf::SHF_EXECINSTR.0 != 0
}

fn section_flags(section: &object::Section) -> u64 {
    match section.flags() {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.0,
        _ => 0,
    }
}

fn relocations(file: &object::File, rules: &[Rule]) -> Result<Vec<Relocation>, String> {
    let mut found = Vec::new();
    for section in file.sections().filter(is_loaded) {
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                return Err("a relocation that is not ELF's".to_string());
            };
            let rule = rules.iter().find(|rule| rule.kind == r_type);
            let rule = rule.ok_or_else(|| format!("relocation type {} is not known", r_type.0))?;
            found.push(Relocation {
                section: section.index(),
                offset,
                target: relocation.target(),
                addend: relocation.addend(),
                via: rule.via,
                form: rule.form,
            });
        }
    }
    Ok(found)
}

fn layout(file: &object::File, relocations: &[Relocation]) -> Result<Layout, String> {
    let mut layout = Layout::default();
    layout.place_sections(file, true)?;
    layout.place(relocations, Via::Stub, file)?;
    layout.code_len = layout.len.next_multiple_of(page_size());
    layout.len = layout.code_len;
    layout.place_sections(file, false)?;
    layout.place(relocations, Via::Slot, file)?;
    layout.len = layout.len.max(1).next_multiple_of(page_size());
    Ok(layout)
}

impl Layout {
    fn place_sections(&mut self, file: &object::File, code: bool) -> Result<(), String> {
        for section in file.sections().filter(|section| is_loaded(section) && is_code(section) == code) {
            let name = section.name().unwrap_or("?");
            let data = section.data().map_err(|error| error.to_string())?;
            let forbidden = elf::SHF_TLS.0 | elf::SHF_WRITE.0;
            let relocated_once = name.starts_with(".data.rel.ro");
            if section.size() > 0 && section_flags(&section) & forbidden != 0 && !relocated_once {
                return Err(format!("section `{name}` is writable; kernels keep no state"));
            }
            if data.len() as u64 != section.size() {
                return Err(format!("section `{name}` has no contents"));
            }
            let align = usize::try_from(section.align()).unwrap_or(usize::MAX).max(1);
            if !align.is_power_of_two() || align > page_size() {
                return Err(format!("section `{name}` asks for an alignment of {align}"));
            }
            let offset = self.len.next_multiple_of(align);
            self.sections.insert(section.index(), offset);
            self.grow_to(offset.saturating_add(data.len()))?;
        }
        Ok(())
    }

    /// Gives each symbol that is reached through a stub or a slot its own.
    fn place(&mut self, relocations: &[Relocation], via: Via, file: &object::File) -> Result<(), String> {
        for relocation in relocations.iter().filter(|relocation| relocation.via == via) {
            let RelocationTarget::Symbol(symbol) = relocation.target else {
                continue;
            };
            let (places, size) = match via {
                Via::Slot => (&mut self.slots, SLOT),
                _ if !is_undefined(file, symbol)? => continue,
                _ => (&mut self.stubs, STUB),
            };
            if places.contains_key(&symbol) {
                continue;
            }
            let offset = self.len.next_multiple_of(STUB);
            places.insert(symbol, offset);
            self.grow_to(offset + size)?;
        }
        Ok(())
    }

    fn grow_to(&mut self, len: usize) -> Result<(), String> {
        self.len = len;
        if len <= MAX_BYTES { Ok(()) } else { Err("it is too large".to_string()) }
    }
}

fn is_undefined(file: &object::File, symbol: SymbolIndex) -> Result<bool, String> {
    let symbol = file.symbol_by_index(symbol).map_err(|error| error.to_string())?;
    Ok(symbol.is_undefined())
}

struct Loading<'a> {
    file: &'a object::File<'a>,
    hosts: &'a Hosts,
    layout: &'a Layout,
    base: u64,
}

impl Loading<'_> {
    fn fill(&self, memory: &mut [u8], relocations: &[Relocation]) -> Result<(), String> {
        for (&index, &offset) in &self.layout.sections {
            let section = self.file.section_by_index(index).map_err(|error| error.to_string())?;
            let data = section.data().map_err(|error| error.to_string())?;
            memory[offset..offset + data.len()].copy_from_slice(data);
        }
        for (&symbol, &offset) in &self.layout.stubs {
            memory[offset..offset + STUB].copy_from_slice(&stub(self.symbol_address(symbol)?));
        }
        for (&symbol, &offset) in &self.layout.slots {
            let address = self.symbol_address(symbol)?;
            memory[offset..offset + SLOT].copy_from_slice(&address.to_le_bytes());
        }
        relocations.iter().try_for_each(|relocation| self.relocate(memory, relocation))
    }

    fn relocate(&self, memory: &mut [u8], relocation: &Relocation) -> Result<(), String> {
        let start = self.layout.sections[&relocation.section];
        let section = self.file.section_by_index(relocation.section).map_err(|error| error.to_string())?;
        let size = section.size();
        let last = relocation.offset.checked_add(relocation.form.width() as u64);
        if last.is_none_or(|last| last > size) {
            return Err("a relocation outside its section".to_string());
        }
        let at = start + relocation.offset as usize;
        let target = match (relocation.target, relocation.via) {
            (RelocationTarget::Symbol(symbol), Via::Slot) => self.base + self.layout.slots[&symbol] as u64,
            (RelocationTarget::Symbol(symbol), Via::Stub) => match self.layout.stubs.get(&symbol) {
                Some(&stub) => self.base + stub as u64,
                None => self.symbol_address(symbol)?,
            },
            (RelocationTarget::Symbol(symbol), Via::Symbol) => self.symbol_address(symbol)?,
            (RelocationTarget::Section(index), Via::Symbol) => self.section_address(index)?,
            _ => return Err("a relocation without a symbol".to_string()),
        };
        let value = target.wrapping_add_signed(relocation.addend);
        relocation.form.write(&mut memory[at..], self.base + at as u64, value)
    }

    fn section_address(&self, index: SectionIndex) -> Result<u64, String> {
        let offset = self.layout.sections.get(&index);
        offset.map(|&offset| self.base + offset as u64).ok_or_else(|| "a symbol in a section that is not loaded".into())
    }

    fn symbol_address(&self, index: SymbolIndex) -> Result<u64, String> {
        let symbol = self.file.symbol_by_index(index).map_err(|error| error.to_string())?;
        let name = symbol.name().unwrap_or("?");
        match symbol.section() {
            SymbolSection::Section(section) => Ok(self.section_address(section)?.wrapping_add(symbol.address())),
            SymbolSection::Undefined => {
                let host = self.hosts.address(name);
                let host = host.ok_or_else(|| format!("it calls `{name}`, which generated code may not"))?;
                Ok(host as u64)
            }
            _ => Err(format!("symbol `{name}` is of an unusual kind")),
        }
    }

    /// The functions that the object defines, as offsets into its code.
    fn functions(&self) -> Result<FxHashMap<String, usize>, String> {
        let mut functions = FxHashMap::default();
        for symbol in self.file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text) {
            let SymbolSection::Section(section) = symbol.section() else {
                continue;
            };
            let offset = self.section_address(section)?.wrapping_add(symbol.address()).wrapping_sub(self.base);
            let name = symbol.name().map_err(|error| error.to_string())?;
            if offset >= self.layout.code_len as u64 {
                return Err(format!("function `{name}` lies outside the code"));
            }
            functions.insert(name.to_string(), offset as usize);
        }
        Ok(functions)
    }
}

/// Code that jumps to an address which may be too far for a direct call.
#[cfg(target_arch = "x86_64")]
fn stub(target: u64) -> [u8; STUB] {
    // jmp qword ptr [rip]; the address follows.
    let mut stub = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xcc, 0xcc];
    stub[6..14].copy_from_slice(&target.to_le_bytes());
    stub
}

#[cfg(not(target_arch = "x86_64"))]
fn stub(target: u64) -> [u8; STUB] {
    // aarch64: ldr x16, #8; br x16; the address follows.
    let mut stub = [0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6, 0, 0, 0, 0, 0, 0, 0, 0];
    stub[8..].copy_from_slice(&target.to_le_bytes());
    stub
}

#[cfg(test)]
mod tests;
