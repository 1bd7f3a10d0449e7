//! The configuration file, its place between the defaults, the environment and the flags, and the sentences about its errors.

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::example::assert_serving;
use crate::support::process::{Binary, Output, binary, finish, run};
use crate::support::session::Session;

/// A configuration file. Its directory is removed when it is dropped.
struct File {
    dir: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("chat.toml"), text).unwrap();
        Self { dir }
    }

    /// Returns a command that runs the binary beside the file.
    fn binary(&self, args: &[&str]) -> Command {
        let mut command = binary();
        command.args(args).current_dir(&self.dir);
        command
    }

    /// Runs `config --check` on the file.
    async fn check(&self) -> Output {
        finish(&mut self.binary(&["config", "--check", "chat.toml"])).await
    }
}

impl Output {
    /// Asserts that nothing was done, because of these errors.
    fn assert_errors(&self, sentences: &[&str]) {
        let expected: String = sentences.iter().map(|sentence| format!("grpc_chat_service: {sentence}\n")).collect();
        assert_eq!((self.code, self.stdout.as_str(), &self.stderr), (Some(2), "", &expected));
    }

    /// Asserts success, and that standard output has this line.
    fn assert_line(&self, line: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        assert!(self.stdout.lines().any(|printed| printed == line), "no line {line} in\n{}", self.stdout);
    }
}

#[tokio::test]
async fn the_service_runs_with_what_the_file_says() {
    let file = File::new("listen = \"127.0.0.1:0\"\n[limits.session]\nheartbeat = \"1m30s\"\ntext-bytes = \"4 KiB\"\n");
    let server = Binary::spawn(file.binary(&["--config", "chat.toml"])).await;
    assert_serving(server.addr).await;
    let Session { welcome, .. } = Session::open(server.addr, "sam").await;
    assert_eq!(welcome.limits.unwrap().max_text_bytes, 4096);
    assert_eq!(welcome.heartbeat.unwrap().seconds, 90);
}

#[tokio::test]
async fn flags_take_precedence_over_the_environment_and_that_over_the_file() {
    let file = File::new("grace = \"1s\"\nlog-format = \"json\"\ndurability = \"written\"\n");
    let mut command = file.binary(&["config", "--config", "chat.toml", "--grace", "3"]);
    command.env("CHAT_GRACE", "2").env("CHAT_LOG_FORMAT", "text").env("CHAT_LIMITS_SESSION_ROOMS", "12");
    command.env("CHAT_LIMITS_ROOM_TAIL_BYTES", "64 KiB").env("CHAT_LIMITS_SESSION_AGE", "1h");
    let output = finish(&mut command).await;
    for line in [
        "listen = \"127.0.0.1:9090\"  # default",
        "grace = \"3s\"  # --grace",
        "log-format = \"text\"  # CHAT_LOG_FORMAT",
        "durability = \"written\"  # chat.toml, line 3",
        "memory = true  # CHAT_MEMORY",
        "[limits.session]",
        "rooms = 12  # CHAT_LIMITS_SESSION_ROOMS",
        "age = \"1h\"  # CHAT_LIMITS_SESSION_AGE",
        "tail-bytes = \"64 KiB\"  # CHAT_LIMITS_ROOM_TAIL_BYTES",
    ] {
        output.assert_line(line);
    }
}

#[tokio::test]
async fn what_config_prints_is_a_file_with_the_same_configuration() {
    let first = finish(&mut File::new("").binary(&["config", "--grace", "7", "--no-rates"])).await;
    first.assert_line("rates = false  # --no-rates");
    let file = File::new(&first.stdout);
    let second = finish(file.binary(&["config"]).env("CHAT_CONFIG", "chat.toml").env_remove("CHAT_MEMORY")).await;
    assert!(!second.stdout.contains("# default"), "{}", second.stdout);
    let values = |output: &Output| -> Vec<String> {
        output.stdout.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&first), values(&second));
}

