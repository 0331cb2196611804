//! The server's half: asks the cluster about the token, then checks what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use signet_cluster::{Api, ApiError, Metadata, Name, Node, Pod, ReviewStatus};
use signet_model::Selector;
use signet_oidc::TokenError;
use signet_spiffe::{SpiffeId, TrustDomain};

use super::KIND;
use super::facts::{Facts, FactsError, Object};
use super::offline::Offline;
use super::payload::Payload;
use crate::agent_path::is_segment;
use crate::{Attested, Challenger, Peer, Refused, ServerAttestor};

/// What the API server is asked.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Whether a token is good, and whose it is.
    async fn review(&self, token: &str, audiences: &[String]) -> Result<ReviewStatus, ApiError>;
    /// A pod.
    async fn pod(&self, namespace: &Name, name: &Name) -> Result<Pod, ApiError>;
    /// A node.
    async fn node(&self, name: &Name) -> Result<Node, ApiError>;
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One cluster, as the operator describes it.
pub struct ClusterConfig {
    /// `service_account_allow_list`.
    pub allowed: BTreeSet<ServiceAccount>,
    /// `audience`: the token must be for one of these; for the API server itself if there is none.
    pub audience: Vec<String>,
    /// `allowed_node_label_keys`.
    pub node_label_keys: Vec<String>,
    /// `allowed_pod_label_keys`.
    pub pod_label_keys: Vec<String>,
    /// `use_pod_uid_for_agent_id`.
    pub use_pod_uid: bool,
    /// Who says what a token is worth.
    pub verification: Verification,
}

/// Who says what a token is worth.
pub enum Verification {
    /// The API server.
    Online(Arc<dyn Cluster>),
    /// The token itself.
    Offline(Offline),
}

/// What an agent did not prove.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The cluster is not configured.
    #[error("there is no cluster of the name that the agent gives")]
    UnknownCluster,
    /// The API server does not accept the token.
    #[error("the API server does not accept the token for this audience")]
    NotAuthenticated,
    /// The token cannot be verified offline.
    #[error("the token does not hold")]
    Token(#[source] TokenError),
    /// The token does not say enough.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The service account is not on the list.
    #[error("the token's service account is not on service_account_allow_list")]
    NotAllowed,
    /// The pod is gone.
    #[error("the token's pod is gone")]
    NoPod,
    /// Another pod of the same name.
    #[error("the token is of another pod of this name")]
    OtherPod,
    /// The pod is on no node.
    #[error("the token's pod is on no node")]
    NoNode,
    /// Another node than the token says.
    #[error("the token is of another node than its pod, or of an earlier one of the same name")]
    OtherNode,
    /// Offline, the agent's ID needs what the token does not say.
    #[error(
        "the token does not name its node, as before Kubernetes 1.30: set use_pod_uid_for_agent_id"
    )]
    NodeUnnamed,
}

/// Attests agents by the token of their pod.
pub struct K8sPsatServer {
    trust_domain: TrustDomain,
    clusters: BTreeMap<String, ClusterConfig>,
}

/// All that is known of an agent.
struct Known {
    facts: Facts,
    node: Option<Object>,
    node_ip: String,
    node_labels: Vec<(String, String)>,
    pod_labels: Vec<(String, String)>,
}

impl K8sPsatServer {
    /// For agents of this trust domain, in clusters by their names.
    pub fn new(trust_domain: TrustDomain, clusters: BTreeMap<String, ClusterConfig>) -> Self {
        Self {
            trust_domain,
            clusters,
        }
    }

    fn agent_id(
        &self,
        name: &str,
        cluster: &ClusterConfig,
        known: &Known,
    ) -> Result<SpiffeId, Refused> {
        let (place, uid) = match (cluster.use_pod_uid, &known.node) {
            (true, _) => ("/pod", &known.facts.pod.uid),
            (false, Some(node)) => ("", &node.uid),
            (false, None) => return Err(EvidenceError::NodeUnnamed.into()),
        };
        for segment in [name, uid] {
            if !is_segment(segment) {
                return Err(Refused::AgentId("it cannot be part of a SPIFFE ID".into()));
            }
        }
        let path = format!("/spire/agent/{KIND}/{name}{place}/{uid}");
        SpiffeId::new(&self.trust_domain, &path).map_err(|error| Refused::AgentId(error.into()))
    }
}

#[async_trait]
impl ServerAttestor for K8sPsatServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn attest(
        &self,
        payload: &[u8],
        _: &Peer,
        _: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        let payload = Payload::parse(payload).map_err(|error| Refused::Payload(error.into()))?;
        let cluster = self.clusters.get(&payload.cluster);
        let cluster = cluster.ok_or(EvidenceError::UnknownCluster)?;
        let known = cluster.verify(payload.token.expose()).await?;
        Ok(Attested {
            agent_id: self.agent_id(&payload.cluster, cluster, &known)?,
            selectors: known.selectors(&payload.cluster)?,
            can_reattest: true,
            first_use: false,
            token: None,
            once: Vec::new(),
            proofs: Vec::new(),
        })
    }
}

