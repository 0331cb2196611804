//! Entries: what may be written, how they are changed, found and listed.

use crate::harness::{World, create, entry, foreign, id, refusal, selector, try_create};
use signet_proto::spire::server::entry::v1 as api;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::entry::v1::list_entries_request::Filter;
use signet_proto::spire::types::entry::AdditionalAttributes;
use signet_proto::spire::types::{
    Entry, EntryMask, FederatesWithMatch, Selector, SelectorMatch, Spiffeid, Status,
};
use std::collections::BTreeSet;
use tonic::Code;
use tonic::transport::Channel;

fn parent() -> Spiffeid {
    id("/spire/agent/x/y")
}

fn code(status: &Option<Status>) -> Code {
    Code::from(status.as_ref().unwrap().code)
}

async fn update(channel: &Channel, entry: Entry, mask: Option<EntryMask>) -> Result<Entry, Status> {
    let request = api::BatchUpdateEntryRequest {
        entries: vec![entry],
        input_mask: mask,
        output_mask: None,
    };
    let mut client = EntryClient::new(channel.clone());
    let updated = client.batch_update_entry(request).await.unwrap();
    let result = updated.into_inner().results.remove(0);
    result.entry.ok_or(result.status.unwrap())
}

async fn list(channel: &Channel, filter: Filter) -> Result<Vec<String>, tonic::Status> {
    let mut client = EntryClient::new(channel.clone());
    let count = api::count_entries_request::Filter {
        by_spiffe_id: filter.by_spiffe_id.clone(),
        by_parent_id: filter.by_parent_id.clone(),
        by_selectors: filter.by_selectors.clone(),
        by_federates_with: filter.by_federates_with.clone(),
        by_hint: filter.by_hint.clone(),
        by_downstream: filter.by_downstream,
    };
    let request = api::ListEntriesRequest {
        filter: Some(filter),
        ..api::ListEntriesRequest::default()
    };
    let listed = client.list_entries(request).await?.into_inner();
    let filter = Some(count);
    let counted = client
        .count_entries(api::CountEntriesRequest { filter })
        .await?;
    let counted = usize::try_from(counted.into_inner().count).unwrap();
    assert_eq!(counted, listed.entries.len());
    let paths = listed
        .entries
        .into_iter()
        .map(|entry| entry.spiffe_id.unwrap().path);
    Ok(paths.collect())
}

#[tokio::test]
async fn an_entry_comes_back_as_it_was_given_with_what_the_server_adds() {
    let world = World::new().await;
    let local = world.local().await;
    crate::bundles::set(&local, crate::bundles::foreign_bundle()).await;
    let given = Entry {
        id: "my.Entry_1-x".to_owned(),
        selectors: vec![selector("unix:gid:1"), selector("unix:uid:1")],
        x509_svid_ttl: 60,
        jwt_svid_ttl: 30,
        federates_with: vec!["other.org".to_owned()],
        admin: true,
        downstream: true,
        expires_at: world.now() + 1000,
        dns_names: vec!["b.example".to_owned(), "a.example".to_owned()],
        hint: "h".to_owned(),
        revision_number: 77,
        created_at: 5,
        additional_attributes: Some(AdditionalAttributes {
            disable_x509_svid_prefetch: true,
            jwt_svid_include_jti: true,
        }),
        ..entry("/web", &parent())
    };
    let made = create(&local, vec![given.clone()]).await.remove(0);
    let expected = Entry {
        revision_number: 0,
        created_at: world.now(),
        ..given
    };
    assert_eq!(made, expected);
    let mut client = EntryClient::new(local.clone());
    let request = |mask| api::GetEntryRequest {
        id: made.id.clone(),
        output_mask: mask,
    };
    let stored = client.get_entry(request(None)).await.unwrap();
    assert_eq!(stored.into_inner(), expected);
    let masked = client.get_entry(request(Some(EntryMask::default()))).await;
    let only_id = Entry {
        id: made.id.clone(),
        ..Entry::default()
    };
    assert_eq!(masked.unwrap().into_inner(), only_id);
    let generated = create(&local, vec![entry("/other", &parent())])
        .await
        .remove(0);
    assert_eq!(generated.id.len(), 36);
    assert_eq!(generated.additional_attributes, None);
}

