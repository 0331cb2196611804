//! Counts the calls of the Workload API under SPIRE's names, each when it ends.

use signet_telemetry::metrics::Metrics;
use tokio::time::Instant;
use tonic::{Code, Status};

/// One call. Unless it is told how it ended, the caller gave it up.
pub(super) struct Counted {
    metrics: Metrics,
    name: &'static str,
    begun: Instant,
    code: Code,
}

impl Counted {
    pub(super) fn new(metrics: &Metrics, name: &'static str) -> Self {
        Self {
            metrics: metrics.clone(),
            name,
            begun: Instant::now(),
            code: Code::Cancelled,
        }
    }

    pub(super) fn failed(&mut self, status: &Status) {
        self.code = status.code();
    }

    /// Notes how a call with one answer ended, and passes that on.
    pub(super) fn ended<T>(mut self, answer: Result<T, Status>) -> Result<T, Status> {
        self.code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        answer
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let status = label(self.code);
        self.metrics.call(self.name, status, self.begun.elapsed());
    }
}

/// The names that Go gives the codes with which calls of this API end.
fn label(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::InvalidArgument => "InvalidArgument",
        Code::PermissionDenied => "PermissionDenied",
        Code::Unavailable => "Unavailable",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "rpc_workload_api_fetch_x509svid";

    #[test]
    fn a_call_is_counted_once_with_the_code_it_ended_with() {
        let metrics = Metrics::new("spire_agent");
        let _ = Counted::new(&metrics, NAME).ended(Ok(()));
        Counted::new(&metrics, NAME).failed(&Status::permission_denied("no"));
        drop(Counted::new(&metrics, NAME));
        let text = metrics.encode();
        for status in ["OK", "PermissionDenied", "Canceled"] {
            let line = format!("spire_agent_{NAME}{{status=\"{status}\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
    }
}
