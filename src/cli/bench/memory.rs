//! What a session was planned to take of memory, and what this process took.
//!
//! Invariant: the planner's figure leaves out what is not its own: the program's code, and what the caller passes and gets.

use tilewright::runtime::error::ByteCount;
use tilewright::runtime::exec::Footprint;

pub struct Memory {
    pub planned: Footprint,
    /// The most that was resident at any time, where the system tells.
    pub taken: Option<u64>,
    /// What was resident before the session was opened: programs and libraries, and what the compiler left.
    pub before: Option<u64>,
    /// Pages of files: the code of programs and libraries, and weights that are mapped.
    pub files: Option<u64>,
}

/// What of this process is resident now.
pub fn taken_now() -> Option<u64> {
    status("VmRSS:")
}

/// The high-water mark of this process.
pub fn most_taken() -> Option<u64> {
    status("VmHWM:")
}

/// Pages of files that are resident now.
pub fn files_now() -> Option<u64> {
    status("RssFile:")
}

/// A line of what Linux says of this process.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

impl Memory {
    pub fn text(&self) -> String {
        let Footprint { arena, states, weights, prepared } = self.planned;
        let parts = [("values", arena), ("states", states), ("weights", weights), ("packed weights", prepared)];
        let parts = parts.into_iter().filter(|&(_, bytes)| bytes > 0);
        let parts: Vec<String> = parts.map(|(what, bytes)| format!("{what} {}", ByteCount(bytes))).collect();
        let planned = format!("{} planned: {}", ByteCount(self.planned.total()), parts.join(", "));
        match (self.taken, self.before, self.files) {
            (Some(taken), Some(before), Some(files)) => {
                let [taken, before, files] = [taken, before, files].map(ByteCount);
                format!("{planned}\n{taken} taken at most: {before} before the session; pages of files {files}\n")
            }
            _ => planned + "\n",
        }
    }

    pub fn json(&self) -> serde_json::Value {
        let Footprint { arena, states, weights, prepared } = self.planned;
        serde_json::json!({
            "planned_bytes": self.planned.total(), "arena_bytes": arena, "state_bytes": states, "weight_bytes": weights,
            "prepared_bytes": prepared, "peak_bytes": self.taken, "before_bytes": self.before, "file_bytes": self.files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_take_nothing_are_left_out() {
        let planned = Footprint { arena: 1 << 20, states: 1 << 10, weights: 0, prepared: 0 };
        let memory = Memory { planned, taken: Some(3 << 20), before: Some(1 << 20), files: Some(1 << 19) };
        assert_eq!(
            memory.text(),
            "1.0 MiB planned: values 1.0 MiB, states 1.0 KiB\n\
             3.0 MiB taken at most: 1.0 MiB before the session; pages of files 512.0 KiB\n"
        );
        assert_eq!(memory.json()["planned_bytes"], (1 << 20) + (1 << 10));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_what_is_taken() {
        let (now, most) = (taken_now().unwrap(), most_taken().unwrap());
        assert!(0 < now && now <= most + (1 << 20), "{now} and {most}");
    }
}
