//! The agents: what each holds of the bundle, and has signed for its workloads.

use crate::events::Event;
use crate::judge::{KINDS, Number, View, Wrong};
use crate::world::{World, td};
use rand::Rng;
use signet_ca::X509Authority;
use signet_ca::slots::Kind;
use signet_crypto::{KeyType, PrivateKey};
use signet_keys::Signer;
use signet_model::{Agent as Record, Moment, Policy, SelectorSet, approve};
use signet_server::issuer::Settings;
use signet_server::sync::Presence;
use signet_spiffe::{Bundle, Serial, SpiffeId, x509_svid};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How many there are.
pub(crate) const AGENTS: usize = 3;
/// How long SVIDs and tokens live: as long as no authority of two days ever cuts short.
const SVID_TTL: Duration = Duration::from_secs(8 * 3600);
/// Everything is renewed in time, and not always at the same.
const RENEWED_AFTER: std::ops::Range<u64> = 2 * 3600..4 * 3600;

/// One agent.
pub(crate) struct Agent {
    pub(crate) id: SpiffeId,
    /// Whether there is a way to the server, be it up or not.
    pub(crate) is_linked: bool,
    pub(crate) link_changed: Instant,
    /// When a stream broke last while the server lived.
    pub(crate) left: Instant,
    /// The open stream.
    pub(crate) presence: Option<Presence>,
    /// What it holds.
    pub(crate) view: Option<Arc<View>>,
    in_use: [Option<Number>; KINDS.len()],
    /// When it has all of it signed anew.
    renews_at: Instant,
}

impl Agent {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            id: SpiffeId::new(&td(), &format!("/spire/agent/test/{number}")).unwrap(),
            is_linked: true,
            link_changed: Instant::now(),
            left: Instant::now(),
            presence: None,
            view: None,
            in_use: [None; KINDS.len()],
            renews_at: Instant::now(),
        }
    }

    /// Whether it holds a bundle without this authority.
    pub(crate) fn lacks(&self, number: Number) -> bool {
        let view = self.view.as_ref();
        view.is_some_and(|view| !view.has.contains(&number))
    }

    /// What the server knows of it.
    pub(crate) fn record(&self, expires_at: SystemTime) -> Arc<Record> {
        Arc::new(Record {
            id: self.id.clone(),
            attestation_type: "test".to_owned(),
            serial: Some(Serial::from_bytes(&[1])),
            expires_at,
            pending: None,
            selectors: SelectorSet::default(),
            can_reattest: false,
            agent_version: String::new(),
            token: None,
            attestation: None,
        })
    }
}

