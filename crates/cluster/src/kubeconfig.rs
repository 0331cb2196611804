//! Kubeconfig files: the current context's server, authorities and credentials.
//!
//! What would start another program or change who is asked is refused by name rather than ignored.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use serde::Deserialize;
use serde::de::IgnoredAny;
use signet_crypto::SecretString;
use signet_http::{ClientCertificate, Roots, SetupError};

use crate::{Access, Credentials};

/// Why a kubeconfig is no good. No text of the file is in it but names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// It is not a kubeconfig in YAML or JSON; the parser's message could show a secret.
    #[error("it is not a kubeconfig in YAML or JSON")]
    Form,
    /// It does not say which context counts.
    #[error("it has no current-context")]
    NoContext,
    /// A name leads nowhere.
    #[error("it has no {what} named {name:?}")]
    Missing {
        /// `context`, `cluster` or `user`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The server is not reached over HTTPS, or is no URL that paths can be added to.
    #[error("cluster {0:?} has no server of the form https://host:port")]
    Server(String),
    /// Something that is not done here.
    #[error("{key} is not supported: {remedy}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Data that should be base64 is not.
    #[error("{0} is not base64 of a text")]
    Data(&'static str),
    /// A certificate without its key, or the other way around.
    #[error("client certificate and key belong together; one of them is missing")]
    HalfCertificate,
    /// Certificate or key are no good.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: String,
    clusters: Vec<Named<Cluster>>,
    contexts: Vec<Named<Context>>,
    #[serde(default)]
    users: Vec<Named<User>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "context", alias = "user")]
    value: T,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    tls_server_name: String,
    proxy_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
}

/// Reads a kubeconfig. Relative paths in it start at `folder`, where it stands.
pub(crate) fn parse(text: &str, folder: &Path) -> Result<Access, KubeconfigError> {
    let file: File = serde_saphyr::from_str(text).map_err(|_| KubeconfigError::Form)?;
    if file.current_context.is_empty() {
        return Err(KubeconfigError::NoContext);
    }
    let context = find("context", file.contexts, &file.current_context)?;
    let cluster = find("cluster", file.clusters, &context.cluster)?;
    let user = match context.user.is_empty() {
        true => User::default(),
        false => find("user", file.users, &context.user)?,
    };
    refuse_unsupported(&cluster, &user)?;
    let Some(server) = https(&cluster.server) else {
        return Err(KubeconfigError::Server(context.cluster));
    };
    Ok(Access {
        server: server.to_owned(),
        roots: roots(&cluster, folder)?,
        certificate: certificate(&user, folder)?,
        credentials: credentials(user, folder),
    })
}

/// The URL without slashes at its end, if it has a host and neither a user, a query nor a fragment.
fn https(server: &str) -> Option<&str> {
    let trimmed = server.trim_end_matches('/');
    let url: Uri = trimmed.parse().ok()?;
    let plain = trimmed.starts_with("https://") && !trimmed.contains(['@', '?', '#']);
    (plain && !url.host()?.is_empty()).then_some(trimmed)
}

fn find<T>(what: &'static str, all: Vec<Named<T>>, name: &str) -> Result<T, KubeconfigError> {
    let found = all.into_iter().find(|one| one.name == name);
    let missing = || KubeconfigError::Missing {
        what,
        name: name.to_owned(),
    };
    Ok(found.ok_or_else(missing)?.value)
}

fn refuse_unsupported(cluster: &Cluster, user: &User) -> Result<(), KubeconfigError> {
    const STATIC: &str =
        "give a token, a tokenFile or a client certificate, as of a service account made for this";
    let all = [
        ("exec", user.exec.is_some(), STATIC),
        ("auth-provider", user.auth_provider.is_some(), STATIC),
        ("username", user.username.is_some(), STATIC),
        ("as", user.impersonate.is_some(), STATIC),
        (
            "proxy-url",
            !cluster.proxy_url.is_empty(),
            "the API server must be reached directly",
        ),
        (
            "tls-server-name",
            !cluster.tls_server_name.is_empty(),
            "give a server name that its certificate has",
        ),
    ];
    match all.into_iter().find(|(_, given, _)| *given) {
        Some((key, _, remedy)) => Err(KubeconfigError::Unsupported { key, remedy }),
        None => Ok(()),
    }
}

/// Data wins over a file, as for kubectl.
fn roots(cluster: &Cluster, folder: &Path) -> Result<Roots, KubeconfigError> {
    if cluster.insecure_skip_tls_verify {
        return Ok(Roots::Unverified);
    }
    Ok(
        match (
            &cluster.certificate_authority_data,
            &cluster.certificate_authority,
        ) {
            (Some(data), _) => {
                Roots::Text(decoded("certificate-authority-data", data)?.expose().into())
            }
            (None, Some(path)) => Roots::File(folder.join(path)),
            (None, None) => Roots::System,
        },
    )
}

