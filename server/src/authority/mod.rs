//! The authorities of this server: which keys sign now, which comes next.
//!
//! ```text
//!             next_step(now, slots)                 one commit: slot and bundle
//! settle ──▶ prepare: key ─▶ certificate (parent) ─▶ publish ··· activate ─▶ Authorities ─▶ issue
//! LocalAuthority API: prepare · activate · taint · revoke, by the same steps
//! ```
//!
//! `signet_ca::rotation` says what is due; here it is carried out. The key is made first, never
//! over one that a slot names; then the slot and the bundle change in one commit; and only what
//! is committed signs. A crash anywhere between leaves a key that nobody names, or a step that is
//! due again.

mod audience;
mod condemn;
mod fault;
mod follow;
mod in_use;
mod make;
mod manual;
mod orphans;
mod parent;
mod reach;
mod reconcile;
mod shelf;
mod spec;
mod stored;
mod turns;
mod upstream;

#[cfg(test)]
mod tests;

pub use audience::{Audiences, Pattern, PatternError};
pub use condemn::Due;
pub use fault::{AuthorityFault, LocalFault};
pub use follow::FollowFault;
pub use in_use::{Authorities, NoAuthority};
pub use manual::{LocalAuthorities, LocalAuthority};
pub use parent::{Certified, Parent, ParentError, Wanted};
pub use reach::Lacking;
pub use reconcile::{Outlook, Reconciler};
pub use signet_ca::slots::Kind;
pub use spec::{AuthoritySettings, JwtAlternative, Spec};
pub use turns::Turns;
pub use upstream::{Upstream, UpstreamFault};
