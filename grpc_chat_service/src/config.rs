//! What can be set, from flags and environment, checked once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};
use etcetera::BaseStrategy;

use crate::limits::Limits;

/// A chat service on one bidirectional gRPC stream.
///
/// Every flag can also be set by the environment variable named beside it; a flag wins.
/// What is logged is set by RUST_LOG (default: info).
#[derive(Clone, Debug, Parser)]
#[command(name = "grpc_chat_service", version)]
pub struct Config {
    /// Where to listen: an IP address and a port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "CHAT_LISTEN", default_value_t = DEFAULT_LISTEN, value_parser = address)]
    pub listen: SocketAddr,

    /// Where the rooms' history is kept; made if it does not exist [default: grpc_chat in the user's data directory]
    #[arg(long, value_name = "DIR", env = "CHAT_DATA")]
    pub data: Option<PathBuf>,

    /// Keep the history in memory only: it is gone when the service ends
    #[arg(long, env = "CHAT_MEMORY", value_parser = FalseyValueParser::new())]
    pub memory: bool,

    /// When a message is acked: once it is synced to disk, or once it is written to the operating system
    #[arg(long, value_name = "WHEN", env = "CHAT_DURABILITY", default_value = "synced")]
    pub durability: DiskDurability,

    /// Start although acked messages are missing from the history; clients will notice that it has begun anew
    #[arg(long)]
    pub accept_loss: bool,

    /// Listen beyond this machine although callers are not authenticated
    #[arg(long, env = "CHAT_ALLOW_ANYONE", value_parser = FalseyValueParser::new())]
    pub allow_anyone: bool,

    /// After being asked to stop, how many seconds open calls get to end
    #[arg(long, value_name = "SECONDS", env = "CHAT_GRACE", default_value = "10", value_parser = seconds)]
    pub grace: Duration,

    /// How to write logs
    #[arg(long, value_name = "FORMAT", env = "CHAT_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Bounds on what peers may take.
    #[arg(skip)]
    pub limits: Limits,
}

/// 9090 is the example's port. Loopback, because callers are not authenticated.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for a person.
    Text,
    /// A JSON object a line.
    Json,
}

/// How safe a message on disk is when it is acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DiskDurability {
    /// Survives a power cut.
    Synced,
    /// Survives the service, and what killed it, but not the machine.
    Written,
}

/// Why there is no [`Config`] to run with.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not a problem: help or version was asked for. To be printed on standard output.
    Asked(String),
    /// A flag or variable that cannot be used, in a sentence.
    Usage(String),
}

impl Config {
    /// Reads the process's flags and environment.
    ///
    /// # Errors
    ///
    /// [`Problem`] if the process should not go on to serve.
    pub fn from_process() -> Result<Self, Problem> {
        Self::from_args(std::env::args_os())
    }

    fn from_args(args: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>) -> Result<Self, Problem> {
        let parsed = Self::command()
            .try_get_matches_from(args)
            .and_then(|flags| Self::from_arg_matches(&flags).map(|config| (config, flags)));
        let (mut config, flags) = parsed.map_err(|error| {
            if error.use_stderr() {
                Problem::Usage(one_sentence(&error.to_string()))
            } else {
                Problem::Asked(error.to_string())
            }
        })?;
        let is_flag = |name| flags.value_source(name) == Some(ValueSource::CommandLine);
        match (is_flag("memory"), is_flag("data")) {
            (true, true) => {
                return Err(Problem::Usage(
                    "--memory keeps nothing, so --data has no use with it; choose one".to_owned(),
                ));
            }
            // A flag wins over the environment, also over what the environment says of another one.
            (false, true) => config.memory = false,
            _ => {}
        }
        if !config.listen.ip().is_loopback() && !config.allow_anyone {
            return Err(Problem::Usage(format!(
                "{} can be reached from other machines and callers are not authenticated; listen on 127.0.0.1, \
                 or pass --allow-anyone if that is what you want",
                config.listen
            )));
        }
        Ok(config)
    }

