//! A command that asks a running program: its own flags, the socket, the form of the output.

use std::future::Future;
use std::process::ExitCode;

use clap::Args;
use tokio::runtime::Builder;
use tonic::transport::Channel;

use crate::socket::{SocketArgs, SocketDefaults, connect};
use crate::{Answer, Failure, OutputFormat, answer};

/// A command with flags of its own that is done over one gRPC channel.
pub trait ClientCommand: Args {
    /// Does it. Nothing is printed here, so that a test sees all.
    fn run(self, channel: Channel) -> impl Future<Output = Result<Answer, Failure>>;
}

/// A command together with the flags that all of them have.
#[derive(Args, Clone, Debug)]
pub struct Call<C: Args> {
    /// The command's own flags.
    #[command(flatten)]
    pub command: C,
    /// Whom to ask.
    #[command(flatten)]
    pub socket: SocketArgs,
    /// The form of the output
    #[arg(long, value_enum, default_value_t, ignore_case = true)]
    pub output: OutputFormat,
}

/// The program at the other end of the socket.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name, for messages.
    pub program: &'static str,
    /// Where it listens unless flags say otherwise.
    pub socket: SocketDefaults,
}

impl<C: ClientCommand> Call<C> {
    /// Connects, does the command and prints what it came to.
    pub fn execute(self, target: &Target) -> ExitCode {
        let output = self.output;
        let runtime = Builder::new_current_thread().enable_all().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(self.ask(target)),
            Err(error) => Err(Failure::Usage(format!("could not start: {error}"))),
        };
        answer::conclude(result, output)
    }

    async fn ask(self, target: &Target) -> Result<Answer, Failure> {
        let path = self.socket.resolve(&target.socket)?;
        let channel = connect(&path, target.program).await?;
        self.command.run(channel).await
    }
}
