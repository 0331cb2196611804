//! Reaching HTTPS servers through a proxy: which one, if any, and the tunnel through it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::dial::{connect, host};
use crate::{Addresses, Proxies, addresses};

/// Which proxy leads where.
#[derive(Clone)]
pub(crate) struct Proxy(Option<Arc<Matcher>>);

impl Proxy {
    pub(crate) fn new(proxies: &Proxies) -> Self {
        let matcher = match proxies {
            Proxies::Direct => return Self(None),
            Proxies::Environment => Matcher::from_env(),
            Proxies::Given { url, except } => Matcher::builder()
                .https(url.as_str())
                .no(except.as_str())
                .build(),
        };
        Self(Some(Arc::new(matcher)))
    }

    /// What is to be asked for a tunnel to `uri`; `None` if it is reached directly.
    pub(crate) fn to(&self, uri: &Uri) -> Option<Intercept> {
        let matcher = self.0.as_ref()?;
        matcher.intercept(uri).filter(|_| !is_here(host(uri)))
    }
}

fn is_here(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// A connection to `uri` through this proxy.
pub(crate) async fn tunnel(
    proxy: &Intercept,
    uri: &Uri,
    reachable: Addresses,
) -> io::Result<TcpStream> {
    let named = proxy.uri();
    let place = format!("{}:{}", host(named), named.port_u16().unwrap_or(80));
    let failed = |error: String| io::Error::other(format!("through the proxy {place}: {error}"));
    if named.scheme_str() != Some("http") {
        return Err(failed(
            "only proxies at http URLs can be used; mend HTTPS_PROXY or set NO_PROXY".to_owned(),
        ));
    }
    if let (Addresses::Public, Ok(address)) = (reachable, host(uri).parse()) {
        addresses::public_only([SocketAddr::new(address, 443)].into_iter())?;
    }
    let dial = tower::service_fn(|uri: Uri| async move {
        let stream = connect(&uri, 80, Addresses::Any).await?;
        Ok::<_, io::Error>(TokioIo::new(stream))
    });
    let mut tunnel = Tunnel::new(named.clone(), dial);
    if let Some(credentials) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    let through = tunnel.call(uri.clone()).await;
    through
        .map(TokioIo::into_inner)
        .map_err(|error| failed(error.to_string()))
}
