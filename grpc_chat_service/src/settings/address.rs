//! The addresses among the settings, as text.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use grpc_chat_service::config::Admin;
use serde::{Deserialize, Deserializer, Serializer, de};

/// 9090 is the example's port. Loopback, because callers are not authenticated.
pub(crate) const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Loopback, because there is no authentication. A second service on the machine runs without, unless it was told where.
pub(crate) const DEFAULT_ADMIN: Admin = Admin::IfFree(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091));

/// Follows an address that may be taken.
const IF_FREE: &str = " if free";

/// Reads an address to listen on.
///
/// # Errors
///
/// What is expected instead.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an IP address and a port, such as {DEFAULT_LISTEN}"))
}

/// Reads the address of figures and probes.
///
/// # Errors
///
/// What is expected instead.
pub(crate) fn admin(text: &str) -> Result<Admin, String> {
    let read = match text.strip_suffix(IF_FREE) {
        _ if text == "off" => return Ok(Admin::Off),
        Some(address) => address.parse().map(Admin::IfFree),
        None => text.parse().map(Admin::At),
    };
    read.map_err(|_| "expected \"off\", or an IP address and a port, such as 127.0.0.1:9091".to_owned())
}

pub(super) fn deserialize_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    listen(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub(super) fn deserialize_admin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Admin, D::Error> {
    admin(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub(super) fn serialize_admin<S: Serializer>(admin: &Admin, serializer: S) -> Result<S::Ok, S::Error> {
    match admin {
        Admin::Off => serializer.serialize_str("off"),
        Admin::At(address) => serializer.collect_str(address),
        Admin::IfFree(address) => serializer.collect_str(&format_args!("{address}{IF_FREE}")),
    }
}
