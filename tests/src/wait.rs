//! Waiting for what another process does.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is awaited of a healthy program comes much sooner; machines of tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none in time.
pub async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe).await
}

/// As [`until`], with a deadline of the caller's.
///
/// # Panics
/// When there is no answer in time.
pub async fn within<T>(time: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {time:?} for {what}");
        sleep(PAUSE).await;
    }
}
