//! The house's plan, checked: which crate knows which, how files begin, and that the bugs of others have
//! their tests.
//!
//! It links nothing of ours, so that it answers within seconds:
//! `cargo test -p signet-architecture`.
#![cfg(test)]

mod bugs;
mod edges;
mod graph;
mod sources;

use edges::{Layer, NEIGHBOURS, PURE, ROWS, Row};
use graph::{Dependency, Package, ours, packages};

const TABLE: &str = "tests/architecture/src/edges.rs";

#[test]
fn each_package_has_a_row_and_each_row_a_package() {
    let packages = packages();
    for name in packages.keys() {
        assert!(
            ROWS.iter().any(|row| row.name == name),
            "the package signet-{name} has no row in {TABLE}: add one with its layer and what it knows"
        );
    }
    for row in ROWS {
        assert!(
            packages.contains_key(row.name),
            "{TABLE} has a row for signet-{}, which is gone: remove it",
            row.name
        );
    }
}

#[test]
fn a_package_links_only_what_its_row_names() {
    each(|row, package| {
        for other in ours(&package.linked) {
            assert!(
                row.knows.contains(&other),
                "signet-{} now depends on signet-{other}, which its row does not name. \
                 If that is right, add \"{other}\" to the row of \"{}\" in {TABLE} \
                 and say why in the commit.",
                row.name,
                row.name
            );
        }
    });
}

#[test]
fn a_row_names_nothing_that_its_package_does_without() {
    each(|row, package| {
        for other in row.knows {
            assert!(
                ours(&package.linked).any(|linked| linked == *other),
                "signet-{} no longer depends on signet-{other}: remove it from the row in {TABLE}",
                row.name
            );
        }
    });
}

#[test]
fn rows_point_downwards_or_to_a_named_neighbour() {
    for row in ROWS {
        for other in row.knows {
            assert!(
                is_below(row.layer, other) || NEIGHBOURS.contains(&(row.name, other)),
                "signet-{} and signet-{other} are of one layer, or it lies above: \
                 turn the edge round, or name the pair in NEIGHBOURS of {TABLE}",
                row.name
            );
        }
    }
}

#[test]
fn tests_reach_no_higher_than_what_they_test() {
    each(|row, package| {
        for other in ours(&package.tested_with) {
            assert!(
                row.knows.contains(&other) || is_below(row.layer, other),
                "the tests of signet-{} use signet-{other}, which is not below it: \
                 move the test up to tests/",
                row.name
            );
        }
    });
}

#[test]
fn server_and_agent_do_not_know_each_other() {
    let packages = packages();
    for (one, other) in [("server", "agent"), ("agent", "server")] {
        let package = &packages[one];
        let all = package.linked.iter().chain(&package.tested_with);
        let other = Dependency::Ours(other.to_owned());
        assert!(
            all.into_iter().all(|known| *known != other),
            "{one} must not know {other:?}: what they share lies in crates/, what joins them in tests/"
        );
    }
}

#[test]
fn pure_crates_do_without_the_outside_world() {
    let packages = packages();
    for (name, outside) in PURE {
        for known in &packages[*name].linked {
            let Dependency::Foreign(foreign) = known else {
                continue;
            };
            assert!(
                !outside.contains(&foreign.as_str()),
                "signet-{name} is pure and takes what it needs as an argument, \
                 but now depends on {foreign}"
            );
        }
    }
}

#[test]
fn each_file_opens_by_saying_its_job() {
    let silent: Vec<_> = sources::files()
        .into_iter()
        .filter(|file| !sources::opens_with_its_job(file))
        .collect();
    assert!(
        silent.is_empty(),
        "these files do not begin with a line //! that says what they are for: {silent:#?}"
    );
}

#[test]
fn no_module_is_named_for_what_has_no_name() {
    let vague: Vec<_> = sources::files()
        .into_iter()
        .filter(|file| sources::has_a_vague_name(file))
        .collect();
    assert!(
        vague.is_empty(),
        "name these for what they hold, in SPIFFE's words: {vague:#?}"
    );
}

#[test]
fn the_use_cases_of_the_server_know_no_rpc() {
    for name in sources::USE_CASES {
        let files = sources::of_use_case(name);
        assert!(
            !files.is_empty(),
            "there is no use case {name}: correct the list"
        );
        for file in files {
            let named = sources::names(&file, &["tonic", "tonic_prost", "Status", "Code"]);
            assert!(
                named.is_empty(),
                "{} names {named:?}: what the caller sees is for server/src/api",
                file.display()
            );
        }
    }
}

#[test]
fn only_the_assembly_names_concrete_plugins() {
    let mut alive = Vec::new();
    for file in sources::of_programs() {
        let named = sources::names(&file, sources::PLUGINS);
        if sources::is_assembly(&file) {
            alive.extend(named);
            continue;
        }
        assert!(
            named.is_empty(),
            "{} names {named:?}: take the port, and let the assembly choose",
            file.display()
        );
    }
    let gone: Vec<_> = sources::PLUGINS
        .iter()
        .filter(|plugin| !alive.contains(plugin))
        .collect();
    assert!(
        gone.is_empty(),
        "no program uses {gone:?}: correct the list"
    );
}

fn each(check: impl Fn(&Row, &Package)) {
    let packages = packages();
    for row in ROWS {
        if let Some(package) = packages.get(row.name) {
            check(row, package);
        }
    }
}

fn is_below(layer: Layer, other: &str) -> bool {
    ROWS.iter()
        .any(|row| row.name == other && row.layer < layer)
}

#[test]
fn each_bug_that_spire_had_has_its_test() {
    for (bug, tests) in bugs::BUGS {
        assert!(!tests.is_empty(), "nothing keeps out {bug}");
        for (file, name) in *tests {
            assert!(
                sources::has_test(file.as_ref(), name),
                "{file} has no test {name} any more, which keeps out \"{bug}\" of SPIRE: if it \
                 moved or has another name, say so in tests/architecture/src/bugs.rs"
            );
        }
    }
}
