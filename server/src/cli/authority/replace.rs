//! `authority replace`.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use signet_cli::{Answer, ClientCommand, Failure, answer, text, value};
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::signet::admin::v1::replace_authority_progress::Step;
use signet_proto::signet::admin::v1::{
    Exposure, ReplaceAuthorityProgress as Progress, ReplaceAuthorityRequest,
};
use tonic::transport::Channel;

const ORDER: &str = "\
Makes a new authority and publishes it; waits until the connected agents have it; lets it sign and
taints the old one; waits until no connected agent serves anything of the old one; takes the old one
out of the bundle. No workload is without an identity at any time. Cut off at any point, the same
command with the same reason goes on from there. The authority that signed before the present one
goes too: its key lies beside the other.

X.509 authorities below an upstream authority cannot be replaced here, since what their keys sign is
trusted as long as the upstream's root is. Replace that; this server follows with a new key.

Begin with --drill, which only says what hangs on the authorities.";

#[derive(Args, Clone, Debug)]
#[command(after_help = ORDER)]
pub(in crate::cli) struct Replace {
    /// Why, for the audit record
    #[arg(long, value_name = "TEXT", required_unless_present = "drill", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Only say what would be touched, and do nothing
    #[arg(long)]
    drill: bool,
    /// Replace only these; all if left out. May be given several times
    #[arg(long, value_enum, value_name = "KIND")]
    only: Vec<Kind>,
    /// How long to wait for the connected agents before each step, as 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = value::duration)]
    patience: Duration,
    /// Go on without agents that have not confirmed by then: what they serve stops to verify
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    X509,
    Jwt,
    Wit,
}

impl ClientCommand for Replace {
    async fn run(self, channel: Channel) -> Result<Answer, Failure> {
        let request = ReplaceAuthorityRequest {
            kinds: self.only.iter().map(|kind| word(*kind)).collect(),
            reason: self.reason.unwrap_or_default(),
            drill: self.drill,
            force: self.force,
            patience: u32::try_from(self.patience.as_secs().max(1)).unwrap_or(u32::MAX),
        };
        let step = "replace the authorities";
        let begun = AdminClient::new(channel).replace_authority(request).await;
        let mut told = begun.map_err(Failure::call(step))?.into_inner();
        let mut all = Vec::new();
        while let Some(progress) = told.message().await.map_err(Failure::call(step))? {
            if !self.drill {
                answer::to_stderr(&line(&progress));
            }
            all.push(progress);
        }
        Ok(summary(&all, self.drill))
    }
}

fn word(kind: Kind) -> String {
    match kind {
        Kind::X509 => "x509",
        Kind::Jwt => "jwt",
        Kind::Wit => "wit",
    }
    .to_owned()
}

/// What is told while it goes on.
fn line(told: &Progress) -> String {
    let kind = &told.kind;
    let elapsed = Duration::from_millis(told.elapsed_milliseconds).as_secs_f64();
    let waiting = || {
        let count = usize::try_from(told.waiting_for).unwrap_or(usize::MAX);
        let agents = text::counted(count, "agent", "agents");
        let named = told.agents.first().map_or("", String::as_str);
        format!("{agents}, {named} among them")
    };
    let what = match told.step() {
        Step::Unspecified => return String::new(),
        Step::Exposed => return told.exposure.as_ref().map(exposed).unwrap_or_default(),
        Step::Condemned => format!("{kind}: authority {} is to go", told.authority_id),
        Step::Resumed => format!(
            "{kind}: authority {} was to go already; its replacement goes on",
            told.authority_id
        ),
        Step::Prepared => format!("{kind}: authority {} is published", told.successor_id),
        Step::Spreading => format!("{kind}: waiting until it has reached {}", waiting()),
        Step::Superseded => format!(
            "{kind}: authority {} signs, {} is tainted",
            told.successor_id, told.authority_id
        ),
        Step::Draining => format!(
            "{kind}: waiting until the old one is out of use at {}",
            waiting()
        ),
        Step::LeftBehind => format!("{kind}: went on without {}", waiting()),
        Step::Revoked => format!("{kind}: authority {} is revoked", told.authority_id),
    };
    format!("{elapsed:8.1} s  {what}\n")
}

fn exposed(found: &Exposure) -> String {
    let count = |count: u64, one, many| {
        text::counted(usize::try_from(count).unwrap_or(usize::MAX), one, many)
    };
    let away = found.agents.saturating_sub(found.connected_agents);
    format!(
        "On these authorities hang:\n  {}, {} of them not connected: those get the new authority when they are back\n  {} on their nodes\n  {}{}\n  {}{}\n",
        count(found.agents, "attested agent", "attested agents"),
        away,
        count(found.svids, "X509-SVID", "X509-SVIDs"),
        text::counted(
            found.downstream.len(),
            "downstream server",
            "downstream servers"
        ),
        list(&found.downstream),
        text::counted(
            found.federated.len(),
            "federated trust domain",
            "federated trust domains"
        ),
        list(&found.federated),
    )
}

fn list(names: &[String]) -> String {
    match names.is_empty() {
        true => String::new(),
        false => format!(": {}", names.join(" ")),
    }
}

fn summary(all: &[Progress], drill: bool) -> Answer {
    let exposure = all.iter().find_map(|told| told.exposure.as_ref());
    if drill {
        let text = exposure.map(exposed).unwrap_or_default();
        return Answer::new(text, json!({ "exposure": exposure.map(exposure_json) }));
    }
    let revoked = all.iter().filter(|told| told.step() == Step::Revoked);
    let revoked = revoked.map(|told| {
        let Progress {
            kind, authority_id, ..
        } = told;
        format!("Replaced the {kind} authority {authority_id}\n")
    });
    let left = all.iter().filter(|told| told.step() == Step::LeftBehind);
    let left = left.map(|told| {
        let named = told.agents.join(" ");
        format!(
            "Left behind for {}: {} agents: {named}\n",
            told.kind, told.waiting_for
        )
    });
    let lines: String = revoked.chain(left).collect();
    let steps: Vec<_> = all.iter().map(step_json).collect();
    let json = json!({ "exposure": exposure.map(exposure_json), "steps": steps });
    Answer::new(lines, json)
}

fn exposure_json(found: &Exposure) -> Value {
    json!({
        "agents": found.agents,
        "connected_agents": found.connected_agents,
        "svids": found.svids,
        "downstream": found.downstream,
        "federated": found.federated,
    })
}

fn step_json(told: &Progress) -> Value {
    json!({
        "step": told.step().as_str_name(),
        "kind": told.kind,
        "authority_id": told.authority_id,
        "successor_id": told.successor_id,
        "waiting_for": told.waiting_for,
        "agents": told.agents,
        "elapsed_milliseconds": told.elapsed_milliseconds,
    })
}
