//! The `signet-server` program.

use signet_runtime::signals::{Request, Signals};
use signet_runtime::{TaskFailed, Tasks};
use signet_server::api::types::chain;
use signet_server::cli::{self, Program, RunArgs};
use signet_server::{assemble, config};
use signet_telemetry::logs;
use std::process::ExitCode;
use std::time::Duration;

/// How long a stop waits for calls that are under way, as SPIRE.
const DRAIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    cli::main(std::env::args_os(), SignetServer)
}

struct SignetServer;

impl Program for SignetServer {
    fn run(self, arguments: RunArgs) -> ExitCode {
        outcome(run(&arguments))
    }

    fn validate(self, arguments: RunArgs) -> ExitCode {
        outcome(load(&arguments).map(|(_, warnings)| {
            for warning in warnings {
                say(&format!("warning: {warning}"));
            }
            say("SPIRE server configuration file is valid.");
        }))
    }
}

fn load(
    arguments: &RunArgs,
) -> Result<(config::ServerConfig, Vec<signet_config::Warning>), signet_config::ConfigError> {
    #[allow(clippy::disallowed_methods, reason = "main reads the environment")]
    let lookup = |name: &str| std::env::var(name).ok();
    let expand = arguments
        .expand_env()
        .then_some(&lookup as signet_config::Lookup<'_>);
    config::load(&arguments.config, &arguments.flags(), expand, &lookup)
}

fn run(arguments: &RunArgs) -> Result<(), Box<dyn std::error::Error>> {
    signet_runtime::process::harden();
    signet_runtime::process::raise_open_files();
    let (config, warnings) = load(arguments)?;
    let log = logs::set_up(&log_settings(&config.log))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(config, log));
    // A call into the module of a token may hang for ever: it must not keep the program.
    runtime.shutdown_timeout(DRAIN);
    served
}

async fn serve(
    config: config::ServerConfig,
    log: logs::LogHandle,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut signals = Signals::listen()?;
    let tasks = Tasks::new();
    let _data_dir = assemble::run(config, tasks.clone()).await?;
    let failed: Option<TaskFailed> = loop {
        tokio::select! {
            failed = tasks.failed() => break Some(failed),
            request = signals.next() => match request {
                Request::Stop => break None,
                Request::ReopenLog => if let Err(error) = log.reopen() {
                    tracing::error!(%error, "the log file could not be reopened");
                },
            },
        }
    };
    tracing::info!("stopping; calls under way may take 10 s");
    let drained = async {
        if !tasks.shutdown(DRAIN).await {
            tracing::warn!("some calls were still under way");
        }
    };
    tokio::select! {
        () = drained => {}
        () = second_stop(&mut signals) => tracing::warn!("stopping at once"),
    }
    failed.map_or(Ok(()), |failed| Err(failed.into()))
}

async fn second_stop(signals: &mut Signals) {
    while signals.next().await != Request::Stop {}
}

fn log_settings(settings: &signet_config::sections::LogSettings) -> logs::Settings {
    use signet_config::sections::{LogFormat, LogLevel};
    use tracing_subscriber::filter::LevelFilter;
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let format = match settings.format {
        LogFormat::Text => logs::Format::Text,
        LogFormat::Json => logs::Format::Json,
    };
    let file = settings.file.clone();
    logs::Settings {
        level,
        format,
        file,
        source_location: settings.source_location,
    }
}

fn outcome<E: Into<Box<dyn std::error::Error>>>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("signet-server: {}", chain(&*error.into())));
            ExitCode::FAILURE
        }
    }
}

#[allow(
    clippy::print_stderr,
    reason = "what an operator reads before there is a log"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
