//! `entry …`.

use serde_json::json;
use signet_cli::testing::Fake;
use signet_proto::signet::admin::v1::{
    EntryExtras, GetEntryExtrasRequest, GetLifetimesRequest, Lifetimes, SetEntryExtrasRequest,
};
use signet_proto::spire::server::entry::v1::{
    BatchCreateEntryRequest, BatchCreateEntryResponse, BatchDeleteEntryRequest,
    BatchDeleteEntryResponse, BatchUpdateEntryRequest, BatchUpdateEntryResponse,
    CountEntriesRequest, CountEntriesResponse, GetEntryRequest, ListEntriesRequest,
    ListEntriesResponse, batch_create_entry_response, batch_delete_entry_response,
    batch_update_entry_response,
};
use signet_proto::spire::types::entry::AdditionalAttributes;
use signet_proto::spire::types::{Entry, EntryMask, Selector, Status};

use super::asked;

const CREATE: &str = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
const UPDATE: &str = "/spire.api.server.entry.v1.Entry/BatchUpdateEntry";
const DELETE: &str = "/spire.api.server.entry.v1.Entry/BatchDeleteEntry";
const GET: &str = "/spire.api.server.entry.v1.Entry/GetEntry";
const LIST: &str = "/spire.api.server.entry.v1.Entry/ListEntries";
const COUNT: &str = "/spire.api.server.entry.v1.Entry/CountEntries";
const GET_EXTRAS: &str = "/signet.admin.v1.Admin/GetEntryExtras";
const LIFETIMES: &str = "/signet.admin.v1.Admin/GetLifetimes";
const SET_EXTRAS: &str = "/signet.admin.v1.Admin/SetEntryExtras";

const WEB: &str = "-spiffeID spiffe://td/web -parentID spiffe://td/node -selector unix:uid:0";

fn web() -> Entry {
    let id = |text| signet_cli::value::spiffe_id(text).ok();
    Entry {
        spiffe_id: id("spiffe://td/web"),
        parent_id: id("spiffe://td/node"),
        selectors: vec![Selector {
            r#type: "unix".into(),
            value: "uid:0".into(),
        }],
        ..Entry::default()
    }
}

fn ok() -> Option<Status> {
    Some(Status {
        code: 0,
        message: "OK".into(),
    })
}

fn refused(code: i32, message: &str) -> Option<Status> {
    Some(Status {
        code,
        message: message.into(),
    })
}

/// Stores what it is asked to under the id `1`.
fn creating(expected: Vec<Entry>) -> Fake {
    Fake::new().on(CREATE, move |request: BatchCreateEntryRequest| {
        assert_eq!(request.entries, expected);
        let results = request.entries.into_iter().map(|entry| {
            let entry = Some(Entry {
                id: "1".into(),
                ..entry
            });
            batch_create_entry_response::Result {
                status: ok(),
                entry,
            }
        });
        Ok(BatchCreateEntryResponse {
            results: results.collect(),
        })
    })
}

#[tokio::test]
async fn a_created_entry_is_printed() {
    let line = format!("entry create {WEB}");
    let answer = asked(&creating(vec![web()]), &line).await.unwrap();
    assert_eq!(
        answer.text,
        "Entry ID         : 1\n\
         SPIFFE ID        : spiffe://td/web\n\
         Parent ID        : spiffe://td/node\n\
         Revision         : 0\n\
         X509-SVID TTL    : default\n\
         JWT-SVID TTL     : default\n\
         Selector         : unix:uid:0\n\n"
    );
    assert!(!answer.failed);
    let json = answer.json.unwrap();
    assert_eq!(
        json["results"][0]["status"],
        json!({"code": 0, "message": "OK"})
    );
    assert_eq!(json["results"][0]["entry"]["revision_number"], "0");
}

