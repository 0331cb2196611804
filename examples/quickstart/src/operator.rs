//! What an operator does: start the server, admit an agent, register a workload.

use std::{error::Error, fs, os::unix::fs::PermissionsExt};

use rustix::process::getuid;

use crate::{
    house::{House, TRUST_DOMAIN},
    show,
};

const SERVER: &str = "signet-server";
const AGENT: &str = "signet-agent";

/// Short, so that a rotation is seen soon; without it an X.509-SVID lives for an hour.
const X509_SVID_TTL_SECONDS: &str = "40";

/// The step's outcome; the causes are of several kinds, and each is only shown.
type Step = Result<(), Box<dyn Error>>;

/// Step 1: a server of its own trust domain.
pub(crate) async fn start_server(house: &mut House) -> Step {
    show::step(&format!(
        "Start a server for the trust domain {TRUST_DOMAIN}"
    ));
    println!("   Everything lies in {}.", house.folder());
    let config = house.write("server.conf", &server_config(house))?;
    house.start(SERVER, &["run", "--config", &config])?;
    let socket = house.admin_socket();
    house.newest().ready(&socket).await?;
    println!(
        "   It made an authority and listens on 127.0.0.1:{}.",
        house.port
    );
    Ok(())
}

/// Step 2: an agent, admitted by a join token.
pub(crate) async fn start_agent(house: &mut House) -> Step {
    show::step("Start an agent; a join token admits it to the server");
    let bundle = ask(house, &["bundle", "show"]).await?;
    house.write("bundle.pem", &bundle)?;
    let node = node_id();
    let answer = ask(house, &["token", "generate", "--spiffe-id", &node]).await?;
    let token = answer.trim_start_matches("Token:").trim();
    let token_file = house.write("join-token", token)?;
    fs::set_permissions(&token_file, fs::Permissions::from_mode(0o600))?;
    let config = house.write("agent.conf", &agent_config(house))?;
    let args = ["run", "--config", &config, "--join-token-file", &token_file];
    house.start(AGENT, &args)?;
    let socket = house.workload_api();
    house.newest().ready(&socket).await?;
    println!("   It attested, has an identity of its own, and serves the Workload API.");
    Ok(())
}

/// Step 3: an entry for the processes of whoever runs this.
pub(crate) async fn create_entry(house: &House) -> Step {
    show::step("Register a workload: any process of your user on that node");
    let node = node_id();
    let workload = format!("spiffe://{TRUST_DOMAIN}/quickstart");
    let selector = format!("unix:uid:{}", getuid().as_raw());
    let create = [
        "entry",
        "create",
        "--parent-id",
        &node,
        "--spiffe-id",
        &workload,
        "--selector",
        &selector,
        "--x509-svid-ttl",
        X509_SVID_TTL_SECONDS,
    ];
    ask(house, &create).await?;
    Ok(())
}

/// Runs a command of the server's command line, and shows it.
async fn ask(house: &House, args: &[&str]) -> Result<String, Box<dyn Error>> {
    println!("   $ {SERVER} {}", args.join(" "));
    let socket = house.admin_socket();
    let args = [args, &["--socket-path", &socket]].concat();
    Ok(house.command(SERVER, &args).await?)
}

fn node_id() -> String {
    format!("spiffe://{TRUST_DOMAIN}/node")
}

fn server_config(house: &House) -> String {
    format!(
        r#"server {{
    trust_domain = "{TRUST_DOMAIN}"
    data_dir = "{folder}/server"
    socket_path = "{socket}"
    bind_address = "127.0.0.1"
    bind_port = {port}
}}

plugins {{
    NodeAttestor "join_token" {{}}
}}
"#,
        folder = house.folder(),
        socket = house.admin_socket(),
        port = house.port,
    )
}

fn agent_config(house: &House) -> String {
    format!(
        r#"agent {{
    trust_domain = "{TRUST_DOMAIN}"
    data_dir = "{folder}/agent"
    socket_path = "{socket}"
    server_address = "127.0.0.1"
    server_port = {port}
    trust_bundle_path = "{folder}/bundle.pem"
}}

plugins {{
    NodeAttestor "join_token" {{}}
    WorkloadAttestor "unix" {{}}
}}
"#,
        folder = house.folder(),
        socket = house.workload_api(),
        port = house.port,
    )
}
