//! `WorkloadAttestor`.

use signet_config::sections::Plugin;
use signet_config::{Key, Lookup, Section, Unknown};

use super::k8s::{self, K8sSettings};

const USE_UNIX: &str = "attest workloads with \"unix\" or \"k8s\"";

pub(super) const NAMES: [Key; 6] = [
    Key::implemented("unix"),
    Key::refused("docker", USE_UNIX),
    Key::implemented("k8s"),
    Key::refused("slurm", USE_UNIX),
    Key::refused("systemd", USE_UNIX),
    Key::refused("windows", USE_UNIX),
];

const UNIX_KEYS: [Key; 2] = [
    Key::implemented("discover_workload_path"),
    Key::implemented("workload_size_limit"),
];

/// One way in which the agent finds out what a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadAttestorSettings {
    /// User, group and program.
    Unix(UnixSettings),
    /// Pod and container.
    K8s(Box<K8sSettings>),
}

/// The `unix` attestor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnixSettings {
    /// `discover_workload_path`: selectors for the program file too.
    pub discover_workload_path: bool,
    /// `workload_size_limit`, of use only with the path.
    pub program_hash: ProgramHash,
}

/// Whether the program file is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgramHash {
    /// Whatever its size.
    #[default]
    Always,
    /// If it has at most so many bytes; a larger one fails the attestor.
    UpTo(u64),
    /// Never.
    Never,
}

/// Without a plugin: `unix` with its defaults.
pub(super) fn read<'p, 'a: 'p>(
    plugins: impl Iterator<Item = &'p Plugin<'a>>,
    environment: Lookup<'_>,
) -> Vec<WorkloadAttestorSettings> {
    let mut plugins = plugins.peekable();
    if plugins.peek().is_none() {
        return vec![WorkloadAttestorSettings::Unix(UnixSettings::default())];
    }
    plugins
        .filter_map(|plugin| match plugin.name {
            "k8s" => k8s::read(&plugin.data, environment)
                .map(|settings| WorkloadAttestorSettings::K8s(settings.into())),
            _ => Some(WorkloadAttestorSettings::Unix(unix(&plugin.data))),
        })
        .collect()
}

fn unix(data: &Section<'_>) -> UnixSettings {
    data.check(&[&UNIX_KEYS], Unknown::Warned);
    let limit = data
        .integer("workload_size_limit", i64::MIN..=i64::MAX)
        .unwrap_or(0);
    UnixSettings {
        discover_workload_path: data.bool("discover_workload_path").unwrap_or(false),
        program_hash: match limit {
            0 => ProgramHash::Always,
            1.. => ProgramHash::UpTo(limit.unsigned_abs()),
            _ => ProgramHash::Never,
        },
    }
}
