//! What a verified leaf says of its node: values for the template, selectors, addresses.

use std::net::IpAddr;

use signet_crypto::{hex, sha1};
use signet_model::Selector;
use signet_spiffe::{Certificate, TrustDomain};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

use super::KIND;
use super::chain::VerifiedChain;

/// Most selectors from URI names: an entry has a handful, and each is kept with the agent.
const MAX_SAN_SELECTORS: usize = 64;

/// What a leaf says beyond its key, read from its verified bytes.
pub(super) struct LeafFacts {
    fingerprint: String,
    serial: String,
    serial_hex: String,
    subject: Option<String>,
    issuer: Option<String>,
    sans: Vec<(String, String)>,
}

impl LeafFacts {
    pub(super) fn of(leaf: &Certificate, trust_domain: &TrustDomain) -> Self {
        let beginning = format!("{KIND}://{}/", trust_domain.name());
        let sans = leaf.uris().iter().filter_map(|uri| san(uri, &beginning));
        Self {
            fingerprint: fingerprint(leaf.der()),
            serial: leaf.serial.to_string(),
            serial_hex: leaf.serial.hex(),
            subject: common_name(leaf.subject_der()),
            issuer: common_name(leaf.issuer_der()),
            sans: sans.take(MAX_SAN_SELECTORS).collect(),
        }
    }

    /// What a variable of the template holds.
    pub(super) fn value(&self, name: &str, trust_domain: &TrustDomain) -> Option<String> {
        match name {
            "PluginName" => Some(KIND.to_owned()),
            "Fingerprint" => Some(self.fingerprint.clone()),
            "TrustDomain" => Some(trust_domain.name().to_owned()),
            "SerialNumberHex" => Some(self.serial_hex.clone()),
            "SerialNumber" => Some(self.serial.clone()),
            "Subject.CommonName" => self.subject.clone(),
            "Issuer.CommonName" => self.issuer.clone(),
            name => {
                let key = name.strip_prefix("URISanSelectors.")?;
                let san = self.sans.iter().find(|(found, _)| found == key);
                san.map(|(_, value)| value.clone())
            }
        }
    }

    pub(super) fn selectors(&self, chain: &VerifiedChain) -> Vec<Selector> {
        let name = self.subject.iter().map(|name| format!("subject:cn:{name}"));
        let authorities = chain.authorities().iter();
        let authorities = authorities.map(|der| format!("ca:fingerprint:{}", fingerprint(der)));
        let serial = std::iter::once(format!("serialnumber:{}", self.serial_hex));
        let sans = self
            .sans
            .iter()
            .map(|(key, value)| format!("san:{key}:{value}"));
        let values = name.chain(authorities).chain(serial).chain(sans);
        // What is too long for a selector cannot stand in an entry either.
        values
            .filter_map(|value| Selector::new(KIND, &value).ok())
            .collect()
    }
}

/// Key and value of a URI name `x509pop://<trust domain>/<key>/<value>`.
fn san(uri: &str, beginning: &str) -> Option<(String, String)> {
    let (key, value) = uri.strip_prefix(beginning)?.split_once('/')?;
    let both = !key.is_empty() && !value.is_empty();
    both.then(|| (key.to_owned(), value.to_owned()))
}

/// The last common name, as Go takes it.
fn common_name(name: &[u8]) -> Option<String> {
    let (_, name) = X509Name::from_der(name).ok()?;
    let last = name.iter_common_name().last()?;
    last.as_str()
        .ok()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Whether the certificate is for this address. IPv4 inside IPv6 is taken as IPv4.
pub(super) fn names_address(leaf: &Certificate, address: Option<IpAddr>) -> bool {
    let Some(address) = address else {
        return false;
    };
    let wanted = match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let Ok((_, parsed)) = X509Certificate::from_der(leaf.der()) else {
        return false;
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        let mut names = names.value.general_names.iter();
        names.any(|name| matches!(name, GeneralName::IPAddress(found) if *found == wanted))
    })
}

fn fingerprint(der: &[u8]) -> String {
    hex(&sha1(der))
}