impl ClusterConfig {
    async fn verify(&self, token: &str) -> Result<Known, Refused> {
        match &self.verification {
            Verification::Online(cluster) => self.verify_online(&**cluster, token).await,
            Verification::Offline(offline) => {
                let facts = offline.verify(token, &self.audience).await?;
                self.check_account(&facts)?;
                Ok(Known {
                    node: facts.node.clone(),
                    facts,
                    node_ip: String::new(),
                    node_labels: Vec::new(),
                    pod_labels: Vec::new(),
                })
            }
        }
    }

    async fn verify_online(&self, cluster: &dyn Cluster, token: &str) -> Result<Known, Refused> {
        let review = cluster.review(token, &self.audience).await;
        let review = review.map_err(unavailable)?;
        if !review.authenticated || !self.is_for_us(&review) {
            return Err(EvidenceError::NotAuthenticated.into());
        }
        let facts = Facts::of_user(&review.user).map_err(EvidenceError::Facts)?;
        self.check_account(&facts)?;
        let namespace = Name::parse(&facts.account.namespace).expect("checked with the account");
        let pod = cluster.pod(&namespace, &facts.pod.name).await;
        let pod = pod.map_err(|error| gone(error, EvidenceError::NoPod))?;
        check_pod(&facts, &pod)?;
        let name = Name::parse(&pod.spec.node_name).map_err(|_| EvidenceError::NoNode)?;
        let node = cluster.node(&name).await;
        let node = node.map_err(|error| gone(error, EvidenceError::NoNode))?;
        let found = Object {
            name,
            uid: node.metadata.uid.clone(),
        };
        // The token of a node that was made anew under its old name is of the old one.
        if facts.node.as_ref().is_some_and(|node| *node != found) {
            return Err(EvidenceError::OtherNode.into());
        }
        Ok(Known {
            facts,
            node: Some(found),
            node_ip: pod.status.host_ip,
            node_labels: allowed(&node.metadata, &self.node_label_keys),
            pod_labels: allowed(&pod.metadata, &self.pod_label_keys),
        })
    }

    /// A server that does not know of audiences accepts tokens of any.
    fn is_for_us(&self, review: &ReviewStatus) -> bool {
        let mut audiences = review.audiences.iter();
        self.audience.is_empty() || audiences.any(|one| self.audience.contains(one))
    }

    fn check_account(&self, facts: &Facts) -> Result<(), Refused> {
        match self.allowed.contains(&facts.account) {
            true => Ok(()),
            false => Err(EvidenceError::NotAllowed.into()),
        }
    }
}

impl Known {
    fn selectors(&self, cluster: &str) -> Result<Vec<Selector>, Refused> {
        let (account, pod) = (&self.facts.account, &self.facts.pod);
        let mut values = vec![
            format!("cluster:{cluster}"),
            format!("agent_ns:{}", account.namespace),
            format!("agent_sa:{}", account.name),
            format!("agent_pod_name:{}", pod.name),
            format!("agent_pod_uid:{}", pod.uid),
        ];
        if let Some(node) = &self.node {
            values.push(format!("agent_node_name:{}", node.name));
            values.push(format!("agent_node_uid:{}", node.uid));
        }
        if !self.node_ip.is_empty() {
            values.push(format!("agent_node_ip:{}", self.node_ip));
        }
        let label = |kind| move |(key, value): &(String, String)| format!("{kind}:{key}:{value}");
        values.extend(self.node_labels.iter().map(label("agent_node_label")));
        values.extend(self.pod_labels.iter().map(label("agent_pod_label")));
        let made = values.iter().map(|value| Selector::new(KIND, value));
        let made: Result<_, _> = made.collect();
        made.map_err(|error| Refused::Unavailable(Box::new(error)))
    }
}

impl From<EvidenceError> for Refused {
    fn from(error: EvidenceError) -> Self {
        Self::Evidence(error.into())
    }
}

fn check_pod(facts: &Facts, pod: &Pod) -> Result<(), Refused> {
    if pod.metadata.uid != facts.pod.uid || pod.spec.service_account_name != facts.account.name {
        return Err(EvidenceError::OtherPod.into());
    }
    Ok(())
}

fn allowed(object: &Metadata, keys: &[String]) -> Vec<(String, String)> {
    let labels = keys
        .iter()
        .filter_map(|key| object.labels.get_key_value(key));
    labels
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn gone(error: ApiError, meaning: EvidenceError) -> Refused {
    match error {
        ApiError::NotFound { .. } => meaning.into(),
        error => unavailable(error),
    }
}

fn unavailable(error: ApiError) -> Refused {
    Refused::Unavailable(error.into())
}

#[async_trait]
impl Cluster for Api {
    async fn review(&self, token: &str, audiences: &[String]) -> Result<ReviewStatus, ApiError> {
        self.review_token(token, audiences).await
    }

    async fn pod(&self, namespace: &Name, name: &Name) -> Result<Pod, ApiError> {
        Self::pod(self, namespace, name).await
    }

    async fn node(&self, name: &Name) -> Result<Node, ApiError> {
        Self::node(self, name).await
    }
}