#[tokio::test]
async fn every_flag_of_create_reaches_the_server() {
    let expected = Entry {
        id: "my".into(),
        x509_svid_ttl: 60,
        jwt_svid_ttl: 30,
        federates_with: vec!["other".into()],
        admin: true,
        downstream: true,
        store_svid: true,
        expires_at: 1_769_860_800,
        dns_names: vec!["b".into(), "a".into()],
        hint: "h".into(),
        additional_attributes: Some(AdditionalAttributes {
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: true,
        }),
        ..web()
    };
    let line = format!(
        "entry create {WEB} -entryID my -x509SVIDTTL 60 -jwtSVIDTTL 30 -federatesWith \
         spiffe://other -admin -downstream -storeSVID=true -entryExpiry 1769860800 -dns b -dns a \
         -hint h -jwtSVIDIncludeJTI"
    );
    let answer = asked(&creating(vec![expected]), &line).await.unwrap();
    for line in [
        "Downstream       : true\n",
        "X509-SVID TTL    : 60\n",
        "Expiration time  : 2026-01-31 12:00:00 +0000 UTC\n",
        "FederatesWith    : other\n",
        "DNS name         : b\nDNS name         : a\n",
        "Admin            : true\nStoreSvid        : true\nHint             : h\n",
    ] {
        assert!(answer.text.contains(line), "{line} in {}", answer.text);
    }
}

#[tokio::test]
async fn the_server_is_the_parent_of_a_node_alias() {
    let expected = Entry {
        parent_id: signet_cli::value::spiffe_id("spiffe://td/spire/server").ok(),
        ..web()
    };
    let line = "entry create -node -spiffeID spiffe://td/web -selector unix:uid:0";
    asked(&creating(vec![expected]), line).await.unwrap();
}

#[tokio::test]
async fn an_entry_without_identity_is_refused_before_the_server_is_asked() {
    let line = "entry create -spiffeID spiffe://td/web";
    let failure = asked(&Fake::new(), line).await.unwrap_err().to_string();
    assert!(failure.contains("--parent-id"), "{failure}");
    assert!(failure.contains("--selector"), "{failure}");
}

#[tokio::test]
async fn entries_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entries.json");
    let content = json!({ "entries": [{
        "spiffe_id": "spiffe://td/web", "parent_id": "spiffe://td/node",
        "selectors": [{ "type": "unix", "value": "uid:0" }],
        "entryExpiry": 5, "revision_number": 3, "ttl": 9,
    }]});
    std::fs::write(&path, content.to_string()).unwrap();
    let expected = Entry {
        expires_at: 5,
        ..web()
    };
    let line = format!("entry create -data {}", path.display());
    let answer = asked(&creating(vec![expected]), &line).await.unwrap();
    assert_eq!(
        answer.problems,
        "Warning: entry 0: field \"ttl\" is ignored\n"
    );
}

/// What the output says of an entry, put into a file again.
fn exported(entry: &Entry) -> serde_json::Value {
    json!({
        "entries": [signet_cli::json::entry(entry)],
        "next_page_token": "",
    })
}

#[tokio::test]
async fn what_show_prints_can_be_created_again() {
    let full = Entry {
        id: "my".into(),
        x509_svid_ttl: 60,
        jwt_svid_ttl: 30,
        federates_with: vec!["other".into()],
        admin: true,
        downstream: true,
        store_svid: true,
        expires_at: 1_769_860_800,
        dns_names: vec!["b".into(), "a".into()],
        hint: "h".into(),
        additional_attributes: Some(AdditionalAttributes {
            disable_x509_svid_prefetch: true,
            jwt_svid_include_jti: true,
        }),
        ..web()
    };
    for entry in [full, web()] {
        let stored = Entry {
            revision_number: 7,
            created_at: 1_700_000_000,
            ..entry.clone()
        };
        let shown = Fake::new().on(LIST, move |_: ListEntriesRequest| {
            Ok(ListEntriesResponse {
                entries: vec![stored.clone()],
                next_page_token: String::new(),
            })
        });
        let shown = asked(&shown, "entry show").await.unwrap().json.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entries.json");
        std::fs::write(&path, shown.to_string()).unwrap();
        let line = format!("entry create -data {}", path.display());
        let answer = asked(&creating(vec![entry]), &line).await.unwrap();
        assert_eq!(answer.problems, "");
    }
}

