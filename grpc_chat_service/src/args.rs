//! The command line and the environment, checked and turned into a [`Config`].

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use etcetera::BaseStrategy;
use grpc_chat_service::address::LogAddresses;
use grpc_chat_service::cluster::MemoryCluster;
use grpc_chat_service::config::{Admin, Config, Store};
use grpc_chat_service::history::embedded::Options;

use crate::settings::address::{self, DEFAULT_LISTEN};
use crate::settings::layers::Layers;
use crate::settings::origin::{Origin, Origins};
use crate::settings::{AckWhen, Settings};
use crate::telemetry::LogFormat;

/// All keys of the configuration file, with comments.
const EXAMPLE: &str = include_str!("../config.example.toml");

/// What the process was asked to do.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) config: Config,
    pub(crate) log_format: LogFormat,
}

/// Why there are no [`Args`] to run with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArgsError {
    /// Help, the version or the configuration was asked for: text for standard output, and not a failure.
    Info(String),
    /// Flags, environment variables or the configuration file cannot be used: a sentence for each reason.
    Usage(Vec<String>),
}

/// A chat service on one bidirectional gRPC stream.
///
/// Every flag can also be set by the environment variable named beside it, or in a configuration file. A flag takes
/// precedence over the environment, and the environment over the file. RUST_LOG sets what is logged (default: info).
#[derive(Debug, Parser)]
#[command(name = "grpc_chat_service", version)]
struct Flags {
    /// Configuration file, in TOML
    #[arg(long, value_name = "FILE", env = "CHAT_CONFIG", global = true)]
    config: Option<PathBuf>,

    /// Address to listen on: an IP address and a port; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        env = "CHAT_LISTEN",
        default_value_t = DEFAULT_LISTEN,
        value_parser = address::listen,
        global = true
    )]
    listen: SocketAddr,

    /// Directory of the history; created if it does not exist [default: grpc_chat in the user's data directory]
    #[arg(long, value_name = "DIR", env = "CHAT_DATA", global = true)]
    data: Option<PathBuf>,

    /// Keep the history in memory only: it is lost when the service ends
    #[arg(long, env = "CHAT_MEMORY", value_parser = switch, global = true)]
    memory: bool,

    /// When a message is acknowledged
    #[arg(long, value_name = "WHEN", env = "CHAT_DURABILITY", default_value = "synced", global = true)]
    durability: AckWhen,

    /// Start although acknowledged messages are missing from the history, in a new epoch, so that clients notice
    #[arg(long, global = true)]
    accept_loss: bool,

    /// Listen beyond this machine although callers are not authenticated
    #[arg(long, env = "CHAT_ALLOW_ANYONE", value_parser = switch, global = true)]
    allow_anyone: bool,

    /// How many seconds open calls get to end when the service is asked to stop
    #[arg(
        long,
        value_name = "SECONDS",
        env = "CHAT_GRACE",
        default_value = "10",
        value_parser = seconds,
        global = true
    )]
    grace: Duration,

    /// Address of /metrics, /live and /ready, or "off"; anybody who reaches it can read them [default: 127.0.0.1:9091 if
    /// that is free]
    #[arg(long, value_name = "ADDR", env = "CHAT_ADMIN", value_parser = address::admin, global = true)]
    admin: Option<Admin>,

    /// Format of the logs
    #[arg(long, value_name = "FORMAT", env = "CHAT_LOG_FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,

    /// How the addresses of callers are logged: in full, or only their networks (IPv4 /24, IPv6 /48)
    #[arg(
        long,
        value_name = "HOW",
        env = "CHAT_LOG_ADDRESSES",
        default_value = "full",
        value_parser = log_addresses(),
        global = true
    )]
    log_addresses: LogAddresses,

    /// Do not limit how often users and addresses may ask for something
    #[arg(long, env = "CHAT_NO_RATES", value_parser = switch, global = true)]
    no_rates: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the configuration that the service would run with, as TOML, and where each value is from
    Config {
        /// Only check this configuration file, without the environment and other flags
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,

        /// Print a file with all keys, their defaults and comments instead
        #[arg(long, conflicts_with = "check")]
        example: bool,
    },
}

