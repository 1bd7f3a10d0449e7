//! The command line, the environment, and the configuration file that has the same names.

use std::any::TypeId;
use std::env::{self, VarError};
use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use grpc_chat_client::{DeviceId, RoomId, ServerUrl, UserId};
use serde::de::{Deserialize, Deserializer, Error};

use crate::bench::BenchArgs;
use crate::tui::Background;
use crate::values::{After, parse, seq, whole};

/// Talks to a chat service.
///
/// Without a command it runs the example: sends three messages and prints the three replies. With --name instead of a
/// command it sends each line of standard input to the example's service, and prints each reply as it comes.
#[derive(Parser)]
#[command(name = "grpc_chat_client", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,

    /// Send lines from standard input under this name, as in the example
    #[arg(long)]
    pub(crate) name: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 on success, also when the reader of the output has closed it; 1 when the service could not be reached or
failed; 2 when the command line, a variable or the configuration file cannot be used; 3 when the service refused; 130 after
Ctrl-C.";

/// Where the service is, and who the user is: from flags and the environment, or from the configuration file, in which the
/// names may also be written with `_` for `-`. A flag wins over the environment, which wins over the file.
#[derive(Debug, Default, clap::Args, serde::Deserialize)]
#[command(next_help_heading = "Connection")]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct ConnectArgs {
    /// The service: http://HOST:PORT, or https:// for TLS [default: http://127.0.0.1:9090]
    #[arg(long, global = true, value_name = "URL", env = "CHAT_SERVER")]
    #[serde(deserialize_with = "parsed")]
    pub(crate) server: Option<ServerUrl>,

    /// The user's id [default: $USER or $LOGNAME]
    #[arg(long, global = true, value_name = "ID", env = "CHAT_USER")]
    #[serde(deserialize_with = "parsed")]
    pub(crate) user: Option<UserId>,

    /// The id of this device, which tells it from the user's others
    #[arg(long, global = true, value_name = "ID", env = "CHAT_DEVICE")]
    #[serde(deserialize_with = "parsed")]
    pub(crate) device: Option<DeviceId>,

    /// A bearer token, for a service that asks for one; better in a file, since others can see command lines
    #[arg(long, global = true, env = "CHAT_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// A file with the token, read again for every connection
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_TOKEN_FILE")]
    #[serde(alias = "token_file")]
    pub(crate) token_file: Option<PathBuf>,

    /// Trust only the certificate authorities in this file (PEM), for https://
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CA_CERT")]
    #[serde(alias = "ca_cert")]
    pub(crate) ca_cert: Option<PathBuf>,

    /// This client's certificate (PEM), for a service that asks for one
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CLIENT_CERT")]
    #[serde(alias = "client_cert")]
    pub(crate) client_cert: Option<PathBuf>,

    /// The key (PEM) of --client-cert
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CLIENT_KEY")]
    #[serde(alias = "client_key")]
    pub(crate) client_key: Option<PathBuf>,

    /// The name in the service's certificate, if it is not the host in --server
    #[arg(long, global = true, value_name = "NAME", env = "CHAT_TLS_SERVER_NAME")]
    #[serde(alias = "tls_server_name")]
    pub(crate) tls_server_name: Option<String>,

    /// The directory for unsent messages and cursors [default: grpc_chat/client in the user's state directory]
    #[arg(long, global = true, value_name = "DIR", env = "CHAT_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// The configuration file [default: grpc_chat/client.toml in the user's configuration directory, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CONFIG")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take part in a room: a screen on a terminal, lines in and out in a pipe
    Chat {
        /// The room; without it, the screen has the rooms of the last time, or a list of all
        room: Option<RoomId>,
        /// Keep nothing on disk: messages that are unsent at the end are lost
        #[arg(long)]
        no_state: bool,
        /// The background that the screen's colours are for
        #[arg(long, value_name = "BACKGROUND", env = "CHAT_THEME", default_value = "auto")]
        theme: Background,
    },
    /// Send one message, and end when it is stored
    Send {
        /// The room
        room: RoomId,
        /// The message; without it, all of standard input is one message. A message that begins with `-` comes after `--`
        text: Vec<String>,
        /// The message that this one replies to
        #[arg(long, value_name = "SEQ", value_parser = seq)]
        reply_to: Option<u64>,
        /// Give up after this time
        #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = whole::<u32>(0..=u64::MAX))]
        timeout: u32,
        /// Print the service's reply as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the events of a room as they happen, until it is stopped
    Tail {
        /// The room
        room: RoomId,
        /// Begin after this event: SEQ, or as in --json EPOCH:SEQ, which detects a history that has begun anew, or
        /// EPOCH:SEQ:CLIENT_MSG_ID, which also detects one that was restored and has gone on differently
        #[arg(long, value_name = "SEQ", conflicts_with_all = ["last", "resume"])]
        after: Option<After>,
        /// Begin with this many of the latest events
        #[arg(long, value_name = "N", default_value = "10", value_parser = whole::<u32>(0..=1_000))]
        last: u32,
        /// Begin where the last `tail --resume` of this room ended; the first one begins with --last
        #[arg(long)]
        resume: bool,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print the events in a room's history
    History {
        /// The room
        room: RoomId,
        /// Only this many of the latest events
        #[arg(long, value_name = "N", conflicts_with = "after", value_parser = whole::<u32>(0..=u64::MAX))]
        last: Option<u32>,
        /// Only events after this one
        #[arg(long, value_name = "SEQ", value_parser = whole::<u64>(0..=u64::MAX))]
        after: Option<u64>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// List the rooms that have a history
    Rooms {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Put load on a service, and measure throughput, latency and CPU time
    Bench(BenchArgs),
    /// Print a script that completes this command line
    Completions {
        /// The shell that the script is for
        shell: Shell,
    },
}

impl Args {
    /// Parses the process's command line and environment. Also returns clap's matches, which know where values come from.
    pub(crate) fn from_process() -> Result<(Self, ArgMatches), clap::Error> {
        let matches = Self::command().try_get_matches().map_err(name_variable)?;
        Ok((Self::from_arg_matches(&matches)?, matches))
    }
}

impl ConnectArgs {
    /// Fills in from `other` what is not set.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            server: self.server.or(other.server),
            user: self.user.or(other.user),
            device: self.device.or(other.device),
            token: self.token.or(other.token),
            token_file: self.token_file.or(other.token_file),
            ca_cert: self.ca_cert.or(other.ca_cert),
            client_cert: self.client_cert.or(other.client_cert),
            client_key: self.client_key.or(other.client_key),
            tls_server_name: self.tls_server_name.or(other.tls_server_name),
            state: self.state.or(other.state),
            config: self.config.or(other.config),
        }
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map(Some).map_err(D::Error::custom)
}

/// Names the environment variable in an error about its value. clap names the flag that the variable stands for.
fn name_variable(mut error: clap::Error) -> clap::Error {
    let command = Args::command();
    let arguments = || command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments));
    let variable = |argument: &Arg| argument.get_env().and_then(OsStr::to_str).map(str::to_owned);
    if error.kind() == ErrorKind::InvalidUtf8 {
        let is_text = |argument: &&Arg| argument.get_value_parser().type_id() != TypeId::of::<PathBuf>();
        let is_not_utf8 = |name: &String| matches!(env::var(name), Err(VarError::NotUnicode(_)));
        let name = arguments().filter(is_text).filter_map(variable).find(is_not_utf8);
        let report = |name| clap::Error::raw(ErrorKind::InvalidUtf8, format!("the value of {name} is not UTF-8\n"));
        return name.map_or(error, report);
    }
    // As in `--server <URL>`.
    let Some(ContextValue::String(usage)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = usage.split(' ').next().unwrap_or_default().to_owned();
    let is_given = env::args_os().any(|word| {
        let word = word.to_string_lossy();
        word.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let argument = arguments().find(|argument| argument.get_long() == flag.strip_prefix("--"));
    if let Some(variable) = argument.filter(|_| !is_given).and_then(variable) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_fits_together() {
        Args::command().debug_assert();
    }
}
