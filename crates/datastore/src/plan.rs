//! What a group of commits does to a store: a pure decision that every adapter carries out.
//!
//! Commits are judged in order, each on the outcome of those before it. One that fails rejects
//! only itself. What remains is one set of writes, so that a group costs one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use signet_model::Revision;

use crate::{
    Commit, Committed, Record, StoreError,
    port::{MAX_KEY, MAX_OPERATIONS, MAX_VALUE},
};

/// The outcome for one commit, once the writes of its group are durable.
pub(crate) enum Verdict {
    /// It changes something and has a revision.
    Committed(Arc<Committed>),
    /// It only checked; the latest revision it saw.
    Checked(Revision),
    /// It was refused.
    Refused(StoreError),
}

impl Verdict {
    pub(crate) fn into_answer(self) -> Result<Revision, StoreError> {
        match self {
            Self::Committed(change) => Ok(change.revision),
            Self::Checked(revision) => Ok(revision),
            Self::Refused(error) => Err(error),
        }
    }
}

/// The outcome for a group.
pub(crate) struct Plan {
    /// One for each commit, in the order given.
    pub(crate) verdicts: Vec<Verdict>,
    /// What to write: a record, or `None` to remove the key.
    pub(crate) writes: BTreeMap<String, Option<Record>>,
    /// The revision after the group.
    pub(crate) revision: Revision,
}

/// Judges `group` on a store that stands at `start` and whose records were written by what
/// `stored` answers.
pub(crate) fn plan<E>(
    group: &[Commit],
    start: Revision,
    mut stored: impl FnMut(&str) -> Result<Option<Revision>, E>,
) -> Result<Plan, E> {
    let mut plan = Plan {
        verdicts: Vec::with_capacity(group.len()),
        writes: BTreeMap::new(),
        revision: start,
    };
    for commit in group {
        let verdict = plan.judge(commit, &mut stored)?;
        plan.verdicts.push(verdict);
    }
    Ok(plan)
}

impl Plan {
    fn judge<E>(
        &mut self,
        commit: &Commit,
        stored: &mut impl FnMut(&str) -> Result<Option<Revision>, E>,
    ) -> Result<Verdict, E> {
        if let Err(error) = check_form(commit) {
            return Ok(Verdict::Refused(error));
        }
        for precondition in &commit.preconditions {
            let key = precondition.key();
            let found = match self.writes.get(key) {
                Some(written) => written.as_ref().map(|record| record.revision),
                None => stored(key)?,
            };
            if !precondition.holds(found) {
                let key = key.to_owned();
                return Ok(Verdict::Refused(StoreError::Conflict { key, found }));
            }
        }
        Ok(if commit.only_checks() {
            Verdict::Checked(self.revision)
        } else {
            Verdict::Committed(Arc::new(self.add(commit)))
        })
    }

    fn add(&mut self, commit: &Commit) -> Committed {
        self.revision = Revision(self.revision.0 + 1);
        let revision = self.revision;
        let puts: Vec<Record> = commit
            .puts
            .iter()
            .map(|(key, value)| Record {
                key: key.clone(),
                value: value.clone(),
                revision,
            })
            .collect();
        for record in &puts {
            self.writes.insert(record.key.clone(), Some(record.clone()));
        }
        for key in &commit.deletes {
            self.writes.insert(key.clone(), None);
        }
        Committed {
            revision,
            puts,
            deletes: commit.deletes.clone(),
        }
    }
}

/// Refuses what no adapter could store, or what has two meanings.
fn check_form(commit: &Commit) -> Result<(), StoreError> {
    let operations = commit.preconditions.len() + commit.puts.len() + commit.deletes.len();
    if operations > MAX_OPERATIONS {
        return Err(StoreError::invalid(format!(
            "{operations} operations, more than {MAX_OPERATIONS}"
        )));
    }
    let mut written = BTreeSet::new();
    for key in commit
        .puts
        .iter()
        .map(|(key, _)| key)
        .chain(&commit.deletes)
    {
        check_key(key)?;
        if !written.insert(key) {
            return Err(StoreError::invalid(format!("{key:?} is written twice")));
        }
    }
    for (key, value) in &commit.puts {
        if value.len() > MAX_VALUE {
            return Err(StoreError::invalid(format!(
                "the value of {key:?} has {} bytes, more than {MAX_VALUE}",
                value.len()
            )));
        }
    }
    commit
        .preconditions
        .iter()
        .try_for_each(|p| check_key(p.key()))
}

fn check_key(key: &str) -> Result<(), StoreError> {
    match key.len() {
        0 => Err(StoreError::invalid("a key is empty")),
        length if length > MAX_KEY => Err(StoreError::invalid(format!(
            "a key has {length} bytes, more than {MAX_KEY}"
        ))),
        _ => Ok(()),
    }
}

/// The writes of a commit of ours, without judging it: a migration may exceed every limit.
pub(crate) fn trusted(commit: &Commit, start: Revision) -> Plan {
    let mut plan = Plan {
        verdicts: Vec::new(),
        writes: BTreeMap::new(),
        revision: start,
    };
    if !commit.only_checks() {
        plan.add(commit);
    }
    plan
}