    /// Where the history is kept: `data`, or `grpc_chat` where this platform keeps a user's data. `None`: in memory.
    ///
    /// # Errors
    ///
    /// A sentence, if the platform does not say where that is.
    pub fn data_dir(&self) -> Result<Option<PathBuf>, String> {
        if self.memory {
            return Ok(None);
        }
        if let Some(dir) = &self.data {
            return Ok(Some(dir.clone()));
        }
        match etcetera::choose_base_strategy() {
            Ok(platform) => Ok(Some(platform.data_dir().join("grpc_chat"))),
            Err(_) => Err("there is no home directory to keep the history in; say where with --data DIR, or pass \
                           --memory to keep it in memory only"
                .to_owned()),
        }
    }
}

impl Default for Config {
    /// What the binary runs with when nothing is set, except that it listens on a free port and keeps its history in
    /// memory.
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(DEFAULT_LISTEN.ip(), 0),
            data: None,
            memory: true,
            durability: DiskDurability::Synced,
            accept_loss: false,
            allow_anyone: false,
            grace: Duration::from_secs(10),
            log_format: LogFormat::Text,
            limits: Limits::default(),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => Err("give a whole number of seconds, 0 or more".to_owned()),
    }
}

/// clap writes a paragraph; a log or a terminal wants a sentence.
fn one_sentence(report: &str) -> String {
    let first = report.split("\n\n").next().unwrap_or(report);
    let words: Vec<&str> = first.split_whitespace().collect();
    let sentence = words.join(" ");
    format!("{} (see --help)", sentence.strip_prefix("error: ").unwrap_or(&sentence))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an IP address and a port, such as {DEFAULT_LISTEN}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Config, Problem> {
        Config::from_args([&["grpc_chat_service"], args].concat())
    }

    fn usage(args: &[&str]) -> String {
        match parse(args).unwrap_err() {
            Problem::Usage(sentence) => sentence,
            Problem::Asked(text) => panic!("not an error: {text}"),
        }
    }

    #[test]
    fn without_flags_it_listens_on_loopback_port_9090() {
        assert_eq!(parse(&[]).unwrap().listen.to_string(), "127.0.0.1:9090");
    }

    #[test]
    fn an_address_beyond_this_machine_needs_a_flag_that_says_so() {
        for address in ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:9090"] {
            assert!(usage(&["--listen", address]).contains("--allow-anyone"));
            parse(&["--listen", address, "--allow-anyone"]).unwrap();
        }
        for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
            parse(&["--listen", address]).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_in_one_line() {
        for (args, named) in [
            (&["--listen", "nowhere"][..], "'nowhere' for '--listen <ADDR>'"),
            (&["--listen", "127.0.0.1:99999"], "99999"),
            (&["--grace", "-1"], "-1"),
            (&["--grace", "soon"], "whole number of seconds"),
            (&["--log-format", "xml"], "xml"),
            (&["--colour"], "--colour"),
            (&["extra"], "extra"),
        ] {
            let sentence = usage(args);
            assert!(sentence.contains(named), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn the_history_is_on_disk_unless_told_otherwise() {
        let default = parse(&[]).unwrap().data_dir().unwrap().unwrap();
        assert!(default.ends_with("grpc_chat"), "{}", default.display());
        assert_eq!(parse(&["--data", "/d"]).unwrap().data_dir().unwrap().unwrap(), PathBuf::from("/d"));
        assert_eq!(parse(&["--memory"]).unwrap().data_dir().unwrap(), None);
        assert!(usage(&["--memory", "--data", "/d"]).contains("choose one"));
    }

    #[test]
    fn help_is_not_an_error() {
        assert!(matches!(parse(&["--help"]), Err(Problem::Asked(text)) if text.contains("--listen")));
    }
}
