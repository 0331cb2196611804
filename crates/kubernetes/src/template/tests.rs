//! Templates judged by Go: `go.json` has what Go's own engine said over Kubernetes' own types (made by
//! `tests/interop/templates`). And what bounds a template.

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Data, MAX_OUTPUT, MAX_TEMPLATE, Template};

#[derive(Deserialize)]
struct Cases {
    pod: Json,
    node: Json,
    templates: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    text: Option<String>,
}

/// What Go does and we refuse by name.
const REFUSED: [&str; 8] = [
    // A structure would be printed.
    "{{ .PodMeta.OwnerReferences }}",
    // A slip that Go lets pass.
    "{{ .PodMeta.Name | }}",
    // Not here.
    "{{ define \"x\" }}a{{ end }}",
    "{{ js \"a\" }}",
    "{{ .PodMeta.GetName }}",
    // Go writes the mistake into the text.
    "{{ printf \"%d\" \"x\" }}",
    "{{ printf \"%s\" \"a\" \"b\" }}",
    "{{ printf \"%s\" }}",
];

fn cases() -> Cases {
    serde_json::from_str(include_str!("tests/go.json")).unwrap()
}

fn rendered(text: &str, cases: &Cases) -> Result<String, String> {
    let data = Data {
        trust_domain: "example.org",
        cluster_name: "demo",
        cluster_domain: "cluster.local",
        pod_meta: Some(&cases.pod["metadata"]),
        pod_spec: Some(&cases.pod["spec"]),
        node_meta: &cases.node["metadata"],
        node_spec: &cases.node["spec"],
    };
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    template.render(&data).map_err(|error| error.to_string())
}

#[test]
fn templates_say_what_they_say_in_go() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases.templates {
        let found = rendered(&case.template, &cases);
        let right = match &case.text {
            Some(_) if REFUSED.contains(&&*case.template) => found.is_err(),
            Some(text) => found.as_ref() == Ok(text),
            None => found.is_err(),
        };
        if !right {
            wrong.push(format!(
                "{}\n  Go: {:?}\n  us: {found:?}",
                case.template, case.text
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_is_not_known_is_refused_with_what_may_be_there_instead() {
    let cases = cases();
    for (template, expected) in [
        ("{{ .Foo }}", "there are .TrustDomain"),
        ("{{ .PodMeta.Nme }}", "ObjectMeta has no field Nme"),
        ("{{ .PodMeta.GetName }}", "write the field without \"Get\""),
        ("{{ lower .PodMeta.Name }}", "there are and, or, not"),
        ("{{ block \"x\" . }}", "block is not done here"),
        ("{{ .PodMeta.Name", "\"}}\" is missing"),
        ("{{ if true }}", "if is not closed: {{end}} is missing"),
        ("{{ $x }}", "undefined variable $x"),
        (
            "{{ .PodSpec.SecurityContext.RunAsUser }}",
            "ask with {{with}} first",
        ),
        ("{{ .PodMeta }}", "a structure is not printed"),
    ] {
        let refused = rendered(template, &cases).unwrap_err();
        assert!(refused.contains(expected), "{template}: {refused}");
    }
}

#[test]
fn a_template_about_nodes_has_no_pod() {
    let cases = cases();
    let data = Data {
        trust_domain: "example.org",
        cluster_name: "demo",
        cluster_domain: "",
        pod_meta: None,
        pod_spec: None,
        node_meta: &cases.node["metadata"],
        node_spec: &cases.node["spec"],
    };
    let render = |text: &str| Template::parse(text).unwrap().render(&data);
    assert_eq!(render("{{ .NodeMeta.Labels.zone }}").unwrap(), "z1");
    assert!(render("{{ .PodMeta.Name }}").is_err());
}

#[test]
fn templates_are_bounded_in_length_depth_steps_and_output() {
    let cases = cases();
    let refused = |text: &str| rendered(text, &cases).unwrap_err();
    assert!(refused(&" ".repeat(MAX_TEMPLATE + 1)).contains("the limit is"));
    let deep =
        |open: &str, close: &str| format!("{{{{ {} 1 {} }}}}", open.repeat(40), close.repeat(40));
    assert!(refused(&deep("(", ")")).contains("deep"));
    assert!(refused(&"{{ if true }}".repeat(40)).contains("deep"));
    assert!(refused("{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}").contains("steps"));
    assert!(refused("{{ range 99999999999 }}{{ end }}").contains("steps"));
    assert!(
        refused("{{ range 1000 }}01234567890123456789{{ end }}").contains(&MAX_OUTPUT.to_string())
    );
    let doubled = "{{ $x := \"0123456789\" }}{{ range 30 }}{{ $x = print $x $x }}{{ end }}";
    assert!(refused(doubled).contains(&MAX_OUTPUT.to_string()));
    assert!(refused("{{ printf \"%99999999d\" 1 }}").contains("widest"));
}
