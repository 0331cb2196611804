//! Pages of long lists. A token names the last item that was sent, so that a list which changes
//! between two pages skips nothing that stayed.

use tonic::Status;

/// Cuts one page out of an ordered list. `key` must grow along the list. A size of 0 or less
/// means all. As SPIRE's, the token is set whenever the page is not empty.
pub(super) fn page<T>(
    items: Vec<T>,
    size: i32,
    token: &str,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, String), Status> {
    let mut items = items;
    let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
        return Ok((items, String::new()));
    };
    if !token.is_empty() {
        let after = decode(token)?;
        items.retain(|item| key(item) > after);
    }
    items.truncate(size);
    let next = items
        .last()
        .map(|last| encode(&key(last)))
        .unwrap_or_default();
    Ok((items, next))
}

fn encode(key: &str) -> String {
    signet_crypto::hex(key.as_bytes())
}

fn decode(token: &str) -> Result<String, Status> {
    let malformed = || Status::invalid_argument("could not parse page token");
    if !token.is_ascii() || !token.len().is_multiple_of(2) {
        return Err(malformed());
    }
    let bytes: Result<Vec<u8>, _> = (0..token.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&token[at..at + 2], 16))
        .collect();
    String::from_utf8(bytes.map_err(|_| malformed())?).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<&'static str> {
        vec!["a", "b", "c", "d", "e"]
    }

    fn key(item: &&str) -> String {
        (*item).to_owned()
    }

    #[test]
    fn pages_together_are_the_list_with_one_empty_page_at_the_end() {
        let mut token = String::new();
        let mut seen = Vec::new();
        let mut pages = 0;
        loop {
            let (items, next) = page(list(), 2, &token, key).unwrap();
            pages += 1;
            seen.extend(items);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, list());
        assert_eq!(pages, 4);
    }

    #[test]
    fn no_room_is_made_for_the_size_that_a_client_names() {
        let (items, _) = page(list(), i32::MAX, "", key).unwrap();
        assert_eq!((items.len(), items.capacity()), (5, list().capacity()));
    }

    #[test]
    fn no_size_means_all_and_a_foreign_token_is_refused() {
        assert_eq!(page(list(), 0, "", key).unwrap().0.len(), 5);
        assert_eq!(page(list(), -1, "", key).unwrap().0.len(), 5);
        for token in ["x", "zz", "é", "ff"] {
            let status = page(list(), 2, token, key).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{token}");
        }
    }
}
