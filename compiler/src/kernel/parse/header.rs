//! What comes before the statements: the name and level, sizes, buffers, locals and the grid.

use super::{MAX_RANK, Parsed, Parser};
use crate::graph::{Dim, Symbol};
use crate::kernel::types::*;

impl<'a> Parser<'a> {
    pub(super) fn header(&mut self) -> Parsed<()> {
        self.cursor.expect("kernel")?;
        self.kernel.name = self.cursor.word()?.to_string();
        if self.cursor.eat("loop") {
            self.kernel.level = Level::Loop;
            let lanes = self.cursor.unsigned()?;
            self.kernel.lanes =
                u32::try_from(lanes).map_err(|_| self.cursor.error("a number of lanes that is too large"))?;
            if self.cursor.eat("threads") {
                let threads = self.cursor.unsigned()?;
                self.kernel.threads =
                    u32::try_from(threads).map_err(|_| self.cursor.error("a number of threads that is too large"))?;
            }
        } else {
            self.cursor.expect("tile")?;
        }
        self.cursor.expect("{")?;
        loop {
            if self.cursor.eat("size") {
                self.size()?;
            } else if self.cursor.eat("buffer") {
                self.buffer()?;
            } else if self.cursor.eat("local") {
                self.local(Scope::Local)?;
            } else if self.cursor.eat("shared") {
                self.local(Scope::Shared)?;
            } else if self.cursor.eat("grid") {
                let symbol = self.symbol()?;
                self.cursor.expect("in")?;
                let extent = self.cursor.dim()?;
                self.kernel.grid.push(GridAxis { symbol, extent });
            } else if self.cursor.eat("sequential") {
                self.kernel.sequential = true;
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn symbol(&mut self) -> Parsed<Symbol> {
        let at = self.cursor.place();
        let dim = self.cursor.dim()?;
        dim.as_symbol().cloned().ok_or_else(|| self.cursor.error_at(at, "expected the name of a symbol"))
    }

    fn size(&mut self) -> Parsed<()> {
        let symbol = self.symbol()?;
        self.cursor.expect("in")?;
        let low = self.cursor.integer()?;
        self.cursor.expect("..")?;
        let high = if self.cursor.eat("=") { Some(self.cursor.integer()?) } else { None };
        self.kernel.sizes.push(SizeParam { symbol, low, high });
        Ok(())
    }

    fn buffer(&mut self) -> Parsed<()> {
        let name = self.new_memory(Memory::Buffer(self.kernel.buffers.len() as u32))?;
        self.cursor.expect(":")?;
        let dtype = self.dtype()?;
        let shape = self.shape()?;
        let at = self.cursor.place();
        let rights = match self.cursor.word()? {
            "read" => Rights::Read,
            "write" => Rights::Write,
            "readwrite" => Rights::ReadWrite,
            other => {
                return Err(self.cursor.error_at(at, format!("expected read, write or readwrite, found `{other}`")));
            }
        };
        let streamed = self.cursor.eat("stream");
        self.kernel.buffers.push(Buffer { name, dtype, shape, rights, streamed });
        Ok(())
    }

    fn local(&mut self, scope: Scope) -> Parsed<()> {
        let name = self.new_memory(Memory::Local(self.kernel.locals.len() as u32))?;
        self.cursor.expect(":")?;
        let dtype = self.dtype()?;
        let at = self.cursor.place();
        let extents: Option<Vec<u64>> =
            self.shape()?.iter().map(|dim| dim.as_constant().and_then(|extent| u64::try_from(extent).ok())).collect();
        let shape = extents.ok_or_else(|| self.cursor.error_at(at, "a local has a constant shape"))?;
        self.kernel.locals.push(Local { name, dtype, shape, scope });
        Ok(())
    }

    fn new_memory(&mut self, memory: Memory) -> Parsed<String> {
        let at = self.cursor.place();
        let name = self.cursor.word()?;
        if self.memories.insert(name, memory).is_some() {
            return Err(self.cursor.error_at(at, format!("`{name}` is declared twice")));
        }
        Ok(name.to_string())
    }

    fn shape(&mut self) -> Parsed<Vec<Dim>> {
        self.cursor.expect("[")?;
        let mut shape = Vec::new();
        while !self.cursor.eat("]") {
            if !shape.is_empty() {
                self.cursor.expect(",")?;
            }
            if shape.len() == MAX_RANK {
                return Err(self.cursor.error("a shape of too many axes"));
            }
            shape.push(self.cursor.dim()?);
        }
        Ok(shape)
    }
}
