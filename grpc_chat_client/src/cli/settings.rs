//! The client's configuration, from flags, environment and the configuration file.

use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::ArgMatches;
use clap::parser::ValueSource;
use etcetera::BaseStrategy;
use grpc_chat_client::{Config, Tls, TlsIdentity, Token, UserId};

use crate::args::ConnectArgs;
use crate::values::parse;

/// The default service.
const DEFAULT_SERVER: &str = "http://127.0.0.1:9090";

/// The user of commands that only read, where there is no other name.
const GUEST: &str = "guest";

/// The configuration of the client, and where its files are.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// The directory for state files, if this machine has a place for them.
    state: Option<PathBuf>,
}

impl Settings {
    /// Completes the flags and the environment with the configuration file and the defaults. `matches` know where values
    /// come from. `needs_user`: others see who the user is, so that it has to be somebody.
    ///
    /// # Errors
    ///
    /// A sentence if something cannot be used.
    pub(crate) fn new(args: ConnectArgs, matches: &ArgMatches, needs_user: bool) -> Result<Self, String> {
        let file = file(args.config.as_deref())?;
        let args = args.or(file);
        let user = match args.user.or_else(name_of_this_user) {
            Some(user) => user,
            None if needs_user => return Err("the user is not known; pass --user ID".to_owned()),
            None => parse(GUEST)?,
        };
        let precedence = |name| match matches.value_source(name) {
            Some(ValueSource::CommandLine) => 2,
            Some(ValueSource::EnvVariable) => 1,
            _ => 0,
        };
        let token = token((precedence("token"), args.token), (precedence("token_file"), args.token_file))?;
        let mut tls = Tls::default();
        tls.ca_certificates = args.ca_cert.as_deref().map(read_certificates).transpose()?;
        tls.identity = match (args.client_cert, args.client_key) {
            (Some(certificate), Some(key)) => Some(TlsIdentity { certificate: read(&certificate)?, key: read(&key)? }),
            (None, None) => None,
            _ => return Err("--client-cert and --client-key go together; pass both or none".to_owned()),
        };
        tls.server_name = args.tls_server_name;
        let server = args.server.map_or_else(|| parse(DEFAULT_SERVER), Ok)?;
        let mut config = Config::new(server, user).tls(tls).token(token);
        config.device = args.device;
        let of_this_machine = || {
            let platform = etcetera::choose_base_strategy().ok()?;
            let state = platform.state_dir().unwrap_or_else(|| platform.data_dir());
            Some(state.join("grpc_chat/client"))
        };
        Ok(Self { config, state: args.state.or_else(of_this_machine) })
    }

    /// Returns the path of this user's state file at this service, for one purpose. `None`: there is no place for it.
    pub(crate) fn state_file(&self, purpose: &str) -> Option<PathBuf> {
        // Each part is one name, and no part can be `..`: ids may contain dots, and those of rooms slashes.
        let server = self.config.server.to_string().replace([':', '/', '[', ']'], "_");
        let name = format!("{}%{}.db", self.config.user, purpose.replace('/', "%"));
        Some(self.state.as_ref()?.join(server).join(name))
    }
}

/// Returns the token, or a source that reads it from the file: the one with the higher precedence.
fn token(token: (u8, Option<String>), file: (u8, Option<PathBuf>)) -> Result<Token, String> {
    match (token, file) {
        ((one, Some(_)), (other, Some(_))) if one == other => {
            Err("both --token and --token-file are set, and only one of them can be used; remove the other".to_owned())
        }
        ((one, token), (other, Some(file))) if token.is_none() || other > one => {
            // A file that cannot be used now is an error of usage; later it is one of the connection.
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

/// Checks that a token can stand in a header: RFC 6750's `b64token`, and any other visible ASCII character.
fn check_token(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err("is empty"),
        token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err("has characters that are not visible ASCII"),
        _ => Ok(()),
    }
}

/// Reads the configuration file: the named one, or the one in its usual place, if it exists.
fn file(named: Option<&Path>) -> Result<ConnectArgs, String> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match etcetera::choose_base_strategy() {
            Ok(platform) => platform.config_dir().join("grpc_chat/client.toml"),
            Err(_) => return Ok(ConnectArgs::default()),
        },
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => return Ok(ConnectArgs::default()),
        Err(error) => return Err(cannot_read(&path, &error)),
    };
    // Without the line itself, which may be the one with the token.
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("{}, line {line}: {}", path.display(), error.message())
    })
}

fn name_of_this_user() -> Option<UserId> {
    let named = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|variable| env::var(variable).ok());
    named.into_iter().find_map(|user| user.parse().ok())
}

/// Reads certificates, and checks that there are some: TLS would say only that it does not trust the service.
fn read_certificates(path: &Path) -> Result<Vec<u8>, String> {
    let pem = read(path)?;
    if pem.windows(BEGIN_CERTIFICATE.len()).any(|window| window == BEGIN_CERTIFICATE) {
        return Ok(pem);
    }
    Err(format!(
        "the certificates for TLS cannot be used: {} has none in PEM, which begins with -----BEGIN CERTIFICATE-----",
        path.display()
    ))
}

const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

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
    fn of_a_token_and_a_file_the_one_with_the_higher_precedence_counts() {
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
        for (text, why) in [("", "is empty"), ("two words", "not visible ASCII"), ("a\u{7}b", "not visible ASCII")] {
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
    fn a_configuration_file_has_the_flags_names_and_no_others() {
        let file: ConnectArgs = toml::from_str("server = \"http://h:1\"\nuser = \"sam\"\n").unwrap();
        assert_eq!((file.server.unwrap().to_string().as_str(), file.user.unwrap().as_str()), ("http://h:1", "sam"));
        for unknown in ["sever = \"http://h:1\"", "config = \"other.toml\""] {
            toml::from_str::<ConnectArgs>(unknown).unwrap_err();
        }
        for name in ["ca-cert", "ca_cert"] {
            let file: ConnectArgs = toml::from_str(&format!("{name} = \"ca.pem\"")).unwrap();
            assert_eq!(file.ca_cert.as_deref(), Some(Path::new("ca.pem")));
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named_with_its_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        fs::write(&path, "device = \"phone\"\nserver = \"ftp://h\\u0007\"\n").unwrap();
        let why = file(Some(&path)).unwrap_err();
        let expected = "client.toml, line 2: \"ftp://h\\u{7}\" cannot be used: expected http://HOST:PORT";
        assert!(why.contains(expected), "{why}");
    }
}
