//! Whether a failure may be the machine's: how long programs had to wait for a processor.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often it is looked.
const TICK: Duration = Duration::from_millis(50);
/// What is remembered: SVIDs live about as long.
const REMEMBERED: usize = 200;
/// Whoever does not get to run for so long renews too late: an SVID of four seconds, which is cut to
/// whole ones, leaves a second and a half for agent, server and workload one after the other.
const STARVED: Duration = Duration::from_millis(500);

/// Remembers how late a timer was, and how long somebody waited for a processor, tick by tick.
#[derive(Default)]
pub(super) struct Machine(Mutex<Past>);

#[derive(Default)]
struct Past {
    ticks: VecDeque<Look>,
    longest: Duration,
}

#[derive(Clone, Copy)]
struct Look {
    late: Duration,
    /// Of all time, if the kernel tells.
    waited: Duration,
}

impl Machine {
    /// Whether programs did not get to run of late.
    pub(super) fn is_starved(&self) -> bool {
        self.latest() >= STARVED
    }

    /// By how much a timer was late of late.
    fn latest(&self) -> Duration {
        let past = self.0.lock().unwrap();
        let late = past.ticks.iter().map(|look| look.late);
        late.max().unwrap_or_default()
    }

    /// Looks again and again.
    pub(super) async fn watch(&self, until: Instant) {
        while Instant::now() < until {
            let before = Instant::now();
            sleep(TICK).await;
            let look = Look {
                late: before.elapsed().saturating_sub(TICK),
                waited: waited(),
            };
            let mut past = self.0.lock().unwrap();
            past.longest = past.longest.max(look.late);
            past.ticks.push_back(look);
            if past.ticks.len() > REMEMBERED {
                past.ticks.pop_front();
            }
        }
    }
}

/// How long in all some program wanted a processor and had none (Documentation/accounting/psi.rst).
fn waited() -> Duration {
    let text = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("total="));
    let micros = total
        .and_then(|total| total.parse().ok())
        .unwrap_or_default();
    Duration::from_micros(micros)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = self.latest();
        let past = self.0.lock().unwrap();
        let ends = past.ticks.front().zip(past.ticks.back());
        let waited = ends.map(|(first, last)| last.waited.saturating_sub(first.waited));
        write!(
            f,
            "machine: of the last 10 s somebody waited {:?} for a processor; a timer was late by {late:?} \
             at most, and ever by {:?}",
            waited.unwrap_or_default(),
            past.longest
        )
    }
}
