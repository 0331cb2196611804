//! Where a cloud is, in the block `experimental` of its attestor: for private endpoints, mirrors and
//! emulators. SPIRE's files have no such block.
//!
//! What is asked there decides who is let in: it is TLS with authorities of the operator's choice, but for
//! metadata services, which have none and must be near.

use signet_cloud::{Endpoint, metadata_url};
use signet_config::Section;
use signet_http::Roots;

/// The block, and who vouches for what it names.
pub(super) struct Endpoints<'s, 'a> {
    data: &'s Section<'a>,
    roots: Roots,
}

impl<'s, 'a> Endpoints<'s, 'a> {
    /// `ca_path` names the authorities, in PEM, in place of the machine's.
    pub(super) fn of(data: &'s Section<'a>) -> Self {
        Self {
            data,
            roots: data.path("ca_path").map_or(Roots::System, Roots::File),
        }
    }

    /// A server, given as `https://host[:port]`.
    pub(super) fn server(&self, key: &str, default: &str) -> Endpoint {
        let given = self.data.parsed(key, |text| url(text, false));
        self.endpoint(given, default)
    }

    /// A document, given as `https://host[:port]/path`.
    pub(super) fn document(&self, key: &str, default: &str) -> Endpoint {
        let given = self.data.parsed(key, |text| url(text, true));
        self.endpoint(given, default)
    }

    /// A metadata service, given as `http://host[:port]`, on this machine or its link.
    pub(super) fn metadata(&self, key: &str, default: &str) -> Endpoint {
        let given = self.data.parsed(key, metadata_url);
        self.endpoint(given, default)
    }

    /// Who vouches for all of them.
    pub(super) fn roots(&self) -> Roots {
        self.roots.clone()
    }

    fn endpoint(&self, given: Option<String>, default: &str) -> Endpoint {
        Endpoint {
            url: given.unwrap_or_else(|| default.to_owned()),
            roots: self.roots(),
        }
    }
}

fn url(text: &str, with_path: bool) -> Result<String, &'static str> {
    let rest = text.strip_prefix("https://");
    let rest = rest.ok_or("must begin with https://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let plain =
        |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c) || (with_path && c == '/');
    if rest.is_empty() || !rest.chars().all(plain) {
        return Err("is not https:// with a host");
    }
    Ok(format!("https://{rest}"))
}
