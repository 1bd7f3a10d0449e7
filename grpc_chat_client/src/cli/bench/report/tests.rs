use std::collections::BTreeSet;

use clap::Parser;
use serde_json::Value;

use super::super::args::{BenchArgs, FIELDS};
use super::*;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    bench: BenchArgs,
}

fn load(words: &str) -> Load {
    Args::parse_from(["bench"].into_iter().chain(words.split(' '))).bench.load
}

/// A report with a value in every field.
fn report() -> Report {
    let times = Times {
        count: 5,
        min_us: 10.0,
        mean_us: 25.0,
        p50_us: 20.0,
        p90_us: 900.0,
        p99_us: 1_500.0,
        p999_us: 2_500.0,
        max_us: 1_250_000.0,
    };
    let cpu = |name: &str| {
        let process = Process { pid: 42, name: name.to_owned() };
        Cpu::new(vec![process], Duration::from_secs(1), Duration::from_secs(2), 1_000_000)
    };
    Report {
        bench: "fan-out",
        server: "http://127.0.0.1:9090".to_owned(),
        parameters: load("fan-out --room bench/x --rate 5000"),
        interrupted: false,
        duration_us: 2e6,
        unit: "delivery",
        count: 1_000_000,
        per_second: 500_000.0,
        text_bytes_per_second: 1e8,
        latency: Some(times),
        lateness: Some(times),
        unsent: Some(123_456),
        acked: Some(15_000),
        durability: Some("synced"),
        reconnects: Some(2),
        server_cpu: Some(cpu("service")),
        server_cpu_unknown: None,
        generator_cpu: Some(cpu("client")),
        cores: 2,
        hint: Some("look again".to_owned()),
    }
}

#[test]
fn a_person_reads_lines() {
    let times = "min 10.0 µs, p50 20.0 µs, p90 900 µs, p99 1.50 ms, p99.9 2.50 ms, max 1.25 s";
    let expected = format!(
        "fan-out at http://127.0.0.1:9090: 100 receivers, 1 sender, in bench/x, messages of 200 bytes, 5,000 a second in all
  measured       2.00 s, after 1.00 s of warm-up
  deliveries     1,000,000
  throughput     500,000 deliveries/s, 100 MB/s of text
  latency        {times}
  of it, late    {times} (from when a message was due until it was sent)
  unsent         123,456 messages were due and never sent: the rate is higher than can be reached
  acked          15,000 messages with the warm-up, synced to disk; every receiver has heard each once and in order
  reconnects     2: sessions were lost and opened again
  server CPU     1.00 s, 0.50 of a core, 1.00 µs for each delivery (service 42)
  own CPU        1.00 s, 0.50 of a core, 1.00 µs for each delivery; there are 2 cores
  note           look again"
    );
    assert_eq!(report().text(), expected);
}

#[test]
fn a_line_without_a_value_says_why_or_is_left_out() {
    let bare = Report {
        bench: "echo",
        parameters: load("echo --connections 1"),
        interrupted: true,
        count: 0,
        per_second: 0.0,
        text_bytes_per_second: 0.0,
        latency: None,
        lateness: None,
        unsent: None,
        acked: None,
        durability: None,
        reconnects: None,
        server_cpu: None,
        server_cpu_unknown: Some("the service is on another machine".to_owned()),
        generator_cpu: None,
        hint: None,
        ..report()
    };
    let expected =
        "echo at http://127.0.0.1:9090: 1 connection x 4 streams, messages of 200 bytes, 64 in flight on each stream
  measured       2.00 s, after 1.00 s of warm-up, then interrupted
  replies        0
  throughput     0.00 replies/s, 0.00 MB/s of text
  latency        not known: no reply came to a message sent in this time
  server CPU     not known: the service is on another machine";
    assert_eq!(bare.text(), expected);
    assert_eq!(
        description(&load("sends --rooms 2")),
        "4 clients, 2 rooms, messages of 200 bytes, 64 in flight for each client"
    );
    let few = Report { unsent: Some(10), ..report() };
    assert!(!few.text().contains("unsent"), "what was due in the last moment is not worth a line");
}

