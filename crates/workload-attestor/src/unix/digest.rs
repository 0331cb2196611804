//! The digest of a peer's program.
//!
//! The result is kept in the [`Peer`], for the life of its connection, and not in a table by inode:
//! a file can be changed through a memory mapping without a change of its times, but not while it
//! is executed, which is as long as the peer stays the same.

use std::sync::Arc;

use signet_crypto::Sha256;
use tokio::sync::{Semaphore, oneshot};

use super::unreadable;
use crate::AttestError;
use crate::peer::{ExeFile, ExeStamp, Peer, PeerGone, ProcError};

/// Bytes read at a time, so that a program of any size costs this much memory.
const BUFFER: usize = 64 << 10;

/// SHA-256 of the program that the peer executed at accept.
pub(super) async fn of_program(
    peer: &Peer,
    limit: u64,
    hashing: &Arc<Semaphore>,
) -> Result<[u8; 32], AttestError> {
    let program = peer.open_exe().map_err(|source| unreadable(peer, source))?;
    let stamp = program.stamp().map_err(|source| unreadable(peer, source))?;
    check(&stamp, peer, limit)?;
    if let Some(digest) = peer.known_digest(&stamp) {
        return Ok(digest);
    }
    let turn = hashing.clone().acquire_owned().await;
    let turn = turn.map_err(|_| AttestError::Interrupted)?;
    let (answer, hashed) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let digest = hash(program, stamp, || answer.is_closed());
        drop(turn);
        // Nobody waits any more: the caller's deadline has passed.
        let _ = answer.send(digest);
    });
    let digest = match hashed.await.map_err(|_| AttestError::Interrupted)? {
        Ok(digest) => digest.ok_or(AttestError::ProgramChanged)?,
        Err(source) => return Err(unreadable(peer, source)),
    };
    peer.remember_digest(stamp, digest);
    Ok(digest)
}

/// The opened file must be the one of accept, and not too large.
fn check(stamp: &ExeStamp, peer: &Peer, limit: u64) -> Result<(), AttestError> {
    if peer.facts().exe != Some(stamp.id) {
        return Err(AttestError::Gone(PeerGone::Executed));
    }
    if stamp.size > limit {
        return Err(AttestError::ProgramTooLarge {
            size: stamp.size,
            limit,
        });
    }
    Ok(())
}

/// The digest of the file in the state `stamp`, or `None` if it did not stay in that state or
/// nobody wants it any more. Never reads more than one buffer beyond the size that was checked.
fn hash(
    mut program: Box<dyn ExeFile>,
    stamp: ExeStamp,
    unwanted: impl Fn() -> bool,
) -> Result<Option<[u8; 32]>, ProcError> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut hashed = 0;
    loop {
        let read = program
            .read(&mut buffer)
            .map_err(|source| ProcError::Read {
                path: "exe".into(),
                source,
            })?;
        hashed += read as u64;
        if hashed > stamp.size || unwanted() {
            return Ok(None);
        }
        if read == 0 {
            break;
        }
        sha256.update(&buffer[..read]);
    }
    let unchanged = hashed == stamp.size && program.stamp()? == stamp;
    Ok(unchanged.then(|| sha256.finish()))
}