fn certificate(user: &User, folder: &Path) -> Result<Option<ClientCertificate>, KubeconfigError> {
    let data = (&user.client_certificate_data, &user.client_key_data);
    let files = (&user.client_certificate, &user.client_key);
    Ok(match (data, files) {
        ((None, None), (None, None)) => None,
        ((Some(certificate), Some(key)), _) => {
            let certificate = decoded("client-certificate-data", certificate)?;
            let key = decoded("client-key-data", key)?;
            Some(ClientCertificate::from_texts(certificate.expose(), &key)?)
        }
        ((None, None), (Some(certificate), Some(key))) => Some(ClientCertificate::from_files(
            &folder.join(certificate),
            &folder.join(key),
        )?),
        _ => return Err(KubeconfigError::HalfCertificate),
    })
}

/// A file wins over a token that stands in the kubeconfig, as for kubectl.
fn credentials(user: User, folder: &Path) -> Credentials {
    match (user.token_file, user.token) {
        (Some(path), _) => Credentials::File(folder.join(path)),
        (None, Some(token)) => Credentials::Token(SecretString::new(token)),
        (None, None) => Credentials::None,
    }
}

fn decoded(key: &'static str, data: &str) -> Result<SecretString, KubeconfigError> {
    let bytes = BASE64_STANDARD.decode(data.trim());
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(SecretString::new)
        .ok_or(KubeconfigError::Data(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\npreferences: {{}}\ncontexts:\n- name: c\n  \
             context: {{cluster: k, user: u, namespace: spire}}\nclusters:\n- cluster:\n    {cluster}\n  \
             name: k\nusers:\n- name: u\n  user:\n    {user}\n"
        )
    }

    fn read(cluster: &str, user: &str) -> Result<Access, KubeconfigError> {
        parse(&config(cluster, user), Path::new("/etc/k"))
    }

    #[test]
    fn files_are_found_beside_the_kubeconfig() {
        let cluster = "server: https://api.example:6443/\n    certificate-authority: ca.crt";
        let access = read(cluster, "tokenFile: token").unwrap();
        assert_eq!(access.server, "https://api.example:6443");
        assert_eq!(access.roots, Roots::File("/etc/k/ca.crt".into()));
        let Credentials::File(path) = access.credentials else {
            panic!("{:?}", access.credentials);
        };
        assert_eq!(path, Path::new("/etc/k/token"));
    }

    #[test]
    fn data_in_the_kubeconfig_is_decoded() {
        let cluster = "server: https://10.0.0.1\n    certificate-authority-data: Q0E=";
        let access = read(cluster, "token: abc").unwrap();
        assert_eq!(access.roots, Roots::Text("CA".into()));
        let Credentials::Token(token) = access.credentials else {
            panic!("{:?}", access.credentials);
        };
        assert_eq!(token.expose(), "abc");
    }

    #[test]
    fn json_is_a_kubeconfig_too() {
        let text = r#"{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"k"}}],
            "clusters":[{"name":"k","cluster":{"server":"https://a"}}]}"#;
        let access = parse(text, Path::new("")).unwrap();
        assert_eq!(access.roots, Roots::System);
        assert!(matches!(access.credentials, Credentials::None));
    }

    #[test]
    fn what_is_not_done_here_is_refused_by_name() {
        let cluster = "server: https://a";
        for (key, user) in [
            ("exec", "exec: {command: aws}"),
            ("auth-provider", "auth-provider: {name: gcp}"),
            ("username", "username: admin\n    password: x"),
            ("as", "token: x\n    as: root"),
        ] {
            let refused = read(cluster, user).unwrap_err();
            assert!(refused.to_string().starts_with(key), "{refused}");
        }
        for key in ["proxy-url", "tls-server-name"] {
            let cluster = format!("server: https://a\n    {key}: x");
            let refused = read(&cluster, "token: x").unwrap_err();
            assert!(refused.to_string().starts_with(key), "{refused}");
        }
    }

    #[test]
    fn kubeconfigs_that_lead_nowhere_say_where_they_end() {
        let refusal = |text: &str| parse(text, Path::new("")).unwrap_err().to_string();
        for text in ["", "- a", "<html>", "a: [", "kind: Config"] {
            assert_eq!(refusal(text), "it is not a kubeconfig in YAML or JSON");
        }
        let good = config("server: https://a", "token: x");
        let without = good.replace("current-context: c", "other: c");
        assert_eq!(refusal(&without), "it has no current-context");
        let unknown = good.replace("user: u,", "user: v,");
        assert_eq!(refusal(&unknown), "it has no user named \"v\"");
        for server in [
            "http://a",
            "https://",
            "https:///",
            "https://:1",
            "https://u:p@a",
            "https://a?b",
            "https://a#b",
            "a",
        ] {
            let other = good.replace("https://a", server);
            assert!(refusal(&other).contains("https://host:port"), "{server}");
        }
        let half = config("server: https://a", "client-certificate: c.pem");
        assert!(refusal(&half).contains("belong together"));
        let data = config(
            "server: https://a\n    certificate-authority-data: '*'",
            "token: x",
        );
        assert!(refusal(&data).contains("certificate-authority-data"));
    }
}
