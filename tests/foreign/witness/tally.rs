//! What the Rust witness has seen.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::failures::Failures;
use super::workload::{Shown, now};

/// Counts, as the witnesses in other languages tell them.
pub(super) struct Tally {
    path: &'static str,
    failures: Arc<Failures>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    handshakes: usize,
    tokens: usize,
    chains: usize,
    failures: usize,
    svids: BTreeSet<String>,
    signers: BTreeSet<String>,
    keys: BTreeSet<String>,
    least_svid: Option<Duration>,
    least_token: Option<Duration>,
}

impl Tally {
    pub(super) fn new(path: &'static str, failures: Arc<Failures>) -> Self {
        let counts = Mutex::default();
        Self {
            path,
            failures,
            counts,
        }
    }

    pub(super) fn handshake(&self) {
        self.counts.lock().unwrap().handshakes += 1;
    }

    pub(super) fn chain(&self) {
        self.counts.lock().unwrap().chains += 1;
    }

    pub(super) fn token(&self, key_id: &str) {
        let mut counts = self.counts.lock().unwrap();
        counts.tokens += 1;
        counts.keys.insert(key_id.to_owned());
    }

    /// An SVID of our own is used.
    pub(super) fn used(&self, own: &Shown) {
        let mut counts = self.counts.lock().unwrap();
        counts.svids.insert(own.serial.clone());
        counts.signers.insert(own.signer.clone());
        let left = own.not_after.saturating_sub(now());
        counts.least_svid = Some(counts.least_svid.map_or(left, |least| least.min(left)));
    }

    /// A token was fetched.
    pub(super) fn fetched(&self, ends: Duration) {
        let mut counts = self.counts.lock().unwrap();
        let left = ends.saturating_sub(now());
        counts.least_token = Some(counts.least_token.map_or(left, |least| least.min(left)));
    }

    /// `held` is what the one who refused had, and what was shown to it.
    pub(super) fn failed(&self, what: &str, why: &str, mut held: Value) {
        self.counts.lock().unwrap().failures += 1;
        let now = now().as_secs_f64();
        let ends = ["/own/not_after", "/peer/not_after", "/expires"];
        let ends = ends.iter().filter_map(|end| held.pointer(end)?.as_f64());
        let left = ends.map(|end| (end - now) * 1000.0).reduce(f64::min);
        held["left_ms"] = left.into();
        held["failed"] = what.into();
        held["why"] = why.into();
        held["at"] = now.into();
        self.failures.note(self.path, &held);
    }

    pub(super) fn conclude(&self) -> Value {
        let counts = self.counts.lock().unwrap();
        let millis = |time: Option<Duration>| time.map(|time| time.as_millis());
        json!({
            "witness": self.path,
            "handshakes": counts.handshakes,
            "tokens": counts.tokens,
            "chains": counts.chains,
            "failures": counts.failures,
            "svids": counts.svids.len(),
            "signers": counts.signers.len(),
            "keys": counts.keys.len(),
            "least_svid_ms": millis(counts.least_svid),
            "least_token_ms": millis(counts.least_token),
        })
    }
}
