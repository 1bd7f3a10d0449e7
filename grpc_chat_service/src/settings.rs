//! What the binary can be told: the configuration file, the environment and the flags, put together.

pub(crate) mod address;
mod document;
#[cfg(test)]
mod example;
mod keys;
pub(crate) mod layers;
pub(crate) mod origin;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use grpc_chat_service::address::LogAddresses;
use grpc_chat_service::config::Admin;
use grpc_chat_service::limits::Limits;
use grpc_chat_service::model::Durability;
use grpc_chat_service::units;
use serde::{Deserialize, Serialize};

use self::address::{DEFAULT_ADMIN, DEFAULT_LISTEN};
use self::origin::{Origin, Origins};
use crate::telemetry::LogFormat;

/// The settings. Every field is a key of the configuration file, and its comment is the comment there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// The address to listen on: an IP address and a port; port 0 takes a free one. The default can be reached from this
    /// machine only, because callers are not authenticated.
    #[serde(deserialize_with = "address::deserialize_listen")]
    pub(crate) listen: SocketAddr,

    /// Whether `listen` may be an address that other machines can reach, although callers are not authenticated.
    pub(crate) allow_anyone: bool,

    /// The directory of the history; created if it does not exist. If empty, it is `grpc_chat` in the user's data
    /// directory.
    pub(crate) data: PathBuf,

    /// Whether the history is kept in memory only, and lost when the service ends. Excludes `data`.
    pub(crate) memory: bool,

    /// When a message is acknowledged: once it is "synced" to disk, or once it is "written" to the operating system, which
    /// is faster and loses the last messages in a power cut.
    pub(crate) durability: AckWhen,

    /// How long open calls get to end when the service is asked to stop.
    #[serde(with = "units::duration")]
    pub(crate) grace: Duration,

    /// The address of /metrics, /live and /ready, or "off". Anybody who reaches it can read them. With " if free" after it,
    /// the service runs without them when the address is taken.
    #[serde(deserialize_with = "address::deserialize_admin", serialize_with = "address::serialize_admin")]
    pub(crate) admin: Admin,

    /// The format of the logs on standard error: "text" or "json".
    pub(crate) log_format: LogFormat,

    /// How the addresses of callers are logged: "full", or "short", which is only their networks (IPv4 /24, IPv6 /48).
    pub(crate) log_addresses: LogAddresses,

    /// Whether the rates of users and addresses are limited. Without rates the other limits stay: for benchmarks, and where
    /// every caller is trusted.
    pub(crate) rates: bool,

    /// What peers may use.
    pub(crate) limits: Limits,
}

/// When a message is acknowledged, if the history is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AckWhen {
    /// Once it is synced to disk.
    Synced,
    /// Once it is written to the operating system.
    Written,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            allow_anyone: false,
            data: PathBuf::new(),
            memory: false,
            durability: AckWhen::Synced,
            grace: Duration::from_secs(10),
            admin: DEFAULT_ADMIN,
            log_format: LogFormat::Text,
            log_addresses: LogAddresses::Full,
            rates: true,
            limits: Limits::default(),
        }
    }
}

impl From<AckWhen> for Durability {
    fn from(when: AckWhen) -> Self {
        match when {
            AckWhen::Synced => Self::Synced,
            AckWhen::Written => Self::Written,
        }
    }
}

impl Settings {
    /// Returns why these settings cannot be used together: a sentence for each reason, which names the keys.
    pub(crate) fn conflicts(&self, origins: &Origins) -> Vec<String> {
        let mut conflicts = Vec::new();
        let (memory, data) = (origins.of("memory"), origins.of("data"));
        match (memory, data) {
            (Origin::Flag(_), Origin::Flag(_)) => conflicts
                .push("--memory keeps nothing on disk, so it excludes --data; pass only one of them".to_owned()),
            (Origin::File { .. }, Origin::File { .. }) if self.memory => conflicts.push(origins.located(
                &["memory"],
                "memory = true keeps nothing on disk, so it excludes data; set only one of them",
            )),
            _ => {}
        }
        if !self.listen.ip().is_loopback() && !self.allow_anyone {
            let consent = match origins.of("listen") {
                Origin::File { .. } => "set allow-anyone = true",
                _ => "pass --allow-anyone",
            };
            conflicts.push(origins.located(
                &["listen"],
                &format!(
                    "{} can be reached from other machines and callers are not authenticated; listen on 127.0.0.1, or \
                     {consent} if that is what you want",
                    self.listen
                ),
            ));
        }
        for conflict in self.limits.conflicts() {
            conflicts.push(origins.located(&conflict.keys, &conflict.sentence));
        }
        conflicts
    }

    /// Puts the history on disk if `data` takes precedence over `memory`.
    pub(crate) fn choose_store(&mut self, origins: &mut Origins) {
        let data = origins.of("data").clone();
        if self.memory && data.layer() > origins.of("memory").layer() {
            self.memory = false;
            origins.set("memory", data);
        }
    }

    /// Returns the settings as TOML, with the origin of each value in a comment.
    ///
    /// # Errors
    ///
    /// A sentence, if a value cannot be written as TOML.
    pub(crate) fn to_toml(&self, origins: &Origins) -> Result<String, String> {
        let mut table = toml::Table::try_from(self)
            .map_err(|error| format!("the configuration cannot be written as TOML: {error}"))?;
        if self.memory {
            // The two exclude each other.
            table.remove("data");
        }
        let mut text = String::new();
        write_table(&mut text, &table, "", origins);
        Ok(text)
    }
}

/// Writes the values of a table, then its tables.
fn write_table(text: &mut String, table: &toml::Table, prefix: &str, origins: &Origins) {
    for (name, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        let origin = origins.of(&format!("{prefix}{name}"));
        text.push_str(&format!("{name} = {value}  # {origin}\n"));
    }
    for (name, group) in table {
        let toml::Value::Table(group) = group else { continue };
        if group.values().any(|value| !value.is_table()) {
            text.push_str(&format!("\n[{prefix}{name}]\n"));
        }
        write_table(text, group, &format!("{prefix}{name}."), origins);
    }
}
