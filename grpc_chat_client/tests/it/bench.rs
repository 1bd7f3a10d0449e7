//! `bench` against a service, for less than a second.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use grpc_chat_service::config::{Config as ServiceConfig, Store};
use serde_json::Value;

use crate::network::Network;
use crate::support::{self, Output, Service, run};

/// Returns the command for a service at this URL.
fn bench(url: &str, load: &str, args: &[&str]) -> Command {
    bench_for("0.3", url, load, args)
}

fn bench_for(seconds: &str, url: &str, load: &str, args: &[&str]) -> Command {
    let mut command = support::command();
    command.env("CHAT_SERVER", url).args(["bench", load, "--seconds", seconds, "--warm-up", "0.1"]).args(args);
    command
}

fn url(service: &Service) -> String {
    format!("http://{}", service.address())
}

/// Runs the command with `--json`. Returns its result.
fn measured(service: &Service, load: &str, args: &[&str]) -> Value {
    let output = run(bench(&url(service), load, args).arg("--json"), b"");
    assert_eq!((output.stderr.as_str(), output.code), ("", 0));
    assert_eq!(output.stdout.lines().count(), 1, "{}", output.stdout);
    serde_json::from_str(&output.stdout).unwrap()
}

fn number(json: &Value, pointer: &str) -> f64 {
    json.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {pointer} in {json}"))
}

/// Checks that the numbers of a result are consistent.
fn check_consistency(json: &Value) {
    let seconds = number(json, "/duration_us") / 1e6;
    assert!((0.3..5.0).contains(&seconds), "{json}");
    let count = number(json, "/count");
    assert!(count > 0.0, "{json}");
    let close = |one: f64, other: f64| (one - other).abs() <= other.abs() / 1e6;
    assert!(close(number(json, "/per_second"), count / seconds), "{json}");
    let bytes = number(json, "/per_second") * number(json, "/parameters/size_bytes");
    assert!(close(number(json, "/text_bytes_per_second"), bytes), "{json}");

    let names = ["min_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"];
    let latencies = names.map(|name| number(json, &format!("/latency/{name}")));
    assert!(latencies[0] > 0.0 && latencies.is_sorted(), "{json}");
    if cfg!(target_os = "linux") {
        // The service is a thread of the tests' own process.
        assert_eq!(number(json, "/server_cpu/processes/0/pid"), f64::from(std::process::id()), "{json}");
        for whose in ["server_cpu", "generator_cpu"] {
            let cpu = number(json, &format!("/{whose}/cpu_us"));
            assert!(cpu > 0.0, "{json}");
            assert!(close(number(json, &format!("/{whose}/us_each")), cpu / count), "{json}");
            assert!(close(number(json, &format!("/{whose}/share_of_core")), cpu / 1e6 / seconds), "{json}");
        }
    }
}

#[test]
fn echo_answers_every_message() {
    let service = Service::start();
    let json =
        measured(&service, "echo", &["--connections", "2", "--streams", "3", "--in-flight", "4", "--size", "32"]);
    check_consistency(&json);
    assert_eq!(json["bench"], "echo");
    assert_eq!(json["unit"], "reply");
    assert_eq!([&json["parameters"]["connections"], &json["parameters"]["streams"]], [2, 3]);
    assert_eq!([&json["parameters"]["in_flight"], &json["parameters"]["rate"]], [&Value::from(4), &Value::Null]);
    assert_eq!([&json["unsent"], &json["lateness"], &json["acked"]], [&Value::Null; 3]);
}

#[test]
fn fan_out_delivers_every_message_to_every_receiver() {
    let service = Service::start();
    let args = ["--receivers", "5", "--senders", "2", "--size", "8192", "--room", "loud", "--in-flight", "10"];
    let json = measured(&service, "fan-out", &args);
    check_consistency(&json);
    assert_eq!(json["unit"], "delivery");
    assert_eq!(json["parameters"]["room"], "loud");
    assert_eq!(json["durability"], "memory");
    assert_eq!(json["reconnects"], 0);
    // Only a part of the messages that were acked were delivered in the measured time.
    assert!(number(&json, "/count") <= 5.0 * number(&json, "/acked"), "{json}");
}

#[test]
fn sends_reports_the_durability() {
    let data = tempfile::tempdir().unwrap();
    let config = ServiceConfig { store: Store::disk(data.path()), ..ServiceConfig::default() };
    let service = Service::start_with(config);
    let json = measured(&service, "sends", &["--clients", "2", "--in-flight", "8", "--rooms", "3"]);
    check_consistency(&json);
    assert_eq!(json["unit"], "ack");
    assert_eq!(json["durability"], "synced");
    assert!(number(&json, "/count") <= number(&json, "/acked"), "{json}");
    assert_eq!([&json["parameters"]["clients"], &json["parameters"]["rooms"]], [2, 3]);
}

#[test]
fn the_rate_is_kept() {
    let service = Service::start();
    for (load, args, answers) in [
        ("echo", &["--rate", "200"][..], 1.0),
        ("fan-out", &["--rate", "200", "--receivers", "3", "--senders", "2"], 3.0),
        ("sends", &["--rate", "200"], 1.0),
    ] {
        // On a machine that is busy with other tests, a few of sixty may come late, and sometimes more than a few.
        let is_kept = |json: &Value| {
            let lateness = json.pointer("/lateness/count").and_then(Value::as_f64).unwrap_or_default();
            (120.0..280.0).contains(&(number(json, "/per_second") / answers)) && lateness > 30.0
        };
        let json = (0..5).map(|_| measured(&service, load, args)).find(is_kept);
        let json = json.unwrap_or_else(|| panic!("{load}: the rate was not kept in any of five runs"));
        check_consistency(&json);
        assert!(json["unsent"].is_u64() && json["parameters"]["in_flight"].is_null(), "{json}");
    }
}

