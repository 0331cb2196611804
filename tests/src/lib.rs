//! Starts the real programs, ours and SPIRE's, and drives them as an operator would.
//!
//! | module | what |
//! |---|---|
//! | [`programs`] | where the programs are; builds ours if need be |
//! | [`process`] | one running program, its log and its end |
//! | [`command`] | a program that is run to its end |
//! | [`server`], [`agent`], [`scene`] | a configured server, an agent, both together |
//! | [`cgroups`] | cgroups as a kubelet and its runtime make them |
//! | [`nested`] | servers below a server |
//! | [`openssl`] | certificates and judgements by OpenSSL |
//! | [`openbao`] | a real OpenBao |
//! | [`api_server`] | a real API server of Kubernetes |
//! | [`cluster`], [`machine`], [`image`] | a real cluster of one node, where it is, and images for it |
//! | [`installation`] | the manifests on such a cluster |
//! | [`aws`], [`moto`] | an instance of AWS, and AWS's API by moto |
//! | [`usage`] | what a process takes of the machine |
//! | [`wire`] | bare HTTP and gRPC |
//! | [`wait`] | waiting for a state, with a deadline |
//! | [`skip`] | what cannot run here is said by name |
//!
//! The same text configures both makers' programs: that is part of what is proved.

pub mod agent;
pub mod api_server;
pub mod aws;
pub mod cgroups;
pub mod cluster;
pub mod command;
pub mod image;
pub mod installation;
pub mod machine;
pub mod moto;
pub mod nested;
pub mod openbao;
pub mod openssl;
pub mod process;
pub mod programs;
pub mod scene;
pub mod server;
pub mod skip;
pub mod usage;
pub mod wait;
pub mod wire;

pub use agent::{Agent, AgentSettings, Attestation};
pub use command::Output;
pub use process::Process;
pub use programs::Maker;
pub use scene::Scene;
pub use server::{Server, ServerSettings};

/// The trust domain of all scenarios.
pub const TRUST_DOMAIN: &str = "example.org";

/// `spiffe://example.org` and the path.
pub fn id(path: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}{path}")
}
