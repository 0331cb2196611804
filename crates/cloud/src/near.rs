//! What may be asked without TLS: services of the machine itself and of its link, where clouds have
//! their metadata.

use std::net::IpAddr;

use http::Uri;

/// Google's metadata service: each of its machines resolves the name to an address of the link.
const GOOGLE: &str = "metadata.google.internal";

/// The URL of a metadata service, given as `http://host[:port]`. What it says decides as whom the clouds
/// are asked, and nothing vouches for it but that the network in between is the machine's own.
///
/// # Errors
/// Says what is wrong.
pub fn metadata_url(text: &str) -> Result<String, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is no URL")?;
    if uri.scheme_str() != Some("http") {
        return Err("must begin with http://");
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') || uri.path() != "/" || uri.query().is_some() {
        return Err("is not http:// with a host, and a port if it is not 80");
    }
    if !uri.host().is_some_and(is_near) {
        return Err("must be on this machine or its link (127.0.0.1, 169.254.169.254)");
    }
    Ok(format!("http://{authority}"))
}

/// Whether a host, as URLs have it, is on this machine or its link.
pub(crate) fn is_near(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            let of_link = address.is_unicast_link_local() || address.is_unique_local();
            address.is_loopback() || of_link
        }
        Err(_) => matches!(host, "localhost" | GOOGLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_its_link_have_metadata() {
        for (given, url) in [
            ("http://169.254.169.254", "http://169.254.169.254"),
            ("http://[fd00:ec2::254]/", "http://[fd00:ec2::254]"),
            ("http://localhost:40342", "http://localhost:40342"),
            (
                "http://metadata.google.internal",
                "http://metadata.google.internal",
            ),
            ("http://127.0.0.1:1338/", "http://127.0.0.1:1338"),
        ] {
            assert_eq!(metadata_url(given).as_deref(), Ok(url), "{given}");
        }
    }

    #[test]
    fn other_networks_have_none() {
        for bad in [
            "",
            "169.254.169.254",
            "https://169.254.169.254",
            "http://10.0.0.1",
            "http://metadata.example",
            "http://169.254.169.254.example",
            "http://169.254.169.254@example",
            "http://127.0.0.1/latest",
            "http://127.0.0.1?x",
            "http://[2001:db8::1]",
        ] {
            assert!(metadata_url(bad).is_err(), "{bad}");
        }
    }
}
