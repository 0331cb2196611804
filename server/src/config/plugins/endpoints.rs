//! Where a cloud is, in the block `experimental` of its attestor: for emulators, mirrors and private
//! endpoints. Nothing here has a place in SPIRE's files.

use signet_cloud::Endpoint;
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
        let given = self.data.parsed(key, |text| url(text, "https://", false));
        self.endpoint(given, default)
    }

    /// A document, given as `https://host[:port]/path`.
    pub(super) fn document(&self, key: &str, default: &str) -> Endpoint {
        let given = self.data.parsed(key, |text| url(text, "https://", true));
        self.endpoint(given, default)
    }

    /// A metadata service, given as `http://host[:port]`.
    pub(super) fn metadata(&self, key: &str, default: &str) -> Endpoint {
        let given = self.data.parsed(key, |text| url(text, "http://", false));
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

fn url(text: &str, scheme: &str, with_path: bool) -> Result<String, String> {
    let rest = text.strip_prefix(scheme);
    let rest = rest.ok_or_else(|| format!("must begin with {scheme}"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let plain =
        |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c) || (with_path && c == '/');
    if rest.is_empty() || !rest.chars().all(plain) {
        return Err(format!("is not {scheme} with a host"));
    }
    Ok(format!("{scheme}{rest}"))
}
