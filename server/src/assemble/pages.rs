//! The pages for probes and for Prometheus.

use super::StartError;
use crate::audit::Audit;
use crate::config::ServerConfig;
use crate::running::Server;
use signet_runtime::{Readiness, Tasks};
use signet_telemetry::health::Health;
use signet_telemetry::http::{self, Answer, Pages};
use signet_telemetry::metrics::{self, Metrics};

pub(super) fn health(readiness: Readiness, server: &Server, audit: Audit) -> Health {
    let issuer = server.issuer().clone();
    let bundle = move || match issuer.own_bundle() {
        Some(_) => Ok(()),
        None => Err("the trust domain has no bundle".to_owned()),
    };
    let audit = move || match &audit {
        Audit::Disk(log) if log.is_behind() => Err("records wait for the disk".to_owned()),
        _ => Ok(()),
    };
    Health::new(readiness)
        .with("bundle", bundle)
        .with("audit", audit)
}

pub(super) async fn serve(
    config: &ServerConfig,
    server: &Server,
    metrics: &Metrics,
    health: Health,
) -> Result<(), StartError> {
    if let Some(settings) = &config.health {
        let pages = Pages::new().with_health(&settings.live_path, &settings.ready_path, health);
        serve_pages(
            &settings.bind_address,
            settings.bind_port,
            pages,
            server.tasks(),
        )
        .await?;
    }
    if let Some(settings) = &config.telemetry.prometheus {
        let issuer = server.issuer().clone();
        let connected = metrics.gauge("connected_agents", "Agents with an open sync stream");
        let entries = metrics.gauge("entries", "Registration entries");
        let metrics = metrics.clone();
        let page = move || {
            connected.set(i64::try_from(issuer.online.count()).unwrap_or(i64::MAX));
            let count = issuer.state.read().index.entry_count();
            entries.set(i64::try_from(count).unwrap_or(i64::MAX));
            Answer {
                ok: true,
                content_type: metrics::CONTENT_TYPE,
                body: metrics.encode(),
            }
        };
        let pages = Pages::new().with("/metrics", page.clone()).with("/", page);
        serve_pages(&settings.host, settings.port, pages, server.tasks()).await?;
    }
    Ok(())
}

async fn serve_pages(host: &str, port: u16, pages: Pages, tasks: &Tasks) -> Result<(), StartError> {
    let address = format!("{host}:{port}");
    let bound = http::bind(host, port).await;
    let listener = bound.map_err(|source| StartError::Listen { address, source })?;
    tasks.spawn_essential("http listener", http::serve(listener, pages, tasks.clone()));
    Ok(())
}
