//! The `signet-agent` program.

use signet_agent::cli::{self, AttestArgs, Program, RunArgs, RunOnceArgs};
use signet_agent::{assemble, config, once};
use signet_config::sections::{LogFormat, LogLevel, LogSettings};
use signet_config::{ConfigError, Warning};
use signet_runtime::signals::{Request, Signals};
use signet_runtime::{TaskFailed, Tasks};
use signet_telemetry::logs::{self, LogHandle};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// How long a stop waits for calls that are under way.
const DRAIN: Duration = Duration::from_secs(10);

/// What still runs apart after that is the look-up of a name, which can take long where no name server
/// answers, and is of no use any more.
const LOOK_UPS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    cli::main(std::env::args_os(), SignetAgent)
}

struct SignetAgent;

impl Program for SignetAgent {
    fn run(self, arguments: RunArgs) -> ExitCode {
        outcome(run(&arguments))
    }

    fn run_once(self, arguments: RunOnceArgs) -> ExitCode {
        match run_once(&arguments) {
            Ok(code) => ExitCode::from(code),
            Err(error) => outcome(Err::<(), _>(error)),
        }
    }

    fn attest(self, arguments: AttestArgs) -> ExitCode {
        outcome(attest(&arguments))
    }

    fn validate(self, arguments: RunArgs) -> ExitCode {
        outcome(load(&arguments).map(|(_, warnings)| {
            for warning in warnings {
                say(&format!("warning: {warning}"));
            }
            say("SPIRE agent configuration file is valid.");
        }))
    }
}

fn load(arguments: &RunArgs) -> Result<(config::AgentConfig, Vec<Warning>), ConfigError> {
    let variables = arguments.expand_env().then_some(&environment as _);
    config::load(
        &arguments.config,
        &arguments.flags(),
        variables,
        &environment,
    )
}

#[allow(clippy::disallowed_methods, reason = "main reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn run(arguments: &RunArgs) -> Result<(), Box<dyn Error>> {
    signet_runtime::process::harden();
    signet_runtime::process::raise_open_files();
    let (mut config, warnings) = load(arguments)?;
    let authorities = environment("SSL_CERT_FILE").filter(|path| !path.is_empty());
    config.web_authorities = authorities.map(PathBuf::from);
    config.environment = environment;
    let log = logs::set_up(&log_settings(&config.log))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(config, log));
    runtime.shutdown_timeout(LOOK_UPS);
    served
}

fn attest(arguments: &AttestArgs) -> Result<(), Box<dyn Error>> {
    signet_runtime::process::harden();
    let (mut config, warnings) = load(&arguments.run)?;
    config.environment = environment;
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let evidence = runtime.block_on(assemble::evidence(&config))?;
    say(&format!("Node attestor: {}", evidence.attestor));
    for finding in &evidence.findings {
        let mark = if finding.holds { "ok  " } else { "FAIL" };
        say(&format!("  {mark}  {}", finding.text));
    }
    match evidence.findings.iter().all(|finding| finding.holds) {
        true => say("The evidence passes the checks that can be made here. Nothing was sent."),
        false => return Err("the evidence would not be accepted".into()),
    }
    Ok(())
}

/// Not more open files than usual: the command inherits the limit.
fn run_once(arguments: &RunOnceArgs) -> Result<u8, Box<dyn Error>> {
    signet_runtime::process::harden();
    let run = &arguments.run;
    let (mut config, warnings) = match run.names_no_file() {
        true => config::from_flags(&run.flags())?,
        false => load(run)?,
    };
    let authorities = environment("SSL_CERT_FILE").filter(|path| !path.is_empty());
    config.web_authorities = authorities.map(PathBuf::from);
    config.environment = environment;
    // The command's output is its own.
    let file = config.log.file.take();
    config.log.file = Some(file.unwrap_or_else(|| "/dev/stderr".into()));
    let _log = logs::set_up(&log_settings(&config.log))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(once::run(config, arguments.once()))?)
}

async fn serve(config: config::AgentConfig, log: LogHandle) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::listen()?;
    let tasks = Tasks::new();
    let failed = match assemble::run(config, &tasks).await {
        Ok(_) => until_stopped(&tasks, &mut signals, &log).await,
        Err(error) => {
            tasks.shutdown(Duration::ZERO).await;
            return Err(error.into());
        }
    };
    tracing::info!("stopping");
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

async fn until_stopped(
    tasks: &Tasks,
    signals: &mut Signals,
    log: &LogHandle,
) -> Option<TaskFailed> {
    loop {
        tokio::select! {
            failed = tasks.failed() => return Some(failed),
            request = signals.next() => match request {
                Request::Stop => return None,
                Request::ReopenLog => reopen(log),
            },
        }
    }
}

fn reopen(log: &LogHandle) {
    if let Err(error) = log.reopen() {
        tracing::error!(%error, "the log file could not be reopened");
    }
}

async fn second_stop(signals: &mut Signals) {
    while signals.next().await != Request::Stop {}
}

fn log_settings(settings: &LogSettings) -> logs::Settings {
    logs::Settings {
        level: match settings.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        },
        format: match settings.format {
            LogFormat::Text => logs::Format::Text,
            LogFormat::Json => logs::Format::Json,
        },
        file: settings.file.clone(),
        source_location: settings.source_location,
    }
}

fn outcome<E: Into<Box<dyn Error>>>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("signet-agent: {}", explained(&*error.into())));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, on one line.
fn explained(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[allow(
    clippy::print_stderr,
    reason = "what an operator reads before there is a log"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
