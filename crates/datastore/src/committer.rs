//! Group commit: one thread that owns all writing of an embedded store.
//!
//! ```text
//!  commit() ─┐                        ┌─ preconditions, one transaction, fsync ─┐
//!  commit() ─┼─▶ bounded queue ─▶ group                                         ├─▶ feed ─▶ answers
//!  commit() ─┘                        └─ or: one refusal for the whole group ───┘
//! ```
//!
//! A disk answers a sync in milliseconds, whatever was written; so the commits that arrive during
//! one sync share the next. A thread of its own, not a task: embedded stores block, and this one
//! must neither hold up a runtime nor be cancelled half way.
//!
//! After a failed write the thread at once finds out what the disk really holds
//! ([`Engine::recover`]), so that the answer is final whenever the disk can still be read.

use std::{io, sync::Arc, thread};

use signet_model::Revision;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Commit, StoreError,
    feed::Publisher,
    plan::{Plan, Verdict},
};

/// Commits that may wait; further callers wait for a place. Enough for several full groups.
const QUEUE: usize = 1024;

/// Most commits in one transaction: beyond it, a sync is no longer what a commit costs.
const GROUP: usize = 256;

/// Bytes after which a group is closed, so that a transaction stays small in memory.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// An embedded database as the committer sees it. Used by one thread only; all calls may block.
pub(crate) trait Engine: Send + 'static {
    /// Writes what the group comes to and returns when it is durable.
    fn commit(&mut self, group: &[Commit]) -> Result<Plan, Failure>;

    /// Opens the database anew after a failure and says at which revision it stands.
    fn recover(&mut self) -> Result<Revision, StoreError>;

    /// Makes sure that what [`Engine::recover`] found is on disk and not only in a cache.
    fn confirm(&mut self) -> Result<(), StoreError>;
}

/// A group that may or may not have been written.
pub(crate) struct Failure {
    /// What every commit of the group is told.
    pub(crate) error: StoreError,
    /// What was being written, if it came that far.
    pub(crate) plan: Option<Box<Plan>>,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, plan: None }
    }
}

/// The caller's side of the committing thread. Dropping it waits until the database is closed, so
/// that it can be opened again at once.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

type Answer = oneshot::Sender<Result<Revision, StoreError>>;

#[derive(Debug)]
struct Request {
    commit: Commit,
    answer: Answer,
}

impl Committer {
    pub(crate) fn start(engine: impl Engine, publisher: Publisher) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let worker = Worker {
            engine,
            publisher,
            broken: false,
        };
        let thread = thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || worker.run(receiver))?;
        Ok(Self {
            queue: Some(sender),
            thread: Some(thread),
        })
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        queue
            .send(Request { commit, answer })
            .await
            .map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

struct Worker<E> {
    engine: E,
    publisher: Publisher,
    /// Whether the engine must be recovered before it is used.
    broken: bool,
}

impl<E: Engine> Worker<E> {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let (commits, answers) = gather(first, &mut queue);
            match self.commit(&commits) {
                Ok(plan) => self.announce(plan, answers),
                Err(error) => answers.into_iter().for_each(|answer| {
                    let _gone = answer.send(Err(error.clone()));
                }),
            }
        }
    }

    fn commit(&mut self, group: &[Commit]) -> Result<Plan, StoreError> {
        if self.broken {
            self.recover()?;
        }
        match self.engine.commit(group) {
            Ok(plan) => Ok(plan),
            Err(Failure { error, plan }) => self.settle(error, plan),
        }
    }

    /// Finds out what became of a failed group.
    fn settle(&mut self, error: StoreError, plan: Option<Box<Plan>>) -> Result<Plan, StoreError> {
        self.broken = true;
        let Ok(revision) = self.engine.recover() else {
            return Err(error);
        };
        match plan {
            Some(plan) if plan.revision == revision && revision != self.publisher.revision() => {
                self.engine.confirm().map_err(|_| error)?;
                self.broken = false;
                Ok(*plan)
            }
            _ => {
                self.stand_at(revision);
                Err(error)
            }
        }
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        let revision = self.engine.recover()?;
        self.stand_at(revision);
        Ok(())
    }

    /// Goes on from `revision`; if a write that was refused turns out to be there, readers reload.
    fn stand_at(&mut self, revision: Revision) {
        if revision != self.publisher.revision() {
            self.publisher.reload(revision);
        }
        self.broken = false;
    }

    /// Feeds first, so that whoever has an answer finds its change in the feed.
    fn announce(&self, plan: Plan, answers: Vec<Answer>) {
        for verdict in &plan.verdicts {
            if let Verdict::Committed(change) = verdict {
                self.publisher.publish(Arc::clone(change));
            }
        }
        for (verdict, answer) in plan.verdicts.into_iter().zip(answers) {
            let _gone = answer.send(verdict.into_answer());
        }
    }
}

/// Takes what is waiting, up to the bounds of a group.
fn gather(first: Request, queue: &mut mpsc::Receiver<Request>) -> (Vec<Commit>, Vec<Answer>) {
    let mut bytes = first.commit.size();
    let (mut commits, mut answers) = (vec![first.commit], vec![first.answer]);
    while commits.len() < GROUP && bytes < GROUP_BYTES {
        let Ok(request) = queue.try_recv() else { break };
        bytes += request.commit.size();
        commits.push(request.commit);
        answers.push(request.answer);
    }
    (commits, answers)
}
