//! The command line and the environment, checked and turned into a [`Config`].

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};
use etcetera::BaseStrategy;
use grpc_chat_service::cluster::MemoryCluster;
use grpc_chat_service::config::{Admin, Config, Store};
use grpc_chat_service::history::embedded::Options;
use grpc_chat_service::model::Durability;

/// 9090 is the example's port. Loopback, because callers are not authenticated.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Loopback, because there is no authentication.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);

/// What the process was asked to do.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) config: Config,
    pub(crate) log_format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line of text for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// Why there are no [`Args`] to run with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArgsError {
    /// Help or the version was asked for: text for standard output, and not a failure.
    Info(String),
    /// A flag or an environment variable cannot be used; the text is one sentence.
    Usage(String),
}

/// A chat service on one bidirectional gRPC stream.
///
/// Every flag can also be set by the environment variable named beside it; a flag takes precedence.
/// RUST_LOG sets what is logged (default: info).
#[derive(Debug, Parser)]
#[command(name = "grpc_chat_service", version)]
struct Flags {
    /// Address to listen on: an IP address and a port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "CHAT_LISTEN", default_value_t = DEFAULT_LISTEN, value_parser = address)]
    listen: SocketAddr,

    /// Directory of the history; created if it does not exist [default: grpc_chat in the user's data directory]
    #[arg(long, value_name = "DIR", env = "CHAT_DATA")]
    data: Option<PathBuf>,

    /// Keep the history in memory only: it is lost when the service ends
    #[arg(long, env = "CHAT_MEMORY", value_parser = switch)]
    memory: bool,

    /// When a message is acknowledged: once it is synced to disk, or once it is written to the operating system
    #[arg(long, value_name = "WHEN", env = "CHAT_DURABILITY", default_value = "synced", value_parser = durability())]
    durability: Durability,

    /// Start although acknowledged messages are missing from the history, in a new epoch, so that clients notice
    #[arg(long)]
    accept_loss: bool,

    /// Listen beyond this machine although callers are not authenticated
    #[arg(long, env = "CHAT_ALLOW_ANYONE", value_parser = switch)]
    allow_anyone: bool,

    /// How many seconds open calls get to end when the service is asked to stop
    #[arg(long, value_name = "SECONDS", env = "CHAT_GRACE", default_value = "10", value_parser = seconds)]
    grace: Duration,

    /// Address of /metrics, /live and /ready, or "off"; anybody who reaches it can read them [default: 127.0.0.1:9091 if
    /// that is free]
    #[arg(long, value_name = "ADDR", env = "CHAT_ADMIN", value_parser = admin)]
    admin: Option<Admin>,

    /// Format of the logs
    #[arg(long, value_name = "FORMAT", env = "CHAT_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

impl Args {
    /// Reads the process's flags and environment.
    ///
    /// # Errors
    ///
    /// [`ArgsError`] if the process should not go on to serve.
    pub(crate) fn from_process() -> Result<Self, ArgsError> {
        Self::parse(&std::env::args_os().collect::<Vec<_>>())
    }

    fn parse(words: &[OsString]) -> Result<Self, ArgsError> {
        let parsed = Flags::command()
            .try_get_matches_from(words)
            .and_then(|matches| Flags::from_arg_matches(&matches).map(|flags| (flags, matches)));
        let (flags, matches) = parsed.map_err(|error| {
            if error.use_stderr() {
                ArgsError::Usage(usage_error(&error, words))
            } else {
                ArgsError::Info(error.to_string())
            }
        })?;
        let from_flag = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        let in_memory = match (from_flag("memory"), from_flag("data")) {
            (true, true) => {
                return Err(ArgsError::Usage(
                    "--memory keeps nothing on disk, so it excludes --data; pass only one of them".to_owned(),
                ));
            }
            // A flag takes precedence over the environment, also over the variable of the other flag.
            (false, true) => false,
            _ => flags.memory,
        };
        if !flags.listen.ip().is_loopback() && !flags.allow_anyone {
            return Err(ArgsError::Usage(format!(
                "{} can be reached from other machines and callers are not authenticated; listen on 127.0.0.1, \
                 or pass --allow-anyone if that is what you want",
                flags.listen
            )));
        }
        let store = if in_memory {
            Store::Memory(MemoryCluster::default())
        } else {
            Store::Disk {
                dir: flags.data.map_or_else(default_data_dir, Ok)?,
                options: Options { durability: flags.durability, accept_loss: flags.accept_loss },
            }
        };
        // A second service on the machine runs without, unless it was told where.
        let admin = flags.admin.unwrap_or(Admin::IfFree(DEFAULT_ADMIN));
        let config = Config { listen: flags.listen, store, grace: flags.grace, admin, ..Config::default() };
        Ok(Self { config, log_format: flags.log_format })
    }
}

/// `grpc_chat` in the directory in which the platform keeps a user's data.
fn default_data_dir() -> Result<PathBuf, ArgsError> {
    match etcetera::choose_base_strategy() {
        Ok(platform) => Ok(platform.data_dir().join("grpc_chat")),
        Err(_) => Err(ArgsError::Usage(
            "there is no home directory for the history; name a directory with --data DIR, or pass --memory to keep \
             it in memory only"
                .to_owned(),
        )),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an IP address and a port, such as {DEFAULT_LISTEN}"))
}

fn admin(text: &str) -> Result<Admin, String> {
    if text == "off" {
        return Ok(Admin::Off);
    }
    let expected = |_| format!("expected \"off\", or an IP address and a port, such as {DEFAULT_ADMIN}");
    text.parse().map(Admin::At).map_err(expected)
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => Err("give a whole number of seconds, 0 or more".to_owned()),
    }
}

/// A switch in the environment. A flag on the command line arrives here as "true".
fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false, 1 or 0, yes or no, on or off".to_owned()),
    }
}

