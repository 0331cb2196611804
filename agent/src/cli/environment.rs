//! The environment of the command line, read here and nowhere else.

use signet_cli::Target;
use signet_cli::socket::SocketDefaults;

const PROGRAM: &str = "signet-agent";

/// Where workloads, and commands that act as one, find the agent.
pub(super) fn workload_socket() -> Target {
    target(SocketDefaults {
        path: "/tmp/spire-agent/public/api.sock",
        template_variable: "SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE",
        template: variable("SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE"),
        from_environment: variable("SPIRE_AGENT_PUBLIC_SOCKET"),
    })
}

/// Where operators find it.
pub(super) fn admin_socket() -> Target {
    target(SocketDefaults {
        path: "/tmp/spire-agent/private/admin.sock",
        template_variable: "SPIRE_AGENT_PRIVATE_SOCKET_TEMPLATE",
        template: variable("SPIRE_AGENT_PRIVATE_SOCKET_TEMPLATE"),
        from_environment: variable("SPIRE_AGENT_PRIVATE_SOCKET"),
    })
}

fn target(socket: SocketDefaults) -> Target {
    Target {
        program: PROGRAM,
        socket,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the command line that reads the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
