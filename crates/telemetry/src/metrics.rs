//! The metrics registry. Names are SPIRE's, so that dashboards go on working; what we add has new
//! names. Metrics are always counted; the listener decides whether anybody can read them.

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

/// A counter whose name carries no `_total`, as SPIRE's sinks write it.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for Counter {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for Counter {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        encoder.encode_gauge(&self.0.load(Ordering::Relaxed))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Unknown
    }
}

#[derive(Clone)]
struct Calls {
    count: Family<Status, Counter>,
    elapsed: Histogram,
}

/// All metrics of one program. Clones share the registry.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Inner>>);

struct Inner {
    registry: Registry,
    calls: BTreeMap<String, Calls>,
}

impl Metrics {
    /// An empty registry; every name is prefixed with `prefix` and `_`.
    pub fn new(prefix: &str) -> Self {
        let registry = Registry::with_prefix(prefix);
        Self(Arc::new(Mutex::new(Inner {
            registry,
            calls: BTreeMap::new(),
        })))
    }

    /// A gauge of this name.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.with(|inner| inner.registry.register(name, help, gauge.clone()));
        gauge
    }

    /// A counter of this name.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.with(|inner| inner.registry.register(name, help, counter.clone()));
        counter
    }

    /// A histogram of milliseconds.
    pub fn milliseconds(&self, name: &str, help: &str) -> Histogram {
        let histogram = millisecond_buckets();
        self.with(|inner| inner.registry.register(name, help, histogram.clone()));
        histogram
    }

    /// Counts one call of `name` with its gRPC status name and its duration.
    pub fn call(&self, name: &str, status: &'static str, elapsed: Duration) {
        let calls = self.with(|inner| inner.calls(name));
        calls.count.get_or_create(&Status { status }).increment();
        calls.elapsed.observe(elapsed.as_secs_f64() * 1000.0);
    }

    /// The text form that Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        self.with(|inner| prometheus_client::encoding::text::encode(&mut text, &inner.registry))
            .expect("writing to a string cannot fail");
        text
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn calls(&mut self, name: &str) -> Calls {
        if let Some(calls) = self.calls.get(name) {
            return calls.clone();
        }
        let calls = Calls {
            count: Family::default(),
            elapsed: millisecond_buckets(),
        };
        self.registry
            .register(name, "Calls by status", calls.count.clone());
        let elapsed = format!("{name}_elapsed_time");
        self.registry
            .register(elapsed, "Duration in milliseconds", calls.elapsed.clone());
        self.calls.insert(name.to_owned(), calls.clone());
        calls
    }
}

fn millisecond_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.25, 2.0, 16))
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_those_of_spire() {
        let metrics = Metrics::new("spire_server");
        metrics.call(
            "rpc_entry_v1_entry_list_entries",
            "OK",
            Duration::from_millis(3),
        );
        let text = metrics.encode();
        assert!(
            text.contains("spire_server_rpc_entry_v1_entry_list_entries{status=\"OK\"} 1"),
            "{text}"
        );
        assert!(text.contains("_elapsed_time_count 1"), "{text}");
    }
}