impl World {
    /// The agent opens a stream, and learns what changed while it had none.
    pub(crate) async fn connect(&mut self, agent: usize) -> Result<(), Wrong> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let one = &mut self.agents[agent];
        if !one.is_linked || one.presence.is_some() {
            return Ok(());
        }
        one.presence = Some(server.rotation.online.enter(&one.id));
        self.hear(agent).await?;
        self.renew(agent).await
    }

    /// The agent takes over the bundle as it is, and says so.
    pub(crate) async fn hear(&mut self, agent: usize) -> Result<(), Wrong> {
        let Some(presence) = &self.agents[agent].presence else {
            return Ok(());
        };
        let view = self.seen.clone().ok_or("there is no bundle")?;
        presence.acknowledge(view.revision, true);
        self.judge.heard(agent, &view);
        self.agents[agent].view = Some(view.clone());
        let mut used = self.agents[agent].in_use.iter().flatten();
        if used.any(|number| view.tainted.contains(number)) {
            self.renew(agent).await?;
        }
        for &number in &view.tainted {
            self.judge.dropped(agent, number);
        }
        Ok(())
    }

    /// Has new SVIDs and tokens signed, if it is time.
    pub(crate) async fn renew_in_time(&mut self, agent: usize) -> Result<(), Wrong> {
        match Instant::now() < self.agents[agent].renews_at {
            true => Ok(()),
            false => self.renew(agent).await,
        }
    }

    /// Has new SVIDs and tokens signed, if the agent has a stream.
    pub(crate) async fn renew(&mut self, agent: usize) -> Result<(), Wrong> {
        let again = Duration::from_secs(self.rng.random_range(RENEWED_AFTER));
        let (Some(server), Some(view)) = (&self.server, self.seen.clone()) else {
            return Ok(());
        };
        if self.agents[agent].presence.is_none() {
            return Ok(());
        }
        let authorities = server.authorities.clone();
        let now = self.now();
        let none = |error| format!("nothing can be signed: {error}");
        let x509 = authorities.x509().map_err(none)?;
        let jwt = authorities.jwt_for(&["any".to_owned()]).map_err(none)?;
        let wit = authorities.wit().ok_or("no WIT key signs")?;
        let signers = [
            (x509.authority_id(), x509.not_after()),
            (jwt.key_id.clone(), jwt.not_after),
            (wit.key_id.clone(), wit.not_after),
        ];
        for (place, (id, not_after)) in signers.into_iter().enumerate() {
            let kind = KINDS[place];
            if not_after <= now {
                continue; // refused, as `signet_model::approve` does
            }
            let until = not_after.min(now + SVID_TTL);
            let number = self.judge.signed(agent, (kind, &id), until, &view)?;
            self.agents[agent].in_use[place] = Some(number);
            if self.judge.is_unproved(number) {
                let signer = match kind {
                    Kind::Jwt => &jwt.signer,
                    _ => &wit.signer,
                };
                for bundle in self.bundles_with(number) {
                    match kind {
                        Kind::X509 => prove_x509(&x509, &bundle, now).await?,
                        _ => prove_key(&id, &**signer, &bundle).await?,
                    }
                }
            }
        }
        self.agents[agent].renews_at = Instant::now() + again;
        self.schedule(again, Event::Renew(agent));
        Ok(())
    }

    /// The server's bundle, and what agents hold that have this authority.
    fn bundles_with(&self, number: Number) -> Vec<Arc<Bundle>> {
        let held = self.agents.iter().filter_map(|agent| agent.view.as_ref());
        let with = held
            .chain(&self.seen)
            .filter(|view| view.has.contains(&number));
        let mut bundles: Vec<_> = with.map(|view| view.bundle.clone()).collect();
        bundles.dedup_by(|one, other| Arc::ptr_eq(one, other));
        bundles
    }
}

/// Signs an SVID for nobody and verifies it as a peer would.
async fn prove_x509(
    authority: &X509Authority,
    bundle: &Bundle,
    now: SystemTime,
) -> Result<(), Wrong> {
    let moment = Moment {
        now,
        authority_not_after: authority.not_after(),
    };
    let policy = Policy {
        default_x509_svid_ttl: SVID_TTL,
        ..Settings::defaults(td()).policy
    };
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let grant = approve::server_x509(&policy, moment, key.public_key().clone());
    let grant = grant.map_err(|error| format!("no SVID was approved: {error}"))?;
    let random = signet_crypto::SystemRandom::new();
    let svid = signet_ca::sign_x509(authority, grant, &random, now).await;
    let svid = svid.map_err(|error| format!("no SVID was signed: {error}"))?;
    let verified = x509_svid::verify(&svid.chain, bundle, now);
    verified
        .map(|_| ())
        .map_err(|error| format!("an SVID does not verify: {error}"))
}

/// Signs something and verifies it with the key of this ID in the bundle.
async fn prove_key(id: &str, signer: &dyn Signer, bundle: &Bundle) -> Result<(), Wrong> {
    let algorithm = KeyType::EcP256.default_algorithm();
    let signature = signer.sign(algorithm, b"token").await;
    let signature = signature.map_err(|error| format!("no token was signed: {error}"))?;
    let mut keys = bundle.jwt_authorities.iter().chain(&bundle.wit_authorities);
    let key = keys.find(|key| key.key_id == id).ok_or("the key is gone")?;
    let verified = key.public_key.verify(algorithm, b"token", &signature);
    verified.map_err(|error| format!("a token does not verify: {error}"))
}
