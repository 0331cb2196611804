//! The pages for probes and for Prometheus.

use super::StartError;
use crate::cache::{Due, Held, Standing};
use crate::running::Agent;
use signet_config::sections::{HealthSettings, PrometheusSettings};
use signet_runtime::Tasks;
use signet_telemetry::health::Health;
use signet_telemetry::http::{self, Answer, Pages};
use signet_telemetry::metrics::{CONTENT_TYPE, Metrics};
use std::time::{Duration, SystemTime};

/// After this much silence of the server, the agent says that it is not well: three times what a
/// stream may be silent.
const STALE: Duration = Duration::from_secs(135);

pub(super) async fn serve_probes(
    settings: &HealthSettings,
    agent: &Agent,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let (live, ready) = (&settings.live_path, &settings.ready_path);
    let pages = Pages::new().with_health(live, ready, well(agent));
    serve(&settings.bind_address, settings.bind_port, pages, tasks).await
}

pub(super) async fn serve_metrics(
    settings: &PrometheusSettings,
    metrics: Metrics,
    agent: &Agent,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let pages = Pages::new().with("/metrics", metrics_page(metrics, agent));
    serve(&settings.host, settings.port, pages, tasks).await
}

async fn serve(host: &str, port: u16, pages: Pages, tasks: &Tasks) -> Result<(), StartError> {
    let listener = http::bind(host, port).await.map_err(StartError::Listener)?;
    let served = http::serve(listener, pages, tasks.clone());
    tasks.spawn_essential("probes and metrics", served);
    Ok(())
}

fn well(agent: &Agent) -> Health {
    let freshness = agent.freshness.clone();
    let (member, clock) = (agent.member.clone(), agent.clock.clone());
    Health::new(agent.readiness.clone())
        .with("agent", move || {
            let member = member.borrow();
            let expired = member
                .as_ref()
                .is_some_and(|own| own.not_after <= clock.now());
            if expired {
                Err("the SVID of this agent has expired".to_owned())
            } else {
                Ok(())
            }
        })
        .with_outside("sync", move || match freshness.age() {
            Some(age) if age > STALE => Err(format!(
                "the server was last heard of {} s ago",
                age.as_secs()
            )),
            _ => Ok(()),
        })
}

/// What is held is counted when somebody asks.
fn metrics_page(metrics: Metrics, agent: &Agent) -> impl Fn() -> Answer + Send + Sync + 'static {
    metrics.gauge("started", "That the agent runs").set(1);
    let uptime = metrics.gauge("uptime_in_ms", "Milliseconds since the start");
    let entries = metrics.gauge("entries", "Entries this agent may serve");
    let tokens = metrics.gauge("jwt_svid_cache_size", "JWT-SVIDs held");
    let age = metrics.gauge(
        "sync_age_seconds",
        "Seconds since the server confirmed what is held",
    );
    let svids = SVIDS.map(|(name, help, which)| (metrics.gauge(name, help), which));
    let (holdings, jwt) = (agent.holdings.clone(), agent.jwt.clone());
    let (freshness, clock) = (agent.freshness.clone(), agent.clock.clone());
    let begun = tokio::time::Instant::now();
    move || {
        let now = clock.now();
        holdings.read(|cache| {
            entries.set(count(cache.held().count()));
            for (gauge, which) in &svids {
                let those = cache.held().filter(|held| which(held, now));
                gauge.set(count(those.count()));
            }
        });
        tokens.set(count(jwt.len()));
        uptime.set(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX));
        let silent = freshness.age();
        age.set(silent.map_or(-1, |age| age.as_secs().cast_signed()));
        Answer {
            ok: true,
            content_type: CONTENT_TYPE,
            body: metrics.encode(),
        }
    }
}

type Which = fn(&Held, SystemTime) -> bool;

/// The gauges of X509-SVIDs, by SPIRE's names where it has one, and what each counts.
const SVIDS: [(&str, &str, Which); 4] = [
    ("cached_x509_svids", "X509-SVIDs held", |held, _| {
        held.svid.is_some()
    }),
    (
        "cache_manager_tainted_x509_svids",
        "X509-SVIDs of a tainted authority that wait for their replacement",
        |held, now| held.standing != Standing::Sound && held.valid_svid(now).is_some(),
    ),
    (
        "cache_manager_expiring_svids",
        "X509-SVIDs whose time to be replaced has come",
        |held, now| held.due(now) == Some(Due::Expiring),
    ),
    (
        "cache_manager_outdated_svids",
        "X509-SVIDs whose entry was changed since",
        |held, now| held.due(now) == Some(Due::Outdated),
    ),
];

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
