//! The `unix` attestor: user, groups and program of the process.
//!
//! **What it proves.** The kernel says under which effective user and groups the process runs, and
//! which file it executes. User and groups were those of the process when it connected, and the
//! caller checks that they still are before a key leaves ([`Peer::still_same`]).
//!
//! | selector | value |
//! |---|---|
//! | `unix:uid:1000` | effective user ID |
//! | `unix:user:alice` | its name, if the agent's user database has one |
//! | `unix:gid:1000`, `unix:group:staff` | the same for the effective group |
//! | `unix:supplementary_gid:27`, `unix:supplementary_group:sudo` | the same for each other group |
//! | `unix:path:/usr/bin/app` | the program's path, only with `discover_workload_path` |
//! | `unix:sha256:<64 lower-case hex>` | digest of the program's content, only with it too |
//!
//! **Configuration** ([`UnixConfig`]). `discover_workload_path` (false) adds the last two; the agent
//! needs the right to look at processes of other users (`CAP_SYS_PTRACE`, or to be root).
//! `workload_size_limit` (0): programs larger than so many bytes make the attestation fail; 0 is no
//! limit; a negative value leaves out the digest.
//!
//! **Limits.**
//! - Names come from `/etc/passwd` and `/etc/group` as the agent sees them. Accounts of LDAP or
//!   SSSD have no names here: the system's resolver runs foreign code inside the agent, and not at
//!   all in a static program. Use `uid` and `gid` for those.
//! - In another user namespace IDs are as the agent sees them: 65534 for those that do not map.
//! - A path is as the process's mount namespace has it. Whoever may make containers can put any
//!   program at any path, so `path` means something only along with a user or a container selector.
//!   After the file was removed or replaced the kernel appends ` (deleted)`. A path that is not
//!   UTF-8 gives no selector.
//! - The digest covers the program file, not its libraries, its arguments or what a debugger or
//!   `LD_PRELOAD` of the same user makes of it. An interpreter's digest says nothing of the script.
//! - The program is hashed once a connection, and again if its size or times changed. At most four
//!   are hashed at a time.

mod accounts;
mod digest;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use signet_model::Selector;
use tokio::sync::Semaphore;

use crate::peer::{Peer, ProcError};
use crate::{AttestError, WorkloadAttestor};

pub use accounts::AccountFiles;

/// The attestor's name.
const KIND: &str = "unix";

/// Programs hashed at a time. Each costs a core and up to a disk's bandwidth; a peer decides when
/// and how large.
const HASHES_AT_ONCE: usize = 4;

/// What an operator can set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixConfig {
    /// Whether `path` and `sha256` selectors are made.
    pub discover_workload_path: bool,
    /// Up to which size programs are hashed.
    pub workload_size_limit: SizeLimit,
}

/// Up to which size programs are hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeLimit {
    /// All are.
    #[default]
    Unlimited,
    /// Larger ones fail to attest. In bytes.
    AtMost(u64),
    /// None is.
    NoHash,
}

/// The `unix` attestor.
#[derive(Debug)]
pub struct UnixAttestor {
    config: UnixConfig,
    accounts: AccountFiles,
    hashing: Arc<Semaphore>,
}

impl UnixAttestor {
    /// An attestor with this configuration and the machine's user database.
    pub fn new(config: UnixConfig) -> Self {
        Self::with_accounts(config, AccountFiles::default())
    }

    /// An attestor with another user database.
    pub fn with_accounts(config: UnixConfig, accounts: AccountFiles) -> Self {
        Self {
            config,
            accounts,
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
        }
    }

    /// Selectors of user and groups.
    fn of_credentials(&self, peer: &Peer, into: &mut Found) {
        let users = self.accounts.users();
        let groups = self.accounts.groups();
        into.id_and_name("uid", "user", peer.uid(), &users);
        into.id_and_name("gid", "group", peer.gid(), &groups);
        for gid in &peer.facts().groups {
            into.id_and_name("supplementary_gid", "supplementary_group", *gid, &groups);
        }
    }