/// Collects the names of all fields, at any depth.
fn names(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            into.insert(name.clone());
            names(value, into);
        }),
        Value::Array(items) => items.iter().for_each(|item| names(item, into)),
        _ => {}
    }
}

#[test]
fn help_names_every_field_and_no_other() {
    let mut there = BTreeSet::new();
    names(&serde_json::to_value(report()).unwrap(), &mut there);
    for parameters in [load("echo"), load("sends")] {
        names(&serde_json::to_value(parameters).unwrap(), &mut there);
    }
    let words: BTreeSet<&str> = FIELDS.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for name in &there {
        assert!(words.contains(name.as_str()), "{name} is not in the help");
    }
    for word in words.iter().filter(|word| word.contains('_') && **word != "_us") {
        assert!(there.contains(*word), "{word} is no field");
    }
}

#[test]
fn a_program_reads_numbers_with_their_units() {
    let json = serde_json::to_value(report()).unwrap();
    for (pointer, value) in [
        ("/bench", Value::from("fan-out")),
        ("/parameters/receivers", 100.into()),
        ("/parameters/in_flight", Value::Null),
        ("/parameters/rate", 5_000.0.into()),
        ("/parameters/warm_up_seconds", 1.0.into()),
        ("/duration_us", 2e6.into()),
        ("/latency/p99_us", 1_500.0.into()),
        ("/server_cpu/processes/0/pid", 42.into()),
        ("/server_cpu/us_each", 1.0.into()),
        ("/server_cpu_unknown", Value::Null),
    ] {
        assert_eq!(json.pointer(pointer), Some(&value), "{pointer}");
    }
    for other in ["/parameters/connections", "/parameters/patience", "/parameters/json"] {
        assert_eq!(json.pointer(other), None, "fan-out has no such parameter");
    }
}

#[test]
fn the_hint_says_what_was_busy() {
    let hint = |own: Option<f64>, server: Option<f64>, threads, cores| {
        let cpu = |share| Cpu::new(Vec::new(), Duration::from_secs_f64(share), Duration::from_secs(1), 0);
        hint(own.map(cpu).as_ref(), server.map(cpu).as_ref(), threads, cores).unwrap_or_default()
    };
    assert_eq!(hint(Some(0.5), Some(0.5), 1, 2), "");
    assert_eq!(hint(None, Some(2.0), 1, 2), "");
    let own = hint(Some(0.95), Some(0.1), 1, 2);
    assert!(own.contains("its 1 thread never rested; this machine has 2 cores, see --threads"), "{own}");
    assert!(hint(Some(1.85), None, 2, 2).contains("it took 1.85 of 2 cores"));
    assert!(hint(Some(0.95), Some(0.0), 1, 1).contains("it took 0.95 of 1 core"));
    let both = hint(Some(1.2), Some(0.7), 2, 2);
    assert!(both.contains("of its 2 cores the load generator took 1.20, and the service 0.70"), "{both}");
    assert_eq!(hint(Some(1.2), None, 2, 2), "", "another machine's service does not take from this one");
}

#[test]
fn numbers_are_short_and_have_the_unit_that_suits_them() {
    let wholes = [0, 7, 999, 1_000, 12_345, 123_456, 1_234_567].map(whole);
    assert_eq!(wholes, ["0", "7", "999", "1,000", "12,345", "123,456", "1,234,567"]);
    let figures = [0.0, 0.123, 1.0, 9.994, 9.996, 12.34, 99.94, 99.96, 1234.5].map(figure);
    assert_eq!(figures, ["0.00", "0.12", "1.00", "9.99", "10.0", "12.3", "99.9", "100", "1,235"]);
    let times = [0.5, 86.32, 999.4, 999.6, 12_340.0, 999_400.0, 999_600.0, 61e6].map(time);
    assert_eq!(times, ["0.50 µs", "86.3 µs", "999 µs", "1.00 ms", "12.3 ms", "999 ms", "1.00 s", "61.0 s"]);
    let counts = [0, 1, 2_000].map(|number| counted(number, ["reply", "replies"]));
    assert_eq!(counts, ["0 replies", "1 reply", "2,000 replies"]);
}
