//! What happens when: drawn from the seed, one event after the other.

use crate::agents::AGENTS;
use crate::fate::Blow;
use crate::judge::Wrong;
use crate::world::{DAY, HOUR, World};
use rand::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use tokio::time::Instant;

/// How soon the server looks again after a failure.
pub(crate) const PERIOD: Duration = Duration::from_secs(10);
/// How late an agent with a stream hears of a change, in milliseconds.
pub(crate) const HEARS_WITHIN: std::ops::Range<u64> = 0..4_000;
/// How late an agent comes back once it can, in milliseconds.
pub(crate) const COMES_BACK_WITHIN: std::ops::Range<u64> = 0..10_000;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// The server looks at its authorities, if it was not planned anew since.
    Look(u64),
    Prune,
    /// News reach the agent, in this life of the server.
    Hear(usize, u32),
    /// The agent opens a stream, in this life of the server.
    Connect(usize, u32),
    /// The way between agent and server breaks, and is mended.
    Break(usize),
    Mend(usize),
    Renew(usize),
    /// A write to come will fail.
    Strike,
    Crash,
    Start,
    SetClock,
    Replace,
}

/// Events in the order of their time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
}

impl World {
    /// Lets something happen after this time.
    pub(crate) fn schedule(&mut self, after: Duration, event: Event) {
        self.queue.count += 1;
        let entry = (Instant::now() + after, self.queue.count, event);
        self.queue.events.push(Reverse(entry));
    }

    /// Lives the year.
    pub(crate) async fn live(&mut self) -> Result<(), Wrong> {
        self.schedule(Duration::ZERO, Event::Start);
        self.schedule(HOUR, Event::Prune);
        self.sometime(1..3 * 24, Event::Crash);
        self.sometime(1..2 * 24, Event::Strike);
        self.sometime(24..20 * 24, Event::SetClock);
        self.sometime(24..20 * 24, Event::Replace);
        for agent in 0..AGENTS {
            self.sometime(1..4 * 24, Event::Break(agent));
        }
        while self.age() < YEAR {
            let Reverse((at, _, event)) =
                self.queue.events.pop().ok_or("nothing happens any more")?;
            tokio::time::advance(at - Instant::now()).await;
            self.happen(event).await?;
            self.judge()?;
        }
        self.sum_up()
    }

    /// Lets something happen after some of these hours.
    fn sometime(&mut self, hours: std::ops::Range<u64>, event: Event) {
        let seconds = hours.start * 3600..hours.end * 3600;
        let after = Duration::from_secs(self.rng.random_range(seconds));
        self.schedule(after, event);
    }

    async fn happen(&mut self, event: Event) -> Result<(), Wrong> {
        match event {
            Event::Look(number) if number == self.planned => self.settle().await,
            Event::Look(_) => Ok(()),
            Event::Prune => {
                self.sometime(1..3, Event::Prune);
                self.prune().await
            }
            Event::Hear(agent, life) | Event::Connect(agent, life) if life != self.lives => {
                let _of_another_life = agent;
                Ok(())
            }
            Event::Hear(agent, _) => self.take_news(agent).await,
            Event::Connect(agent, _) => {
                self.connect(agent).await?;
                self.acknowledged().await
            }
            Event::Break(agent) => self.cut(agent),
            Event::Mend(agent) => self.mend(agent),
            Event::Renew(agent) => self.renew_in_time(agent).await,
            Event::Strike => self.strike(),
            Event::Crash => {
                self.sometime(1..3 * 24, Event::Crash);
                if self.server.is_some() {
                    self.tell("the server crashes");
                    self.crash().await;
                    self.start_again();
                }
                Ok(())
            }
            Event::Start => self.begin_a_life().await,
            Event::SetClock => self.set_clock(),
            Event::Replace => self.replace().await,
        }
    }

    /// Tells the connected agents of a change, and the server looks too.
    pub(crate) fn announce(&mut self) {
        for agent in 0..AGENTS {
            if self.agents[agent].presence.is_some() {
                let after = Duration::from_millis(self.rng.random_range(HEARS_WITHIN));
                self.schedule(after, Event::Hear(agent, self.lives));
            }
        }
        self.look_after(Duration::from_millis(100));
    }

    async fn take_news(&mut self, agent: usize) -> Result<(), Wrong> {
        self.hear(agent).await?;
        self.acknowledged().await
    }

    /// The server looks when an agent has acknowledged.
    async fn acknowledged(&mut self) -> Result<(), Wrong> {
        match self.waits {
            true => self.settle().await,
            false => Ok(()),
        }
    }

    fn cut(&mut self, agent: usize) -> Result<(), Wrong> {
        self.tell(format!("agent {agent} is cut off"));
        let one = &mut self.agents[agent];
        one.is_linked = false;
        one.link_changed = Instant::now();
        if one.presence.take().is_some() {
            one.left = Instant::now();
        }
        let seconds = match self.rng.random_range(0..10) {
            0..6 => 1..60,
            6..9 => 60..3600,
            _ => 3600..6 * 3600,
        };
        let after = Duration::from_secs(self.rng.random_range(seconds));
        self.schedule(after, Event::Mend(agent));
        Ok(())
    }

    fn mend(&mut self, agent: usize) -> Result<(), Wrong> {
        let one = &mut self.agents[agent];
        one.is_linked = true;
        one.link_changed = Instant::now();
        self.come_back(agent);
        self.sometime(1..4 * 24, Event::Break(agent));
        Ok(())
    }

    fn come_back(&mut self, agent: usize) {
        let after = Duration::from_millis(self.rng.random_range(COMES_BACK_WITHIN));
        self.schedule(after, Event::Connect(agent, self.lives));
    }

    fn strike(&mut self) -> Result<(), Wrong> {
        let blow = Blow {
            after: self.rng.random_range(0..8),
            done: self.rng.random_bool(0.5),
            deadly: self.rng.random_bool(0.6),
        };
        if self.server.is_some() {
            self.tell(format!("to come: {blow:?}"));
            self.fate.strike(blow);
        }
        self.sometime(1..2 * 24, Event::Strike);
        Ok(())
    }

    /// After a death: mostly soon, at times after hours.
    pub(crate) fn start_again(&mut self) {
        let seconds = match self.rng.random_range(0..20) {
            0..15 => 1..60,
            15..18 => 60..2 * 3600,
            _ => 2 * 3600..30 * 3600,
        };
        let after = Duration::from_secs(self.rng.random_range(seconds));
        self.schedule(after, Event::Start);
    }

    async fn begin_a_life(&mut self) -> Result<(), Wrong> {
        if self.server.is_some() {
            return Ok(());
        }
        self.start().await?;
        for agent in 0..AGENTS {
            self.come_back(agent);
        }
        Ok(())
    }

    fn set_clock(&mut self) -> Result<(), Wrong> {
        let seconds = match self.rng.random_bool(0.5) {
            true => -self.rng.random_range(1..9),
            false => self.rng.random_range(1..30),
        };
        self.tell(format!("the clock is set by {seconds} s"));
        self.clock.set(seconds);
        self.clock_set = Instant::now();
        self.look_after(PERIOD);
        self.sometime(2 * 24..20 * 24, Event::SetClock);
        Ok(())
    }

    /// The next replacement by hand comes in a while.
    pub(crate) fn rest(&mut self) {
        self.replacement = None;
        let after = DAY * self.rng.random_range(5..20);
        self.schedule(after, Event::Replace);
    }
}
