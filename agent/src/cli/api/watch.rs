//! `api watch`: every update, until interrupted.

use std::time::Duration;

use clap::Args;
use signet_cli::answer::{to_stderr, to_stdout};
use signet_cli::{Answer, ClientCommand, Failure, text};
use signet_proto::workload::{X509svidRequest, X509svidResponse};
use signet_runtime::Backoff;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use super::{client, refused, svid, with_header};

const STEP: &str = "watch the X509-SVIDs";

/// Short enough to see an agent come back, long enough not to disturb it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
const RETRY_FACTOR: f64 = 2.0;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Watch {}

impl ClientCommand for Watch {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY, RETRY_FACTOR);
        loop {
            let end = follow(channel.clone(), &mut backoff).await;
            if is_final(&end) {
                return Err(end);
            }
            to_stderr(&format!("Warning: {end}; trying again\n"));
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
}

/// Prints updates until the stream ends, and says why it did.
async fn follow(channel: Channel, backoff: &mut Backoff) -> Failure {
    let start = Instant::now();
    let mut client = client(channel);
    match client.fetch_x509svid(with_header(X509svidRequest {})).await {
        Err(status) => refused(STEP)(status),
        Ok(updates) => match print_all(updates.into_inner(), start, backoff).await {
            Err(failure) => failure,
            Ok(()) => Failure::incomplete("further update: the agent ended the stream"),
        },
    }
}

async fn print_all(
    mut updates: Streaming<X509svidResponse>,
    start: Instant,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    while let Some(update) = updates.message().await.map_err(refused(STEP))? {
        backoff.reset();
        to_stdout(&shown(&update, start.elapsed())?);
    }
    Ok(())
}

fn shown(update: &X509svidResponse, elapsed: Duration) -> Result<String, Failure> {
    let count = text::counted(update.svids.len(), "svid", "svids");
    let svids = svid::shown(update)?;
    Ok(format!("Received {count} after {elapsed:?}\n\n{svids}\n"))
}

/// The standard's answer to a request that will never be right (SPIFFE_Workload_API section 4.3).
fn is_final(failure: &Failure) -> bool {
    let never_right = [Code::InvalidArgument, Code::Unimplemented];
    matches!(failure, Failure::Call { status, .. } if never_right.contains(&status.code()))
}
