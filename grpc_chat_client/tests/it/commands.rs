//! The commands that print lines: the real binary against a real service.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Command, Stdio};

use grpc_chat_client::MsgId;
use grpc_chat_service::cluster::MemoryCluster;
use grpc_chat_service::config::{Config as ServiceConfig, Store};
use grpc_chat_service::model::RoomId;

use crate::network::Network;
use crate::support::{Running, Service, chat, client, command, nobody, run, without_time};

#[test]
fn a_message_is_sent_from_the_command_line_or_standard_input() {
    let service = Service::start();
    let sent = chat(&service, &["send", "general", "Hello", "there"]);
    assert_eq!((sent.stdout.as_str(), sent.code), ("", 0));
    assert_eq!(sent.stderr, "grpc_chat_client: general is a new room; this is its first message\n");
    let sent = run(client(&service).args(["send", "general", "--json", "--reply-to", "1"]), b"two\nlines\n");
    assert!(sent.stdout.starts_with(r#"{"room":"general","seq":2,"time":""#), "{}", sent.stdout);
    assert!(sent.stdout.ends_with("\"duplicate\":false,\"durability\":\"memory\"}\n"), "{}", sent.stdout);
    assert_eq!((sent.stderr.as_str(), sent.code), ("", 0));

    let printed = chat(&service, &["history", "general"]);
    let lines: Vec<String> = printed.stdout.lines().map(without_time).collect();
    assert_eq!(lines, ["1 sam: Hello there", "2 sam (to 1): two", "    lines"]);
    assert_eq!(printed.code, 0);
}

#[test]
fn a_message_that_cannot_be_sent_is_an_error_with_an_exit_code() {
    let service = Service::start();
    for (args, input, code, said) in [
        (&["send", "general"][..], &b"\n"[..], 2, "nothing to send"),
        (&["send", "general"], b"\xff\xff", 1, "not UTF-8"),
        (&["send", "no room", "Hi"], b"", 2, "may contain only"),
        (&["send", "general", "\u{1b}[2J"], b"", 3, "control characters"),
        (&["send", "general", "Hi", "--reply-to", "7"], b"", 3, "no such message"),
        (&["send", "general", "Hi", "--reply-to", "0"], b"", 2, "the number of a message"),
        (&["send", "general", "Hi", "--reply-to", "abc"], b"", 2, "the number of a message"),
        (&["send", "general", "Hi", "--timeout", "abc"], b"", 2, "a whole number"),
        (&["--user", "sam smith", "rooms"], b"", 2, "may contain only"),
        (&["--name", "Sam", "rooms"], b"", 2, "--user"),
        (&["tail", "general", "--after", "x"], b"", 2, "SEQ"),
        (&["rooms", "--client-cert", "/nonexistent"], b"", 2, "go together"),
        (&["rooms", "--ca-cert", "/nonexistent"], b"", 2, "cannot read /nonexistent"),
        (&["rooms", "--config", "/nonexistent"], b"", 2, "cannot read /nonexistent"),
        (&["rooms", "--token", "a", "--token-file", "b"], b"", 2, "only one of them"),
        (&["rooms", "--token-file", "/nonexistent"], b"", 2, "cannot read /nonexistent"),
    ] {
        let output = run(client(&service).args(args), input);
        assert_eq!((output.code, output.stdout.as_str()), (code, ""), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{args:?}: {}", output.stderr);
    }
    let second_of_them = run(client(&service).args(["chat", "general"]), b"fine\n\n\x1b[2J\n");
    assert_eq!(second_of_them.code, 3);
    assert!(second_of_them.stderr.contains("line 3: "), "{}", second_of_them.stderr);
    let no_certificate = ["--client-cert", "/dev/null", "--client-key", "/dev/null", "--server", "https://127.0.0.1:1"];
    for (flags, said) in [
        (&no_certificate[..], "the client certificate file contains no certificate"),
        (
            &["--ca-cert", "Cargo.toml", "--server", "https://127.0.0.1:1"],
            "the CA certificate file contains no certificate",
        ),
        (&["--server", "http://127.0.0.1:99999"], "expected http://HOST:PORT"),
    ] {
        let output = run(crate::support::command().args(flags).arg("rooms"), b"");
        assert_eq!(output.code, 2);
        assert!(output.stderr.contains(said), "{}", output.stderr);
    }
    let too_long = "x".repeat(8 * 1024 + 1);
    let output = run(client(&service).args(["send", "general"]), too_long.as_bytes());
    assert_eq!(output.code, 3);
    assert!(output.stderr.contains("8193 bytes, and the service takes at most 8192"), "{}", output.stderr);
}

#[test]
fn without_a_service_every_command_says_how_to_start_one() {
    let (_socket, url) = nobody();
    for args in [
        &["send", "general", "Hi"][..],
        &["tail", "general"],
        &["history", "general"],
        &["rooms"],
        &["chat", "general"],
    ] {
        let output = run(command().args(args).args(["--server", &url]), b"");
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{args:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("cargo run -p grpc_chat_service"), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn history_prints_all_events_or_the_last_ones() {
    let service = Service::start();
    let input: String = (1..=2_500).map(|n| format!("{n}\n")).collect();
    let sent = run(client(&service).args(["chat", "general"]), input.as_bytes());
    assert_eq!(sent.code, 0, "{}", sent.stderr);
    let texts = |args: &[&str]| -> Vec<u32> {
        let output = chat(&service, &[&["history", "general", "--json"], args].concat());
        assert_eq!(output.code, 0, "{}", output.stderr);
        let text = |line: &str| line.split_once("\"text\":\"").unwrap().1.split('"').next().unwrap().parse().unwrap();
        output.stdout.lines().map(text).collect()
    };
    assert_eq!(texts(&[]), (1..=2_500).collect::<Vec<_>>());
    assert_eq!(texts(&["--after", "2498"]), [2_499, 2_500]);
    assert_eq!(texts(&["--last", "1500"]), (1_001..=2_500).collect::<Vec<_>>());
    assert_eq!(texts(&["--last", "9999"]).len(), 2_500);
    assert_eq!(texts(&["--last", "0"]).len(), 0);
    let rooms = chat(&service, &["rooms", "--json"]);
    assert!(rooms.stdout.starts_with(r#"{"room":"general","head_seq":2500,"head_time":""#), "{}", rooms.stdout);
}

#[test]
fn events_that_are_no_longer_kept_are_reported() {
    let cluster = MemoryCluster::default();
    let store = Store::Memory(cluster.clone());
    let service = Service::start_with(ServiceConfig { store, ..ServiceConfig::default() });
    assert_eq!(run(client(&service).args(["chat", "general"]), b"1\n2\n3\n4\n5\n").code, 0);
    let third = chat(&service, &["history", "general", "--after", "2", "--json"]);
    let third: serde_json::Value = serde_json::from_str(third.stdout.lines().next().unwrap()).unwrap();
    assert!(cluster.store.expire(&RoomId::new("general").unwrap(), 5));

    let output = chat(&service, &["history", "general", "--after", "3"]);
    assert_eq!((output.code, output.stdout.as_str()), (3, ""));
    let sentence = "the service says: the history of room general is kept from seq 5 on; read from there, or from 0";
    assert_eq!(output.stderr, format!("grpc_chat_client: {sentence}\n"));
    for args in [&["--after", "4"][..], &["--after", "0"], &[]] {
        let output = chat(&service, &[&["history", "general"], args].concat());
        assert_eq!((without_time(output.stdout.trim_end()).as_str(), output.code), ("5 sam: 5", 0), "{args:?}");
    }
    let after = [&third["epoch"], &third["seq"], &third["client_msg_id"]].map(|part| part.to_string().replace('"', ""));
    let mut tail = Running::start(client(&service).args(["tail", "general", "--json", "--after", &after.join(":")]));
    let reset = tail.json();
    assert_eq!((&reset["type"], &reset["seq"]), (&"reset".into(), &5.into()), "{reset}");
    assert_eq!(reset["reason"], "the service no longer keeps what was missed");
}

#[test]
fn tail_begins_where_it_is_asked_to_and_follows_the_room() {
    let service = Service::start();
    for text in ["one", "two", "three"] {
        chat(&service, &["send", "general", text]);
    }
    let mut last = Running::start(client(&service).args(["tail", "general", "--last", "1"]));
    let mut after = Running::start(client(&service).args(["tail", "general", "--after", "1", "--json"]));
    assert_eq!(without_time(&last.line()), "3 sam: three");
    let first = after.line();
    assert!(first.contains("\"text\":\"two\""), "{first}");
    chat(&service, &["--user", "ann", "send", "general", "four"]);
    assert_eq!(without_time(&last.line()), "4 ann: four");
    assert_eq!([after.line(), after.line()].map(|line| line.contains("\"text\":\"four\"")), [false, true]);

    // A cursor of another epoch.
    let epoch: u64 = first.split_once("\"epoch\":\"").unwrap().1.split('"').next().unwrap().parse().unwrap();
    let mut reset =
        Running::start(client(&service).args(["tail", "general", "--json", "--after", &format!("{}:2", epoch - 1)]));
    let line = reset.line();
    assert!(line.starts_with(r#"{"type":"reset","room":"general""#), "{line}");

    // A cursor that stands on another event than the history has there.
    let mut forked = Running::start(client(&service).args([
        "tail",
        "general",
        "--json",
        "--after",
        &format!("{epoch}:2:{}", MsgId::new()),
    ]));
    assert_eq!(forked.json()["reason"], "the service's history was restored, and has gone on differently since");
}

#[test]
fn tail_resumes_where_it_was_stopped() {
    let service = Service::start();
    let state = tempfile::tempdir().unwrap();
    let resume = || {
        let mut command = client(&service);
        command.args(["tail", "general", "--resume", "--last", "100"]).arg("--state").arg(state.path());
        command
    };
    for text in ["one", "two"] {
        chat(&service, &["send", "general", text]);
    }
    let mut first = Running::start(&mut resume());
    assert_eq!([first.line(), first.line()].map(|line| without_time(&line)), ["1 sam: one", "2 sam: two"]);
    assert_eq!(first.interrupt(), Some(130));
    chat(&service, &["send", "general", "three"]);
    let mut second = Running::start(&mut resume());
    assert_eq!(without_time(&second.line()), "3 sam: three");
    let output = run(&mut resume(), b"");
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("used by another client"), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tail_outlives_its_service() {
    let data = tempfile::tempdir().unwrap();
    let on_disk = || ServiceConfig { store: Store::disk(data.path()), ..ServiceConfig::default() };
    let service = Service::start_with(on_disk());
    let network = Network::before(service.address()).await;
    chat(&service, &["send", "general", "before"]);
    let mut tail = Running::start(command().args(["--server", &network.url(), "tail", "general"]));
    assert_eq!(without_time(&tail.line()), "1 sam: before");
    service.stop();
    // Another service, with the same history, behind the same address.
    let service = Service::start_with(on_disk());
    network.redirect(service.address());
    chat(&service, &["send", "general", "after"]);
    assert_eq!(without_time(&tail.line()), "2 sam: after");
}

#[test]
fn in_a_pipe_chat_sends_lines_and_prints_lines() {
    let service = Service::start();
    chat(&service, &["send", "general", "long ago"]);
    let mut ann = Running::start(client(&service).args(["--user", "ann", "chat", "general"]));
    writeln!(ann.child.stdin.as_mut().unwrap(), "Hey").unwrap();
    assert_eq!(ann.line(), "ann: Hey");
    let sam = run(client(&service).args(["chat", "general"]), b"one\n\ntwo");
    assert_eq!((sam.stdout.as_str(), sam.stderr.as_str(), sam.code), ("sam: one\nsam: two\n", "", 0));
    assert_eq!([ann.line(), ann.line()], ["sam: one", "sam: two"]);
    drop(ann.child.stdin.take());
    assert!(ann.lines.next().is_none());
    assert_eq!(ann.child.wait().unwrap().code(), Some(0));

    let refused = run(client(&service).args(["chat", "general"]), b"good\n\x1b[2J\n");
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("control characters"), "{}", refused.stderr);
}

#[test]
fn the_configuration_file_fills_in_what_flags_and_environment_leave_out() {
    let service = Service::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grpc_chat/client.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, format!("server = \"{}\"\nuser = \"filed\"\n", service.address())).unwrap();
    let configured = |args: &[&str], env: &[(&str, &str)]| {
        run(command().args(args).env("XDG_CONFIG_HOME", folder.path()).envs(env.iter().copied()), b"")
    };
    assert_eq!(configured(&["send", "general", "1"], &[]).code, 0);
    assert_eq!(configured(&["send", "general", "2"], &[("CHAT_USER", "set")]).code, 0);
    assert_eq!(configured(&["send", "general", "3", "--user", "flagged"], &[("CHAT_USER", "set")]).code, 0);
    let history = configured(&["history", "general"], &[]).stdout;
    let lines: Vec<String> = history.lines().map(without_time).collect();
    assert_eq!(lines, ["1 filed: 1", "2 set: 2", "3 flagged: 3"]);

    fs::write(&file, "sever = \"here\"\n").unwrap();
    let output = configured(&["rooms"], &[]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("client.toml") && output.stderr.contains("sever"), "{}", output.stderr);
}

#[test]
fn commands_that_only_read_need_no_user() {
    let service = Service::start();
    let without_user = |args: &[&str]| {
        let mut command = client(&service);
        for variable in ["USER", "LOGNAME", "USERNAME"] {
            command.env_remove(variable);
        }
        run(command.args(args), b"")
    };
    assert_eq!(without_user(&[]).stdout, "Sam: Hi\nAnn: Hey\nJohn: Hello\n");
    for args in [&["history", "general"][..], &["rooms"]] {
        assert_eq!(without_user(args).code, 0, "{args:?}");
    }
    let output = without_user(&["send", "general", "Hi"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("--user"), "{}", output.stderr);
    assert_eq!(without_user(&["send", "general", "Hi", "--user", "sam"]).code, 0);
}

#[test]
fn every_shell_has_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(command().args(["completions", shell]), b"");
        assert_eq!(output.code, 0);
        assert!(output.stdout.contains("token-file"), "{shell}");
    }
}

#[test]
fn every_command_has_help() {
    for args in [&["--help"][..], &["chat", "--help"], &["send", "--help"], &["tail", "--help"], &["history", "--help"]]
    {
        let output = run(command().args(args), b"");
        assert_eq!(output.code, 0);
        assert!(output.stdout.contains("--server <URL>"), "{args:?}");
    }
    assert!(run(command().arg("--help"), b"").stdout.contains("Exit codes"));
}

#[test]
fn a_reader_that_closes_the_output_is_success() {
    let service = Service::start();
    let input: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(run(client(&service).args(["chat", "general"]), input.as_bytes()).code, 0);
    let mut history = Running::start(client(&service).args(["history", "general"]));
    history.line();
    let Running { child, lines } = &mut history;
    drop(std::mem::replace(lines, BufReader::new(closed_output()).lines()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Returns the output of a program that prints nothing and has ended.
fn closed_output() -> ChildStdout {
    let mut nothing = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let stdout = nothing.stdout.take().unwrap();
    nothing.wait().unwrap();
    stdout
}

#[test]
fn tail_saves_its_cursor_however_it_ends() {
    let service = Service::start();
    let state = tempfile::tempdir().unwrap();
    for n in 1..=4 {
        chat(&service, &["send", "general", &n.to_string()]);
    }
    let resume = || {
        let mut command = client(&service);
        command.args(["tail", "general", "--resume", "--last", "100"]).arg("--state").arg(state.path());
        Running::start(&mut command)
    };
    let mut tail = resume();
    assert!(tail.line().contains(" sam: 1") && tail.line().contains(" sam: 2"));
    // The reader closes the output. tail notices when it prints the next line.
    drop(std::mem::replace(&mut tail.lines, BufReader::new(closed_output()).lines()));
    chat(&service, &["send", "general", "x"]);
    chat(&service, &["send", "general", "x"]);
    assert_eq!(tail.child.wait().unwrap().code(), Some(0));
    let first = resume().line();
    assert!(!first.contains(" sam: 1") && !first.contains(" sam: 2"), "{first}");
}

#[test]
fn a_reader_that_stops_reading_does_not_keep_tail_from_ending() {
    let service = Service::start();
    let input: String = (0..5_000).map(|n| format!("{n} {}\n", "x".repeat(100))).collect();
    assert_eq!(run(client(&service).args(["chat", "general"]), input.as_bytes()).code, 0);
    let mut tail = Running::start(client(&service).args(["tail", "general", "--last", "1000"]));
    // It has begun to print; the pipe is full soon, and nobody empties it.
    tail.line();
    assert_eq!(tail.interrupt(), Some(130));
}

#[test]
fn errors_neither_steer_the_terminal_nor_show_secrets() {
    let output = run(command().args(["tail", "\u{1b}]0;owned\u{7}"]), b"");
    assert_eq!(output.code, 2);
    assert!(!output.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", output.stderr);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.toml");
    fs::write(&file, "user = \"sam\"\ntoken = \"s3cret\n").unwrap();
    let output = run(command().args(["rooms", "--config"]).arg(&file), b"");
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("line 2") && !output.stderr.contains("s3cret"), "{}", output.stderr);

    fs::write(&file, "device = \"my phone\"\n").unwrap();
    assert_eq!(run(command().args(["rooms", "--config"]).arg(&file), b"").code, 2);

    // Standard error in a file has no colours in it.
    let service = Service::start();
    let output = run(client(&service).arg("rooms").env("RUST_LOG", "info,grpc_chat_client=trace"), b"");
    assert!(!output.stderr.contains('\u{1b}'), "{:?}", output.stderr);
}

#[test]
fn a_reaction_is_one_word_without_line_breaks() {
    let service = Service::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = grpc_chat_client::Config::new(
            format!("http://{}", service.address()).parse().unwrap(),
            "ann".parse().unwrap(),
        );
        let (ann, _events) = grpc_chat_client::connect(config).await.unwrap();
        ann.send("general", "Hi").await.unwrap();
        for reaction in ["x\n3 2026-11-24 10:00:00 boss: pay", "a\tb"] {
            ann.react("general", 1, reaction).await.unwrap_err();
        }
        ann.react("general", 1, "👍").await.unwrap();
    });
}

#[test]
fn a_variable_that_cannot_be_used_is_named() {
    let usage = |args: &[&str], variable: &str, value: &str| {
        let output = run(command().args(args).env(variable, value), b"");
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{variable}={value}: {}", output.stderr);
        output.stderr
    };
    for (variable, value) in [
        ("CHAT_SERVER", "ftp://x"),
        ("CHAT_SERVER", ""),
        ("CHAT_USER", "sam smith"),
        ("CHAT_DEVICE", "my phone"),
        ("CHAT_TOKEN", ""),
        ("CHAT_TOKEN_FILE", "/nonexistent"),
        ("CHAT_CA_CERT", "/nonexistent"),
        ("CHAT_CLIENT_KEY", "/nonexistent"),
        ("CHAT_CONFIG", "/nonexistent"),
        ("CHAT_THEME", "puce"),
        ("RUST_LOG", "grpc_chat_client=loud"),
    ] {
        let why = usage(&["chat", "general"], variable, value);
        let flag = variable.replace("CHAT_", "--").replace('_', "-").to_lowercase();
        assert!(why.contains(variable) && !why.contains(&flag), "{why}");
    }
    // A flag that cannot be used is named itself, whatever the variable is.
    for flag in [&["--server", "ftp://y"][..], &["--server=ftp://y"]] {
        let why = usage(&[&["rooms"], flag].concat(), "CHAT_SERVER", "ftp://x");
        assert!(why.contains("'ftp://y' for '--server <URL>'"), "{why}");
    }
}

#[test]
fn a_room_without_a_history_is_reported() {
    let service = Service::start();
    for args in [&["history", "general"][..], &["history", "general", "--last", "5", "--json"]] {
        let output = chat(&service, args);
        assert_eq!((output.stdout.as_str(), output.code), ("", 0));
        assert_eq!(output.stderr, "grpc_chat_client: the room general has no history\n");
    }
    let mut tail = Running::start(client(&service).args(["tail", "general"]));
    let mut noted = String::new();
    BufReader::new(tail.child.stderr.take().unwrap()).read_line(&mut noted).unwrap();
    assert_eq!(noted, "grpc_chat_client: the room general has no history; waiting for its first message\n");
    chat(&service, &["send", "general", "Hi"]);
    assert_eq!(without_time(&tail.line()), "1 sam: Hi");
    assert_eq!(chat(&service, &["history", "general"]).stderr, "");
}
