//! The `telemetry` block.

use crate::{Key, Section, Unknown};

const NO_SINK: &str = "only Prometheus is served; scrape that";

const KEYS: [Key; 12] = [
    Key::implemented("MetricPrefix"),
    Key::implemented("EnableTrustDomainLabel"),
    Key::implemented("EnableHostnameLabel"),
    Key::implemented("AllowedPrefixes"),
    Key::implemented("BlockedPrefixes"),
    Key::implemented("AllowedLabels"),
    Key::implemented("BlockedLabels"),
    Key::implemented("Prometheus"),
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

/// Which metrics are kept, under what names, and where they are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// `MetricPrefix`, such as `spire_server`.
    pub metric_prefix: String,
    /// `EnableTrustDomainLabel`: every metric carries the trust domain.
    pub trust_domain_label: bool,
    /// `EnableHostnameLabel`: every metric carries the host name.
    pub hostname_label: bool,
    /// `AllowedPrefixes`: if not empty, only metrics whose dotted name starts so are kept.
    pub allowed_prefixes: Vec<String>,
    /// `BlockedPrefixes`: metrics whose dotted name starts so are dropped.
    pub blocked_prefixes: Vec<String>,
    /// `AllowedLabels`: if not empty, only these labels are kept.
    pub allowed_labels: Vec<String>,
    /// `BlockedLabels`: these labels are dropped.
    pub blocked_labels: Vec<String>,
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
        block.check(&KEYS, Unknown::Warned);
        let list = |key| block.strings(key).into_iter().map(str::to_owned).collect();
        Self {
            metric_prefix: block.string("MetricPrefix").unwrap_or(prefix).to_owned(),
            trust_domain_label: block.bool("EnableTrustDomainLabel").unwrap_or(false),
            hostname_label: block.bool("EnableHostnameLabel").unwrap_or(true),
            allowed_prefixes: list("AllowedPrefixes"),
            blocked_prefixes: list("BlockedPrefixes"),
            allowed_labels: list("AllowedLabels"),
            blocked_labels: list("BlockedLabels"),
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
        block.check(&PROMETHEUS_KEYS, Unknown::Refused);
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
