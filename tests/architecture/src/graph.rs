//! The workspace's packages and their direct dependencies, as `cargo metadata` tells them.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

/// A package of the workspace, named without the prefix `signet-`.
#[derive(Default)]
pub(crate) struct Package {
    /// What it links, and what its build script does.
    pub(crate) linked: Vec<Dependency>,
    /// What only its tests use.
    pub(crate) tested_with: Vec<Dependency>,
}

/// A direct dependency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Dependency {
    /// Of the workspace, without the prefix.
    Ours(String),
    /// Of somebody else.
    Foreign(String),
}

/// Reads the manifests. Needs neither the network nor the dependencies' sources.
pub(crate) fn packages() -> BTreeMap<String, Package> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| (short(text(&package["name"])).to_owned(), read(package)))
        .collect()
}

/// Our dependencies among these.
pub(crate) fn ours(dependencies: &[Dependency]) -> impl Iterator<Item = &str> {
    dependencies.iter().filter_map(|one| match one {
        Dependency::Ours(name) => Some(name.as_str()),
        Dependency::Foreign(_) => None,
    })
}

fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .arg("--manifest-path")
        .arg(root)
        .output()
        .expect("cargo starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {complaint}");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn read(package: &Value) -> Package {
    let own = text(&package["name"]);
    let mut read = Package::default();
    for one in package["dependencies"].as_array().expect("a list") {
        let name = text(&one["name"]);
        if name == own {
            continue;
        }
        let list = match one["kind"].as_str() {
            Some("dev") => &mut read.tested_with,
            _ => &mut read.linked,
        };
        list.push(dependency(name));
    }
    read
}

fn dependency(name: &str) -> Dependency {
    match name.strip_prefix("signet-") {
        Some(ours) => Dependency::Ours(ours.to_owned()),
        None => Dependency::Foreign(name.to_owned()),
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("signet-")
        .unwrap_or_else(|| panic!("the package {name} does not begin with signet-"))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