#[tokio::test]
async fn an_export_that_was_spoiled_is_refused_by_field() {
    let spoil = |field: &str, value: serde_json::Value| {
        let mut export = exported(&web());
        export["entries"][0][field] = value;
        export.to_string()
    };
    let cases = [
        (spoil("spiffe_id", json!(null)), "spiffe_id"),
        (spoil("spiffe_id", json!({"path": "/web"})), "trust_domain"),
        (
            spoil("parent_id", json!({"trust_domain": "td", "path": "x"})),
            "parent_id",
        ),
        (spoil("expires_at", json!("tomorrow")), "expires_at"),
        (spoil("expires_at", json!(1.5)), "number of seconds"),
        (spoil("selectors", json!("unix:uid:0")), "sequence"),
        (spoil("entry_id", json!("twice")), "duplicate field"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entries.json");
    for (content, expected) in cases {
        std::fs::write(&path, &content).unwrap();
        let line = format!("entry create -data {}", path.display());
        let failure = asked(&Fake::new(), &line).await.unwrap_err().to_string();
        assert!(failure.contains(expected), "{failure}");
    }
}

#[tokio::test]
async fn a_bad_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entries.json");
    let line = format!("entry create -data {}", path.display());
    let failure = asked(&Fake::new(), &line).await.unwrap_err().to_string();
    assert!(failure.contains("entries.json"), "{failure}");

    std::fs::write(&path, "{").unwrap();
    let failure = asked(&Fake::new(), &line).await.unwrap_err().to_string();
    assert!(failure.contains("entries.json"), "{failure}");
}

#[tokio::test]
async fn a_failed_item_fails_the_command_in_both_forms() {
    let server = Fake::new().on(CREATE, |_: BatchCreateEntryRequest| {
        let result = batch_create_entry_response::Result {
            status: refused(6, "similar entry already exists"),
            entry: Some(Entry {
                id: "there".into(),
                ..web()
            }),
        };
        Ok(BatchCreateEntryResponse {
            results: vec![result],
        })
    });
    let answer = asked(&server, &format!("entry create {WEB}"))
        .await
        .unwrap();
    assert!(answer.failed);
    assert_eq!(answer.text, "");
    let expected = "Failed to create the following entry (code: AlreadyExists, msg: \"similar \
                    entry already exists\"):\nEntry ID         : there\n";
    assert!(answer.problems.starts_with(expected), "{}", answer.problems);
    assert!(
        answer
            .problems
            .ends_with("Error: failed to create one or more entries\n")
    );
    assert_eq!(answer.json.unwrap()["results"][0]["status"]["code"], 6);
}

/// Adds that an SVID is sure of an hour only.
fn sure_of_an_hour(server: Fake) -> Fake {
    server.on(LIFETIMES, |_: GetLifetimesRequest| {
        Ok(Lifetimes { sure_seconds: 3600 })
    })
}

#[tokio::test]
async fn a_lifetime_that_will_be_cut_is_said_and_the_answer_stays_as_it_is() {
    let given = Entry {
        x509_svid_ttl: 3601,
        jwt_svid_ttl: 3600,
        ..web()
    };
    let line = format!("entry create {WEB} -x509SVIDTTL 3601 -jwtSVIDTTL 3600");
    let server = sure_of_an_hour(creating(vec![given.clone()]));
    let answer = asked(&server, &line).await.unwrap();
    assert_eq!(
        answer.problems,
        "Warning: the X509-SVID TTL of spiffe://td/web, 3601 s, will often be cut short: with this \
         server's ca_ttl an SVID is sure of 3600 s only\n"
    );
    assert!(!answer.failed);
    let silent = asked(&creating(vec![given]), &line).await.unwrap();
    assert_eq!(silent.problems, "", "SPIRE's server does not know");
    assert_eq!((silent.text, silent.json), (answer.text, answer.json));
}

#[tokio::test]
async fn a_changed_lifetime_that_will_be_cut_is_said_too() {
    let patched = Entry {
        id: "1".into(),
        jwt_svid_ttl: 7200,
        ..Entry::default()
    };
    let mask = EntryMask {
        jwt_svid_ttl: true,
        ..EntryMask::default()
    };
    let server = sure_of_an_hour(updating(patched, Some(mask)));
    let line = "entry patch -entryID 1 -jwtSVIDTTL 7200";
    let answer = asked(&server, line).await.unwrap();
    assert!(
        answer
            .problems
            .starts_with("Warning: the JWT-SVID TTL of entry 1, 7200 s,"),
        "{}",
        answer.problems
    );
    let updated = Entry {
        id: "1".into(),
        x509_svid_ttl: 7200,
        ..web()
    };
    let server = sure_of_an_hour(updating(updated, None));
    let line = format!("entry update -entryID 1 {WEB} -x509SVIDTTL 7200");
    let answer = asked(&server, &line).await.unwrap();
    assert!(answer.problems.contains("spiffe://td/web, 7200 s"));
}

#[tokio::test]
async fn without_a_chosen_lifetime_the_server_is_not_asked() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = creating(vec![web()]).on(LIFETIMES, move |_: GetLifetimesRequest| {
        tell.send(()).unwrap();
        Ok(Lifetimes::default())
    });
    asked(&server, &format!("entry create {WEB}"))
        .await
        .unwrap();
    assert!(told.try_recv().is_err());
}