impl Args {
    /// Reads the process's flags and environment, and the configuration file that they name.
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
                ArgsError::Usage(vec![usage_error(&error, words)])
            } else {
                ArgsError::Info(error.to_string())
            }
        })?;
        match &flags.command {
            Some(Command::Config { check: Some(file), .. }) => {
                check(file).map_err(ArgsError::Usage)?;
                return Err(ArgsError::Info(format!("{} can be used\n", file.display())));
            }
            Some(Command::Config { example: true, .. }) => return Err(ArgsError::Info(EXAMPLE.to_owned())),
            _ => {}
        }
        let (settings, origins) = flags.settings(&matches).map_err(ArgsError::Usage)?;
        if flags.command.is_some() {
            let text = settings.to_toml(&origins).map_err(|sentence| ArgsError::Usage(vec![sentence]))?;
            return Err(ArgsError::Info(text));
        }
        Ok(Self { log_format: settings.log_format, config: config(settings, flags.accept_loss) })
    }
}

/// Checks a configuration file alone.
fn check(file: &Path) -> Result<(), Vec<String>> {
    let mut layers = Layers::new();
    layers.add_file(file, "--check");
    let (settings, origins) = layers.finish()?;
    let conflicts = settings.conflicts(&origins);
    if conflicts.is_empty() { Ok(()) } else { Err(conflicts) }
}

impl Flags {
    /// Puts the file, the environment and the flags together.
    fn settings(&self, matches: &ArgMatches) -> Result<(Settings, Origins), Vec<String>> {
        let mut layers = Layers::new();
        if let Some(path) = &self.config {
            let name = origin("config", matches).unwrap_or(Origin::Default);
            layers.add_file(path, &name.to_string());
        }
        layers.add_variables(std::env::vars_os());
        let (mut settings, mut origins) = layers.finish()?;
        self.apply(matches, &mut settings, &mut origins);
        let mut errors = settings.conflicts(&origins);
        settings.choose_store(&mut origins);
        if !settings.memory && settings.data.as_os_str().is_empty() {
            match default_data_dir() {
                Ok(dir) => settings.data = dir,
                Err(sentence) => errors.push(sentence),
            }
        }
        if errors.is_empty() { Ok((settings, origins)) } else { Err(errors) }
    }

    /// Sets what the flags and their variables say.
    fn apply(&self, matches: &ArgMatches, settings: &mut Settings, origins: &mut Origins) {
        let mut given = |id, key| {
            let origin = origin(id, matches);
            origin.map(|origin| origins.set(key, origin)).is_some()
        };
        if given("listen", "listen") {
            settings.listen = self.listen;
        }
        if let Some(dir) = &self.data
            && given("data", "data")
        {
            settings.data.clone_from(dir);
        }
        if given("memory", "memory") {
            settings.memory = self.memory;
        }
        if given("durability", "durability") {
            settings.durability = self.durability;
        }
        if given("allow_anyone", "allow-anyone") {
            settings.allow_anyone = self.allow_anyone;
        }
        if given("grace", "grace") {
            settings.grace = self.grace;
        }
        if let Some(admin) = self.admin
            && given("admin", "admin")
        {
            settings.admin = admin;
        }
        if given("log_format", "log-format") {
            settings.log_format = self.log_format;
        }
        if given("log_addresses", "log-addresses") {
            settings.log_addresses = self.log_addresses;
        }
        if given("no_rates", "rates") {
            settings.rates = !self.no_rates;
        }
    }
}

/// Returns where an argument's value is from, if it was given.
fn origin(id: &str, matches: &ArgMatches) -> Option<Origin> {
    match matches.value_source(id)? {
        ValueSource::CommandLine => Some(Origin::Flag(format!("--{}", id.replace('_', "-")))),
        ValueSource::EnvVariable => Some(Origin::Variable(format!("CHAT_{}", id.to_uppercase()))),
        _ => None,
    }
}

/// Returns the server's configuration.
fn config(settings: Settings, accept_loss: bool) -> Config {
    let Settings { listen, data, memory, durability, grace, admin, limits, rates, log_addresses, .. } = settings;
    let store = if memory {
        Store::Memory(MemoryCluster::default())
    } else {
        Store::Disk { dir: data, options: Options { durability: durability.into(), accept_loss } }
    };
    Config { listen, store, grace, admin, limits, rates, log_addresses, ..Config::default() }
}

