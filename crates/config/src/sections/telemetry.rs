//! The `telemetry` block.

use crate::{Key, Section, Unknown};

const NO_SINK: &str = "only Prometheus is served; scrape that";

const PLAIN: &str = "every metric is served, under its plain name and labels";

const KEYS: [Key; 12] = [
    Key::implemented("MetricPrefix"),
    Key::implemented("Prometheus"),
    Key::ignored("EnableTrustDomainLabel", PLAIN),
    Key::ignored("EnableHostnameLabel", PLAIN),
    Key::ignored("AllowedPrefixes", PLAIN),
    Key::ignored("BlockedPrefixes", PLAIN),
    Key::ignored("AllowedLabels", PLAIN),
    Key::ignored("BlockedLabels", PLAIN),
    Key::ignored("DogStatsd", NO_SINK),
    Key::ignored("Statsd", NO_SINK),
    Key::ignored("M3", NO_SINK),
    Key::ignored("InMem", NO_SINK),
];

const PROMETHEUS_KEYS: [Key; 3] = [
    Key::implemented("host"),
    Key::implemented("port"),
    Key::refused(
        "tls",
        "remove it and let host be \"localhost\", or keep others off the port",
    ),
];

/// Under what names metrics are served, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// `MetricPrefix`, such as `spire_server`.
    pub metric_prefix: String,
    /// `Prometheus`: where to serve them, if at all.
    pub prometheus: Option<PrometheusSettings>,
}

/// Where the metrics are served over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusSettings {
    /// `host`: a host name or IP address.
    pub host: String,
    /// `port`; 0 lets the system choose.
    pub port: u16,
}

impl TelemetrySettings {
    /// Reads the block. `prefix` is the program's own metric prefix.
    pub fn read(root: &Section<'_>, prefix: &str) -> Self {
        let block = root.block("telemetry");
        block.check(&[&KEYS], Unknown::Warned);
        Self {
            metric_prefix: block.string("MetricPrefix").unwrap_or(prefix).to_owned(),
            prometheus: PrometheusSettings::read(&block),
        }
    }
}

impl PrometheusSettings {
    fn read(telemetry: &Section<'_>) -> Option<Self> {
        let block = telemetry.block("Prometheus");
        if !block.is_present() {
            return None;
        }
        block.check(&[&PROMETHEUS_KEYS], Unknown::Refused);
        if !block.has("port") {
            block.problem("port", "is required");
        }
        let host = block.string("host").unwrap_or("localhost").to_owned();
        Some(Self {
            host,
            port: block.port("port")?,
        })
    }
}
