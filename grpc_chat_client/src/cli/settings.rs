//! From flags, environment and a file to what the library needs to know.

use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::ArgMatches;
use clap::parser::ValueSource;
use etcetera::BaseStrategy;
use grpc_chat_client::{Config, DeviceId, ParseError, ServerUrl, Tls, TlsIdentity, Token, UserId};
use serde::Deserialize;

use crate::args::ConnectArgs;

/// The service that is meant if none is named.
const DEFAULT_SERVER: &str = "http://127.0.0.1:9090";

/// Who reads and says nothing.
const GUEST: &str = "guest";

/// Where everything is, and who is calling: the flags' words, with the file's beneath them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// Where files are kept, if this machine has a place for it.
    state: Option<PathBuf>,
}

/// The configuration file. The names are the flags'; with `_` for `-` they are taken, too.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    server: Option<String>,
    user: Option<String>,
    device: Option<String>,
    token: Option<String>,
    #[serde(alias = "token_file")]
    token_file: Option<PathBuf>,
    #[serde(alias = "ca_cert")]
    ca_cert: Option<PathBuf>,
    #[serde(alias = "client_cert")]
    client_cert: Option<PathBuf>,
    #[serde(alias = "client_key")]
    client_key: Option<PathBuf>,
    #[serde(alias = "tls_server_name")]
    tls_server_name: Option<String>,
    state: Option<PathBuf>,
}

impl Settings {
    /// Without a user the name of this machine's is taken, or `GUEST` where nobody will see it.
    ///
    /// # Errors
    ///
    /// A sentence, if something cannot be used.
    pub(crate) fn new(args: ConnectArgs, matches: &ArgMatches, seen: bool) -> Result<Self, String> {
        let file = file(args.config.as_deref())?;
        let server = match (args.server, file.server) {
            (Some(server), _) => server,
            (None, Some(server)) => server_url(&server)?,
            (None, None) => server_url(DEFAULT_SERVER)?,
        };
        let in_file = file.user.map(|user| {
            let parsed: Result<UserId, _> = user.parse();
            parsed.map_err(|why| format!("the user \"{}\" cannot be used: {why}", user.escape_debug()))
        });
        let user = match args.user.map(Ok).or(in_file).or_else(|| name_of_this_user().map(Ok)) {
            Some(user) => user?,
            None if seen => return Err("say who you are with --user ID".to_owned()),
            None => GUEST.parse().map_err(|why: ParseError| why.to_string())?,
        };
        let given = |name| match matches.value_source(name) {
            Some(ValueSource::CommandLine) => 2,
            Some(ValueSource::EnvVariable) => 1,
            _ => 0,
        };
        let token = token(
            (given("token"), args.token.or(file.token)),
            (given("token_file"), args.token_file.or(file.token_file)),
        )?;
        let mut tls = Tls::default();
        tls.ca_certificates = args.ca_cert.or(file.ca_cert).map(|path| read(&path)).transpose()?;
        tls.identity = match (args.client_cert.or(file.client_cert), args.client_key.or(file.client_key)) {
            (Some(certificate), Some(key)) => Some(TlsIdentity { certificate: read(&certificate)?, key: read(&key)? }),
            (None, None) => None,
            _ => return Err("--client-cert and --client-key go together".to_owned()),
        };
        tls.server_name = args.tls_server_name.or(file.tls_server_name);
        let in_file = || {
            let parsed: Option<Result<DeviceId, _>> = file.device.map(TryInto::try_into);
            parsed.transpose().map_err(|why| format!("the device cannot be used: {why}"))
        };
        let device = args.device.map_or_else(in_file, |device| Ok(Some(device)))?;
        let mut config = Config::new(server, user).tls(tls).token(token);
        config.device = device;
        let of_this_machine = || {
            let platform = etcetera::choose_base_strategy().ok()?;
            let state = platform.state_dir().unwrap_or_else(|| platform.data_dir());
            Some(state.join("grpc_chat/client"))
        };
        let state = args.state.or(file.state).or_else(of_this_machine);
        Ok(Self { config, state })
    }

    /// A file for what this user keeps of this service for one purpose; `None` if there is no place for it.
    pub(crate) fn state_file(&self, purpose: &str) -> Option<PathBuf> {
        // Each is one name, and none of them can be `..`: ids may have dots in them, and rooms slashes.
        let server = self.config.server.to_string().replace([':', '/', '[', ']'], "_");
        let name = format!("{}%{}.db", self.config.user, purpose.replace('/', "%"));
        Some(self.state.as_ref()?.join(server).join(name))
    }
}

fn server_url(text: &str) -> Result<ServerUrl, String> {
    text.parse().map_err(|why| format!("the server \"{}\" cannot be used: {why}", text.escape_debug()))
}

