//! The process dies at each write in turn, before or after it took effect. Whoever starts next
//! finds everything in order.

use super::bench::{Bench, HOUR, Run};
use crate::authority::{AuthorityFault, Kind, LocalFault};
use signet_upstream::testing::FakeUpstream;
use signet_upstream::{UpstreamAuthority, UpstreamBundle};
use std::error::Error;

/// Two rotations, an emergency replacement, and another rotation.
async fn life(bench: &Bench, run: &Run) -> Result<(), Box<dyn Error>> {
    for hours in [0, 13, 8, 6] {
        bench.clock.forward(HOUR * hours);
        settle(bench, run).await?;
    }
    replace(bench, run, Kind::JwtAlternative).await?;
    for kind in [Kind::Jwt, Kind::Wit] {
        supersede(bench, run, kind).await?;
    }
    match &bench.upstream {
        None => {
            replace(bench, run, Kind::X509).await?;
            supersede(bench, run, Kind::X509).await?;
        }
        Some(upstream) => leave_the_root(bench, run, upstream).await?,
    }
    bench.clock.forward(HOUR * 13);
    settle(bench, run).await?;
    bench.verify_all(run);
    Ok(())
}

async fn settle(bench: &Bench, run: &Run) -> Result<(), AuthorityFault> {
    run.rotation.settle().await?;
    bench.witness(run).await;
    Ok(())
}

async fn replace(bench: &Bench, run: &Run, kind: Kind) -> Result<(), LocalFault> {
    let stolen = run.rotation.local_authorities(kind)?.active.authority_id;
    let next = run.rotation.prepare_now(kind).await?;
    run.rotation.activate_now(kind, &next.authority_id).await?;
    bench.witness(run).await;
    run.rotation.taint_now(kind, &stolen).await?;
    bench.verify_all(run);
    bench.revoked.lock().unwrap().insert(stolen.clone());
    run.rotation.revoke_now(kind, &stolen).await?;
    Ok(())
}

/// The same in the order of `authority replace`.
async fn supersede(bench: &Bench, run: &Run, kind: Kind) -> Result<(), LocalFault> {
    let stolen = run.rotation.local_authorities(kind)?.active.authority_id;
    let rotation = &run.rotation;
    let condemned = rotation.condemn_now(kind, "stolen").await?;
    assert!(condemned.authority_ids.contains(&stolen));
    let next = rotation.prepare_successor(kind).await?.unwrap();
    rotation.supersede_now(kind, &next.authority_id).await?;
    bench
        .revoked
        .lock()
        .unwrap()
        .extend(condemned.authority_ids);
    rotation.conclude_now(kind).await?;
    Ok(())
}

/// The upstream signs with another root, taints the one before, and takes it out.
async fn leave_the_root(
    bench: &Bench,
    run: &Run,
    upstream: &FakeUpstream,
) -> Result<(), Box<dyn Error>> {
    let (old, new) = (upstream.root(), bench.pki("second"));
    let below = run.rotation.local_authorities(Kind::X509)?.active;
    let root = new.root();
    upstream.replace(new);
    for roots in [vec![root.clone(), old.with_taint(true)], vec![root]] {
        upstream.announce(roots);
        run.rotation.take_over(&latest(upstream)).await?;
        bench.witness(run).await;
        let mut revoked = bench.revoked.lock().unwrap();
        revoked.insert(below.authority_id.clone());
    }
    Ok(())
}

fn latest(upstream: &FakeUpstream) -> UpstreamBundle {
    let announced = upstream.bundle().borrow().clone();
    UpstreamBundle::clone(&announced.unwrap())
}

/// The rest of a life after a death: everything is in order, and goes on.
async fn goes_on(bench: &Bench, run: &Run) {
    for hours in [0, 9, 9, 9] {
        bench.clock.forward(HOUR * hours);
        settle(bench, run).await.unwrap();
        follow(bench, run).await;
        bench.verify_all(run);
        bench.check_slots(run).await;
    }
}

/// Takes over what the upstream has announced, if anything.
async fn follow(bench: &Bench, run: &Run) {
    let Some(upstream) = &bench.upstream else {
        return;
    };
    if upstream.bundle().borrow().is_some() {
        run.rotation.take_over(&latest(upstream)).await.unwrap();
    }
}

async fn writes_of_a_life(bench: &Bench) -> usize {
    let run = bench.start().await;
    life(bench, &run).await.unwrap();
    bench.check_slots(&run).await;
    bench.fate.spare()
}

#[tokio::test]
async fn a_process_killed_at_any_write_is_followed_by_one_that_finds_all_in_order() {
    killed_at_any_write(Bench::new).await;
}

#[tokio::test]
async fn so_it_is_below_an_upstream_at_any_write_and_any_demand() {
    killed_at_any_write(Bench::below_an_upstream).await;
}

async fn killed_at_any_write(make: fn() -> Bench) {
    let writes = writes_of_a_life(&make()).await;
    assert!(writes > 40, "{writes}");
    for n in 1..=writes {
        for done in [false, true] {
            let bench = make();
            let run = bench.start().await;
            bench.fate.die_at(n, done);
            life(&bench, &run).await.unwrap_err();
            run.kill().await;
            bench.fate.spare();
            let next = bench.start().await;
            goes_on(&bench, &next).await;
        }
    }
}

/// A refused write is the easy case, tried now and then; a lost acknowledgement is the hard one.
#[tokio::test]
async fn a_write_that_fails_is_made_good_by_the_same_process() {
    made_good(Bench::new).await;
}

#[tokio::test]
async fn so_is_one_below_an_upstream_and_a_demand() {
    made_good(Bench::below_an_upstream).await;
}

async fn made_good(make: fn() -> Bench) {
    let writes = writes_of_a_life(&make()).await;
    for n in 1..=writes {
        let lost = n % 4 != 0;
        let bench = make();
        let run = bench.start().await;
        bench.fate.die_at(n, lost);
        life(&bench, &run).await.unwrap_err();
        bench.fate.spare();
        goes_on(&bench, &run).await;
    }
}

#[tokio::test]
async fn what_an_activation_of_unsure_end_retired_signs_no_more_once_it_is_tainted() {
    for kind in super::bench::KINDS {
        let bench = Bench::new();
        let run = bench.start().await;
        settle(&bench, &run).await.unwrap();
        let rotation = &run.rotation;
        let old = rotation.local_authorities(kind).unwrap().active;
        let next = rotation.prepare_now(kind).await.unwrap();
        bench.fate.die_at(1, true);
        let unsure = rotation.activate_now(kind, &next.authority_id).await;
        unsure.unwrap_err();
        bench.fate.spare();
        assert!(run.authorities.is_used(kind, &old.authority_id), "{kind}");
        rotation.taint_now(kind, &old.authority_id).await.unwrap();
        assert!(run.authorities.is_used(kind, &next.authority_id), "{kind}");
    }
}
