//! The pod and container that a process is in, by its cgroups.
//!
//! `/proc/<pid>/cgroup` has a line for each hierarchy (cgroups(7)); the path at a line's end names the
//! pod and, below it, the container, however kubelet and runtime spell that:
//!
//! ```text
//! /kubepods/besteffort/pod<uid>/<64 hex>                                                cgroupfs
//! /kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<uid_>.slice/cri-containerd-<64 hex>.scope
//! /system.slice/containerd.service/kubepods-burstable-pod<uid_>.slice:cri-containerd:<64 hex>
//! /../../kubepods-pod<uid_>.slice/crio-<64 hex>.scope            seen from a cgroup namespace
//! /docker/<64 hex>/kubelet/kubepods/pod<uid>/<64 hex>            a node that is a container itself
//! ```
//!
//! **The outermost pod counts**, and the first container below it. Whoever may make cgroups inside a
//! container can call them what he wants, but not leave his own. For the same reason nothing below a
//! user's own slice is believed: its user names what is in it.

use std::collections::BTreeSet;

/// A place that belongs to a pod, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pod's UID, with dashes as the kubelet writes it, if the path has one.
    pub pod: Option<String>,
    /// The container's ID, if the process is in one.
    pub container: Option<String>,
    /// Whether a runtime of Kubernetes made the container, by its cgroup's name.
    pub is_cri: bool,
}

/// Why the place of a process cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Not as the kernel writes it.
    #[error("the cgroup file has a line without its three fields")]
    Malformed,
    /// The hierarchies disagree.
    #[error("the process is in cgroups of several pods or containers")]
    Ambiguous,
}

/// Finds the place in the content of a cgroup file; `None` if the process is in no container.
///
/// # Errors
/// [`PlaceError`] if the file contradicts itself.
pub fn locate(cgroup: &[u8]) -> Result<Option<Place>, PlaceError> {
    let mut places = Vec::new();
    for line in cgroup
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let path = line.splitn(3, |byte| *byte == b':').nth(2);
        let path = String::from_utf8_lossy(path.ok_or(PlaceError::Malformed)?);
        places.extend(place(&path));
    }
    // Not every hierarchy follows the runtime's: where one names a pod, those that name none are not
    // asked about the container.
    if places.iter().any(|place| place.pod.is_some()) {
        places.retain(|place| place.pod.is_some());
    }
    let pod = only(places.iter().filter_map(|place| place.pod.as_ref()))?;
    let container = only(places.iter().filter_map(|place| place.container.as_ref()))?;
    let is_cri = places.iter().any(|place| place.is_cri);
    Ok((!places.is_empty()).then_some(Place {
        pod,
        container,
        is_cri,
    }))
}

fn only<'a>(values: impl Iterator<Item = &'a String>) -> Result<Option<String>, PlaceError> {
    let mut values: BTreeSet<_> = values.collect();
    let first = values.pop_first();
    match values.is_empty() {
        true => Ok(first.cloned()),
        false => Err(PlaceError::Ambiguous),
    }
}

fn place(path: &str) -> Option<Place> {
    if path.split('/').any(is_of_a_user) {
        return None;
    }
    let (pod, inside) = match pod_in(path) {
        Some((pod, inside)) => (Some(pod), inside),
        None => (None, path),
    };
    let found = container_in(inside);
    if pod.is_none() && found.is_none() {
        return None;
    }
    Some(Place {
        pod,
        is_cri: found.is_some_and(|(before, _)| before.contains("cri")),
        container: found.map(|(_, id)| id.to_owned()),
    })
}

/// Slices and services that systemd hands to a user.
fn is_of_a_user(segment: &str) -> bool {
    segment == "user.slice"
        || segment.starts_with("user@")
        || (segment.starts_with("user-") && segment.ends_with(".slice"))
}

/// The first pod's UID, and what follows it.
fn pod_in(path: &str) -> Option<(String, &str)> {
    path.match_indices("pod").find_map(|(at, word)| {
        let is_word = !path[..at].ends_with(is_word_character);
        let rest = &path[at + word.len()..];
        let length = uid_length(rest).filter(|_| is_word)?;
        let (uid, after) = rest.split_at(length);
        Some((uid.replace('_', "-"), after))
    })
}

/// The length of a UID at the text's beginning: 32 hexadecimal digits, as those of static pods, or
/// with one separator of two kinds between the groups of a UUID.
fn uid_length(text: &str) -> Option<usize> {
    let length = ["", "-", "_"].into_iter().find_map(|separator| {
        let mut rest = text;
        for (number, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            if number > 0 {
                rest = rest.strip_prefix(separator)?;
            }
            let group = rest.get(..digits)?;
            if !group.bytes().all(is_hex) {
                return None;
            }
            rest = &rest[digits..];
        }
        Some(text.len() - rest.len())
    })?;
    let ends = !text[length..].starts_with(|c| is_word_character(c) || c == '-');
    ends.then_some(length)
}

