//! Authorities, certificates and connected pairs for the tests of this crate. Each fixture is named
//! for its defect.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use signet_crypto::{KeyType, PrivateKey};
use signet_runtime::{Clock, Tasks};
use signet_spiffe::{Bundle, SpiffeId, TrustDomain, X509Authority};
use signet_tls::{
    Acceptor, ClientTls, ConnectError, Identity, Incoming, KeyExchange, MemoryDialer,
    ServerAddress, ServerTls, ServerTrust, TlsConn, Trust, connect_tls, memory,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The middle of all validity periods: 2027-01-15T08:00:00Z.
pub(crate) fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A clock that tests set.
pub(crate) struct TestClock(Mutex<SystemTime>);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(noon())))
    }

    pub(crate) fn set(&self, now: SystemTime) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// A self-signed authority of a trust domain.
pub(crate) struct Authority {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// What goes into a leaf; starts as a good one.
pub(crate) struct Leaf {
    pub(crate) uris: Vec<String>,
    pub(crate) is_ca: bool,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) extended: Vec<ExtendedKeyUsagePurpose>,
}

impl Leaf {
    pub(crate) fn of(uri: &str) -> Self {
        Self {
            uris: vec![uri.to_owned()],
            is_ca: false,
            not_before: noon() - HOUR,
            not_after: noon() + HOUR,
            extended: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        }
    }
}

/// A chain and its key.
pub(crate) struct Svid {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: PrivateKey,
}

impl Svid {
    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::new(Identity::new(&self.chain, &self.key).unwrap())
    }
}

impl Authority {
    pub(crate) fn new(trust_domain: &str) -> Self {
        Self::valid(trust_domain, noon() - 24 * HOUR, noon() + 24 * HOUR)
    }

    pub(crate) fn valid(trust_domain: &str, not_before: SystemTime, not_after: SystemTime) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))];
        (params.not_before, params.not_after) = (not_before.into(), not_after.into());
        params.distinguished_name = name(trust_domain);
        let (_, key) = key();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            trust_domain: TrustDomain::parse(trust_domain).unwrap(),
            der,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn bundle(&self) -> Bundle {
        bundle(&[self])
    }

    pub(crate) fn sign(&self, leaf: &Leaf) -> Svid {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("leaf");
        params.serial_number = Some(SerialNumber::from(7));
        params.is_ca = match leaf.is_ca {
            true => IsCa::Ca(BasicConstraints::Unconstrained),
            false => IsCa::ExplicitNoCa,
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(&leaf.extended);
        params.subject_alt_names = leaf.uris.iter().map(|id| uri(id)).collect();
        (params.not_before, params.not_after) = (leaf.not_before.into(), leaf.not_after.into());
        let (private, key) = key();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Svid {
            chain: vec![der],
            key: private,
        }
    }

    pub(crate) fn svid(&self, id: &str) -> Svid {
        self.sign(&Leaf::of(id))
    }
}

pub(crate) fn bundle(authorities: &[&Authority]) -> Bundle {
    let mut bundle = Bundle::empty(authorities[0].trust_domain.clone());
    bundle.x509_authorities = authorities
        .iter()
        .map(|one| X509Authority::from_der(&one.der).unwrap())
        .collect();
    bundle
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn uri(id: &str) -> SanType {
    SanType::URI(id.try_into().unwrap())
}

fn key() -> (PrivateKey, KeyPair) {
    let private = PrivateKey::generate(KeyType::EcP256).unwrap();
    let pair = KeyPair::try_from(private.pkcs8_der().expose()).unwrap();
    (private, pair)
}

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

pub(crate) const SERVER: &str = "spiffe://one.test/spire/server";
pub(crate) const AGENT: &str = "spiffe://one.test/spire/agent/a";

/// A server in memory, and what its clients need.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) authority: Authority,
    pub(crate) trust: Arc<Trust>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) dialer: MemoryDialer,
    pub(crate) incoming: Incoming<DuplexStream>,
    pub(crate) tasks: Tasks,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, usize::MAX)
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut ServerTls), max_handshakes: usize) -> Self {
        Self::build(adjust, |acceptor| {
            acceptor.with_max_handshakes(max_handshakes)
        })
    }

    /// With room for so many connections without a certificate.
    pub(crate) fn crowded(max_anonymous: usize) -> Self {
        Self::build(
            |_| {},
            |acceptor| acceptor.with_max_anonymous(max_anonymous),
        )
    }

    fn build(
        adjust: impl FnOnce(&mut ServerTls),
        bound: impl FnOnce(Acceptor) -> Acceptor,
    ) -> Self {
        let authority = Authority::new("one.test");
        let clock = TestClock::new();
        let trust = Arc::new(Trust::new([&authority.bundle()]));
        let identity = authority.svid(SERVER).identity();
        let mut tls = ServerTls {
            identity: Arc::clone(&identity),
            trust: Arc::clone(&trust),
            trust_domain: authority.trust_domain.clone(),
            foreign: BTreeSet::new(),
            key_exchange: KeyExchange::Any,
            clock: clock.clone(),
        };
        adjust(&mut tls);
        let tasks = Tasks::new();
        let (dialer, listener) = memory();
        let acceptor = bound(Acceptor::new(&tls, &tasks).unwrap());
        let incoming = acceptor.listen(listener);
        Self {
            clock,
            authority,
            trust,
            identity,
            dialer,
            incoming,
            tasks,
        }
    }

    /// A client that trusts the server and shows `svid`.
    pub(crate) fn client(&self, svid: Option<&Svid>) -> ClientTls {
        ClientTls {
            identity: svid.map_or_else(|| Arc::new(Identity::none()), Svid::identity),
            trust: ServerTrust::Bundle(Arc::new(Trust::new([&self.authority.bundle()]))),
            server_id: id(SERVER),
            key_exchange: KeyExchange::Any,
            clock: self.clock.clone(),
        }
    }

    /// Connects `client` and exchanges a byte each way; fails if either side refuses.
    pub(crate) async fn talk(
        &mut self,
        client: &ClientTls,
    ) -> Result<TlsConn<DuplexStream>, Refused> {
        let io = self.dialer.dial().await.unwrap();
        let mut stream = connect_tls(&address(), client, io)
            .await
            .map_err(Refused::ByClient)?;
        // Under TLS 1.3 the client is done before the server has judged it.
        let asked = async {
            stream.write_all(b"?").await?;
            stream.flush().await?;
            stream.read_u8().await
        };
        let answered = async {
            let mut connection = self.incoming.next().await.unwrap().unwrap();
            connection.read_u8().await.unwrap();
            connection.write_all(b"!").await.unwrap();
            connection.flush().await.unwrap();
            connection
        };
        tokio::pin!(asked, answered);
        tokio::select! {
            refused = &mut asked => Err(Refused::ByServer(refused.unwrap_err())),
            connection = &mut answered => {
                asked.await.unwrap();
                Ok(connection)
            }
        }
    }
}

/// Which side refused a connection.
#[derive(Debug)]
pub(crate) enum Refused {
    ByClient(ConnectError),
    ByServer(#[allow(dead_code, reason = "shown by Debug")] std::io::Error),
}

pub(crate) fn address() -> ServerAddress {
    ServerAddress {
        host: "signet.test".to_owned(),
        port: 8081,
    }
}
