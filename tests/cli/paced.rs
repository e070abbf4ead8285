//! `tw bench --paced`: calls when another program asks for them.

use std::io::Write;
use std::process::Stdio;

use crate::command::{Said, command, said};

fn paced(lines: &str) -> Said {
    let mut command = command(&["bench", "specs/vision/vit.tw", "--preset", "tiny", "--threads", "1", "--paced"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("tw can be started");
    process.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("the lines are read");
    said(process.wait_with_output().expect("tw ends"))
}

#[test]
fn every_line_is_answered_by_as_many_times() {
    let said = paced("3\n0\n1\n");
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4, "{}", said.out);
    assert!(lines[0]["flops"].as_f64().unwrap() > 1e6 && lines[0]["start_seconds"].as_f64().unwrap() > 0.0);
    for (line, count) in lines[1..].iter().zip([3, 0, 1]) {
        let times = line.as_array().unwrap();
        assert_eq!(times.len(), count);
        assert!(times.iter().all(|time| time.as_f64().unwrap() > 0.0), "{line}");
    }
}

#[test]
fn what_is_no_number_of_calls_is_wrong_usage() {
    for line in ["three\n", "-1\n", "1\n99999999999\n"] {
        assert_eq!(paced(line).code, 2, "{line}");
    }
}
