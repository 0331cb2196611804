//! Health as a list of named checks. Live and ready answer with one line a subsystem, so that an
//! operator sees at once which one is ill.

use signet_runtime::Readiness;
use std::collections::BTreeMap;
use std::sync::Arc;

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What a probe learns: each subsystem with its fault, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(BTreeMap<&'static str, Option<String>>);

impl Report {
    /// Whether no subsystem has a fault.
    pub fn is_healthy(&self) -> bool {
        self.0.values().all(Option::is_none)
    }

    /// The report as a JSON object: `{"store": {}, "sync": {"error": "…"}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let subsystem = |fault: &Option<String>| match fault {
            None => serde_json::json!({}),
            Some(error) => serde_json::json!({ "error": error }),
        };
        self.0
            .iter()
            .map(|(name, fault)| ((*name).to_owned(), subsystem(fault)))
            .collect()
    }
}

/// The checks of one program. Clones share the readiness blockers, not later checks.
#[derive(Clone, Default)]
pub struct Health {
    readiness: Readiness,
    checks: Vec<(&'static str, Check)>,
    outside: Vec<(&'static str, Check)>,
}

impl Health {
    /// Health that waits for the blockers of `readiness`.
    pub fn new(readiness: Readiness) -> Self {
        Self {
            readiness,
            checks: Vec::new(),
            outside: Vec::new(),
        }
    }

    /// Adds a subsystem; the check must be quick and recover by itself when the fault is gone.
    #[must_use]
    pub fn with<F>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.checks.push((name, Arc::new(check)));
        self
    }

    /// As [`with`](Self::with), for what is outside of this process: a fault makes it unready but not
    /// dead, since a restart mends nothing there and loses what is held.
    #[must_use]
    pub fn with_outside<F>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.outside.push((name, Arc::new(check)));
        self
    }

    /// Whether the process works; blockers of readiness do not count.
    pub fn live(&self) -> Report {
        Report(self.checks.iter().map(run).collect())
    }

    /// Whether the program can serve: all checks, and no blocker left.
    pub fn ready(&self) -> Report {
        let mut report = self.live();
        report.0.extend(self.outside.iter().map(run));
        for name in self.readiness.blockers() {
            report.0.insert(name, Some("not ready yet".to_owned()));
        }
        report
    }
}

fn run((name, check): &(&'static str, Check)) -> (&'static str, Option<String>) {
    (*name, check().err())
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocker_makes_unready_but_not_dead() {
        let readiness = Readiness::new();
        let health = Health::new(readiness.clone()).with("store", || Ok(()));
        let blocker = readiness.block("sync");
        assert!(health.live().is_healthy());
        assert!(!health.ready().is_healthy());
        drop(blocker);
        assert!(health.ready().is_healthy());
    }

    #[test]
    fn a_fault_outside_makes_unready_but_not_dead() {
        let health = Health::default().with_outside("sync", || Err("no server".to_owned()));
        assert!(health.live().is_healthy());
        assert!(!health.ready().is_healthy());
    }

    #[test]
    fn a_fault_is_reported_under_its_subsystem() {
        let health = Health::default().with("store", || Err("disk full".to_owned()));
        let report = health.live();
        assert!(!report.is_healthy());
        assert_eq!(
            report.to_json(),
            serde_json::json!({"store": {"error": "disk full"}})
        );
    }
}
