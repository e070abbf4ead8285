//! How an op is called, on one line: operands, then `;` and attributes with what they are where they are left out.

use std::fmt;

use super::{AttrDef, Default, OpDef, Operands};

impl OpDef {
    /// `window(x; combine, size, stride?)`, `concat(parts..; axis = 0)`.
    pub fn signature(&self) -> String {
        let operands = match self.operands {
            Operands::Fixed(names) => names.join(", "),
            Operands::Variadic(names, rest) => {
                let rest = format!("{rest}..");
                names.iter().map(|name| name.to_string()).chain([rest]).collect::<Vec<_>>().join(", ")
            }
        };
        let attrs: Vec<String> = self.attrs.iter().map(AttrDef::to_string).collect();
        let gap = if attrs.is_empty() { "" } else { "; " };
        format!("{}({operands}{gap}{})", self.name, attrs.join(", "))
    }
}

impl fmt::Display for AttrDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.default {
            Default::Required => Ok(()),
            Default::Absent => f.write_str("?"),
            Default::Bool(value) => write!(f, " = {value}"),
            Default::Int(value) => write!(f, " = {value}"),
            Default::Float(value) => write!(f, " = {value:?}"),
            Default::Str(value) => write!(f, " = \"{value}\""),
        }
    }
}
