//! The `aws_iid` attestor: the identity document that AWS signs for each instance.
//!
//! **What it proves.** Somebody on the instance, or who ever read its metadata, sent the agent's
//! request: the document does not change and names no receiver. So it counts once (trust on first
//! use): an agent ID that exists must be evicted before the instance can attest again, and an agent
//! renews its SVID instead. AWS is then asked what the instance is, and whether its root volume was
//! attached when it was launched, so that a volume moved to another instance is noticed.
//!
//! **On the wire** ([`payload`]). JSON with the texts `document`, `signature` and `rsa2048` as the
//! metadata service has them. There is no challenge.
//!
//! **Verification.** The PKCS #7 message `rsa2048` is preferred; if there is one, nothing else counts.
//! The region's certificate is found by the signer that the message names, or, for the plain
//! `signature`, by trying each region's key: nothing of the document is read before. What is used is
//! the document *inside* the verified message; the text beside it must be the same, and the document
//! must name a region of the certificate that signed it.
//!
//! **Agent ID.** `/spire/agent/aws_iid/<account>/<region>/<instance>` unless `agent_path_template`
//! says otherwise, with the variables of [`VARIABLES`]; a tag is `{{ .Tags.Name }}`. A value that
//! is no plain path segment gives no ID.
//!
//! | selector | value |
//! |---|---|
//! | `aws_iid:account_id:<id>` | account, of the document |
//! | `aws_iid:region:<name>`, `aws_iid:az:<name>` | region and availability zone, of the document |
//! | `aws_iid:image:id:<id>`, `aws_iid:instance:id:<id>` | image and instance, of the document |
//! | `aws_iid:tag:<key>:<value>` | each tag |
//! | `aws_iid:sg:id:<id>`, `aws_iid:sg:name:<name>` | each security group |
//! | `aws_iid:iamrole:<arn>` | each role of the instance profile |
//!
//! **Configuration of the server.** `access_key_id` and `secret_access_key` (by default the usual
//! chain: environment, web identity, shared files, container, instance role). `assume_role`: a role
//! of each node's account to ask as. `partition` (`aws`, `aws-cn`, `aws-us-gov`). `skip_block_device`
//! (false). `disable_instance_profile_selectors` (false). `account_ids_for_local_validation`: for
//! these accounts AWS is not asked, only the document counts. `verify_organization`:
//! `management_account_id`, `assume_org_role`, `management_account_region`, `org_account_map_ttl`
//! (3m), or `account_list_file`, a JSON array of account IDs. `validate_eks_cluster_membership`:
//! `eks_cluster_names`, one of which must have the instance in a managed node group.
//! `region_certificates_path` (ours): more certificates in the form of the built-in list, for
//! a region that AWS opened since this release. It adds, never replaces; whoever can write that
//! file can sign for any instance, as with any CA file.
//!
//! It needs `ec2:DescribeInstances`; `iam:GetInstanceProfile` unless those selectors are disabled;
//! `organizations:ListAccounts`, `eks:ListNodegroups`, `eks:DescribeNodegroup` and
//! `autoscaling:DescribeAutoScalingGroups` for what is configured.
//!
//! **Configuration of the agent.** `ec2_metadata_endpoint` (`http://169.254.169.254`). The metadata
//! service is spoken to in version 2 only. In a container the instance's hop limit must be 2.
//!
//! **Limits.** AWS's certificates are pinned, so neither their validity nor revocation is looked at.
//! The plain signature has an RSA key of 1024 bits, as AWS makes it. Tags are whatever people with
//! `ec2:CreateTags` write: as selectors they are as good as that permission.

mod agent;
mod cloud;
mod document;
mod organization;
pub mod payload;
mod regions;
mod server;
mod tamper;
mod verify;

pub use agent::AwsIidAgent;
pub use cloud::{Cloud, LiveCloud};
pub use document::{DocumentError, IdentityDocument};
pub use organization::{AccountList, OrganizationError};
pub use regions::{RegionCertificates, RegionError};
pub use server::{AwsIidConfig, AwsIidServer, EvidenceError, VARIABLES};
pub use tamper::TamperError;
pub use verify::VerificationError;

/// The attestor's name on the wire.
pub const KIND: &str = "aws_iid";
