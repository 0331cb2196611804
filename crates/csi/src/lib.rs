//! The storage driver `csi.spiffe.io`: a pod that asks for a volume of it finds there the folder with the
//! agent's socket. So workloads need no path of the node, which careful clusters forbid to pods.
//!
//! The kubelet finds the driver by a second socket in its registration folder, so no helper runs beside
//! the agent. What is mounted is the folder, not the socket: an agent that starts anew makes its socket
//! anew, and pods find it.
//!
//! ```text
//! kubelet ─ plugins_registry/csi.spiffe.io-reg.sock ─▶ Registrar: who, and where
//!         └ plugins/csi.spiffe.io/csi.sock ─▶ Driver ─ checked ─▶ Volumes: mount, unmount
//! ```
//!
//! It does not create, attach, measure or grow volumes, and knows only ephemeral ones.

mod driver;
mod registrar;
mod serve;
mod volumes;

pub use driver::{DRIVER, Driver};
pub use registrar::{Registrar, Sockets};
pub use serve::{serve_driver, serve_registrar};
pub use volumes::{VolumeError, Volumes};
