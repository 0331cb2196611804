//! Commands from the argument line to the output, against a scripted server.

mod agent;
mod authority;
mod bundle;
mod entry;
mod line;
mod mint;
mod token;
mod wait;

use std::ffi::OsString;

use signet_cli::testing::Fake;
use signet_cli::{Answer, Failure};

use super::Line;
use super::agent::Agent;
use super::authority::Authority;
use super::bundle::Bundle;
use super::entry::Entry;
use super::localauthority::{Act, LocalAuthority, kind};
use super::mint::{Jwt, Wit, X509};
use super::token::Token;
use super::upstreamauthority::UpstreamAuthority;

/// The line as the program would parse it.
fn parsed(line: &str) -> Result<Line, signet_cli::Stop> {
    let words = line.split_whitespace().map(OsString::from);
    signet_cli::parse(std::iter::once("signet-server".into()).chain(words))
}

/// What the command on the line comes to.
async fn asked(fake: &Fake, line: &str) -> Result<Answer, Failure> {
    let line = parsed(line).unwrap_or_else(|stop| panic!("{}", stop.text));
    match line {
        Line::Token(Token::Generate(call)) => fake.ask(call.command).await,
        Line::Entry(entry) => match *entry {
            Entry::Create(call) => fake.ask(call.command).await,
            Entry::Update(call) => fake.ask(call.command).await,
            Entry::Patch(call) => fake.ask(call.command).await,
            Entry::Show(call) => fake.ask(call.command).await,
            Entry::Count(call) => fake.ask(call.command).await,
            Entry::Delete(call) => fake.ask(call.command).await,
        },
        Line::Agent(Agent::List(call)) => fake.ask(call.command).await,
        Line::Agent(Agent::Show(call)) => fake.ask(call.command).await,
        Line::Agent(Agent::Explain(call)) => fake.ask(call.command).await,
        Line::Agent(Agent::Count(call)) => fake.ask(call.command).await,
        Line::Agent(Agent::Evict(call)) => fake.ask(call.command).await,
        Line::Agent(Agent::Ban(call)) => fake.ask(call.command).await,
        Line::Agent(Agent::Purge(call)) => fake.ask(call.command).await,
        Line::Bundle(Bundle::Show(call)) => fake.ask(call.command).await,
        Line::Bundle(Bundle::Count(call)) => fake.ask(call.command).await,
        Line::Bundle(Bundle::List(call)) => fake.ask(call.command).await,
        Line::Bundle(Bundle::Set(call)) => fake.ask(call.command).await,
        Line::Bundle(Bundle::Delete(call)) => fake.ask(call.command).await,
        Line::X509(X509::Mint(call)) => fake.ask(call.command).await,
        Line::Jwt(Jwt::Mint(call)) => fake.ask(call.command).await,
        Line::Wit(Wit::Mint(call)) => fake.ask(call.command).await,
        Line::Healthcheck(call) => fake.ask(call.command).await,
        Line::Why(call) => fake.ask(call.command).await,
        Line::LocalAuthority(LocalAuthority::X509(act)) => asked_about(fake, act).await,
        Line::LocalAuthority(LocalAuthority::Jwt(act)) => asked_about(fake, act).await,
        Line::LocalAuthority(LocalAuthority::Wit(act)) => asked_about(fake, act).await,
        Line::Authority(Authority::Replace(call)) => fake.ask(call.command).await,
        Line::UpstreamAuthority(UpstreamAuthority::Taint(call)) => fake.ask(call.command).await,
        Line::UpstreamAuthority(UpstreamAuthority::Revoke(call)) => fake.ask(call.command).await,
        Line::Run(_) | Line::Validate(_) => panic!("these ask nobody"),
    }
}

async fn asked_about<K: kind::Kind>(fake: &Fake, act: Act<K>) -> Result<Answer, Failure> {
    match act {
        Act::Show(call) => fake.ask(call.command).await,
        Act::Prepare(call) => fake.ask(call.command).await,
        Act::Activate(call) => fake.ask(call.command).await,
        Act::Taint(call) => fake.ask(call.command).await,
        Act::Revoke(call) => fake.ask(call.command).await,
    }
}