/// The first container ID, and what stands before it in its segment.
fn container_in(path: &str) -> Option<(&str, &str)> {
    path.split('/').find_map(|segment| {
        let word = segment
            .split(|c| !is_word_character(c))
            .find(|word| word.len() == 64 && word.bytes().all(is_hex))?;
        let at = segment.find(word)?;
        Some((&segment[..at], word))
    })
}

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0e3a8a3c-8a4b-4d09-9c1a-5c1f0a9ae210";
    const OTHER: &str = "11111111-2222-3333-4444-555555555555";

    fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn of(path: &str) -> Option<(Option<String>, Option<String>)> {
        let found = locate(format!("0::{path}\n").as_bytes()).unwrap();
        found.map(|place| (place.pod, place.container))
    }

    fn in_pod(container: char) -> Option<(Option<String>, Option<String>)> {
        Some((Some(UID.to_owned()), Some(id(container))))
    }

    #[test]
    fn every_spelling_of_kubelets_and_runtimes_is_read() {
        let (a, uid_) = (id('a'), UID.replace('-', "_"));
        for path in [
            format!("/kubepods/besteffort/pod{UID}/{a}"),
            format!("/kubepods/pod{UID}/{a}"),
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{a}.scope"
            ),
            format!("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{a}.scope"),
            format!("/kubepods.slice/kubepods-pod{uid_}.slice/docker-{a}.scope/init"),
            format!(
                "/system.slice/containerd.service/kubepods-besteffort-pod{uid_}.slice:cri-containerd:{a}"
            ),
            format!("/../../kubepods-besteffort-pod{uid_}.slice/cri-containerd-{a}.scope"),
            format!(
                "/docker/{}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid_}.slice/cri-containerd-{a}.scope",
                id('d')
            ),
            format!(
                "/docker/{}/kubelet/kubepods/besteffort/pod{UID}/{a}",
                id('d')
            ),
        ] {
            assert_eq!(of(&path), in_pod('a'), "{path}");
        }
    }

    #[test]
    fn a_static_pods_uid_has_no_separators() {
        let uid = "8a7f".repeat(8);
        let found = of(&format!("/kubepods/burstable/pod{uid}/{}", id('a')));
        assert_eq!(found, Some((Some(uid), Some(id('a')))));
    }

    #[test]
    fn cgroups_made_inside_of_a_container_do_not_count() {
        let forged = format!(
            "/kubepods/pod{UID}/{}/kubepods/pod{OTHER}/{}",
            id('a'),
            id('b')
        );
        assert_eq!(of(&forged), in_pod('a'));
        let forged = format!("/kubepods/pod{UID}/{}/docker/{}", id('a'), id('b'));
        assert_eq!(of(&forged), in_pod('a'));
    }

    #[test]
    fn what_a_user_of_the_host_named_is_not_believed() {
        for slice in [
            "user.slice/user-1000.slice/user@1000.service",
            "user-7.slice",
        ] {
            let path = format!("/{slice}/kubepods/pod{UID}/{}", id('a'));
            assert_eq!(of(&path), None, "{path}");
        }
    }

    #[test]
    fn a_process_outside_of_containers_has_no_place() {
        for path in [
            "/",
            "/system.slice/sshd.service",
            "/kubepods.slice",
            "/init.scope",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(locate(b""), Ok(None));
    }

    #[test]
    fn what_only_looks_like_an_id_is_none() {
        let a = id('a');
        for path in [
            format!("/x/{a}a"),
            format!("/x/{}", &a[1..]),
            format!("/x/{}", a.to_uppercase()),
            format!("/x/{a}_b"),
            format!("/xpod{UID}"),
            format!("/pod{UID}0"),
            format!("/pod{}", &UID[1..]),
            format!("/pod{}", UID.replacen('-', "_", 1)),
        ] {
            assert_eq!(of(&path), None, "{path}");
        }
    }

    #[test]
    fn hierarchies_without_a_pod_yield_to_those_with_one() {
        let text = format!(
            "12:pids:/docker/{}\n1:name=systemd:/kubepods/pod{UID}/{}\n0::/\n",
            id('d'),
            id('a')
        );
        let place = locate(text.as_bytes()).unwrap().unwrap();
        assert_eq!((place.pod, place.container), in_pod('a').unwrap());
    }

    #[test]
    fn hierarchies_that_name_different_pods_or_containers_are_refused() {
        let (a, b) = (id('a'), id('b'));
        for text in [
            format!("1:pids:/kubepods/pod{UID}/{a}\n0::/kubepods/pod{OTHER}/{a}\n"),
            format!("1:pids:/kubepods/pod{UID}/{a}\n0::/kubepods/pod{UID}/{b}\n"),
            format!("1:pids:/docker/{a}\n0::/docker/{b}\n"),
        ] {
            assert_eq!(locate(text.as_bytes()), Err(PlaceError::Ambiguous));
        }
    }

    #[test]
    fn a_file_that_the_kernel_did_not_write_is_refused() {
        for text in ["0:/", "x", "0::/\nrubbish\n"] {
            assert_eq!(locate(text.as_bytes()), Err(PlaceError::Malformed));
        }
    }

    #[test]
    fn a_container_tells_whether_a_kubernetes_runtime_made_it() {
        let is_cri = |path: String| {
            locate(format!("0::{path}").as_bytes())
                .unwrap()
                .unwrap()
                .is_cri
        };
        assert!(is_cri(format!("/../crio-{}.scope", id('a'))));
        assert!(is_cri(format!("/../cri-containerd-{}.scope", id('a'))));
        assert!(!is_cri(format!("/docker/{}", id('a'))));
        assert!(!is_cri(format!("/system.slice/docker-{}.scope", id('a'))));
    }
}
