//! The way to the program: which Unix socket, and a gRPC channel over it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::Failure;

/// A program that listens answers at once; one that hangs should be noticed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest message a command accepts. A page of entries or a bundle stays far below.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Which socket to talk to.
#[derive(Args, Clone, Debug, Default)]
pub struct SocketArgs {
    /// The Unix socket of the running program
    #[arg(long, value_name = "PATH")]
    pub socket_path: Option<PathBuf>,
    /// Which of several instances; takes the place of %i in the socket template of the environment
    #[arg(long, value_name = "NAME", conflicts_with = "socket_path")]
    pub instance: Option<String>,
}

/// What applies when no flag names the socket.
#[derive(Clone, Debug)]
pub struct SocketDefaults {
    /// The path without any flag and environment.
    pub path: &'static str,
    /// The environment variable of the template, for messages.
    pub template_variable: &'static str,
    /// Its value; `%i` in it is the instance.
    pub template: Option<String>,
    /// A path from the environment.
    pub from_environment: Option<String>,
}

impl SocketArgs {
    /// Decides on the socket: the flag, then the instance, then the environment, then the default.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an instance without a template to put it in.
    pub fn resolve(&self, defaults: &SocketDefaults) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.socket_path {
            return Ok(path.clone());
        }
        if let Some(instance) = &self.instance {
            return from_template(instance, defaults);
        }
        let path = defaults.from_environment.as_deref();
        Ok(path.unwrap_or(defaults.path).into())
    }
}

fn from_template(instance: &str, defaults: &SocketDefaults) -> Result<PathBuf, Failure> {
    let variable = defaults.template_variable;
    match &defaults.template {
        Some(template) if template.contains("%i") => Ok(template.replace("%i", instance).into()),
        Some(_) => Err(Failure::Usage(format!(
            "--instance needs %i in ${variable}, as /run/%i/api.sock"
        ))),
        None => Err(Failure::Usage(format!(
            "--instance needs ${variable} to be set, as /run/%i/api.sock"
        ))),
    }
}

/// Connects to the program that listens at the Unix socket.
///
/// # Errors
/// [`Failure::Connect`].
pub async fn connect(path: &Path, program: &'static str) -> Result<Channel, Failure> {
    let socket = path.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The name of the authority is sent and means nothing on a Unix socket.
    Endpoint::from_static("http://localhost")
        .connect_timeout(CONNECT_TIMEOUT)
        .connect_with_connector(connector)
        .await
        .map_err(|error| Failure::Connect {
            program,
            path: path.to_owned(),
            source: io_cause(&error),
        })
}

/// The kernel's error below the transport's.
fn io_cause(error: &(dyn Error + 'static)) -> io::Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io::Error::new(io.kind(), io.to_string());
        }
        cause = error.source();
    }
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> SocketDefaults {
        SocketDefaults {
            path: "/default.sock",
            template_variable: "TEMPLATE",
            template: Some("/run/%i.sock".into()),
            from_environment: None,
        }
    }

    fn instance(name: &str) -> SocketArgs {
        SocketArgs {
            instance: Some(name.into()),
            ..Default::default()
        }
    }

    #[test]
    fn the_default_is_last() {
        let arguments = SocketArgs::default();
        assert_eq!(
            arguments.resolve(&defaults()).unwrap(),
            Path::new("/default.sock")
        );
        let environment = SocketDefaults {
            from_environment: Some("/env.sock".into()),
            ..defaults()
        };
        assert_eq!(
            arguments.resolve(&environment).unwrap(),
            Path::new("/env.sock")
        );
    }

    #[test]
    fn an_instance_goes_into_the_template() {
        let path = instance("blue").resolve(&defaults()).unwrap();
        assert_eq!(path, Path::new("/run/blue.sock"));
    }

    #[test]
    fn an_instance_without_a_place_for_it_is_refused() {
        for template in [None, Some("/run/one.sock".to_owned())] {
            let defaults = SocketDefaults {
                template,
                ..defaults()
            };
            let error = instance("blue").resolve(&defaults).unwrap_err();
            assert!(error.to_string().contains("$TEMPLATE"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_missing_socket_is_told_from_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let missing = connect(&path, "p").await.unwrap_err().to_string();
        assert!(missing.contains("no such socket"), "{missing}");

        drop(tokio::net::UnixListener::bind(&path).unwrap());
        let dead = connect(&path, "p").await.unwrap_err().to_string();
        assert!(dead.contains("nobody listens"), "{dead}");
    }
}
