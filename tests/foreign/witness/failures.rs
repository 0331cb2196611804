//! What failed, and whose fault that may be.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::machine::Machine;

/// Tells each failure, and counts. One is the machine's if what was shown had run out by then and
/// programs did not get to run: nothing else can be excused.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) machine: Machine,
    faults: AtomicUsize,
    starved: AtomicUsize,
}

impl Failures {
    /// Takes what a witness tells.
    pub(super) fn note(&self, path: &str, told: &Value) {
        let ran_out = told["left_ms"].as_f64().is_some_and(|left| left <= 0.0);
        let (whose, count) = match ran_out && self.machine.is_starved() {
            true => ("the machine's", &self.starved),
            false => ("a fault", &self.faults),
        };
        count.fetch_add(1, Ordering::SeqCst);
        println!("{path}: {whose}: {told} {}", self.machine);
    }

    /// How many nobody but we can be blamed for.
    pub(super) fn faults(&self) -> usize {
        self.faults.load(Ordering::SeqCst)
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (faults, starved) = (self.faults(), self.starved.load(Ordering::SeqCst));
        let machine = &self.machine;
        write!(
            f,
            "{faults} faults, {starved} of a starved machine; {machine}"
        )
    }
}
