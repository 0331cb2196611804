//! The environment of the command line, read here and nowhere else.

use signet_cli::Target;
use signet_cli::socket::SocketDefaults;

const DEFAULT_SOCKET: &str = "/tmp/spire-server/private/api.sock";
const SOCKET_TEMPLATE: &str = "SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE";
const SOCKET: &str = "SPIRE_SERVER_PRIVATE_SOCKET";

/// The server that commands talk to.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the command line that reads the environment"
)]
pub(super) fn target() -> Target {
    Target {
        program: "signet-server",
        socket: SocketDefaults {
            path: DEFAULT_SOCKET,
            template_variable: SOCKET_TEMPLATE,
            template: std::env::var(SOCKET_TEMPLATE).ok(),
            from_environment: std::env::var(SOCKET).ok(),
        },
    }
}
