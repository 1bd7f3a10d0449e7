//! Which process of this machine is the service, as Linux tells it in `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use grpc_chat_client::ServerUrl;

/// A process that listens where the service does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    /// Its program's.
    pub(super) name: String,
}

impl Process {
    /// This one.
    pub(super) fn own() -> Self {
        Self { id: std::process::id(), name: env!("CARGO_BIN_NAME").to_owned() }
    }

    /// What the kernel says of it.
    pub(super) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.id))
    }
}

/// The processes that listen at a URL, at least one.
///
/// # Errors
///
/// In a few words why they are not known.
pub(super) async fn find(server: &ServerUrl) -> Result<Vec<Process>, String> {
    let (host, port) = host_and_port(&server.to_string()).ok_or("the address is not understood")?;
    let resolved = tokio::net::lookup_host((host.as_str(), port)).await;
    let addresses = resolved.map_err(|error| format!("{host} is not resolved: {error}"))?;
    let here: Vec<SocketAddr> = addresses.filter(|address| is_here(address.ip())).collect();
    if here.is_empty() {
        return Err("the service is on another machine".to_owned());
    }
    let mut tables = String::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // Without IPv6 there is no second one.
        tables += &fs::read_to_string(table).unwrap_or_default();
    }
    if tables.is_empty() {
        return Err("this system does not tell who listens".to_owned());
    }
    let sockets: BTreeSet<u64> = tables
        .lines()
        .filter_map(listening)
        .filter(|(at, _)| here.iter().any(|to| reaches(*to, *at)))
        .map(|(_, inode)| inode)
        .collect();
    if sockets.is_empty() {
        return Err(format!("no socket of this system listens on port {port}"));
    }
    let (processes, hidden) = holding(&sockets);
    match (processes.is_empty(), hidden) {
        (false, _) => Ok(processes),
        (true, true) => Err(format!("the process that listens on port {port} belongs to another user")),
        (true, false) => Err(format!("the process that listens on port {port} is not to be seen from here")),
    }
}

/// Host and port of a URL; the scheme's port if it names none.
fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, authority) = url.split_once("://")?;
    let default = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

/// Whether an address is one of this machine's: only those can be bound.
fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// Address and inode of a line of the kernel's table of TCP sockets, if that one listens.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let address = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
    (state == LISTEN).then_some((address, inode))
}

/// The kernel writes the bytes of an address as they are in memory, four at a time, as numbers of this machine.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Whether a connection to one address comes to a socket that listens at the other.
fn reaches(to: SocketAddr, at: SocketAddr) -> bool {
    let ip = at.ip().to_canonical();
    let any = match ip {
        IpAddr::V4(ip) => ip.is_unspecified() && to.is_ipv4(),
        // As a rule such a socket takes IPv4, too.
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    to.port() == at.port() && (any || ip == to.ip().to_canonical())
}

/// The processes that have one of these sockets open, and whether there are some that do not let us look.
fn holding(sockets: &BTreeSet<u64>) -> (Vec<Process>, bool) {
    let names: BTreeSet<String> = sockets.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let (mut processes, mut hidden) = (Vec::new(), false);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else {
            hidden = true;
            continue;
        };
        let holds =
            |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|to| names.contains(&*to.to_string_lossy()));
        if files.flatten().any(holds) {
            let program = fs::read_link(entry.path().join("exe")).ok();
            let name = program.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
            // The kernel says so of a program that was installed anew since it was started.
            let name = name.map(|name| name.trim_end_matches(" (deleted)").to_owned());
            processes.push(Process { id, name: name.unwrap_or_default() });
        }
    }
    (processes, hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_port_has_its_schemes() {
        for (url, host, port) in [
            ("http://127.0.0.1:9090", "127.0.0.1", 9090),
            ("http://[::1]:9090", "::1", 9090),
            ("http://[::1]", "::1", 80),
            ("https://chat.example", "chat.example", 443),
        ] {
            assert_eq!(host_and_port(url), Some((host.to_owned(), port)), "{url}");
        }
        assert_eq!(host_and_port("http://host:70000"), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_socket_that_listens_is_read_from_the_kernels_table() {
        let rest = "00000000:00000000 00:00000000 00000000  1000        0 4242 1 ffff8880 100 0 0 10 0";
        let of = |local: &str, state: &str| {
            listening(&format!("   0: {local} 00000000:0000 {state} {rest}")).map(|(at, inode)| (at.to_string(), inode))
        };
        assert_eq!(of("0100007F:2382", "0A"), Some(("127.0.0.1:9090".to_owned(), 4242)));
        assert_eq!(of("00000000000000000000000001000000:0050", "0A"), Some(("[::1]:80".to_owned(), 4242)));
        assert_eq!(of("0100007F:2382", "01"), None, "it is connected");
        assert_eq!(listening("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"), None);
        assert_eq!(listening(""), None);
    }

    #[test]
    fn a_socket_may_listen_on_all_addresses() {
        let reaches = |to: &str, at: &str| reaches(to.parse().unwrap(), at.parse().unwrap());
        assert!(reaches("127.0.0.1:1", "127.0.0.1:1"));
        assert!(reaches("127.0.0.1:1", "0.0.0.0:1"));
        assert!(reaches("127.0.0.1:1", "[::]:1"));
        assert!(reaches("127.0.0.1:1", "[::ffff:127.0.0.1]:1"));
        assert!(reaches("[::1]:1", "[::]:1"));
        assert!(!reaches("[::1]:1", "0.0.0.0:1"));
        assert!(!reaches("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!reaches("127.0.0.1:1", "127.0.0.2:1"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn whoever_listens_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server: ServerUrl = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
        let found = find(&server).await.unwrap();
        assert!(found.iter().any(|process| process.id == std::process::id() && !process.name.is_empty()), "{found:?}");
        drop(socket);
        let why = find(&server).await.unwrap_err();
        assert!(why.contains("listens on port"), "{why}");
        // An address for documents, which no machine has.
        let why = find(&"http://192.0.2.1:9090".parse().unwrap()).await.unwrap_err();
        assert_eq!(why, "the service is on another machine");
    }
}
