//! The only spawner. Each task has a name; one that panics or ends before it was asked to brings
//! the program down, since a server without its rotator or its listener is worse than none.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a program stops by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailed {
    /// A task panicked.
    #[error("task {name} panicked: this is a defect, please report it with the log")]
    Panicked {
        /// The task's name.
        name: &'static str,
    },
    /// A task that lives as long as the program ended by itself.
    #[error("task {name} ended unexpectedly: {reason}")]
    Ended {
        /// The task's name.
        name: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Spawns tasks and stops them together. Clones share the same set.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    abandoned: CancellationToken,
    failed: Arc<watch::Sender<Option<TaskFailed>>>,
    first: Arc<Mutex<()>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            failed: Arc::new(watch::Sender::new(None)),
            first: Arc::new(Mutex::new(())),
        }
    }

    /// A set that stops with this one, and can be stopped before it. Failures are reported here.
    pub fn child(&self) -> Self {
        Self {
            stop: self.stop.child_token(),
            ..self.clone()
        }
    }

    /// Runs a task that may end at any time, such as one connection.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.run(async move {
            if PanicGuard::watch(task).await.is_err() {
                tasks.fail(TaskFailed::Panicked { name });
            }
        });
    }

    /// Runs a task that lives until the stop signal; if it ends before, the program stops.
    pub fn spawn_essential<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + Send,
    {
        let tasks = self.clone();
        self.run(async move {
            let ended = PanicGuard::watch(task).await;
            match ended {
                Err(()) => tasks.fail(TaskFailed::Panicked { name }),
                Ok(Err(error)) => {
                    tasks.fail(TaskFailed::Ended {
                        name,
                        reason: error.to_string(),
                    });
                }
                Ok(Ok(())) if !tasks.stop.is_cancelled() => {
                    let reason = "it returned before the program was asked to stop".to_owned();
                    tasks.fail(TaskFailed::Ended { name, reason });
                }
                Ok(Ok(())) => {}
            }
        });
    }

    /// The stop signal, for tasks to watch.
    pub fn stop(&self) -> Stop {
        Stop(self.stop.clone())
    }

    /// Waits until a task failed; never returns while all is well.
    pub async fn failed(&self) -> TaskFailed {
        let mut seen = self.failed.subscribe();
        loop {
            if let Some(failure) = seen.borrow_and_update().clone() {
                return failure;
            }
            if seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Signals stop and waits until every task ended, `deadline` at most.
    /// Returns false when the deadline passed with tasks still running.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait())
            .await
            .is_ok()
    }

    /// Drops every task where it stands, unasked, and waits until they are gone: what the end of the
    /// process does to them. A simulation crashes a program so.
    pub async fn abandon(&self) {
        self.abandoned.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    fn run<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let abandoned = self.abandoned.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = abandoned.cancelled() => {}
                () = task => {}
            }
        });
    }

    fn fail(&self, failure: TaskFailed) {
        let _one_at_a_time = self.first.lock();
        tracing::error!(%failure, "a task failed");
        self.failed.send_if_modified(|slot| {
            let first = slot.is_none();
            slot.get_or_insert(failure);
            first
        });
        self.stop.cancel();
    }
}

/// The signal to stop. Clones see the same signal.
#[derive(Debug, Clone)]
pub struct Stop(CancellationToken);

impl Stop {
    /// A signal that never comes, for tests and one-shot commands.
    pub fn never() -> Self {
        Self(CancellationToken::new())
    }

    /// Waits for the signal.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// Whether the signal has come.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// Turns a panic of a future into a value.
struct PanicGuard;

impl PanicGuard {
    async fn watch<F>(task: F) -> Result<F::Output, ()>
    where
        F: Future,
    {
        let mut task = Box::pin(task);
        std::future::poll_fn(move |cx| {
            let poll = std::panic::AssertUnwindSafe(|| task.as_mut().poll(cx));
            match std::panic::catch_unwind(poll) {
                Ok(poll) => poll.map(Ok),
                Err(_) => std::task::Poll::Ready(Err(())),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_the_tasks_it_stopped() {
        let tasks = Tasks::new();
        let stop = tasks.stop();
        tasks.spawn("waits", async move { stop.stopped().await });
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_gives_up_at_its_deadline() {
        let tasks = Tasks::new();
        tasks.spawn("deaf", std::future::pending());
        assert!(!tasks.shutdown(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn abandoned_tasks_are_dropped_where_they_stand() {
        let tasks = Tasks::new();
        let held = Arc::new(());
        let holder = held.clone();
        tasks.spawn("deaf", async move {
            std::future::pending::<()>().await;
            drop(holder);
        });
        tasks.abandon().await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(!tasks.stop().is_stopped());
    }

    #[tokio::test]
    async fn a_panic_stops_the_program_and_names_the_task() {
        let tasks = Tasks::new();
        tasks.spawn("bad", async { panic!("on purpose") });
        assert_eq!(tasks.failed().await, TaskFailed::Panicked { name: "bad" });
        assert!(tasks.stop().is_stopped());
    }

    #[tokio::test]
    async fn an_essential_task_that_ends_early_stops_the_program() {
        let tasks = Tasks::new();
        tasks.spawn_essential("rotator", async { Err::<(), _>("no key") });
        let expected = TaskFailed::Ended {
            name: "rotator",
            reason: "no key".to_owned(),
        };
        assert_eq!(tasks.failed().await, expected);
    }

    #[tokio::test]
    async fn a_child_stops_with_its_parent_but_not_the_other_way_round() {
        let parent = Tasks::new();
        let child = parent.child();
        child.stop.cancel();
        assert!(!parent.stop().is_stopped());
        let other = parent.child();
        parent.stop.cancel();
        assert!(other.stop().is_stopped());
    }
}
