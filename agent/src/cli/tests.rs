//! Commands from the argument line to the output, against a scripted agent.

mod jwt;
mod line;
mod x509;

use std::ffi::OsString;

use signet_cli::testing::Fake;
use signet_cli::{Answer, Failure};

use super::Line;
use super::api::{Api, Asked};

/// The line as the program would parse it.
fn parsed(line: &str) -> Result<Line, signet_cli::Stop> {
    let words = line.split_whitespace().map(OsString::from);
    signet_cli::parse(std::iter::once("signet-agent".into()).chain(words))
}

/// What the command on the line comes to.
async fn asked(fake: &Fake, line: &str) -> Result<Answer, Failure> {
    let line = parsed(line).unwrap_or_else(|stop| panic!("{}", stop.text));
    match line {
        Line::Api(Api::Fetch(fetch)) => match fetch.asked() {
            Asked::X509(call) => fake.ask(call.command).await,
            Asked::Jwt(call) => fake.ask(call.command).await,
        },
        Line::Api(Api::Validate(super::api::Validate::Jwt(call))) => fake.ask(call.command).await,
        Line::Healthcheck(call) => fake.ask(call.command).await,
        Line::Why(call) => fake.ask(call.command).await,
        Line::Api(Api::Watch(_)) => panic!("this has no end"),
        Line::Run(_) | Line::RunOnce(_) | Line::Attest(_) | Line::Validate(_) => {
            panic!("these ask nobody")
        }
    }
}