#[tokio::test]
async fn the_example_file_can_be_printed_and_used() {
    let example = run(&["config", "--example"]).await;
    example.assert_line("[limits.session]");
    example.assert_line("#rooms = 256");
    File::new(&example.stdout).check().await.assert_line("chat.toml can be used");
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_its_line_and_the_nearest_one() {
    let file = File::new("lisen = \"127.0.0.1:0\"\n\n[limits.session]\nroom = 7\n[limits.conection]\nstreams = 1\n");
    let errors = [
        "chat.toml, line 1: unknown key lisen; did you mean listen?",
        "chat.toml, line 4: unknown key limits.session.room; did you mean limits.session.rooms?",
        "chat.toml, line 5: unknown key limits.conection; did you mean limits.connection?",
    ];
    file.check().await.assert_errors(&errors);
    finish(&mut file.binary(&["--config", "chat.toml"])).await.assert_errors(&errors);
    finish(&mut file.binary(&["config", "--config", "chat.toml"])).await.assert_errors(&errors);
    File::new("colour = 1")
        .check()
        .await
        .assert_errors(&["chat.toml, line 1: unknown key colour; `grpc_chat_service config` prints all keys"]);
}

#[tokio::test]
async fn values_that_cannot_be_used_are_refused_with_their_lines_and_what_is_allowed() {
    let file = File::new(
        "listen = \"here\"\nmemory = \"yes\"\ngrace = 10\ndurability = \"never\"\nlimits.room = 1\nadmin = \"9091\"\n\
         [limits.session]\nrooms = 0\nin-flight = \"many\"\nhello = \"soon\"\nage = \"0s\"\ntext-bytes = \"8 KB\"\n\
         unread-reply-bytes = 99999999999999999999\n",
    );
    file.check().await.assert_errors(&[
        "chat.toml, line 1: listen is \"here\"; expected an IP address and a port, such as 127.0.0.1:9090",
        "chat.toml, line 2: memory is \"yes\"; expected true or false",
        "chat.toml, line 3: grace is 10; expected a duration from 0s to 87600h, such as \"1m30s\"",
        "chat.toml, line 4: durability is \"never\"; expected \"synced\" or \"written\"",
        "chat.toml, line 5: limits.room is 1; expected a table of keys, [limits.room]",
        "chat.toml, line 6: admin is \"9091\"; expected \"off\", or an IP address and a port, such as 127.0.0.1:9091",
        "chat.toml, line 8: limits.session.rooms is 0; expected a whole number from 1 to 4294967295",
        "chat.toml, line 9: limits.session.in-flight is \"many\"; expected a whole number from 1 to 4294967295",
        "chat.toml, line 10: limits.session.hello is \"soon\"; expected a duration from 1ms to 87600h, such as \"1m30s\"",
        "chat.toml, line 11: limits.session.age is \"0s\"; expected a duration from 1ms to 87600h, such as \"1m30s\"",
        "chat.toml, line 12: limits.session.text-bytes is \"8 KB\"; expected a size from 1 B to 1 TiB, as a number of \
         bytes or such as \"64 KiB\"",
        "chat.toml, line 13: limits.session.unread-reply-bytes is 99999999999999999999; expected a size from 1 B to 1 TiB, \
         as a number of bytes or such as \"64 KiB\"",
    ]);
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused_with_the_names_of_the_keys() {
    let file =
        File::new("\nmemory = true\ndata = \"d\"\nlisten = \"0.0.0.0:0\"\n[limits.session]\ntext-bytes = 66_000\n");
    file.check().await.assert_errors(&[
        "chat.toml, line 2: memory = true keeps nothing on disk, so it excludes data; set only one of them",
        "chat.toml, line 4: 0.0.0.0:0 can be reached from other machines and callers are not authenticated; listen on \
         127.0.0.1, or set allow-anyone = true if that is what you want",
        "chat.toml, line 6: limits.connection.message-bytes has to be at least 1 KiB more than \
         limits.session.text-bytes, so that a frame with such a text can be received",
    ]);
}

#[tokio::test]
async fn of_memory_and_data_the_one_that_takes_precedence_counts() {
    let file = File::new("memory = true\n");
    let mut command = file.binary(&["config", "--config", "chat.toml"]);
    command.env_remove("CHAT_MEMORY").env("CHAT_DATA", "d");
    let output = finish(&mut command).await;
    output.assert_line("memory = false  # CHAT_DATA");
    output.assert_line("data = \"d\"  # CHAT_DATA");
    let file = File::new("data = \"d\"\n");
    let output = finish(&mut file.binary(&["config", "--config", "chat.toml"])).await;
    output.assert_line("memory = true  # CHAT_MEMORY");
    assert!(!output.stdout.contains("data ="), "{}", output.stdout);
}

#[tokio::test]
async fn a_file_that_is_no_toml_is_refused_with_the_line() {
    File::new("grace = \"1s\"\nlisten = \n").check().await.assert_error(2, "chat.toml, line 2: ");
    File::new("grace = \"1s\"\ngrace = \"2s\"\n").check().await.assert_error(2, "chat.toml, line 2: ");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_with_what_names_it() {
    let file = File::new("");
    let error = "No such file or directory (os error 2)";
    let by_flag = finish(&mut file.binary(&["--config", "none.toml"])).await;
    by_flag.assert_errors(&[&format!("cannot read none.toml, which --config names: {error}")]);
    let by_variable = finish(file.binary(&[]).env("CHAT_CONFIG", "none.toml")).await;
    by_variable.assert_errors(&[&format!("cannot read none.toml, which CHAT_CONFIG names: {error}")]);
    let checked = finish(&mut file.binary(&["config", "--check", "none.toml"])).await;
    checked.assert_errors(&[&format!("cannot read none.toml, which --check names: {error}")]);
}

#[tokio::test]
async fn the_variable_of_a_limit_is_checked_like_its_key() {
    let mut command = binary();
    command
        .env("CHAT_LIMITS_SESION_ROOMS", "1")
        .env("CHAT_LIMITS_SESSION_ROOMS", "none")
        .env("CHAT_LIMITS_COLOUR", "1");
    let output = finish(&mut command).await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""));
    let mut lines: Vec<&str> = output.stderr.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "grpc_chat_service: the environment variable CHAT_LIMITS_SESSION_ROOMS is \"none\"; expected a whole number from 1 \
         to 4294967295",
            "grpc_chat_service: unknown environment variable CHAT_LIMITS_COLOUR",
            "grpc_chat_service: unknown environment variable CHAT_LIMITS_SESION_ROOMS; did you mean \
         CHAT_LIMITS_SESSION_ROOMS?",
        ]
    );
}

#[tokio::test]
async fn check_leaves_out_the_environment_and_the_flags() {
    let file = File::new("grace = \"1s\"\n");
    let mut command = file.binary(&["config", "--check", "chat.toml"]);
    command.env("CHAT_LIMITS_SESSION_ROOMS", "0").env("CHAT_CONFIG", "none.toml");
    finish(&mut command).await.assert_line("chat.toml can be used");
}

#[tokio::test]
async fn a_service_without_rates_says_so_in_the_log() {
    for (args, is_logged) in [(&["--no-rates"][..], true), (&[], false)] {
        let mut server = Binary::start(args).await;
        server.signal("TERM").await;
        let (_, log) = server.exited().await;
        assert_eq!(log.contains("rates are not limited"), is_logged, "{log}");
    }
}
