//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use grpc_chat_client::{DeviceId, RoomId, ServerUrl, UserId};

use crate::bench::BenchArgs;
use crate::values::After;

/// Talks to a chat service.
///
/// Without a command it runs the example: sends three messages, prints the three replies. With --name instead of a
/// command it sends each line of standard input to the example's service and prints each reply as it comes.
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
Exit codes: 0 when all was done (or the reader of the output left), 1 when the service could not be reached or failed,
2 when the command line or a configuration file cannot be used, 3 when the service said no, 130 after Ctrl-C.";

/// Where the service is, and who is calling. Each can also stand in the configuration file; a flag wins over the
/// environment, which wins over the file.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Where the service listens: http://HOST:PORT, or https:// for TLS [default: http://127.0.0.1:9090]
    #[arg(long, global = true, value_name = "URL", env = "CHAT_SERVER")]
    pub(crate) server: Option<ServerUrl>,

    /// The user's id [default: $USER or $LOGNAME]
    #[arg(long, global = true, value_name = "ID", env = "CHAT_USER")]
    pub(crate) user: Option<UserId>,

    /// An id that tells this device from the user's others
    #[arg(long, global = true, value_name = "ID", env = "CHAT_DEVICE")]
    pub(crate) device: Option<DeviceId>,

    /// A bearer token, for a service that asks for one; better in a file, since others can see command lines
    #[arg(long, global = true, env = "CHAT_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// A file with the token, read again for every connection
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Trust these authorities (PEM) and no others, for https://
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CA_CERT")]
    pub(crate) ca_cert: Option<PathBuf>,

    /// This client's certificate (PEM), for a service that asks for one
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CLIENT_CERT")]
    pub(crate) client_cert: Option<PathBuf>,

    /// The key (PEM) of --client-cert
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CLIENT_KEY")]
    pub(crate) client_key: Option<PathBuf>,

    /// The name that the service's certificate is for, if that is not the host in --server
    #[arg(long, global = true, value_name = "NAME", env = "CHAT_TLS_SERVER_NAME")]
    pub(crate) tls_server_name: Option<String>,

    /// Where unsent messages and places in rooms are kept [default: grpc_chat/client in the user's state directory]
    #[arg(long, global = true, value_name = "DIR", env = "CHAT_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// The configuration file [default: grpc_chat/client.toml in the user's configuration directory, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take part in a room: a screen on a terminal, lines in and out in a pipe
    Chat {
        /// The room; on a terminal, without it, those that you were in the last time
        room: Option<RoomId>,
        /// Keep nothing on disk: messages that are unsent at the end are lost
        #[arg(long)]
        no_state: bool,
    },
    /// Send one message, and end when it is stored
    Send {
        /// The room
        room: RoomId,
        /// The message; without it, all of standard input is one message. One that begins with `-` comes after `--`
        text: Vec<String>,
        /// The message that this one answers
        #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
        reply_to: Option<u64>,
        /// Give up after so many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        timeout: u32,
        /// Print the answer of the service as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what happens in a room, from now on and for as long as it runs
    Tail {
        /// The room
        room: RoomId,
        /// Begin after this event: SEQ, or EPOCH:SEQ as in --json, which tells if the history has begun anew since
        #[arg(long, value_name = "SEQ", conflicts_with_all = ["last", "resume"])]
        after: Option<After>,
        /// Begin with the last so many events
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
        last: u32,
        /// Begin where the last `tail --resume` of this room ended; the first one begins with --last
        #[arg(long)]
        resume: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print what has happened in a room
    History {
        /// The room
        room: RoomId,
        /// Only the last so many events
        #[arg(long, value_name = "N", conflicts_with = "after")]
        last: Option<u32>,
        /// Only events after this one
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// List the rooms that have a history
    Rooms {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Put load on a service and measure what comes of it
    Bench(BenchArgs),
    /// Print a script that completes this command line
    Completions {
        /// For which shell
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_fits_together() {
        Args::command().debug_assert();
    }
}
