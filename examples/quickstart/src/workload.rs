//! An ordinary workload: it knows the Workload API's socket and the `spiffe` crate, nothing of Signet.

use std::time::Duration;

use spiffe::{JwtSource, JwtSourceError, X509Source, X509SourceError};

use crate::{
    Length, show,
    verify::{self, Refused},
};

/// The service that the JWT-SVID is meant for.
const AUDIENCE: &str = "spiffe://example.org/some-service";
/// How long the first identity may take; the entry reaches the agent in milliseconds.
const FIRST_WITHIN: Duration = Duration::from_secs(30);

/// A step of the workload failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkloadError {
    #[error("no X.509-SVID came")]
    X509(#[from] X509SourceError),
    #[error("no JWT-SVID came")]
    Jwt(#[from] JwtSourceError),
    #[error("what came does not verify")]
    Refused(#[from] Refused),
}

/// Fetches both kinds of SVID, verifies them, and shows the X.509-SVID rotating.
pub(crate) async fn live(socket: &str, length: Length) -> Result<(), WorkloadError> {
    let endpoint = format!("unix:{socket}");
    let source = fetch_x509(&endpoint).await?;
    fetch_jwt(&endpoint).await?;
    watch(&source, length).await
}

async fn fetch_x509(endpoint: &str) -> Result<X509Source, WorkloadError> {
    show::step("Fetch an X.509-SVID as a workload and verify it");
    let source = X509Source::builder()
        .endpoint(endpoint)
        .initial_sync_timeout(FIRST_WITHIN)
        .build()
        .await?;
    show::x509(&verify::x509(&source)?);
    Ok(source)
}

async fn fetch_jwt(endpoint: &str) -> Result<(), WorkloadError> {
    show::step("Fetch a JWT-SVID and verify it");
    let source = JwtSource::builder()
        .endpoint(endpoint)
        .initial_sync_timeout(FIRST_WITHIN)
        .build()
        .await?;
    let token = source.fetch_jwt_svid([AUDIENCE]).await?;
    show::jwt(&verify::jwt(token.token(), &source, AUDIENCE)?);
    source.shutdown().await;
    Ok(())
}

async fn watch(source: &X509Source, length: Length) -> Result<(), WorkloadError> {
    show::step("Watch it rotate");
    println!("   The agent renews an SVID at about half of its life, here after some 15 seconds.");
    if length == Length::UntilInterrupted {
        println!("   Ctrl-C ends it.");
    }
    let mut updates = source.updated();
    let mut serial = verify::x509(source)?.serial;
    loop {
        updates.changed().await?;
        let svid = verify::x509(source)?;
        if svid.serial == serial {
            continue;
        }
        serial.clone_from(&svid.serial);
        println!("   Here is a new one, for a new key:");
        show::x509(&svid);
        if length == Length::FirstRotation {
            return Ok(());
        }
    }
}
