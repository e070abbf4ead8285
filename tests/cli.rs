//! The command `tw` from outside: its help, its answers, its errors and its exit codes.

#[path = "cli/caching.rs"]
mod caching;
#[path = "cli/command.rs"]
mod command;
#[path = "cli/deployed.rs"]
mod deployed;
#[path = "cli/digits.rs"]
mod digits;
#[path = "cli/entered.rs"]
mod entered;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/fixed.rs"]
mod fixed;
#[path = "cli/graphs.rs"]
mod graphs;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/inputs.rs"]
mod inputs;
#[path = "cli/paced.rs"]
mod paced;
#[path = "cli/readme.rs"]
mod readme;
#[path = "cli/refused.rs"]
mod refused;
#[path = "cli/reports.rs"]
mod reports;
#[path = "cli/train.rs"]
mod train;
#[path = "cli/weights.rs"]
mod weights;
