//! An operator who replaces an authority now and then, by the rules, and goes on after each failure.

use crate::events::{Event, PERIOD};
use crate::judge::{KINDS, Wrong};
use crate::world::World;
use rand::Rng;
use signet_ca::slots::Kind;
use signet_server::authority::{LocalAuthorities, LocalFault};
use std::time::Duration;

/// Until the next step: of a program, or a person.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// After so many steps the operator gives up.
const PATIENCE: u32 = 2000;

/// One replacement under way.
#[derive(Debug, Clone)]
pub(crate) struct Replacement {
    kind: Kind,
    stage: Stage,
    steps: u32,
}

#[derive(Debug, Clone)]
enum Stage {
    Prepare,
    Activate { old: String, next: String },
    Taint { old: String },
    Revoke { old: String },
}

impl World {
    /// The operator does the next step.
    pub(crate) async fn replace(&mut self) -> Result<(), Wrong> {
        let mut replacement = self.replacement.take().unwrap_or_else(|| Replacement {
            kind: KINDS[self.rng.random_range(0..KINDS.len())],
            stage: Stage::Prepare,
            steps: 0,
        });
        replacement.steps += 1;
        let is_at_end = self.step(&mut replacement).await;
        self.see(true).await?;
        if is_at_end || replacement.steps > PATIENCE {
            self.rest();
        } else {
            self.replacement = Some(replacement);
            let pause = PAUSES[self.rng.random_range(0..PAUSES.len())];
            self.schedule(pause, Event::Replace);
        }
        Ok(())
    }

    /// One step; whether there is nothing more to do.
    async fn step(&mut self, replacement: &mut Replacement) -> bool {
        let Some(server) = &self.server else {
            return false;
        };
        let rotation = server.rotation.clone();
        let kind = replacement.kind;
        let Ok(all) = rotation.local_authorities(kind) else {
            return false;
        };
        let done = match replacement.stage.clone() {
            Stage::Prepare => rotation.prepare_now(kind).await.map(|next| {
                let (old, next) = (all.active.authority_id, next.authority_id);
                Some(Stage::Activate { old, next })
            }),
            Stage::Activate { old, next } if all.active.authority_id == next => {
                Ok(Some(Stage::Taint { old }))
            }
            Stage::Activate { old, next } => {
                if !is_prepared(&all, &old, &next) {
                    return true;
                }
                if !self.all_hold(&next) {
                    return false;
                }
                let activated = rotation.activate_now(kind, &next).await;
                activated.map(|_| Some(Stage::Taint { old }))
            }
            Stage::Taint { old } => match rotation.taint_now(kind, &old).await {
                Ok(_) | Err(LocalFault::AlreadyTainted) => Ok(Some(Stage::Revoke { old })),
                Err(LocalFault::Unknown) => Ok(None),
                Err(fault) => Err(fault),
            },
            Stage::Revoke { old } => {
                let number = self.judge.number(&old).expect("it was published");
                if self.judge.is_used(number, self.now()) {
                    return false;
                }
                self.judge.revoked(number);
                match rotation.revoke_now(kind, &old).await {
                    Ok(_) => {
                        self.replaced += 1;
                        Ok(None)
                    }
                    Err(LocalFault::Unknown) => Ok(None),
                    Err(fault) => Err(fault),
                }
            }
        };
        self.tell(format!("by hand: {replacement:?}: {}", outcome(&done)));
        match done {
            Ok(Some(stage)) => replacement.stage = stage,
            Ok(None) => return true,
            Err(_) => {
                self.falters();
                self.judge.unsettled = true;
                self.look_also_after(PERIOD);
            }
        }
        false
    }

    fn all_hold(&self, id: &str) -> bool {
        let number = self.judge.number(id);
        let holds = |number| {
            let mut agents = self.agents.iter();
            agents.all(|agent| agent.presence.is_some() && !agent.lacks(number))
        };
        number.is_some_and(holds)
    }
}

fn is_prepared(all: &LocalAuthorities, old: &str, next: &str) -> bool {
    let prepared = all.prepared.as_ref();
    let prepared = prepared.map(|prepared| prepared.authority_id.as_str());
    all.active.authority_id == old && prepared == Some(next)
}

fn outcome(done: &Result<Option<Stage>, LocalFault>) -> String {
    match done {
        Ok(_) => "done".to_owned(),
        Err(fault) => fault.to_string(),
    }
}