#[test]
fn several_threads_measure_the_same() {
    let service = Service::start();
    let json = measured(&service, "fan-out", &["--receivers", "4", "--senders", "2", "--threads", "2"]);
    check_consistency(&json);
    assert_eq!(json["parameters"]["threads"], 2);
}

#[test]
fn a_person_gets_lines() {
    let service = Service::start();
    let output = run(&mut bench(&url(&service), "fan-out", &["--receivers", "2"]), b"");
    assert_eq!((output.stderr.as_str(), output.code), ("", 0), "no progress where nobody sees it");
    let head = format!("fan-out at {}: 2 receivers, 1 sender, in bench/", url(&service));
    assert!(output.stdout.starts_with(&head), "{}", output.stdout);
    for line in ["  deliveries ", "  latency        min ", "every receiver has heard each once and in order"] {
        assert!(output.stdout.contains(line), "{}", output.stdout);
    }
}

#[test]
fn a_reader_that_closes_the_output_is_success() {
    let service = Service::start();
    let mut command = bench(&url(&service), "sends", &["--clients", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((stderr.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

fn fails(output: &Output, with: &str) {
    assert_eq!((output.stdout.as_str(), output.code), ("", 1), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains(with), "{}", output.stderr);
}

#[test]
fn without_a_service_it_says_how_to_start_one() {
    let (_socket, url) = support::nobody();
    for load in ["echo", "fan-out", "sends"] {
        let output = run(&mut bench(&url, load, &[]), b"");
        fails(&output, "no chat service answers at");
        assert_eq!(output.stderr.matches("cargo run -p grpc_chat_service").count(), 1, "{}", output.stderr);
    }
}

#[test]
fn arguments_that_cannot_be_used_are_exit_code_2() {
    for (args, why) in [
        (&["--size", "31"][..], "a message has 32 to 8192 bytes"),
        (&["--size", "8193"], "a message has 32 to 8192 bytes"),
        (&["--rate", "0"], "messages a second"),
        (&["--rate", "5", "--in-flight", "5"], "cannot be used with"),
        (&["--seconds", "0"], "0.001 to 86400"),
    ] {
        let mut command = support::command();
        let output = run(command.args(["bench", "fan-out"]).args(args), b"");
        assert_eq!(output.code, 2, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(why), "{}", output.stderr);
    }
}

/// Waits until the load is sent, which begins when all clients are connected: to connect takes fewer bytes.
async fn under_load(network: &Network) {
    while network.forwarded() < 20_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs the command through a network, and lets something happen under load.
async fn meanwhile(network: &Network, mut command: Command, happens: impl Future<Output = ()>) -> Output {
    let bench = tokio::task::spawn_blocking(move || run(&mut command, b""));
    under_load(network).await;
    happens.await;
    bench.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_service_that_stops_is_an_error() {
    for (load, args, why) in [
        ("echo", &["--connections", "4"][..], "a call was ended during the bench"),
        ("fan-out", &["--receivers", "3"], "no answer has come for 500 ms"),
        ("sends", &["--clients", "4"], "no answer has come for 500 ms"),
    ] {
        let service = Service::start();
        let network = Network::before(service.address()).await;
        let mut command = bench_for("60", &network.url(), load, args);
        command.args(["--patience", "0.5"]);
        let begun = Instant::now();
        let stops = async { tokio::task::spawn_blocking(|| service.stop()).await.unwrap() };
        fails(&meanwhile(&network, command, stops).await, why);
        assert!(begun.elapsed() < Duration::from_secs(30), "{load}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_is_cut_loses_nothing() {
    let service = Service::start();
    for (load, args) in [
        ("fan-out", &["--receivers", "3", "--rate", "500", "--json"][..]),
        ("sends", &["--clients", "4", "--rate", "500", "--json"]),
    ] {
        let network = Network::before(service.address()).await;
        let command = bench_for("2", &network.url(), load, args);
        let output = meanwhile(&network, command, async { network.cut() }).await;
        assert_eq!((output.stderr.as_str(), output.code), ("", 0));
        let json: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(json["reconnects"], 4, "{json}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_is_cut_under_echo_is_an_error() {
    let service = Service::start();
    let network = Network::before(service.address()).await;
    let command = bench_for("60", &network.url(), "echo", &["--connections", "1"]);
    let output = meanwhile(&network, command, async { network.cut() }).await;
    fails(&output, "a call was ended during the bench");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ctrl_c_ends_it_with_what_was_measured_so_far() {
    let service = Service::start();
    for (warm_up, lines) in [("0.1", 1), ("60", 0)] {
        let network = Network::before(service.address()).await;
        let mut command = support::command();
        command.env("CHAT_SERVER", network.url()).args(["bench", "sends", "--seconds", "60", "--warm-up", warm_up]);
        let bench = command.args(["--clients", "2", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let bench = bench.unwrap();
        under_load(&network).await;
        // Far longer than the shorter warm-up, and far shorter than the other one.
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(Command::new("kill").args(["-INT", &bench.id().to_string()]).status().unwrap().success());
        let output = tokio::task::spawn_blocking(|| bench.wait_with_output().unwrap()).await.unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((stderr.as_str(), output.status.code()), ("", Some(130)));
        assert_eq!(stdout.lines().count(), lines, "{stdout}");
        if lines > 0 {
            let json: Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(json["interrupted"], true);
            assert!(number(&json, "/count") > 0.0 && number(&json, "/duration_us") < 10e6, "{json}");
        }
    }
}
