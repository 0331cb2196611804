//! A server and one agent that has attested.

use std::path::Path;

use tempfile::TempDir;

use crate::{Agent, AgentSettings, Attestation, Maker, Server, ServerSettings};

/// Both programs, in a directory that goes with them.
#[derive(Debug)]
pub struct Scene {
    /// The agent.
    pub agent: Agent,
    /// The server.
    pub server: Server,
    directory: TempDir,
}

impl Scene {
    /// Our server and our agent, which attested by join token.
    ///
    /// # Panics
    /// When one of them does not become healthy.
    pub async fn start() -> Self {
        Self::of(&ServerSettings::new(Maker::Signet), Maker::Signet).await
    }

    /// The given server, and an agent of the given maker that attested by join token.
    ///
    /// # Panics
    /// When one of them does not become healthy.
    pub async fn of(server: &ServerSettings, agent: Maker) -> Self {
        let directory = directory();
        let server = Server::start(directory.path(), server).await;
        let token = server.join_token().await;
        let settings = AgentSettings::new(agent, Attestation::JoinToken(token));
        let agent = Agent::start(directory.path(), &server, &settings).await;
        Self {
            agent,
            server,
            directory,
        }
    }

    /// The given server, and our agent with other settings than the usual ones.
    ///
    /// # Panics
    /// When one of them does not become healthy.
    pub async fn tuned(
        server: &ServerSettings,
        tune: impl FnOnce(AgentSettings) -> AgentSettings,
    ) -> Self {
        let directory = directory();
        let server = Server::start(directory.path(), server).await;
        let token = server.join_token().await;
        let settings = AgentSettings::new(Maker::Signet, Attestation::JoinToken(token));
        let agent = Agent::start(directory.path(), &server, &tune(settings)).await;
        Self {
            agent,
            server,
            directory,
        }
    }

    /// The given server and agent.
    ///
    /// # Panics
    /// When one of them does not become healthy.
    pub async fn with(directory: TempDir, server: &ServerSettings, agent: &AgentSettings) -> Self {
        let server = Server::start(directory.path(), server).await;
        Self::around(directory, server, agent).await
    }

    /// An agent of a server that runs already in the directory.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub async fn around(directory: TempDir, server: Server, agent: &AgentSettings) -> Self {
        let agent = Agent::start(directory.path(), &server, agent).await;
        Self {
            agent,
            server,
            directory,
        }
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A directory for one scenario. Its path is short: sockets are in it.
///
/// # Panics
/// When it cannot be made.
pub fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("signet-")
        .tempdir()
        .expect("a directory")
}
