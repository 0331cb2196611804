//! The main job of Signet on this machine, told step by step: a server and an agent as processes of
//! their own, an entry for whoever runs this, and then an ordinary SPIFFE client that fetches its
//! identities, verifies them and sees one rotate. Nothing stays behind.
//!
//! ```text
//!  this program ── command line ──▶ signet-server ◀── mutual TLS ── signet-agent ◀── this program
//!  (as operator)    admin socket                                     Workload API     (as workload)
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the story it prints is what it is for"
)]

mod house;
mod operator;
mod program;
mod show;
mod verify;
mod workload;

use std::{error::Error, io, process::ExitCode};

use house::House;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
Runs a Signet server and agent in a temporary folder and fetches identities from them.

  signet-quickstart          shows rotations until Ctrl-C
  signet-quickstart --once   ends after the first rotation
";

/// How long the story lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    FirstRotation,
    UntilInterrupted,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let length = match arguments[..] {
        [] => Length::UntilInterrupted,
        ["--once"] => Length::FirstRotation,
        ["--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(length) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThat did not work: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(length: Length) -> Result<(), Box<dyn Error>> {
    let mut house = House::build()?;
    let told = tokio::select! {
        told = tell(&mut house, length) => told,
        interrupted = interrupted() => interrupted.map_err(Into::into),
    };
    println!("\nStopping the agent and the server, and removing their folder.");
    house.tear_down().await?;
    told
}

async fn tell(house: &mut House, length: Length) -> Result<(), Box<dyn Error>> {
    operator::start_server(house).await?;
    operator::start_agent(house).await?;
    operator::create_entry(house).await?;
    workload::live(&house.workload_api(), length).await?;
    Ok(())
}

/// Ctrl-C, or what ends a program when its terminal or session goes.
async fn interrupted() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text.push_str(": ");
        text.push_str(&one.to_string());
        cause = one.source();
    }
    text
}