/// Expects one update, and answers with what it was given.
fn updating(expected: Entry, mask: Option<EntryMask>) -> Fake {
    Fake::new().on(UPDATE, move |request: BatchUpdateEntryRequest| {
        assert_eq!(request.entries, std::slice::from_ref(&expected));
        assert_eq!(request.input_mask, mask);
        let result = batch_update_entry_response::Result {
            status: ok(),
            entry: request.entries.into_iter().next(),
        };
        Ok(BatchUpdateEntryResponse {
            results: vec![result],
        })
    })
}

#[tokio::test]
async fn an_update_replaces_the_whole_entry() {
    let expected = Entry {
        id: "1".into(),
        hint: "new".into(),
        ..web()
    };
    let line = format!("entry update -entryID 1 {WEB} -hint new");
    let answer = asked(&updating(expected, None), &line).await.unwrap();
    assert!(answer.text.contains("Hint             : new\n"));
}

#[tokio::test]
async fn an_update_needs_id_and_identity() {
    for line in [&format!("entry update {WEB}"), "entry update -entryID 1"] {
        assert!(asked(&Fake::new(), line).await.is_err(), "{line}");
    }
}

#[tokio::test]
async fn a_patch_names_only_what_is_given() {
    let expected = Entry {
        id: "1".into(),
        ..Entry::default()
    };
    let mask = EntryMask {
        admin: true,
        dns_names: true,
        ..EntryMask::default()
    };
    let line = "entry patch -entryID 1 -admin=false -dns=";
    asked(&updating(expected, Some(mask)), line).await.unwrap();
}