fn durability() -> impl TypedValueParser<Value = Durability> {
    PossibleValuesParser::new(["synced", "written"])
        .map(|text| if text == "written" { Durability::Written } else { Durability::Synced })
}

/// clap's report as one sentence, which blames the environment variable where the value came from there.
fn usage_error(error: &clap::Error, words: &[OsString]) -> String {
    let report = error.to_string();
    let first = report.split("\n\n").next().unwrap_or(&report);
    let sentence = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned();
    if let Some(ContextValue::String(named)) = error.get(ContextKind::InvalidArg)
        && let Some(variable) = variable_of(named, words)
    {
        sentence = sentence.replace(&format!("'{named}'"), &format!("the environment variable {variable}"));
    }
    format!("{sentence} (see --help)")
}

/// The environment variable behind an argument such as `--listen <ADDR>`, unless the flag is among the words.
fn variable_of(argument: &str, words: &[OsString]) -> Option<String> {
    let flag = argument.split_whitespace().next()?;
    let is_flag = |word: &OsString| {
        word.to_string_lossy().strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if words.iter().any(is_flag) {
        return None;
    }
    let command = Flags::command();
    let found = command.get_arguments().find(|argument| argument.get_long() == flag.strip_prefix("--"))?;
    Some(found.get_env()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Args, ArgsError> {
        let words: Vec<_> = ["grpc_chat_service"].iter().chain(flags).map(OsString::from).collect();
        Args::parse(&words)
    }

    fn usage(flags: &[&str]) -> String {
        match parse(flags).unwrap_err() {
            ArgsError::Usage(sentence) => sentence,
            ArgsError::Info(text) => panic!("not an error: {text}"),
        }
    }

    fn store(flags: &[&str]) -> Store {
        parse(flags).unwrap().config.store
    }

    #[test]
    fn the_default_address_is_loopback_port_9090() {
        assert_eq!(parse(&[]).unwrap().config.listen.to_string(), "127.0.0.1:9090");
    }

    #[test]
    fn an_address_beyond_this_machine_needs_explicit_consent() {
        for address in ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:9090"] {
            assert!(usage(&["--listen", address]).contains("--allow-anyone"));
            parse(&["--listen", address, "--allow-anyone"]).unwrap();
        }
        for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
            parse(&["--listen", address]).unwrap();
        }
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_the_value() {
        for (flags, named) in [
            (&["--listen", "nowhere"][..], "'nowhere' for '--listen <ADDR>'"),
            (&["--listen=nowhere"], "'nowhere' for '--listen <ADDR>'"),
            (&["--listen", "127.0.0.1:99999"], "99999"),
            (&["--admin", "9091"], "'9091' for '--admin <ADDR>'"),
            (&["--grace", "-1"], "-1"),
            (&["--grace", "soon"], "whole number of seconds"),
            (&["--log-format", "xml"], "xml"),
            (&["--durability", "maybe"], "maybe"),
            (&["--colour"], "--colour"),
            (&["extra"], "extra"),
        ] {
            let sentence = usage(flags);
            assert!(sentence.contains(named), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn switches_take_the_usual_words_and_nothing_else() {
        for word in ["true", "1", "yes", "on", "TRUE", "Yes"] {
            assert_eq!(switch(word), Ok(true));
        }
        for word in ["false", "0", "no", "off", "Off"] {
            assert_eq!(switch(word), Ok(false));
        }
        for word in ["", "nope", "none", "disabled", "maybe", "2", "y", " true"] {
            switch(word).unwrap_err();
        }
    }

    #[test]
    fn the_history_is_on_disk_by_default() {
        assert!(matches!(store(&[]), Store::Disk { dir, options }
            if dir.ends_with("grpc_chat") && options == Options::default()));
        assert!(matches!(store(&["--data", "/d"]), Store::Disk { dir, .. } if dir.ends_with("/d")));
        assert!(matches!(store(&["--memory"]), Store::Memory(_)));
        assert!(usage(&["--memory", "--data", "/d"]).contains("only one"));
    }

    #[test]
    fn the_admin_listener_is_on_loopback_and_can_be_elsewhere_or_off() {
        let admin = |flags: &[&str]| parse(flags).unwrap().config.admin;
        assert_eq!(admin(&[]), Admin::IfFree(DEFAULT_ADMIN));
        assert_eq!(admin(&["--admin", "[::1]:80"]), Admin::At(([0, 0, 0, 0, 0, 0, 0, 1], 80).into()));
        assert_eq!(admin(&["--admin", "127.0.0.1:9091"]), Admin::At(DEFAULT_ADMIN));
        assert_eq!(admin(&["--admin", "off"]), Admin::Off);
    }

    #[test]
    fn help_is_not_an_error() {
        assert!(matches!(parse(&["--help"]), Err(ArgsError::Info(text)) if text.contains("--listen")));
    }
}
