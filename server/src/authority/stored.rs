//! The slots as they are in the store: found, judged, put another way for the pure rules.

use super::shelf::Shelf;
use crate::state::Snapshot;
use signet_ca::slots::{self, Kind, SlotId, Slots, Status};
use signet_datastore::records::{Slot, SlotKind, SlotState};
use signet_spiffe::{Bundle, PublicKey};

/// The slot of one server.
pub(super) fn slot<'a>(
    snapshot: &'a Snapshot,
    server_id: &str,
    kind: Kind,
    slot: SlotId,
) -> Option<&'a Slot> {
    let name = kind.slot_name(slot);
    snapshot
        .slots()
        .find(|stored| stored.server_id == server_id && stored.slot == name)
}

/// The slots of one kind as the pure rules see them.
pub(super) fn slots(snapshot: &Snapshot, server_id: &str, kind: Kind) -> Slots {
    let find = |id| slot(snapshot, server_id, kind, id).map(as_slot);
    Slots {
        a: find(SlotId::A),
        b: find(SlotId::B),
    }
}

fn as_slot(stored: &Slot) -> slots::Slot {
    let status = match stored.state {
        SlotState::Prepared => Status::Prepared,
        SlotState::Active => Status::Active,
        SlotState::Old => Status::Old,
    };
    slots::Slot {
        authority_id: stored.authority_id.clone(),
        status,
        issued_at: stored.issued_at,
        not_after: stored.not_after,
    }
}

/// Whether this is the key of what stands in the slot.
pub(super) fn belongs(key: &PublicKey, stored: &Slot) -> bool {
    match &stored.kind {
        SlotKind::X509 { certificate, .. } => {
            let authority = signet_spiffe::X509Authority::from_der(certificate);
            authority.is_ok_and(|authority| authority.public_key() == key)
        }
        SlotKind::Jwt { public_key, .. } | SlotKind::Wit { public_key, .. } => public_key == key,
    }
}

/// Whether what the slot's authority signs can be verified with the bundle: it stands there itself,
/// or the upstream authority that it hangs on.
pub(super) fn is_published(stored: &Slot, bundle: &Bundle) -> bool {
    match &stored.kind {
        SlotKind::X509 {
            certificate,
            upstream_chain,
            ..
        } if upstream_chain.is_empty() => {
            let mut roots = bundle.x509_authorities.iter();
            roots.any(|known| *known.der == **certificate)
        }
        SlotKind::X509 {
            upstream_authority_id,
            ..
        } => Shelf::X509.find(bundle, upstream_authority_id).is_some(),
        SlotKind::Jwt { .. } => Shelf::Jwt.find(bundle, &stored.authority_id).is_some(),
        SlotKind::Wit { .. } => Shelf::Wit.find(bundle, &stored.authority_id).is_some(),
    }
}

/// The upstream authority that the slot's authority hangs on.
pub(super) fn upstream(stored: &Slot) -> Option<&str> {
    match &stored.kind {
        SlotKind::X509 {
            upstream_authority_id,
            ..
        } if !upstream_authority_id.is_empty() => Some(upstream_authority_id),
        _ => None,
    }
}

/// The same slot, its authority tainted.
pub(super) fn tainted(stored: &Slot) -> Slot {
    let mut slot = stored.clone();
    match &mut slot.kind {
        SlotKind::X509 { tainted, .. }
        | SlotKind::Jwt { tainted, .. }
        | SlotKind::Wit { tainted, .. } => *tainted = true,
    }
    slot
}