/// `grpc_chat` in the directory in which the platform keeps a user's data.
fn default_data_dir() -> Result<PathBuf, String> {
    match etcetera::choose_base_strategy() {
        Ok(platform) => Ok(platform.data_dir().join("grpc_chat")),
        Err(_) => {
            Err("there is no home directory for the history; name a directory with --data DIR, or pass --memory \
                       to keep it in memory only"
                .to_owned())
        }
    }
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

fn log_addresses() -> impl TypedValueParser<Value = LogAddresses> {
    PossibleValuesParser::new(["full", "short"])
        .map(|text| if text == "short" { LogAddresses::Short } else { LogAddresses::Full })
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
            ArgsError::Usage(sentences) => sentences.join("\n"),
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
        assert_eq!(admin(&[]), Admin::IfFree(([127, 0, 0, 1], 9091).into()));
        assert_eq!(admin(&["--admin", "[::1]:80"]), Admin::At(([0, 0, 0, 0, 0, 0, 0, 1], 80).into()));
        assert_eq!(admin(&["--admin", "127.0.0.1:9091"]), Admin::At(([127, 0, 0, 1], 9091).into()));
        assert_eq!(admin(&["--admin", "127.0.0.1:1 if free"]), Admin::IfFree(([127, 0, 0, 1], 1).into()));
        assert_eq!(admin(&["--admin", "off"]), Admin::Off);
    }

    /// What `config` prints with these flags, if they can be used.
    fn printed(flags: &[&str]) -> Option<String> {
        match parse(&[&["config"], flags].concat()).unwrap_err() {
            ArgsError::Info(text) => Some(text),
            ArgsError::Usage(_) => None,
        }
    }

    #[test]
    fn every_key_but_the_limits_has_a_flag_with_a_variable() {
        let command = Flags::command();
        let all: toml::Table = printed(&["--memory"]).unwrap().parse().unwrap();
        for key in all.keys().filter(|key| *key != "limits") {
            let names = [key.clone(), format!("no-{key}")];
            let of_key = |flag: &&clap::Arg| flag.get_long().is_some_and(|long| names.iter().any(|name| name == long));
            let flag = command.get_arguments().find(of_key).unwrap_or_else(|| panic!("{key} has no flag"));
            assert!(flag.get_env().is_some() && flag.is_global_set(), "{key}");
        }
    }

    #[test]
    fn every_flag_with_a_variable_sets_a_key() {
        let settings = |flag: &&clap::Arg| flag.get_env().is_some() && flag.get_id() != "config";
        for flag in Flags::command().get_arguments().filter(settings) {
            let long = format!("--{}", flag.get_long().unwrap());
            let words = flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect::<Vec<_>>();
            let values = words.iter().map(String::as_str).chain(["7", "127.0.0.1:1"]);
            let with_value = values.filter_map(|value| printed(&[&long, value])).next();
            let text = with_value.or_else(|| printed(&[&long])).unwrap_or_else(|| panic!("no value for {long}"));
            assert!(text.contains(&format!("# {long}\n")), "{long} sets nothing:\n{text}");
        }
    }

    #[test]
    fn the_readme_has_every_flag_with_its_variable() {
        let readme = include_str!("../../README.md");
        let of_service = readme.split("### The service").nth(1).unwrap().split("### The client").next().unwrap();
        for flag in Flags::command().get_arguments().filter(|flag| flag.get_long().is_some()) {
            let variable = flag.get_env().map_or_else(String::new, |name| format!("`{}` ", name.display()));
            let value = flag.get_action().takes_values().then(|| flag.get_value_names().unwrap()[0].as_str());
            let value = value.map_or_else(String::new, |value| format!(" {value}"));
            let row = format!("| `--{}{value}` | {variable}|", flag.get_long().unwrap());
            assert!(of_service.contains(&row), "no row {row}");
        }
    }

    #[test]
    fn help_is_not_an_error() {
        assert!(matches!(parse(&["--help"]), Err(ArgsError::Info(text)) if text.contains("--listen")));
    }
}
