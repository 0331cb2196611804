//! The code generated from `proto/`: messages, gRPC clients and servers, and nothing else.
//!
//! Modules follow the protobuf packages:
//!
//! | module | what |
//! |---|---|
//! | [`workload`] | the SPIFFE Workload API (the file has no package) |
//! | [`spire::types`] | `spire.api.types` |
//! | [`spire::server`]`::{agent, bundle, debug, entry, localauthority, logger, svid, trustdomain}::v1` | SPIRE's server API |
//! | [`spire::api::agent`]`::{delegatedidentity, logger}::v1`, [`spire::agent::debug::v1`] | SPIRE's agent admin API |
//! | [`signet::sync::v1`] | the stream between our server and our agent |
//! | [`signet::admin::v1`], [`signet::agent::admin::v1`] | what our programs add for operators |
//! | [`signet::store::v1`] | the server's stored records |
//! | [`csi::v1`], [`pluginregistration`] | a storage driver, and how the kubelet learns of it |
//!
//! `bytes` fields are [`prost::bytes::Bytes`], maps are `BTreeMap`, `google.protobuf.Empty` is `()`
//! and the wrapper types are `Option`s. Names are in Rust's case: `SPIFFEID` is `Spiffeid`,
//! `X509SVID` is `X509svid`, `JWTKey` is `JwtKey`, the method `MintX509SVID` is `mint_x509svid`.

#![allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; what a name means stands in its .proto file"
)]

/// The module of one protobuf package.
macro_rules! packages {
    ($($module:ident = $package:literal),* $(,)?) => {
        $(pub mod $module {
            pub mod v1 {
                tonic::include_proto!($package);
            }
        })*
    };
}

pub mod workload {
    tonic::include_proto!("_");

    /// The Workload API's encoded `FileDescriptorSet`, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("workload");
}

pub mod spire {
    pub use api::{server, types};

    pub mod api {
        pub mod types {
            tonic::include_proto!("spire.api.types");
        }

        pub mod server {
            packages! {
                agent = "spire.api.server.agent.v1",
                bundle = "spire.api.server.bundle.v1",
                debug = "spire.api.server.debug.v1",
                entry = "spire.api.server.entry.v1",
                localauthority = "spire.api.server.localauthority.v1",
                logger = "spire.api.server.logger.v1",
                svid = "spire.api.server.svid.v1",
                trustdomain = "spire.api.server.trustdomain.v1",
            }
        }

        pub mod agent {
            packages! {
                delegatedidentity = "spire.api.agent.delegatedidentity.v1",
                logger = "spire.api.agent.logger.v1",
            }
        }
    }

    pub mod agent {
        packages! { debug = "spire.agent.debug.v1" }
    }
}

pub mod signet {
    packages! {
        admin = "signet.admin.v1",
        store = "signet.store.v1",
        sync = "signet.sync.v1",
    }

    pub mod agent {
        packages! { admin = "signet.agent.admin.v1" }
    }
}

packages! { csi = "csi.v1" }

pub mod pluginregistration {
    tonic::include_proto!("pluginregistration");
}

#[cfg(test)]
mod tests;
