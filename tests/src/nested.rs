//! Servers below a server: each level is a server with an agent of its own, and a server below gets
//! its identity, as a workload, from the agent of the level above.

use std::path::Path;

use signet_proto::spire::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use signet_proto::spire::server::localauthority::v1::{
    ActivateX509AuthorityRequest, AuthorityState, GetX509AuthorityStateRequest,
    PrepareX509AuthorityRequest, RevokeX509AuthorityRequest, TaintX509AuthorityRequest,
};
use tonic::transport::Channel;

use crate::{Agent, AgentSettings, Attestation, Maker, Server, ServerSettings, wire};

/// The entry that lets servers below have an authority.
const DOWNSTREAM: &str = "/downstream";

/// A server and an agent that has attested to it.
#[derive(Debug)]
pub struct Level {
    /// The agent.
    pub agent: Agent,
    /// The server.
    pub server: Server,
}

impl Level {
    /// Starts both in a new directory of this name.
    ///
    /// # Panics
    /// When one of them does not become healthy.
    pub async fn start(parent: &Path, name: &str, settings: &ServerSettings) -> Self {
        let directory = parent.join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        let server = Server::start(&directory, settings).await;
        let token = server.join_token().await;
        let agent = AgentSettings::new(settings.maker, Attestation::JoinToken(token));
        let agent = Agent::start(&directory, &server, &agent).await;
        Self { agent, server }
    }

    /// Starts a level below this one; [`Level::lets_servers_below`] comes before.
    ///
    /// # Panics
    /// When one of its programs does not become healthy.
    pub async fn below(&self, parent: &Path, name: &str, maker: Maker) -> Self {
        let settings = ServerSettings::new(maker).plugin(self.as_upstream());
        Self::start(parent, name, &settings).await
    }

    /// Lets processes of this test's user have an authority below this server.
    ///
    /// # Panics
    /// When the identity does not reach the agent.
    pub async fn lets_servers_below(&self, directory: &Path) {
        self.server.entry(DOWNSTREAM, &["-downstream"]).await;
        self.agent
            .fetch_x509_to(&directory.join("downstream"))
            .await;
    }

    /// The plugin of a server that hangs below this one.
    fn as_upstream(&self) -> String {
        format!(
            "  UpstreamAuthority \"spire\" {{\n    plugin_data {{\n      server_address = \
             \"127.0.0.1\"\n      server_port = {}\n      workload_api_socket = \"{}\"\n    }}\n  }}",
            self.server.port,
            self.agent.socket.display()
        )
    }

    /// Where an operator changes the server's authorities.
    ///
    /// # Panics
    /// When the admin socket is gone.
    pub async fn authorities(&self) -> Authorities {
        let channel = wire::channel(&self.server.socket).await;
        Authorities(LocalAuthorityClient::new(
            channel.expect("the admin socket"),
        ))
    }

    /// How many roots the server's bundle has.
    ///
    /// # Panics
    /// When the server does not show it.
    pub async fn roots(&self) -> usize {
        let shown = self.server.cli(&["bundle", "show"]).await.ok();
        shown.matches("BEGIN CERTIFICATE").count()
    }
}

/// The X.509 authorities of one server. Everything here panics when the server refuses.
#[derive(Debug)]
pub struct Authorities(LocalAuthorityClient<Channel>);

#[allow(missing_docs, reason = "the names are those of the API")]
#[allow(
    clippy::missing_panics_doc,
    reason = "said once, at the type that is panicked for"
)]
impl Authorities {
    pub async fn active(&mut self) -> String {
        let asked = GetX509AuthorityStateRequest {};
        let state = self.0.get_x509_authority_state(asked).await;
        id(state.expect("a state").into_inner().active)
    }

    pub async fn prepare(&mut self) -> String {
        let asked = PrepareX509AuthorityRequest {};
        let made = self.0.prepare_x509_authority(asked).await;
        id(made.expect("prepared").into_inner().prepared_authority)
    }

    pub async fn activate(&mut self, authority_id: &str) {
        let authority_id = authority_id.to_owned();
        let asked = ActivateX509AuthorityRequest { authority_id };
        self.0
            .activate_x509_authority(asked)
            .await
            .expect("activated");
    }

    pub async fn taint(&mut self, authority_id: &str) {
        let authority_id = authority_id.to_owned();
        let asked = TaintX509AuthorityRequest { authority_id };
        self.0.taint_x509_authority(asked).await.expect("tainted");
    }

    pub async fn revoke(&mut self, authority_id: &str) {
        let authority_id = authority_id.to_owned();
        let asked = RevokeX509AuthorityRequest { authority_id };
        self.0.revoke_x509_authority(asked).await.expect("revoked");
    }
}

fn id(state: Option<AuthorityState>) -> String {
    state.expect("an authority").authority_id
}