#[tokio::test]
async fn a_patched_attribute_keeps_the_other() {
    let expected = Entry {
        id: "1".into(),
        additional_attributes: Some(AdditionalAttributes {
            disable_x509_svid_prefetch: true,
            jwt_svid_include_jti: true,
        }),
        ..Entry::default()
    };
    let mask = EntryMask {
        additional_attributes: true,
        ..EntryMask::default()
    };
    let server = updating(expected, Some(mask)).on(GET, |_: GetEntryRequest| {
        Ok(Entry {
            additional_attributes: Some(AdditionalAttributes {
                disable_x509_svid_prefetch: true,
                jwt_svid_include_jti: false,
            }),
            ..Entry::default()
        })
    });
    asked(&server, "entry patch -entryID 1 -jwtSVIDIncludeJTI")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_patch_of_the_steward_touches_nothing_else() {
    let server = Fake::new()
        .on(SET_EXTRAS, |request: SetEntryExtrasRequest| {
            let mask = request.input_mask.unwrap();
            assert!(mask.owner && mask.disabled && !mask.purpose && !mask.review_by);
            Ok(request.extras.unwrap())
        })
        .on(GET, |_: GetEntryRequest| Ok(web()));
    let line = "entry patch --entry-id 1 --owner team-a --disabled";
    let answer = asked(&server, line).await.unwrap();
    assert!(
        answer
            .text
            .ends_with("Disabled         : true\nOwner            : team-a\n\n"),
        "{}",
        answer.text
    );
    assert_eq!(answer.json.unwrap()["extras"]["owner"], "team-a");
}

#[tokio::test]
async fn a_patch_of_nothing_is_refused() {
    for line in ["entry patch --entry-id 1", "entry patch --hint x"] {
        assert!(asked(&Fake::new(), line).await.is_err(), "{line}");
    }
}

#[tokio::test]
async fn show_follows_all_pages_and_counts() {
    let server = Fake::new().on(LIST, |request: ListEntriesRequest| {
        let page = |next: &str| ListEntriesResponse {
            entries: vec![web()],
            next_page_token: next.into(),
        };
        Ok(match request.page_token.as_str() {
            "" => page("1"),
            _ => page(""),
        })
    });
    let answer = asked(&server, "entry show").await.unwrap();
    assert!(
        answer
            .text
            .starts_with("Found 2 entries\nEntry ID         : (none)\n")
    );
    assert_eq!(answer.json.unwrap()["entries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn one_entry_is_shown_with_its_steward() {
    let server = Fake::new().on(GET, |_: GetEntryRequest| Ok(web())).on(
        GET_EXTRAS,
        |request: GetEntryExtrasRequest| {
            assert_eq!(request.entry_id, "1");
            Ok(EntryExtras {
                review_by: 1_769_860_800,
                ..EntryExtras::default()
            })
        },
    );
    let answer = asked(&server, "entry show -entryID 1").await.unwrap();
    assert!(answer.text.starts_with("Found 1 entry\n"));
    assert!(
        answer
            .text
            .contains("Review by        : 2026-01-31 12:00:00 +0000 UTC\n")
    );
}

#[tokio::test]
async fn a_server_without_stewards_shows_the_entry_all_the_same() {
    let server = Fake::new().on(GET, |_: GetEntryRequest| Ok(web()));
    let answer = asked(&server, "entry show -entryID 1").await.unwrap();
    assert!(!answer.failed);
}

#[tokio::test]
async fn filters_reach_the_server() {
    let server = Fake::new().on(COUNT, |request: CountEntriesRequest| {
        let filter = request.filter.unwrap();
        assert_eq!(filter.by_spiffe_id.unwrap().path, "/web");
        assert_eq!(filter.by_parent_id, None);
        assert_eq!(filter.by_selectors.unwrap().r#match, 2);
        let federates_with = filter.by_federates_with.unwrap();
        assert_eq!(federates_with.trust_domains, ["other"]);
        assert_eq!(federates_with.r#match, 0);
        assert_eq!(filter.by_hint.as_deref(), Some("h"));
        assert_eq!(filter.by_downstream, Some(true));
        Ok(CountEntriesResponse { count: 3 })
    });
    let line = "entry count -spiffeID spiffe://td/web -selector a:b -federatesWith other \
                -matchFederatesWithOn exact -hint h -downstream";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(answer.text, "3 registration entries\n");
}

#[tokio::test]
async fn deletions_are_told_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.json");
    std::fs::write(&path, r#"{"ids": ["a", "b"]}"#).unwrap();
    let server = Fake::new().on(DELETE, |request: BatchDeleteEntryRequest| {
        assert_eq!(request.ids, ["a", "b"]);
        let result = |status, id: &str| batch_delete_entry_response::Result {
            status,
            id: id.into(),
        };
        Ok(BatchDeleteEntryResponse {
            results: vec![
                result(ok(), "a"),
                result(refused(5, "entry not found"), "b"),
            ],
        })
    });
    let line = format!("entry delete -file {}", path.display());
    let answer = asked(&server, &line).await.unwrap();
    assert_eq!(answer.text, "Deleted entry with ID: a\n");
    assert_eq!(
        answer.problems,
        "Failed to delete entry with ID b (code: NotFound, msg: \"entry not found\")\n"
    );
    assert!(answer.failed);
    assert_eq!(answer.json.unwrap()["results"][1]["id"], "b");
}
