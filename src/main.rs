//! The `tw` command.

fn main() {}
