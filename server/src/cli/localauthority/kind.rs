//! The three kinds of authority, whose messages differ in nothing but their names.

use std::future::Future;

use signet_proto::spire::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use signet_proto::spire::server::localauthority::v1::{self as api, AuthorityState};
use tonic::Status;
use tonic::transport::Channel;

type Client = LocalAuthorityClient<Channel>;

/// The active, the prepared and the old authority.
pub(in crate::cli) type States = [Option<AuthorityState>; 3];

/// One kind of authority, and the calls about it.
pub(in crate::cli) trait Kind:
    Clone + std::fmt::Debug + Send + Sync + 'static
{
    /// As it stands in sentences: `JWT`.
    const NAME: &'static str;
    /// Whether it can hang on an upstream authority.
    const HAS_UPSTREAM: bool;

    fn show(client: Client) -> impl Future<Output = Result<States, Status>>;
    fn prepare(client: Client) -> impl Future<Output = Result<Option<AuthorityState>, Status>>;
    fn activate(
        client: Client,
        id: String,
    ) -> impl Future<Output = Result<Option<AuthorityState>, Status>>;
    fn taint(
        client: Client,
        id: String,
    ) -> impl Future<Output = Result<Option<AuthorityState>, Status>>;
    fn revoke(
        client: Client,
        id: String,
    ) -> impl Future<Output = Result<Option<AuthorityState>, Status>>;
}

macro_rules! kind {
    ($kind:ident, $name:literal, $upstream:literal, $show:ident $Show:ident,
     $prepare:ident $Prepare:ident, $activate:ident $Activate:ident,
     $taint:ident $Taint:ident, $revoke:ident $Revoke:ident) => {
        #[derive(Clone, Debug)]
        pub(in crate::cli) struct $kind;

        impl Kind for $kind {
            const NAME: &'static str = $name;
            const HAS_UPSTREAM: bool = $upstream;

            async fn show(mut client: Client) -> Result<States, Status> {
                let answer = client.$show(api::$Show {}).await?.into_inner();
                Ok([answer.active, answer.prepared, answer.old])
            }

            async fn prepare(mut client: Client) -> Result<Option<AuthorityState>, Status> {
                let answer = client.$prepare(api::$Prepare {}).await?;
                Ok(answer.into_inner().prepared_authority)
            }

            async fn activate(
                mut client: Client,
                authority_id: String,
            ) -> Result<Option<AuthorityState>, Status> {
                let answer = client.$activate(api::$Activate { authority_id }).await?;
                Ok(answer.into_inner().activated_authority)
            }

            async fn taint(
                mut client: Client,
                authority_id: String,
            ) -> Result<Option<AuthorityState>, Status> {
                let answer = client.$taint(api::$Taint { authority_id }).await?;
                Ok(answer.into_inner().tainted_authority)
            }

            async fn revoke(
                mut client: Client,
                authority_id: String,
            ) -> Result<Option<AuthorityState>, Status> {
                let answer = client.$revoke(api::$Revoke { authority_id }).await?;
                Ok(answer.into_inner().revoked_authority)
            }
        }
    };
}

kind!(
    X509, "X.509", true,
    get_x509_authority_state GetX509AuthorityStateRequest,
    prepare_x509_authority PrepareX509AuthorityRequest,
    activate_x509_authority ActivateX509AuthorityRequest,
    taint_x509_authority TaintX509AuthorityRequest,
    revoke_x509_authority RevokeX509AuthorityRequest
);
kind!(
    Jwt, "JWT", false,
    get_jwt_authority_state GetJwtAuthorityStateRequest,
    prepare_jwt_authority PrepareJwtAuthorityRequest,
    activate_jwt_authority ActivateJwtAuthorityRequest,
    taint_jwt_authority TaintJwtAuthorityRequest,
    revoke_jwt_authority RevokeJwtAuthorityRequest
);
kind!(
    Wit, "WIT", false,
    get_wit_authority_state GetWitAuthorityStateRequest,
    prepare_wit_authority PrepareWitAuthorityRequest,
    activate_wit_authority ActivateWitAuthorityRequest,
    taint_wit_authority TaintWitAuthorityRequest,
    revoke_wit_authority RevokeWitAuthorityRequest
);
