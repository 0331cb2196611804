//! Where an answer points, if it points elsewhere.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, StatusCode, Uri, header};

/// Longest `Location` that is read: URLs longer than this are refused by most servers.
const MAX_LOCATION: usize = 8 * 1024;

/// The URL that an answer to `asked` sends the client to. `None` where it sends it nowhere that the
/// same request can go to.
pub(crate) fn target(
    asked: &Uri,
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Uri> {
    let repeats = match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        // Of old these turn other methods into GET.
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::GET,
        _ => false,
    };
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    if !repeats || location.len() > MAX_LOCATION {
        return None;
    }
    let to: Uri = location.parse().ok()?;
    let (scheme, authority) = match (to.scheme(), to.authority()) {
        (Some(scheme), Some(authority)) => (scheme.clone(), authority.clone()),
        _ if location.starts_with('/') && !location.starts_with("//") => same_place(asked)?,
        _ => return None,
    };
    let path = to.path_and_query().cloned();
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
        .build()
        .ok()
}

fn same_place(asked: &Uri) -> Option<(Scheme, Authority)> {
    Some((asked.scheme()?.clone(), asked.authority()?.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(method: &Method, status: u16, location: &str) -> Option<String> {
        let asked = Uri::from_static("https://a.example:1/x?y");
        let status = StatusCode::from_u16(status).unwrap();
        let headers = [(header::LOCATION, location.parse().unwrap())];
        let headers = headers.into_iter().collect();
        target(&asked, method, status, &headers).map(|uri| uri.to_string())
    }

    #[test]
    fn a_place_is_a_whole_url_or_a_path_of_the_same_server() {
        let whole = to(&Method::POST, 307, "https://b.example/z?q=1");
        assert_eq!(whole.as_deref(), Some("https://b.example/z?q=1"));
        let path = to(&Method::GET, 302, "/z");
        assert_eq!(path.as_deref(), Some("https://a.example:1/z"));
    }

    #[test]
    fn what_would_change_the_request_or_is_no_place_is_not_followed() {
        assert_eq!(to(&Method::POST, 302, "/z"), None);
        assert_eq!(to(&Method::GET, 303, "/z"), None);
        assert_eq!(to(&Method::GET, 200, "/z"), None);
        for place in ["", "z", "//b.example/z", "?q", "https://", "\u{7f}"] {
            let Ok(value) = place.parse::<http::HeaderValue>() else {
                continue;
            };
            let value = value.to_str().unwrap_or_default().to_owned();
            assert_eq!(to(&Method::GET, 307, &value), None, "{place:?}");
        }
    }
}
