//! How a Vault or OpenBao is reached and logged in to: what the key manager `hashicorp_vault` and the
//! upstream authority `vault` have in common. What the file leaves out may stand in the environment.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use signet_config::{Key, Lookup, Section, Unknown};
use signet_http::Roots;
use signet_vault::{Address, Auth, Mount, Secret, Settings};

pub(super) const KEYS: [Key; 8] = [
    Key::implemented("vault_addr"),
    Key::implemented("namespace"),
    Key::implemented("ca_cert_path"),
    Key::implemented("insecure_skip_verify"),
    Key::implemented("cert_auth"),
    Key::implemented("token_auth"),
    Key::implemented("approle_auth"),
    Key::implemented("k8s_auth"),
];

const CERT_KEYS: [Key; 4] = [
    Key::implemented("cert_auth_mount_point"),
    Key::implemented("cert_auth_role_name"),
    Key::implemented("client_cert_path"),
    Key::implemented("client_key_path"),
];
const TOKEN_KEYS: [Key; 1] = [Key::implemented("token")];
const APPROLE_KEYS: [Key; 3] = [
    Key::implemented("approle_auth_mount_point"),
    Key::implemented("approle_id"),
    Key::implemented("approle_secret_id"),
];
const K8S_KEYS: [Key; 3] = [
    Key::implemented("k8s_auth_mount_point"),
    Key::implemented("k8s_auth_role_name"),
    Key::implemented("token_path"),
];

const METHODS: [&str; 4] = ["cert_auth", "token_auth", "approle_auth", "k8s_auth"];

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>, environment: Lookup<'_>) -> Option<Settings> {
    let from = Source { data, environment };
    let address: Option<Address> = from.required("vault_addr", "VAULT_ADDR");
    let namespace: Option<Mount> = from.parsed("namespace", "VAULT_NAMESPACE");
    let roots = roots(&from);
    let auth = auth(data, environment);
    let (address, auth) = (address?, auth?);
    if address.is_plain() {
        if matches!(auth, Auth::Certificate { .. }) {
            data.problem("cert_auth", "needs a vault_addr that starts with https://");
            return None;
        }
        data.warn(
            "vault_addr",
            "has no TLS: whoever is on the way to Vault sees the token",
        );
    }
    Some(Settings {
        address,
        namespace,
        roots,
        auth,
    })
}

fn roots(from: &Source<'_, '_>) -> Roots {
    if from.data.bool("insecure_skip_verify").unwrap_or(false) {
        from.data.warn(
            "insecure_skip_verify",
            "lets anybody pose as Vault and take the token; use ca_cert_path",
        );
        return Roots::Unverified;
    }
    let file = from.text("ca_cert_path", "VAULT_CACERT");
    file.map_or(Roots::System, |path| Roots::File(path.into()))
}

fn auth(data: &Section<'_>, environment: Lookup<'_>) -> Option<Auth> {
    let given: Vec<_> = METHODS.into_iter().filter(|key| data.has(key)).collect();
    let method = match given[..] {
        [method] => method,
        [] => {
            let message = format!("needs one of the blocks {}", METHODS.join(", "));
            data.problem_here(message);
            return None;
        }
        [first, other, ..] => {
            data.problem(other, format!("stands beside {first}; give one of them"));
            return None;
        }
    };
    let block = data.block(method);
    let from = Source {
        data: &block,
        environment,
    };
    match method {
        "cert_auth" => certificate(&from),
        "token_auth" => token(&from),
        "approle_auth" => approle(&from),
        _ => kubernetes(&from),
    }
}

fn certificate(from: &Source<'_, '_>) -> Option<Auth> {
    from.data.check(&[&CERT_KEYS], Unknown::Warned);
    let certificate = from.required_text("client_cert_path", "VAULT_CLIENT_CERT");
    let key = from.required_text("client_key_path", "VAULT_CLIENT_KEY");
    let role = from.data.string("cert_auth_role_name").map(str::to_owned);
    Some(Auth::Certificate {
        mount: mount(from.data, "cert_auth_mount_point", "cert")?,
        role,
        certificate: certificate?.into(),
        key: key?.into(),
    })
}

fn token(from: &Source<'_, '_>) -> Option<Auth> {
    from.data.check(&[&TOKEN_KEYS], Unknown::Warned);
    let token = from.required_text("token", "VAULT_TOKEN")?;
    Some(Auth::Token(Secret::new(token)))
}

fn approle(from: &Source<'_, '_>) -> Option<Auth> {
    from.data.check(&[&APPROLE_KEYS], Unknown::Warned);
    let role_id = from.required_text("approle_id", "VAULT_APPROLE_ID");
    let secret_id = from.required_text("approle_secret_id", "VAULT_APPROLE_SECRET_ID");
    Some(Auth::AppRole {
        mount: mount(from.data, "approle_auth_mount_point", "approle")?,
        role_id: Secret::new(role_id?),
        secret_id: Secret::new(secret_id?),
    })
}

fn kubernetes(from: &Source<'_, '_>) -> Option<Auth> {
    from.data.check(&[&K8S_KEYS], Unknown::Warned);
    let role = from.data.required_string("k8s_auth_role_name");
    let token_path = from.data.required_string("token_path");
    Some(Auth::Kubernetes {
        mount: mount(from.data, "k8s_auth_mount_point", "kubernetes")?,
        role: role?.to_owned(),
        token_path: PathBuf::from(token_path?),
    })
}

/// The mount under `key`, or where Vault puts it by itself.
pub(super) fn mount(data: &Section<'_>, key: &str, default: &str) -> Option<Mount> {
    if data.is_set(key) {
        return data.parsed(key, str::parse);
    }
    Some(default.parse().expect("a default is a mount"))
}

/// A block whose gaps the environment fills.
pub(super) struct Source<'s, 'a> {
    pub(super) data: &'s Section<'a>,
    pub(super) environment: Lookup<'s>,
}

impl Source<'_, '_> {
    pub(super) fn text(&self, key: &str, variable: &str) -> Option<String> {
        let given = self.data.string(key).map(str::to_owned);
        given.or_else(|| (self.environment)(variable).filter(|text| !text.is_empty()))
    }

    fn required_text(&self, key: &str, variable: &str) -> Option<String> {
        let text = self.text(key, variable);
        if text.is_none() {
            let message = format!("is required, here or as {variable} in the environment");
            self.data.problem(key, message);
        }
        text
    }

    /// The error says what is wrong, never the text, which may be a secret.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, key: &str, variable: &str) -> Option<T> {
        match self.text(key, variable)?.parse() {
            Ok(value) => Some(value),
            Err(error) if self.data.is_set(key) => {
                self.data.problem(key, error.to_string());
                None
            }
            Err(error) => {
                let message = format!("{error} (from {variable} in the environment)");
                self.data.problem(key, message);
                None
            }
        }
    }

    fn required<T: FromStr<Err: Display>>(&self, key: &str, variable: &str) -> Option<T> {
        self.required_text(key, variable)?;
        self.parsed(key, variable)
    }
}
