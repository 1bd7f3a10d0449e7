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
        let source = |id| Source::of(id, matches);
        let file = file(args.config.as_deref(), &source("config").name("config"))?;
        let args = args.or(file);
        let user = match args.user.or_else(name_of_this_user) {
            Some(user) => user,
            None if needs_user => return Err("the user is not known; pass --user ID".to_owned()),
            None => parse(GUEST)?,
        };
        let token = token((source("token"), args.token), (source("token_file"), args.token_file))?;
        let read = |path: &Path, id| read(path, &source(id).name(id));
        let mut tls = Tls::default();
        tls.ca_certificates = args.ca_cert.map(|path| read(&path, "ca_cert")).transpose()?;
        tls.identity = match (args.client_cert, args.client_key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (read(&certificate, "client_cert")?, read(&key, "client_key")?);
                Some(TlsIdentity { certificate, key })
            }
            (None, None) => None,
            (certificate, _) => {
                let (id, other) = match certificate {
                    Some(_) => ("client_cert", "--client-key"),
                    None => ("client_key", "--client-cert"),
                };
                let name = source(id).name(id);
                return Err(format!("a certificate and its key go together: {name} is set; pass {other}, too"));
            }
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

/// Where a value comes from. The later ones take precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    File,
    Variable,
    Flag,
}

impl Source {
    /// Returns where the value of an argument comes from, if it has one.
    fn of(id: &str, matches: &ArgMatches) -> Self {
        match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Self::Flag,
            Some(ValueSource::EnvVariable) => Self::Variable,
            _ => Self::File,
        }
    }

    /// Returns the name of an argument as it is written there.
    fn name(self, id: &str) -> String {
        match self {
            Self::File => format!("{} in the configuration file", id.replace('_', "-")),
            Self::Variable => format!("CHAT_{}", id.to_uppercase()),
            Self::Flag => format!("--{}", id.replace('_', "-")),
        }
    }
}

/// Returns the token, or a source that reads it from the file: the one with the higher precedence.
fn token(token: (Source, Option<String>), file: (Source, Option<PathBuf>)) -> Result<Token, String> {
    let names = (token.0.name("token"), file.0.name("token_file"));
    match (token, file) {
        ((one, Some(_)), (other, Some(_))) if one == other => {
            Err(format!("both {} and {} are set, and only one of them can be used; remove one", names.0, names.1))
        }
        ((one, token), (other, Some(file))) if token.is_none() || other > one => {
            // A file that cannot be used now is an error of usage; later it is one of the connection.
            let text = fs::read_to_string(&file).map_err(|error| cannot_read(&file, &names.1, &error))?;
            token_of_file(&file, &text)?;
            Ok(Token::source(move || {
                let (file, name) = (file.clone(), names.1.clone());
                async move {
                    let text = tokio::fs::read_to_string(&file).await;
                    token_of_file(&file, &text.map_err(|error| cannot_read(&file, &name, &error))?)
                }
            }))
        }
        ((_, Some(token)), _) => {
            check_token(&token).map_err(|why| format!("the token in {} {why}", names.0))?;
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

/// Reads the configuration file: the one that `name` names, or the one in its usual place, if it exists.
fn file(named: Option<&Path>, name: &str) -> Result<ConnectArgs, String> {
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
        Err(error) if named.is_some() => return Err(cannot_read(&path, name, &error)),
        Err(error) => return Err(format!("cannot read the configuration file {}: {error}", path.display())),
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

fn read(path: &Path, name: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| cannot_read(path, name, &error))
}

/// Returns the sentence for a file that `name` names.
fn cannot_read(path: &Path, name: &str, error: &io::Error) -> String {
    format!("cannot read {}, which {name} names: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Source::{File, Flag, Variable};
    use super::*;

    #[test]
    fn of_a_token_and_a_file_the_one_with_the_higher_precedence_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "from-a-file\n").unwrap();
        let (t, f) = (|| Some("t".to_owned()), || Some(path.clone()));
        assert!(matches!(token((File, None), (File, None)), Ok(Token::None)));
        assert!(matches!(token((File, t()), (File, None)), Ok(Token::Fixed(_))));
        assert!(matches!(token((File, None), (Variable, f())), Ok(Token::Source(_))));
        assert!(matches!(token((Flag, t()), (Variable, f())), Ok(Token::Fixed(_))));
        assert!(matches!(token((File, t()), (Variable, f())), Ok(Token::Source(_))));
        let both = token((Variable, t()), (Variable, f())).unwrap_err();
        assert!(both.starts_with("both CHAT_TOKEN and CHAT_TOKEN_FILE are set"), "{both}");
    }

    #[test]
    fn a_token_that_cannot_be_one_is_found_before_a_service_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let none = token((File, None), (Flag, Some(path.clone()))).unwrap_err();
        assert!(none.starts_with("cannot read "), "{none}");
        for (text, why) in [("", "is empty"), ("two words", "not visible ASCII"), ("a\u{7}b", "not visible ASCII")] {
            fs::write(&path, text).unwrap();
            for error in
                [token((Flag, Some(text.to_owned())), (File, None)), token((File, None), (Flag, Some(path.clone())))]
            {
                let error = error.unwrap_err();
                assert!(error.contains(why), "{error}");
            }
        }
    }

    #[test]
    fn every_variable_is_named_after_its_flag() {
        let command = crate::args::Args::command();
        for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
            let id = argument.get_id().as_str();
            assert_eq!(Some(Variable.name(id).as_ref()), argument.get_env().map(|name| name.to_str().unwrap()));
            assert_eq!(Flag.name(id), format!("--{}", argument.get_long().unwrap()));
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
        let why = file(Some(&path), "--config").unwrap_err();
        let expected = "client.toml, line 2: \"ftp://h\\u{7}\" cannot be used: expected http://HOST:PORT";
        assert!(why.contains(expected), "{why}");
    }
}
