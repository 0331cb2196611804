//! The shared files `~/.aws/credentials` and `~/.aws/config`: keys of a profile.
//!
//! Of a profile only its keys are read. `credential_process`, `sso_*` and `role_arn` are for people
//! at a terminal; a server is given a role by its machine.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use signet_crypto::SharedSecret;

use super::client::StaticKeys;
use super::credentials::read;
use super::{AwsError, Environment};

/// The keys of the profile that the environment names, or of `default`.
pub(crate) fn find(environment: &Environment) -> Result<Option<StaticKeys>, AwsError> {
    let profile = environment.get("AWS_PROFILE").unwrap_or("default");
    for (variable, name, prefix) in [
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", ""),
        ("AWS_CONFIG_FILE", "config", "profile "),
    ] {
        let Some(path) = path(environment, variable, name) else {
            continue;
        };
        let text = match read(&path) {
            Err(AwsError::File { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            text => text?,
        };
        let found = keys(&text, profile).or_else(|| keys(&text, &format!("{prefix}{profile}")));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn path(environment: &Environment, variable: &str, name: &str) -> Option<PathBuf> {
    let home = || {
        environment
            .get("HOME")
            .map(|home| Path::new(home).join(".aws").join(name))
    };
    environment.get(variable).map(PathBuf::from).or_else(home)
}

/// The keys in a section of an INI file.
fn keys(text: &str, section: &str) -> Option<StaticKeys> {
    let lines = text.lines().map(str::trim);
    let lines = lines
        .skip_while(|line| named(line) != Some(section))
        .skip(1)
        .take_while(|line| named(line).is_none());
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in lines {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        match key.trim() {
            "aws_access_key_id" => id = Some(value.trim().to_owned()),
            "aws_secret_access_key" => secret = Some(SharedSecret::new(value.trim().to_owned())),
            "aws_session_token" => token = Some(SharedSecret::new(value.trim().to_owned())),
            _ => {}
        }
    }
    Some(StaticKeys {
        access_key_id: id?,
        secret_access_key: secret?,
        session_token: token,
    })
}

fn named(line: &str) -> Option<&str> {
    let name = line.strip_prefix('[')?.split_once(']')?.0;
    Some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=S=1\n\n\
        [ profile other ]\naws_access_key_id = B\nregion = eu-west-1\n";

    #[test]
    fn keys_come_from_the_section_of_the_profile() {
        let found = keys(FILE, "default").unwrap();
        assert_eq!(found.access_key_id, "A");
        assert_eq!(found.secret_access_key.expose(), "S=1");
        assert!(found.session_token.is_none());
    }

    #[test]
    fn half_a_key_is_none() {
        assert_eq!(keys(FILE, "profile other"), None);
        assert_eq!(keys(FILE, "missing"), None);
    }
}