    /// Selectors of the program.
    async fn of_program(&self, peer: &Peer, into: &mut Found) -> Result<(), AttestError> {
        let path = peer.exe_path().map_err(|source| unreadable(peer, source))?;
        if let Some(path) = printable(path) {
            into.push("path", &path);
        }
        let limit = match self.config.workload_size_limit {
            SizeLimit::NoHash => return Ok(()),
            SizeLimit::Unlimited => u64::MAX,
            SizeLimit::AtMost(limit) => limit,
        };
        let digest = digest::of_program(peer, limit, &self.hashing).await?;
        into.push("sha256", &signet_crypto::hex(&digest));
        Ok(())
    }
}

#[async_trait]
impl WorkloadAttestor for UnixAttestor {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(&self, peer: &Peer) -> Result<Vec<Selector>, AttestError> {
        let mut found = Found::default();
        self.of_credentials(peer, &mut found);
        if self.config.discover_workload_path {
            self.of_program(peer, &mut found).await?;
        }
        Ok(found.selectors)
    }
}

impl From<i64> for SizeLimit {
    /// The configuration's number.
    fn from(bytes: i64) -> Self {
        match u64::try_from(bytes) {
            Ok(0) => Self::Unlimited,
            Ok(limit) => Self::AtMost(limit),
            Err(_) => Self::NoHash,
        }
    }
}

/// The selectors found so far.
#[derive(Default)]
struct Found {
    selectors: Vec<Selector>,
}

impl Found {
    fn id_and_name(&mut self, id_key: &str, name_key: &str, id: u32, names: &accounts::Names) {
        self.push(id_key, &id.to_string());
        if let Some(name) = names.get(&id) {
            self.push(name_key, name);
        }
    }

    /// What cannot be a selector cannot stand in an entry either, so nothing is lost with it.
    fn push(&mut self, key: &str, value: &str) {
        if let Ok(selector) = Selector::new(KIND, &format!("{key}:{value}")) {
            self.selectors.push(selector);
        }
    }
}

fn printable(path: PathBuf) -> Option<String> {
    path.into_os_string().into_string().ok()
}

