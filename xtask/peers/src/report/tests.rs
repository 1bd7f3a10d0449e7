use super::*;
use crate::servers::Store;
use crate::workload::WORKLOADS;

const OURS: Kind = Kind::Ours { build: 0, store: Store::Memory };
const OTHER_BUILD: Kind = Kind::Ours { build: 1, store: Store::Memory };

fn row(name: &str, kind: Kind, costs: &[f64]) -> Row {
    let round = |server| Round::Load { per_second: 1_234_567.8, server, generator: 0.1, others: 0.0, latency: None };
    Row { name: name.to_owned(), kind, rounds: costs.iter().map(|cost| round(*cost)).collect(), failure: None }
}

/// Results of the first workload: what these servers cost.
fn results(rows: Vec<Row>) -> Results {
    let plan = crate::args::Args::parse(&[]).unwrap().unwrap().plan;
    let mut results = Results::new(plan, vec![(Peer::GrpcGo, "Go is not installed".to_owned())]);
    results.machine = Machine { processor: "A <processor>".to_owned(), cores: 2, kernel: "Linux 6".to_owned() };
    results.works.push(Work { workload: &WORKLOADS[0], rows });
    results
}

fn lines(table: &str, containing: &str) -> Vec<String> {
    table.lines().filter(|line| line.contains(containing)).map(str::to_owned).collect()
}

#[test]
fn a_ratio_is_that_of_rounds_next_to_each_other() {
    let rows =
        vec![row("ours, memory", OURS, &[0.4, 1.0, 0.6]), row("bare tonic", Kind::Peer(Peer::Tonic), &[0.8, 2.0, 0.6])];
    let table = table::render(&results(rows));
    assert_eq!(
        lines(&table, "ours, memory"),
        [
            "| the example, 4 connections x 4 streams, 128 in flight on each | ours, memory | 0.600 µs (0.400 to 1.00) | \
          1,234,568 | 0.100 µs | 0.50x | not measured |  |  |"
        ]
    );
    assert_eq!(
        lines(&table, "|  | bare tonic |"),
        ["|  | bare tonic | 0.800 µs (0.600 to 2.00) | 1,234,568 | 0.100 µs |  |  |  |  |"]
    );
    assert!(table.contains("grpc-go was not measured: Go is not installed."));
    assert!(!table.contains('†'));
}

#[test]
fn further_builds_are_compared_with_the_first() {
    let table =
        table::render(&results(vec![row("old, memory", OURS, &[1.0]), row("new, memory", OTHER_BUILD, &[0.5])]));
    assert!(table.starts_with("| work | server | cost | messages/s | generator | of old | of bare tonic |"), "{table}");
    assert!(lines(&table, "| new, memory")[0].contains("| 0.100 µs | 0.50x |"), "{table}");
    assert!(lines(&table, "| old, memory")[0].contains("| 0.100 µs |  |"), "{table}");
}

#[test]
fn a_heavy_generator_is_marked() {
    let table =
        table::render(&results(vec![row("heavy", OURS, &[0.29]), row("light", Kind::Peer(Peer::Tonic), &[0.31])]));
    assert!(lines(&table, "| heavy")[0].contains("0.100 µs †"), "{table}");
    assert!(!lines(&table, "| light")[0].contains('†'), "{table}");
    assert!(table.contains("† The generator"));
}

#[test]
fn a_failure_is_in_every_form_of_the_results() {
    let mut failed = row("ours, memory", OURS, &[0.5]);
    failed.failure = Some("message 5 was lost".to_owned());
    let results = results(vec![failed]);
    assert_eq!(results.failures(), ["example: ours, memory: message 5 was lost"]);
    assert!(lines(&table::render(&results), "| ours, memory")[0].contains("**failed**"));
    assert!(table::render(&results).contains("Failed: example: ours, memory: message 5 was lost."));
    let json: serde_json::Value = serde_json::from_str(&json::render(&results)).unwrap();
    assert_eq!(json["works"][0]["servers"][0]["failure"], "message 5 was lost");
    assert_eq!(json["works"][0]["servers"][0]["rounds"][0]["server_cpu_us"], 0.5);
}

#[test]
fn the_picture_has_a_bar_for_every_server() {
    let rows = vec![row("ours, memory", OURS, &[0.5]), row("bare tonic", Kind::Peer(Peer::Tonic), &[1.0])];
    let picture = picture::render(&results(rows));
    assert_eq!(picture.matches("<rect class=\"ours\"").count(), 1);
    assert_eq!(picture.matches("<rect class=\"peer\"").count(), 1);
    assert!(picture.contains("width=\"440.0\"") && picture.contains("width=\"220.0\""));
    assert!(picture.contains("A &lt;processor&gt;"));
}
