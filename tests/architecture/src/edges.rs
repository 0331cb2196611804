//! The table of which of our crates may know which.
//!
//! Layers from the bottom up; a crate may know crates of lower layers, and of its own layer only those
//! that [`NEIGHBOURS`] names. Each edge stands in its row: the table says what is, not what could be,
//! so that a new edge is a decision that somebody reads. Crates of others are `deny.toml`'s matter.

/// One crate, without the prefix `signet-`.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) layer: Layer,
    /// What it links. Its tests may use any crate of a lower layer besides.
    pub(crate) knows: &'static [&'static str],
}

/// Where a crate stands; the order is the order of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// Words and tools.
    Words,
    /// Ports with their built-in adapters, and signing.
    Ports,
    /// The two programs.
    Programs,
    /// Scenarios and examples: they see everything, nothing sees them.
    Proofs,
}

/// Edges inside a layer: who, and whom it may know.
pub(crate) const NEIGHBOURS: &[(&str, &str)] = &[
    // Verifying an SVID takes a public key.
    ("spiffe", "crypto"),
    ("model", "spiffe"),
    ("telemetry", "runtime"),
    // The audit log is a chain of hashes.
    ("telemetry", "crypto"),
    // Certificates and keys in PEM.
    ("http", "crypto"),
    // Web APIs of the clouds and of Kubernetes clusters, and the keys of token issuers.
    ("cloud", "crypto"),
    ("cloud", "http"),
    ("cloud", "runtime"),
    ("cluster", "crypto"),
    ("cluster", "http"),
    ("cluster", "runtime"),
    ("oidc", "crypto"),
    ("oidc", "http"),
    ("oidc", "runtime"),
    // The one-shot calls of both command lines.
    ("cli", "proto"),
    ("ca", "keys"),
    // An adapter of the key port; the module of a token is loaded at run time only.
    ("keys-pkcs11", "keys"),
    // An upstream in files signs with a key of this process, one over the network is reached by TLS.
    ("upstream", "ca"),
    ("upstream", "keys"),
    ("upstream", "tls"),
    // Adapters of these ports over a network, too heavy for the crates of the ports.
    ("vault", "keys"),
    ("vault", "upstream"),
];

/// Every package of the workspace.
pub(crate) const ROWS: &[Row] = &[
    row("crypto", Layer::Words, &[]),
    row("spiffe", Layer::Words, &["crypto"]),
    row("model", Layer::Words, &["spiffe"]),
    row("runtime", Layer::Words, &[]),
    row("telemetry", Layer::Words, &["crypto", "runtime"]),
    row("config", Layer::Words, &[]),
    row("http", Layer::Words, &["crypto"]),
    row("cloud", Layer::Words, &["crypto", "http", "runtime"]),
    row("cluster", Layer::Words, &["crypto", "http", "runtime"]),
    row("oidc", Layer::Words, &["crypto", "http", "runtime"]),
    row("proto", Layer::Words, &[]),
    row("connections", Layer::Words, &[]),
    row("cli", Layer::Words, &["proto"]),
    row("keys", Layer::Ports, &["crypto"]),
    row("keys-pkcs11", Layer::Ports, &["crypto", "keys"]),
    row("ca", Layer::Ports, &["crypto", "keys", "model", "spiffe"]),
    row(
        "tls",
        Layer::Ports,
        &["connections", "crypto", "runtime", "spiffe"],
    ),
    row(
        "datastore",
        Layer::Ports,
        &["crypto", "model", "proto", "spiffe"],
    ),
    row(
        "node-attestor",
        Layer::Ports,
        &[
            "cloud", "cluster", "crypto", "http", "model", "oidc", "runtime", "spiffe",
        ],
    ),
    row(
        "upstream",
        Layer::Ports,
        &[
            "ca", "crypto", "keys", "model", "proto", "runtime", "spiffe", "tls",
        ],
    ),
    row(
        "kubernetes",
        Layer::Ports,
        &["config", "crypto", "model", "spiffe"],
    ),
    row(
        "vault",
        Layer::Ports,
        &["crypto", "http", "keys", "runtime", "spiffe", "upstream"],
    ),
    // The storage driver that carries the workload socket into pods.
    row("csi", Layer::Ports, &["connections", "proto", "runtime"]),
    row(
        "workload-attestor",
        Layer::Ports,
        &["cluster", "crypto", "http", "model", "runtime"],
    ),
    row(
        "server",
        Layer::Programs,
        &[
            "ca",
            "cli",
            "cloud",
            "cluster",
            "config",
            "connections",
            "crypto",
            "datastore",
            "http",
            "keys",
            "keys-pkcs11",
            "kubernetes",
            "model",
            "node-attestor",
            "oidc",
            "proto",
            "runtime",
            "spiffe",
            "telemetry",
            "tls",
            "upstream",
            "vault",
        ],
    ),
    row(
        "agent",
        Layer::Programs,
        &[
            "cli",
            "cloud",
            "cluster",
            "config",
            "connections",
            "crypto",
            "csi",
            "http",
            "keys",
            "model",
            "node-attestor",
            "proto",
            "runtime",
            "spiffe",
            "telemetry",
            "tls",
            "workload-attestor",
        ],
    ),
    // A workload and an operator: it meets the programs as processes only.
    row("quickstart", Layer::Proofs, &[]),
    row("architecture", Layer::Proofs, &[]),
    row("simulation", Layer::Proofs, &[]),
    row("tests", Layer::Proofs, &["proto"]),
];

/// Crates of others that the pure crates must do without: they take what they need as arguments.
pub(crate) const PURE: &[(&str, &[&str])] = &[
    ("spiffe", OUTSIDE_WORLD),
    ("model", OUTSIDE_WORLD),
    ("config", OUTSIDE_WORLD),
    ("kubernetes", OUTSIDE_WORLD),
];

const OUTSIDE_WORLD: &[&str] = &[
    "futures", "hyper", "libc", "nix", "prost", "rand", "ring", "rustix", "socket2", "tokio",
    "tonic", "tracing",
];

const fn row(name: &'static str, layer: Layer, knows: &'static [&'static str]) -> Row {
    Row { name, layer, knows }
}