/// The token, or the file with it: that which is given where it counts more.
fn token(token: (u8, Option<String>), file: (u8, Option<PathBuf>)) -> Result<Token, String> {
    match (token, file) {
        ((one, Some(_)), (other, Some(_))) if one == other => {
            Err("a token and a file with one are given, and only one of them can be meant".to_owned())
        }
        ((one, token), (other, Some(file))) if token.is_none() || other > one => {
            // What is wrong from the beginning is no trouble with the service.
            let text = fs::read_to_string(&file).map_err(|error| cannot_read(&file, &error))?;
            token_of_file(&file, &text)?;
            Ok(Token::source(move || {
                let file = file.clone();
                async move {
                    let text = tokio::fs::read_to_string(&file).await.map_err(|error| cannot_read(&file, &error))?;
                    token_of_file(&file, &text)
                }
            }))
        }
        ((_, Some(token)), _) => {
            check_token(&token).map_err(|why| format!("the token {why}"))?;
            Ok(Token::Fixed(token))
        }
        ((_, None), _) => Ok(Token::None),
    }
}

fn token_of_file(file: &Path, text: &str) -> Result<String, String> {
    let token = text.trim();
    check_token(token).map_err(|why| format!("the token in {} {why}", file.display()))?;
    Ok(token.to_owned())
}

/// What can stand in a header (RFC 6750, `b64token`, and any other sign that can be seen).
fn check_token(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err("is empty"),
        token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err("has characters that no token has"),
        _ => Ok(()),
    }
}

/// The configuration file; without a name, the one that is at its place, if any.
fn file(named: Option<&Path>) -> Result<File, String> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match etcetera::choose_base_strategy() {
            Ok(platform) => platform.config_dir().join("grpc_chat/client.toml"),
            Err(_) => return Ok(File::default()),
        },
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => return Ok(File::default()),
        Err(error) => return Err(cannot_read(&path, &error)),
    };
    // Not the line itself: it may be the one with the token.
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("{}, line {line}: {}", path.display(), error.message())
    })
}

fn name_of_this_user() -> Option<UserId> {
    let named = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|variable| env::var(variable).ok());
    named.into_iter().find_map(|user| user.parse().ok())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_token_and_a_file_the_one_that_is_given_nearer_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "from-a-file\n").unwrap();
        let (t, f) = (|| Some("t".to_owned()), || Some(path.clone()));
        assert!(matches!(token((0, None), (0, None)), Ok(Token::None)));
        assert!(matches!(token((0, t()), (0, None)), Ok(Token::Fixed(_))));
        assert!(matches!(token((0, None), (1, f())), Ok(Token::Source(_))));
        assert!(matches!(token((2, t()), (1, f())), Ok(Token::Fixed(_))));
        assert!(matches!(token((0, t()), (1, f())), Ok(Token::Source(_))));
        token((1, t()), (1, f())).unwrap_err();
    }

    #[test]
    fn a_token_that_cannot_be_one_is_found_before_a_service_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let none = token((0, None), (2, Some(path.clone()))).unwrap_err();
        assert!(none.starts_with("cannot read "), "{none}");
        for (text, why) in [("", "is empty"), ("two words", "no token has"), ("a\u{7}b", "no token has")] {
            fs::write(&path, text).unwrap();
            for error in [token((2, Some(text.to_owned())), (0, None)), token((0, None), (2, Some(path.clone())))] {
                let error = error.unwrap_err();
                assert!(error.contains(why), "{error}");
            }
        }
    }

    #[test]
    fn a_state_file_stays_where_it_belongs() {
        let config = Config::new("http://127.0.0.1:9090".parse().unwrap(), "..".parse().unwrap());
        let settings = Settings { config, state: Some(PathBuf::from("/state")) };
        let file = settings.state_file("tail.a/../../b").unwrap();
        assert_eq!(file, Path::new("/state/http___127.0.0.1_9090/..%tail.a%..%..%b.db"));
    }

    #[test]
    fn a_file_says_what_it_may_and_nothing_else() {
        let file: File = toml::from_str("server = \"http://h:1\"\nuser = \"sam\"\n").unwrap();
        assert_eq!((file.server.as_deref(), file.user.as_deref()), (Some("http://h:1"), Some("sam")));
        assert!(toml::from_str::<File>("sever = \"http://h:1\"").is_err());
        for name in ["ca-cert", "ca_cert"] {
            let file: File = toml::from_str(&format!("{name} = \"ca.pem\"")).unwrap();
            assert_eq!(file.ca_cert.as_deref(), Some(Path::new("ca.pem")));
        }
    }
}
