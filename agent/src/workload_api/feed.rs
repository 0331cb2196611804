//! A stream that follows a view: the first message as soon as there is one, then one for each
//! change that the caller would see.

use super::call::{Call, Caller, PATIENCE, stopping};
use super::counted::Counted;
use crate::views::View;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::select_all;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Extensions, Status};

/// What a view has to show for one method.
pub(super) enum Show {
    /// This message.
    Message(Bytes),
    /// Nothing yet.
    Pending,
    /// The caller has no identity.
    Denied,
}

/// Makes the message of one method; the flag allows bundles to callers without identity.
pub(super) type Render = fn(&View, bool) -> Show;

/// One stream of one caller.
pub(super) struct Feed {
    call: Arc<Call>,
    caller: Caller,
    view: watch::Receiver<Arc<View>>,
    /// What may make the caller another one.
    identity: Vec<watch::Receiver<u64>>,
    render: Render,
    sent: Option<Bytes>,
    /// Whether a denial needs no second look: the caller had something with these selectors.
    sure: bool,
    patience: Instant,
}

impl Feed {
    /// Finds out who is calling and what they get.
    pub(super) async fn open(
        call: Arc<Call>,
        extensions: &Extensions,
        render: Render,
    ) -> Result<Self, Status> {
        let identity = call.identify.changes();
        let caller = call.caller(extensions).await?;
        Ok(Self {
            identity,
            view: call.holdings.subscribe(&caller.identified.selectors),
            render,
            sent: None,
            sure: false,
            patience: Instant::now() + PATIENCE,
            caller,
            call,
        })
    }

    /// The messages; the last item is the reason why the stream ends, with which it is counted.
    pub(super) fn into_stream(self, counted: Counted) -> BoxStream<'static, Result<Bytes, Status>> {
        let items = stream::unfold(Some((self, counted)), |open| async move {
            let (mut feed, mut counted) = open?;
            match feed.next().await {
                Ok(message) => Some((Ok(message), Some((feed, counted)))),
                Err(status) => {
                    counted.failed(&status);
                    Some((Err(status), None))
                }
            }
        });
        items.boxed()
    }

    async fn next(&mut self) -> Result<Bytes, Status> {
        loop {
            match self.show() {
                Show::Message(message) if self.sent.as_ref() != Some(&message) => {
                    self.caller.still_same()?;
                    self.sent = Some(message.clone());
                    self.sure = true;
                    return Ok(message);
                }
                Show::Denied if self.sure => return Err(self.caller.deny()),
                Show::Denied => {
                    self.call.be_sure().await;
                    self.sure = true;
                    continue;
                }
                Show::Message(_) | Show::Pending => {}
            }
            self.changed().await?;
        }
    }

    fn show(&mut self) -> Show {
        let allow = self.call.options.allow_unauthenticated_verifiers;
        (self.render)(&self.view.borrow_and_update(), allow)
    }

    async fn changed(&mut self) -> Result<(), Status> {
        tokio::select! {
            changed = self.view.changed() => changed.map_err(|_| stopping()),
            () = any_changed(&mut self.identity) => self.identify_again().await,
            () = self.call.stop.stopped() => Err(stopping()),
            () = tokio::time::sleep_until(self.patience), if self.sent.is_none() => {
                Err(Status::unavailable("the SVID is not ready yet"))
            }
        }
    }

    /// Moves over to what the caller gets with its new selectors.
    async fn identify_again(&mut self) -> Result<(), Status> {
        if self.call.again(&mut self.caller).await? {
            let selectors = &self.caller.identified.selectors;
            self.view = self.call.holdings.subscribe(selectors);
            self.sure = false;
        }
        Ok(())
    }
}

/// Waits for ever if nothing can change.
async fn any_changed(receivers: &mut [watch::Receiver<u64>]) {
    let changes = receivers.iter_mut().map(|receiver| {
        Box::pin(async {
            // A sender that is gone has nothing more to say.
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    });
    match changes.collect::<Vec<_>>() {
        none if none.is_empty() => std::future::pending().await,
        some => drop(select_all(some).await),
    }
}
