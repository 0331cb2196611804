//! A replacement that is cut off at any point, and whatever happens until somebody goes on with it.

use super::super::shelf::Shelf;
use super::bench::{Bench, HOUR, KINDS, Run};
use crate::authority::{Due, Kind, LocalFault};

const REASON: &str = "a laptop was stolen";

fn active(run: &Run, kind: Kind) -> String {
    let found = run.rotation.local_authorities(kind).unwrap();
    found.active.authority_id
}

/// Whether the bundle has it, and then whether it is tainted.
fn tainted(run: &Run, kind: Kind, id: &str) -> Option<bool> {
    let published = Shelf::of(kind).find(&run.bundle(), id);
    published.map(|published| published.tainted)
}

async fn settled(bench: &Bench) -> Run {
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    run
}

/// What the command does, without the agents.
async fn replace(run: &Run, kind: Kind, reason: &str) -> Result<(), LocalFault> {
    let rotation = &run.rotation;
    rotation.condemn_now(kind, reason).await?;
    loop {
        match rotation.due_now(kind) {
            Due::Prepare => drop(rotation.prepare_successor(kind).await?),
            Due::Supersede(next) => drop(rotation.supersede_now(kind, &next).await?),
            Due::Taint(_) => drop(rotation.supersede_now(kind, "").await?),
            Due::Revoke(_) => drop(rotation.conclude_now(kind).await?),
            Due::Nothing => {
                rotation.conclude_now(kind).await?;
                return Ok(());
            }
        }
    }
}

/// One that was not superseded in the same instant is not left trusted and forgotten.
fn check_cut(run: &Run, kind: Kind, stolen: &str) {
    let gone = matches!(tainted(run, kind, stolen), None | Some(true));
    assert!(active(run, kind) == stolen || gone);
}

#[tokio::test]
async fn the_same_command_finishes_what_was_killed_at_any_write() {
    for kind in KINDS {
        let bench = Bench::new();
        let run = settled(&bench).await;
        bench.fate.spare();
        replace(&run, kind, REASON).await.unwrap();
        let writes = bench.fate.spare();
        assert!(writes >= 5, "{writes}");
        for (n, done) in (1..=writes).flat_map(|n| [(n, false), (n, true)]) {
            let bench = Bench::new();
            let run = settled(&bench).await;
            let stolen = active(&run, kind);
            bench.fate.die_at(n, done);
            replace(&run, kind, REASON).await.unwrap_err();
            run.kill().await;
            bench.fate.spare();
            let run = settled(&bench).await;
            check_cut(&run, kind, &stolen);
            let cut = (active(&run, kind), run.rotation.due_now(kind));
            replace(&run, kind, REASON).await.unwrap();
            assert_eq!(tainted(&run, kind, &stolen), None);
            if let (successor, Due::Taint(_) | Due::Revoke(_)) = cut {
                assert_eq!(active(&run, kind), successor, "no second successor is made");
            }
            bench.check_slots(&run).await;
            bench.witness(&run).await;
        }
    }
}

#[tokio::test]
async fn a_successor_that_the_rotation_lets_sign_is_not_taken_for_the_stolen_one() {
    for kind in KINDS {
        let bench = Bench::new();
        let run = settled(&bench).await;
        let stolen = active(&run, kind);
        bench.clock.forward(HOUR * 11);
        run.rotation.condemn_now(kind, REASON).await.unwrap();
        let next = run.rotation.prepare_successor(kind).await.unwrap().unwrap();
        bench.clock.forward(HOUR * 10);
        run.rotation.settle().await.unwrap();
        assert_eq!(active(&run, kind), next.authority_id);
        assert_eq!(tainted(&run, kind, &stolen), Some(false));
        let due = run.rotation.due_now(kind);
        assert_eq!(due, Due::Taint(vec![stolen.clone()]));
        let ended = run.rotation.supersede_now(kind, &next.authority_id).await;
        assert_eq!(ended.unwrap(), std::slice::from_ref(&stolen));
        replace(&run, kind, REASON).await.unwrap();
        assert_eq!(tainted(&run, kind, &stolen), None);
        assert_eq!(active(&run, kind), next.authority_id);
        bench.check_slots(&run).await;
    }
}

#[tokio::test]
async fn a_stolen_authority_that_left_its_slot_meanwhile_still_goes() {
    let bench = Bench::new();
    let run = settled(&bench).await;
    let kind = Kind::Jwt;
    let stolen = active(&run, kind);
    run.rotation.condemn_now(kind, REASON).await.unwrap();
    run.rotation.prepare_successor(kind).await.unwrap();
    run.kill().await;
    bench.clock.forward(HOUR * 21);
    let run = settled(&bench).await;
    let next = active(&run, kind);
    // The next but one takes the slot of the stolen one.
    run.rotation.prepare_now(kind).await.unwrap();
    let slots = run.slots(kind).await;
    assert!(slots.iter().all(|slot| slot.authority_id != stolen));
    assert_eq!(tainted(&run, kind, &stolen), Some(false));
    replace(&run, kind, REASON).await.unwrap();
    assert_eq!(tainted(&run, kind, &stolen), None);
    assert_eq!(active(&run, kind), next);
}

