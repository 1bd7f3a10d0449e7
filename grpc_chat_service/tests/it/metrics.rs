//! The figures: that they count what happens, that their names are good, and that dashboard and alerts use those there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bytes::Bytes;
use stubs::chat::v1::chat_service_client::ChatServiceClient;

use crate::support::admin::{metrics, start, value};
use crate::support::example::ExampleCall;
use crate::support::frames::{edit, pb, send, send_with_msg_id};
use crate::support::http2::{Http2Client, length_prefixed};
use crate::support::process::{Binary, binary};
use crate::support::session::Session;
use crate::support::tcp::TcpClient;
use crate::support::{channel, with_timeout};

#[tokio::test]
async fn what_happens_is_counted() {
    let server = start().await;
    let admin = server.admin.unwrap();
    let (mut sam, mut ann) = (Session::open(server.addr, "sam").await, Session::open(server.addr, "ann").await);
    sam.join_live("a").await;
    ann.join_live("a").await;
    sam.post_all("a", ["Hi"; 10]).await;
    ann.next_texts("a", 0, 10).await;
    sam.next_texts("a", 0, 10).await;
    // A repeat, a change of what does not exist, and what is no room.
    let id = Bytes::from_static(&[7; 16]);
    sam.expect_ack(send_with_msg_id("a", "once", id.clone())).await;
    assert!(sam.expect_ack(send_with_msg_id("a", "once", id)).await.duplicate);
    assert_eq!(sam.expect_refusal(edit("a", 999, "x")).await.reason(), "NO_SUCH_MESSAGE");
    assert_eq!(sam.expect_refusal(send("", "x")).await.reason(), "INVALID_FIELD");
    // A page, and one that is refused.
    let mut unary = ChatServiceClient::new(channel(server.addr).await);
    let page = |page_size| pb::ListRoomsRequest { page_size, page_token: String::new() };
    with_timeout(unary.list_rooms(page(0))).await.unwrap();
    with_timeout(unary.list_rooms(page(1_001))).await.unwrap_err();
    // The example: a call that completes, one that fails, one that its caller leaves, and a method that nobody has.
    let mut call = ExampleCall::open(server.addr).await;
    call.echo("Sam", "Hi").await;
    call.half_close();
    call.next().await.unwrap();
    let mut client = Http2Client::connect(server.addr).await;
    client.call_example(&length_prefixed(b"\xff")).await;
    let (_, mut left) = client.open_example().await;
    left.send_reset(h2::Reason::CANCEL);
    client.call("/made.up.by/the_caller", &[], b"").await;
    // A connection that is no HTTP/2.
    let mut tls = TcpClient::connect(server.addr).await;
    tls.write(&[0x16, 3, 1, 2, 0]).await;
    tls.read_to_end().await;
    drop(ann);

    let chat = |method: &str, code: &str| {
        format!(
            "grpc_server_handled_total{{grpc_service=\"chat.v1.ChatService\",grpc_method=\"{method}\",grpc_code=\"{code}\"}}"
        )
    };
    let example = |code: &str| {
        format!("grpc_server_handled_total{{grpc_service=\"Chat\",grpc_method=\"chat\",grpc_code=\"{code}\"}}")
    };
    let expected = [
        ("chat_sessions_opened_total".to_owned(), 2.0),
        ("chat_sessions_open".to_owned(), 1.0),
        ("chat_rooms_open".to_owned(), 1.0),
        ("chat_readers_behind".to_owned(), 0.0),
        ("chat_history_healthy".to_owned(), 1.0),
        ("chat_append_queue_requests".to_owned(), 0.0),
        ("chat_append_queue_bytes".to_owned(), 0.0),
        ("chat_appends_total{outcome=\"stored\"}".to_owned(), 11.0),
        ("chat_appends_total{outcome=\"duplicate\"}".to_owned(), 1.0),
        ("chat_appends_total{outcome=\"no_such_message\"}".to_owned(), 1.0),
        ("chat_appends_total{outcome=\"unknown\"}".to_owned(), 0.0),
        ("chat_refusals_total{reason=\"NO_SUCH_MESSAGE\"}".to_owned(), 1.0),
        // One in the session, and one of a unary call.
        ("chat_refusals_total{reason=\"INVALID_FIELD\"}".to_owned(), 2.0),
        ("chat_connections_refused_total{reason=\"tls\"}".to_owned(), 1.0),
        (chat("ListRooms", "OK"), 1.0),
        (chat("ListRooms", "InvalidArgument"), 1.0),
        (example("OK"), 1.0),
        (example("Internal"), 1.0),
        (example("Canceled"), 1.0),
        (
            "grpc_server_handled_total{grpc_service=\"unknown\",grpc_method=\"unknown\",grpc_code=\"Unimplemented\"}"
                .to_owned(),
            1.0,
        ),
        (
            "grpc_server_handling_seconds_count{grpc_service=\"chat.v1.ChatService\",grpc_method=\"ListRooms\"}"
                .to_owned(),
            2.0,
        ),
    ];
    // What callers leave is counted once the server has noticed.
    let mut text = String::new();
    let counted = async {
        loop {
            text = metrics(admin).await;
            if expected.iter().all(|(name, count)| value(&text, name) == *count) {
                break;
            }
        }
    };
    let timed_out = tokio::time::timeout(std::time::Duration::from_secs(10), counted).await.is_err();
    let wrong: Vec<_> = expected.iter().filter(|(name, count)| value(&text, name) != *count).collect();
    assert!(!timed_out && wrong.is_empty(), "{wrong:?}\n{text}");

    // Ten messages and one, for each of two readers; ann may have left before the last one.
    let delivered = value(&text, "chat_deliveries_total");
    assert!((21.0..=22.0).contains(&delivered), "{delivered}");
    assert!(value(&text, "chat_commit_seconds_count") >= 1.0, "{text}");
    assert_eq!(value(&text, "chat_batch_requests_sum"), 13.0, "{text}");
    assert!(!text.contains("made.up"), "{text}");
    for secret in ["sam", "ann", "127.0.0.1", "once"] {
        let of_label = |line: &&str| !line.starts_with('#') && line.contains(secret);
        assert_eq!(text.lines().find(of_label), None, "nothing is labelled by room, user or address");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_is_in_the_figures() {
    let text = metrics(start().await.admin.unwrap()).await;
    let resident = value(&text, "process_resident_memory_bytes");
    assert!((1e6..1e10).contains(&resident), "{resident}");
    assert!(value(&text, "process_cpu_seconds_total") > 0.0, "{text}");
    assert!(value(&text, "process_open_fds") >= 5.0, "{text}");
    assert!(value(&text, "process_max_fds") >= value(&text, "process_open_fds"), "{text}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let started = value(&text, "process_start_time_seconds");
    assert!((now - 3_600.0..now + 2.0).contains(&started), "{started}");
}

/// Every metric of the service, with a label of every kind.
async fn all_metrics() -> String {
    let dir = tempfile::tempdir().unwrap();
    let admin = std::net::TcpListener::bind("127.77.77.79:0").unwrap().local_addr().unwrap();
    let mut command = binary();
    command.env("CHAT_MEMORY", "0").arg("--data").arg(dir.path());
    command.args(["--listen", "127.0.0.1:0", "--admin", &admin.to_string()]);
    let server = Binary::spawn(command).await;
    let mut sam = Session::open(server.addr, "sam").await;
    sam.join_live("a").await;
    sam.post("a", "Hi").await;
    sam.expect_refusal(send("", "x")).await;
    let mut unary = ChatServiceClient::new(channel(server.addr).await);
    with_timeout(unary.list_rooms(pb::ListRoomsRequest::default())).await.unwrap();
    metrics(admin).await
}

/// Runs promtool with these words and this input. Returns `None`, and says so, where it is not installed.
fn promtool(words: &[&str], input: &str, folder: &Path) -> Option<Output> {
    use std::io::Write;
    let named = std::env::var_os("PROMTOOL");
    let program = named.clone().unwrap_or_else(|| "promtool".into());
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn() {
        Ok(mut child) => {
            // It may end without reading anything.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            Some(child.wait_with_output().unwrap())
        }
        Err(error) => {
            assert!(named.is_none(), "PROMTOOL cannot be run: {error}");
            eprintln!("skipped: promtool is not installed (Debian's package prometheus has it)");
            None
        }
    }
}

fn assert_passes(output: Option<Output>) {
    if let Some(Output { status, stdout, stderr }) = output {
        let said = [stdout, stderr].concat();
        assert!(status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops")
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_names_and_texts() {
    let text = all_metrics().await;
    let output = promtool(&["check", "metrics"], &text, &ops());
    if let Some(output) = &output {
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
    assert_passes(output);
}

#[test]
fn the_alerts_load_and_pass_their_tests() {
    assert_passes(promtool(&["check", "rules", "alerts.yaml"], "", &ops()));
    assert_passes(promtool(&["test", "rules", "alerts_test.yaml"], "", &ops()));
}

/// Returns every `expr` of the dashboard, with Grafana's variables replaced by what they may be.
fn dashboard_expressions() -> Vec<String> {
    let dashboard: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(ops().join("dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions = targets.map(|target| target["expr"].as_str().unwrap());
    expressions.map(|expr| expr.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect()
}

#[test]
fn the_expressions_of_the_dashboard_can_be_parsed() {
    let expressions = dashboard_expressions();
    assert!(expressions.len() > 20, "{}", expressions.len());
    let rules = expressions.iter().enumerate();
    let rules: String = rules
        .map(|(n, expr)| format!("      - {{ record: 'panel:{n}', expr: '{}' }}\n", expr.replace('\'', "''")))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yaml"), format!("groups:\n  - name: dashboard\n    rules:\n{rules}")).unwrap();
    assert_passes(promtool(&["check", "rules", "rules.yaml"], "", dir.path()));
}

#[tokio::test]
async fn dashboard_and_alerts_use_metrics_that_there_are() {
    let text = all_metrics().await;
    let mut there = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        there.insert(name.to_owned());
        if kind == "histogram" {
            there.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
    }
    let alerts = fs::read_to_string(ops().join("alerts.yaml")).unwrap();
    let tests = fs::read_to_string(ops().join("alerts_test.yaml")).unwrap();
    let used = format!("{}\n{alerts}\n{tests}", dashboard_expressions().join("\n"));
    let words = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: BTreeSet<_> = words
        .filter(|word| ["chat_", "grpc_server_", "process_"].iter().any(|start| word.starts_with(start)))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !there.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} is not in\n{there:?}");
}