#[tokio::test]
async fn entries_that_may_not_be_are_refused_item_by_item() {
    let world = World::new().await;
    let local = world.local().await;
    let good = || entry("/web", &parent());
    let selectors = |list: &[(&str, &str)]| Entry {
        selectors: list
            .iter()
            .map(|(kind, value)| Selector {
                r#type: (*kind).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        ..good()
    };
    let dns = |name: &str| Entry {
        dns_names: vec![name.to_owned()],
        ..good()
    };
    let attributes = AdditionalAttributes {
        disable_x509_svid_prefetch: true,
        jwt_svid_include_jti: false,
    };
    let bad = [
        Entry::default(),
        Entry {
            parent_id: None,
            ..good()
        },
        Entry {
            spiffe_id: None,
            ..good()
        },
        entry("/web", &id("")),
        entry("/web", &foreign("/web")),
        entry("", &parent()),
        entry("/spire/server", &parent()),
        entry("/spire/agent/x/y", &parent()),
        entry("/a/../b", &parent()),
        entry("/a//b", &parent()),
        Entry {
            spiffe_id: Some(foreign("/web")),
            ..good()
        },
        selectors(&[]),
        selectors(&[("", "x")]),
        selectors(&[("a:b", "x")]),
        selectors(&[("unix", "")]),
        dns(""),
        dns("a.example."),
        dns("-a.example"),
        dns("a..example"),
        dns("*"),
        dns("a.*.example"),
        dns("ü.example"),
        dns(&"x".repeat(64)),
        Entry {
            federates_with: vec!["A B".to_owned()],
            ..good()
        },
        Entry {
            hint: "h".repeat(1025),
            ..good()
        },
        Entry {
            x509_svid_ttl: -1,
            ..good()
        },
        Entry {
            jwt_svid_ttl: i32::MIN,
            ..good()
        },
        Entry {
            id: "a b".to_owned(),
            ..good()
        },
        Entry {
            id: "x".repeat(256),
            ..good()
        },
        Entry {
            store_svid: true,
            selectors: vec![selector("a:b"), selector("c:d")],
            ..good()
        },
        Entry {
            store_svid: true,
            additional_attributes: Some(attributes),
            ..good()
        },
    ];
    for (result, given) in try_create(&local, bad.to_vec()).await.iter().zip(&bad) {
        assert_eq!(
            code(&result.status),
            Code::InvalidArgument,
            "{given:?}: {result:?}"
        );
        assert_eq!(result.entry, None);
        assert!(!result.status.as_ref().unwrap().message.is_empty());
    }
    let unknown = Entry {
        federates_with: vec!["other.org".to_owned()],
        ..good()
    };
    let result = try_create(&local, vec![unknown]).await.remove(0);
    assert_eq!(code(&result.status), Code::Internal);
    let message = result.status.unwrap().message;
    assert!(
        message.starts_with("unable to find federated bundle"),
        "{message}"
    );
    assert!(list(&local, Filter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_similar_entry_comes_back_and_a_taken_id_does_not() {
    let world = World::new().await;
    let local = world.local().await;
    let mut first = entry("/web", &parent());
    first.selectors.push(selector("unix:gid:1"));
    let made = create(&local, vec![first.clone()]).await.remove(0);
    first.selectors.reverse();
    first.hint = "other".to_owned();
    let again = try_create(&local, vec![first]).await.remove(0);
    let status = again.status.unwrap();
    assert_eq!(Code::from(status.code), Code::AlreadyExists);
    assert_eq!(status.message, "similar entry already exists");
    assert_eq!(again.entry, Some(made.clone()));
    let taken = Entry {
        id: made.id,
        ..entry("/other", &parent())
    };
    let again = try_create(&local, vec![taken]).await.remove(0);
    assert_eq!(code(&again.status), Code::AlreadyExists);
    assert_eq!(again.entry, None);
}

#[tokio::test]
async fn what_is_given_twice_is_merged() {
    let world = World::new().await;
    let local = world.local().await;
    crate::bundles::set(&local, crate::bundles::foreign_bundle()).await;
    let mut doubled = entry("/web", &parent());
    doubled.selectors.push(doubled.selectors[0].clone());
    doubled.dns_names = vec!["a.example".to_owned(); 2];
    doubled.federates_with = vec!["other.org".to_owned(), "spiffe://other.org".to_owned()];
    let made = create(&local, vec![doubled]).await.remove(0);
    assert_eq!(made.selectors.len(), 1);
    assert_eq!(made.dns_names, ["a.example"]);
    assert_eq!(made.federates_with, ["other.org"]);
}

#[tokio::test]
async fn of_similar_entries_in_one_batch_or_many_calls_one_is_created() {
    let world = World::new().await;
    let local = world.local().await;
    let batch = vec![entry("/web", &parent()); 20];
    let (one, two) = tokio::join!(try_create(&local, batch.clone()), try_create(&local, batch));
    let results: Vec<_> = one.into_iter().chain(two).collect();
    let made = results
        .iter()
        .filter(|result| code(&result.status) == Code::Ok);
    assert_eq!(made.count(), 1);
    let ids: BTreeSet<_> = results
        .iter()
        .map(|r| &r.entry.as_ref().unwrap().id)
        .collect();
    assert_eq!(ids.len(), 1, "the others got the one that is there");
}

#[tokio::test]
async fn an_update_replaces_all_without_a_mask_and_only_its_fields_with_one() {
    let world = World::new().await;
    let local = world.local().await;
    let given = Entry {
        hint: "h".to_owned(),
        x509_svid_ttl: 60,
        admin: true,
        ..entry("/web", &parent())
    };
    let made = create(&local, vec![given]).await.remove(0);
    let sparse = Entry {
        id: made.id.clone(),
        hint: "new".to_owned(),
        ..Entry::default()
    };
    let mask = EntryMask {
        hint: true,
        ..EntryMask::default()
    };
    let masked = update(&local, sparse.clone(), Some(mask)).await.unwrap();
    let expected = Entry {
        hint: "new".to_owned(),
        revision_number: 1,
        ..made.clone()
    };
    assert_eq!(masked, expected);
    let unchanged = update(&local, expected.clone(), Some(EntryMask::default())).await;
    assert_eq!(unchanged.unwrap().revision_number, 2, "each update counts");
    let refused = update(&local, sparse, None).await.unwrap_err();
    assert_eq!(Code::from(refused.code), Code::InvalidArgument);
    let whole = Entry {
        id: made.id.clone(),
        created_at: 1,
        revision_number: 99,
        ..entry("/else", &parent())
    };
    let replaced = update(&local, whole.clone(), None).await.unwrap();
    let expected = Entry {
        revision_number: 3,
        created_at: made.created_at,
        ..whole
    };
    assert_eq!(replaced, expected);
    create(&local, vec![entry("/web", &parent())]).await;
    let unknown = Entry {
        id: "nope".to_owned(),
        ..entry("/web", &parent())
    };
    let refused = update(&local, unknown, None).await.unwrap_err();
    assert_eq!(Code::from(refused.code), Code::NotFound);
    assert_eq!(refused.message, "entry not found");
}

#[tokio::test]
async fn an_update_may_not_do_what_a_creation_may_not() {
    let world = World::new().await;
    let local = world.local().await;
    let stored = Entry {
        store_svid: true,
        ..entry("/stored", &parent())
    };
    let made = create(&local, vec![stored]).await.remove(0);
    let attributes = AdditionalAttributes {
        disable_x509_svid_prefetch: true,
        jwt_svid_include_jti: false,
    };
    let no_prefetch = Entry {
        id: made.id.clone(),
        additional_attributes: Some(attributes),
        ..Entry::default()
    };
    let mask = EntryMask {
        additional_attributes: true,
        ..EntryMask::default()
    };
    let refused = update(&local, no_prefetch, Some(mask)).await.unwrap_err();
    assert_eq!(Code::from(refused.code), Code::InvalidArgument);
    let reserved = Entry {
        id: made.id,
        ..entry("/spire/server", &parent())
    };
    let refused = update(&local, reserved, None).await.unwrap_err();
    assert_eq!(Code::from(refused.code), Code::InvalidArgument);
}

#[tokio::test]
async fn a_deleted_entry_is_gone_and_its_like_may_come_again() {
    let world = World::new().await;
    let local = world.local().await;
    let made = create(&local, vec![entry("/web", &parent())])
        .await
        .remove(0);
    let mut client = EntryClient::new(local.clone());
    let ids = vec![
        made.id.clone(),
        made.id.clone(),
        "a b".to_owned(),
        String::new(),
    ];
    let deleted = client.batch_delete_entry(api::BatchDeleteEntryRequest { ids });
    let results = deleted.await.unwrap().into_inner().results;
    let mut codes: Vec<_> = results.iter().map(|result| code(&result.status)).collect();
    codes[..2].sort_by_key(|code| *code as i32);
    assert_eq!(
        codes,
        [
            Code::Ok,
            Code::NotFound,
            Code::NotFound,
            Code::InvalidArgument
        ]
    );
    assert_eq!(results[0].id, made.id);
    let request = api::GetEntryRequest {
        id: made.id,
        output_mask: None,
    };
    let expected = (Code::NotFound, "entry not found".to_owned());
    assert_eq!(refusal(client.get_entry(request).await), expected);
    let missing = client.get_entry(api::GetEntryRequest::default()).await;
    assert_eq!(refusal(missing).0, Code::InvalidArgument);
    create(&local, vec![entry("/web", &parent())]).await;
}

#[tokio::test]
async fn filters_narrow_list_and_count_alike() {
    let world = World::new().await;
    let local = world.local().await;
    crate::bundles::set(&local, crate::bundles::foreign_bundle()).await;
    let with = |path: &str, selectors: &[&str]| Entry {
        selectors: selectors.iter().map(|text| selector(text)).collect(),
        ..entry(path, &parent())
    };
    let entries = vec![
        with("/one", &["a:1"]),
        Entry {
            hint: "h".to_owned(),
            downstream: true,
            ..with("/both", &["a:1", "a:2"])
        },
        Entry {
            federates_with: vec!["other.org".to_owned()],
            parent_id: Some(id("/one")),
            ..with("/three", &["a:1", "a:2", "a:3"])
        },
    ];
    create(&local, entries).await;
    let by = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    let selectors = |how: i32| Filter {
        by_selectors: Some(SelectorMatch {
            selectors: vec![selector("a:1"), selector("a:2")],
            r#match: how,
        }),
        ..Filter::default()
    };
    let federates = |how: i32| Filter {
        by_federates_with: Some(FederatesWithMatch {
            trust_domains: vec!["other.org".to_owned()],
            r#match: how,
        }),
        ..Filter::default()
    };
    let cases = [
        (Filter::default(), vec!["/both", "/one", "/three"]),
        (by(|f| f.by_spiffe_id = Some(id("/one"))), vec!["/one"]),
        (by(|f| f.by_parent_id = Some(id("/one"))), vec!["/three"]),
        (by(|f| f.by_hint = Some("h".to_owned())), vec!["/both"]),
        (
            by(|f| f.by_hint = Some(String::new())),
            vec!["/both", "/one", "/three"],
        ),
        (by(|f| f.by_downstream = Some(true)), vec!["/both"]),
        (
            by(|f| f.by_downstream = Some(false)),
            vec!["/both", "/one", "/three"],
        ),
        (selectors(0), vec!["/both"]),
        (selectors(1), vec!["/both", "/one"]),
        (selectors(2), vec!["/both", "/three"]),
        (selectors(3), vec!["/both", "/one", "/three"]),
        (federates(0), vec!["/three"]),
        (federates(1), vec!["/three"]),
        (federates(2), vec!["/three"]),
        (federates(3), vec!["/three"]),
    ];
    for (filter, expected) in cases {
        let what = format!("{filter:?}");
        let mut found = list(&local, filter).await.unwrap();
        found.sort();
        assert_eq!(found, expected, "{what}");
    }
    let bad = [
        selectors(9),
        federates(9),
        by(|f| f.by_selectors = Some(SelectorMatch::default())),
        by(|f| f.by_federates_with = Some(FederatesWithMatch::default())),
        by(|f| f.by_spiffe_id = Some(Spiffeid::default())),
        by(|f| f.by_spiffe_id = Some(id("/spire/server"))),
        by(|f| f.by_spiffe_id = Some(foreign("/web"))),
        by(|f| f.by_parent_id = Some(foreign("/web"))),
        by(|f| f.by_parent_id = Some(id(""))),
    ];
    for filter in bad {
        let what = format!("{filter:?}");
        let refused = list(&local, filter).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{what}");
    }
}

#[tokio::test]
async fn pages_of_1200_entries_cover_each_once_in_order() {
    let world = World::new().await;
    let local = world.local().await;
    let all = (0..1200)
        .map(|n| entry(&format!("/w{n}"), &parent()))
        .collect();
    let made: Vec<_> = create(&local, all)
        .await
        .into_iter()
        .map(|e| e.id)
        .collect();
    let mut client = EntryClient::new(local);
    let mut request = api::ListEntriesRequest {
        page_size: 500,
        ..api::ListEntriesRequest::default()
    };
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = client
            .list_entries(request.clone())
            .await
            .unwrap()
            .into_inner();
        sizes.push(page.entries.len());
        seen.extend(page.entries.into_iter().map(|entry| entry.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(sizes, [500, 500, 200, 0]);
    let (seen_set, made_set): (BTreeSet<_>, BTreeSet<_>) =
        (seen.iter().collect(), made.iter().collect());
    assert_eq!((seen.len(), seen_set), (1200, made_set));
    for token in ["x", "zz", "7"] {
        request.page_token = token.to_owned();
        let refused = client.list_entries(request.clone()).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{token}");
    }
}
