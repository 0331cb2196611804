//! What the attestor asks AWS, as a port, and AWS itself behind it.

use async_trait::async_trait;
use signet_cloud::aws::{Account, Aws, AwsError, Identity, Instance};

/// The questions. All are about one account's instance but the last.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// The instance, if there is one of this ID.
    async fn instance(
        &self,
        account: &str,
        region: &str,
        id: &str,
    ) -> Result<Option<Instance>, AwsError>;

    /// The ARNs of the roles of an instance profile.
    async fn roles(
        &self,
        account: &str,
        region: &str,
        profile: &str,
    ) -> Result<Vec<String>, AwsError>;

    /// Whether the instance is in a managed node group of this EKS cluster.
    async fn is_in_cluster(
        &self,
        account: &str,
        region: &str,
        cluster: &str,
        instance: &str,
    ) -> Result<bool, AwsError>;

    /// The accounts of the organization with this management account.
    async fn accounts(
        &self,
        management_account: &str,
        role: &str,
        region: &str,
    ) -> Result<Vec<Account>, AwsError>;
}

/// AWS.
#[derive(Debug)]
pub struct LiveCloud {
    aws: Aws,
    assume_role: Option<String>,
}

impl LiveCloud {
    /// `assume_role` is the name of a role of each account to ask as.
    pub fn new(aws: Aws, assume_role: Option<String>) -> Self {
        Self { aws, assume_role }
    }

    fn identity(&self, account: &str) -> Identity {
        match &self.assume_role {
            None => Identity::Own,
            Some(role) => Identity::Role(self.aws.partition().role_arn(account, role)),
        }
    }
}

#[async_trait]
impl Cloud for LiveCloud {
    async fn instance(
        &self,
        account: &str,
        region: &str,
        id: &str,
    ) -> Result<Option<Instance>, AwsError> {
        let who = self.identity(account);
        self.aws.describe_instance(&who, region, id).await
    }

    async fn roles(
        &self,
        account: &str,
        region: &str,
        profile: &str,
    ) -> Result<Vec<String>, AwsError> {
        let who = self.identity(account);
        self.aws.instance_profile_roles(&who, region, profile).await
    }

    async fn is_in_cluster(
        &self,
        account: &str,
        region: &str,
        cluster: &str,
        instance: &str,
    ) -> Result<bool, AwsError> {
        let who = self.identity(account);
        self.aws
            .is_in_cluster(&who, region, cluster, instance)
            .await
    }

    async fn accounts(
        &self,
        management_account: &str,
        role: &str,
        region: &str,
    ) -> Result<Vec<Account>, AwsError> {
        let arn = self.aws.partition().role_arn(management_account, role);
        self.aws.list_accounts(&Identity::Role(arn), region).await
    }
}
