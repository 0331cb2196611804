//! Bounds how many finished connections there are. Who is over it does not shut others out: the
//! oldest of the same group gives way.
//!
//! | group | why so many |
//! |---|---|
//! | no certificate, all together | nodes that attest: a connection lasts for one attestation |
//! | one SPIFFE ID | an agent has one or two, and a few at work while it goes over to a new SVID |
//!
//! So neither strangers nor one stolen identity can take the descriptors and the memory of the rest.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use signet_connections::Preface;
use signet_spiffe::SpiffeId;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Connections without a certificate: a thousand nodes may come up at once. At some 40 kB each they
/// take 80 MB.
pub const MAX_ANONYMOUS: usize = 2048;
/// Connections with the same SPIFFE ID: administrators may share one over several machines.
pub const MAX_OF_IDENTITY: usize = 256;
/// How long a connection without a certificate may last. An attestation waits a minute at most, for
/// its turn and for the node's answer to a challenge.
pub const ANONYMOUS_LIFE: Duration = Duration::from_secs(5 * 60);

/// Nobody, or who the peer proved to be.
type Group = Option<SpiffeId>;

/// The connections that there are, oldest first in each group.
#[derive(Debug, Clone)]
pub(crate) struct Established {
    max_anonymous: usize,
    groups: Arc<Mutex<Groups>>,
}

#[derive(Debug, Default)]
struct Groups {
    next: u64,
    held: HashMap<Group, VecDeque<(u64, oneshot::Sender<Infallible>)>>,
}

impl Established {
    pub(crate) fn new(max_anonymous: usize) -> Self {
        Self {
            max_anonymous: max_anonymous.max(1),
            groups: Arc::default(),
        }
    }

    /// A place for one more, if need be that of the oldest.
    pub(crate) fn enter(&self, who: Option<&SpiffeId>) -> Place {
        let limit = who.map_or(self.max_anonymous, |_| MAX_OF_IDENTITY);
        let (hold, give_way) = oneshot::channel();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let number = groups.next;
        groups.next += 1;
        let group = groups.held.entry(who.cloned()).or_default();
        if group.len() >= limit {
            group.pop_front();
        }
        group.push_back((number, hold));
        Place {
            number,
            who: who.cloned(),
            established: self.clone(),
            give_way,
            preface: Some(Preface::awaited()),
            until: who
                .is_none()
                .then(|| Box::pin(tokio::time::sleep(ANONYMOUS_LIFE))),
        }
    }

    fn leave(&self, place: &Place) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = groups.held.get_mut(&place.who) else {
            return;
        };
        if let Ok(at) = group.binary_search_by_key(&place.number, |(number, _)| *number) {
            group.remove(at);
        }
        if group.is_empty() {
            groups.held.remove(&place.who);
        }
    }
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    who: Group,
    established: Established,
    give_way: oneshot::Receiver<Infallible>,
    preface: Option<Preface>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Place {
    /// Ready, with the reason, when the connection must end.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let late = |preface: &mut Preface| preface.poll_late(cx).is_ready();
        if self.preface.as_mut().is_some_and(late) {
            return end(io::ErrorKind::TimedOut, "the client does not speak HTTP/2");
        }
        if Pin::new(&mut self.give_way).poll(cx).is_ready() {
            return end(io::ErrorKind::ConnectionAborted, "too many connections");
        }
        let over = |until: &mut Pin<Box<Sleep>>| until.as_mut().poll(cx).is_ready();
        if self.until.as_mut().is_some_and(over) {
            return end(io::ErrorKind::TimedOut, "the connection had its time");
        }
        Poll::Pending
    }

    /// Counts bytes that were read.
    pub(crate) fn read(&mut self, bytes: usize) {
        if self
            .preface
            .as_mut()
            .is_some_and(|preface| preface.has_come(bytes))
        {
            self.preface = None;
        }
    }
}

fn end(kind: io::ErrorKind, why: &'static str) -> Poll<io::Error> {
    Poll::Ready(io::Error::new(kind, why))
}

impl Drop for Place {
    fn drop(&mut self) {
        self.established.clone().leave(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://example.org/{name}")).unwrap()
    }

    async fn has_ended(place: &mut Place) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(place.poll_end(cx).is_ready())).await
    }

    #[tokio::test]
    async fn the_oldest_of_the_same_group_gives_way() {
        let established = Established::new(2);
        let mut agent = established.enter(Some(&id("agent")));
        let mut strangers: Vec<_> = (0..4).map(|_| established.enter(None)).collect();
        let mut ended = Vec::new();
        for stranger in &mut strangers {
            ended.push(has_ended(stranger).await);
        }
        assert_eq!(ended, [true, true, false, false]);
        assert!(!has_ended(&mut agent).await);
    }

    #[tokio::test]
    async fn one_identity_cannot_hold_more_than_its_share_and_takes_nobody_elses() {
        let established = Established::new(1);
        let mut other = established.enter(Some(&id("other")));
        let mut stranger = established.enter(None);
        let greedy = (0..=MAX_OF_IDENTITY).map(|_| established.enter(Some(&id("greedy"))));
        let mut greedy: Vec<_> = greedy.collect();
        assert!(has_ended(&mut greedy[0]).await);
        assert!(!has_ended(&mut greedy[1]).await);
        assert!(!has_ended(&mut other).await && !has_ended(&mut stranger).await);
    }

    #[tokio::test]
    async fn a_place_that_was_left_is_free_again() {
        let established = Established::new(2);
        let (mut first, second) = (established.enter(None), established.enter(None));
        drop(second);
        let _third = established.enter(None);
        assert!(!has_ended(&mut first).await);
        drop((first, _third));
        assert!(established.groups.lock().unwrap().held.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_its_time_and_an_agent_has_any() {
        let established = Established::new(2);
        let mut places = [
            established.enter(None),
            established.enter(Some(&id("agent"))),
        ];
        for place in &mut places {
            place.read(24);
        }
        tokio::time::sleep(ANONYMOUS_LIFE).await;
        assert!(has_ended(&mut places[0]).await);
        assert!(!has_ended(&mut places[1]).await);
    }
}