fn unreadable(peer: &Peer, source: ProcError) -> AttestError {
    AttestError::Process {
        attestor: KIND,
        pid: peer.pid(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{FakeProcess, PeerGone};

    /// SHA-256 of `trusted`.
    const TRUSTED: &str =
        "unix:sha256:a9a089195c68d2adeee23beaa2c3a93b1d4cdf09046e7a9e520b3b166dff3e6a";

    fn accounts(dir: &tempfile::TempDir) -> AccountFiles {
        let (passwd, group) = (dir.path().join("passwd"), dir.path().join("group"));
        std::fs::write(
            &passwd,
            "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(&group, "root:x:0:\nstaff:x:1000:\nsudo:x:27:alice\n").unwrap();
        AccountFiles::new(passwd, group)
    }

    fn with_path(limit: i64) -> UnixConfig {
        UnixConfig {
            discover_workload_path: true,
            workload_size_limit: limit.into(),
        }
    }

    async fn selectors(
        config: UnixConfig,
        process: &FakeProcess,
    ) -> Result<Vec<String>, AttestError> {
        let dir = tempfile::tempdir().unwrap();
        let attestor = UnixAttestor::with_accounts(config, accounts(&dir));
        let peer = Peer::fake(process).unwrap();
        let found = attestor.attest(&peer).await?;
        Ok(found
            .iter()
            .map(|selector| selector.expose().to_string())
            .collect())
    }

    fn alice() -> FakeProcess {
        let process = FakeProcess::new(42, 1000, 1000);
        process.exec("/usr/bin/app", b"trusted");
        process
    }

    #[tokio::test]
    async fn user_and_groups_come_with_their_names() {
        let process = alice();
        process.set_groups(&[27, 1000]);
        let found = selectors(UnixConfig::default(), &process).await.unwrap();
        let expected = [
            "unix:uid:1000",
            "unix:user:alice",
            "unix:gid:1000",
            "unix:group:staff",
            "unix:supplementary_gid:27",
            "unix:supplementary_group:sudo",
            "unix:supplementary_gid:1000",
            "unix:supplementary_group:staff",
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn an_unknown_user_has_numbers_only() {
        let found = selectors(UnixConfig::default(), &FakeProcess::new(42, 7, 8))
            .await
            .unwrap();
        assert_eq!(found, ["unix:uid:7", "unix:gid:8"]);
    }

    #[tokio::test]
    async fn without_a_user_database_there_are_numbers_only() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = AccountFiles::new(dir.path().join("a"), dir.path().join("b"));
        let attestor = UnixAttestor::with_accounts(UnixConfig::default(), nowhere);
        let found = attestor
            .attest(&Peer::fake(&alice()).unwrap())
            .await
            .unwrap();
        assert_eq!(found.len(), 2);
    }

    #[tokio::test]
    async fn path_and_digest_are_told_on_request() {
        let found = selectors(with_path(0), &alice()).await.unwrap();
        assert_eq!(&found[4..], ["unix:path:/usr/bin/app", TRUSTED]);
    }

    #[tokio::test]
    async fn a_negative_limit_leaves_out_the_digest() {
        let found = selectors(with_path(-1), &alice()).await.unwrap();
        assert_eq!(&found[4..], ["unix:path:/usr/bin/app"]);
    }

    #[tokio::test]
    async fn a_program_of_exactly_the_limit_is_hashed_and_a_larger_one_fails() {
        assert!(selectors(with_path(7), &alice()).await.is_ok());
        let refused = selectors(with_path(6), &alice()).await;
        assert!(matches!(
            refused,
            Err(AttestError::ProgramTooLarge { size: 7, limit: 6 })
        ));
    }

    #[tokio::test]
    async fn a_program_that_the_agent_may_not_see_fails() {
        let process = alice();
        process.hide_exe();
        let refused = selectors(with_path(0), &process).await;
        assert!(matches!(refused, Err(AttestError::Process { .. })));
    }

    #[tokio::test]
    async fn a_program_other_than_at_accept_is_never_hashed() {
        let process = alice();
        let peer = Peer::fake(&process).unwrap();
        process.exec("/usr/bin/evil", b"evil");
        let refused = UnixAttestor::new(with_path(0)).attest(&peer).await;
        assert!(matches!(
            refused,
            Err(AttestError::Gone(PeerGone::Executed))
        ));
    }

    #[tokio::test]
    async fn a_program_that_was_overwritten_is_hashed_again() {
        let process = alice();
        let peer = Peer::fake(&process).unwrap();
        let attestor = UnixAttestor::new(with_path(0));
        let before = attestor.attest(&peer).await.unwrap();
        assert_eq!(before, attestor.attest(&peer).await.unwrap());
        process.overwrite(b"other77");
        assert_ne!(before, attestor.attest(&peer).await.unwrap());
    }

    #[tokio::test]
    async fn a_path_that_is_not_utf8_gives_no_selector() {
        use std::os::unix::ffi::OsStringExt;
        let process = alice();
        process.exec(std::ffi::OsString::from_vec(vec![b'/', 0xff]), b"trusted");
        let found = selectors(with_path(-1), &process).await.unwrap();
        assert!(
            !found
                .iter()
                .any(|selector| selector.starts_with("unix:path"))
        );
    }

    #[test]
    fn the_configured_number_means_what_it_does_in_spire() {
        assert_eq!(SizeLimit::from(0), SizeLimit::Unlimited);
        assert_eq!(SizeLimit::from(-1), SizeLimit::NoHash);
        assert_eq!(SizeLimit::from(9), SizeLimit::AtMost(9));
    }
}