#[tokio::test]
async fn what_was_prepared_before_the_replacement_is_not_used_for_it() {
    let bench = Bench::new();
    let run = settled(&bench).await;
    for kind in KINDS {
        let prepared = run.rotation.prepare_now(kind).await.unwrap().authority_id;
        replace(&run, kind, REASON).await.unwrap();
        assert_ne!(active(&run, kind), prepared);
        assert_eq!(tainted(&run, kind, &prepared), None);
    }
    bench.check_slots(&run).await;
}

#[tokio::test]
async fn the_authority_that_signed_before_goes_too() {
    for kind in KINDS {
        let bench = Bench::new();
        let run = settled(&bench).await;
        let first = active(&run, kind);
        for hours in [13, 8] {
            bench.clock.forward(HOUR * hours);
            run.rotation.settle().await.unwrap();
        }
        let second = active(&run, kind);
        assert_ne!(first, second);
        replace(&run, kind, REASON).await.unwrap();
        assert_eq!(tainted(&run, kind, &first), None);
        assert_eq!(tainted(&run, kind, &second), None);
        bench.check_slots(&run).await;
    }
}

#[tokio::test]
async fn another_reason_takes_in_what_was_not_finished() {
    let bench = Bench::new();
    let run = settled(&bench).await;
    let kind = Kind::X509;
    let first = active(&run, kind);
    bench.clock.forward(HOUR * 11);
    run.rotation.condemn_now(kind, REASON).await.unwrap();
    run.rotation.prepare_successor(kind).await.unwrap();
    bench.clock.forward(HOUR * 10);
    run.rotation.settle().await.unwrap();
    let second = active(&run, kind);
    let again = run.rotation.condemn_now(kind, REASON).await.unwrap();
    assert_eq!(again.authority_ids, std::slice::from_ref(&first));
    let other = run.rotation.condemn_now(kind, "another").await.unwrap();
    assert_eq!(other.authority_ids, [second.clone(), first.clone()]);
    replace(&run, kind, "another").await.unwrap();
    assert_eq!(tainted(&run, kind, &first), None);
    assert_eq!(tainted(&run, kind, &second), None);
}

#[tokio::test]
async fn a_replacement_that_was_finished_by_hand_is_not_mistaken_for_the_next_one() {
    let bench = Bench::new();
    let run = settled(&bench).await;
    let (kind, rotation) = (Kind::Wit, &run.rotation);
    let first = active(&run, kind);
    rotation.condemn_now(kind, REASON).await.unwrap();
    let next = rotation.prepare_now(kind).await.unwrap().authority_id;
    rotation.activate_now(kind, &next).await.unwrap();
    rotation.taint_now(kind, &first).await.unwrap();
    assert_eq!(rotation.due_now(kind), Due::Revoke(vec![first.clone()]));
    rotation.revoke_now(kind, &first).await.unwrap();
    assert_eq!(rotation.due_now(kind), Due::Nothing);
    replace(&run, kind, REASON).await.unwrap();
    assert_ne!(active(&run, kind), next);
    assert_eq!(tainted(&run, kind, &next), None);
}

#[tokio::test]
async fn an_act_out_of_turn_does_nothing() {
    let bench = Bench::new();
    let run = settled(&bench).await;
    let (kind, rotation) = (Kind::Jwt, &run.rotation);
    let before = run.slots(kind).await;
    assert_eq!(rotation.due_now(kind), Due::Nothing);
    assert_eq!(rotation.supersede_now(kind, "any").await.unwrap().len(), 0);
    assert_eq!(rotation.conclude_now(kind).await.unwrap().len(), 0);
    assert!(rotation.prepare_successor(kind).await.unwrap().is_none());
    assert_eq!(run.slots(kind).await, before);
    rotation.condemn_now(kind, REASON).await.unwrap();
    assert_eq!(rotation.conclude_now(kind).await.unwrap().len(), 0);
    rotation.prepare_successor(kind).await.unwrap().unwrap();
    assert!(rotation.prepare_successor(kind).await.unwrap().is_none());
    assert_eq!(rotation.supersede_now(kind, "any").await.unwrap().len(), 0);
    assert!(matches!(rotation.due_now(kind), Due::Supersede(_)));
}
