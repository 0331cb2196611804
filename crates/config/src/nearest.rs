//! The known word that a misspelt one most likely meant.

/// The candidate with the smallest edit distance, if it is near enough to be a likely slip: at most
/// a third of the word, and at least one letter is allowed.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, changes and swaps of neighbours count one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_key_it_meant() {
        let keys = ["bind_port", "bind_address", "trust_domain", "data_dir"];
        assert_eq!(nearest("bind_prot", keys), Some("bind_port"));
        assert_eq!(nearest("TRUSTDOMAIN", keys), Some("trust_domain"));
        assert_eq!(nearest("bindaddress", keys), Some("bind_address"));
    }

    #[test]
    fn a_word_far_from_all_keys_gets_no_suggestion() {
        assert_eq!(nearest("colour", ["bind_port", "data_dir"]), None);
        assert_eq!(nearest("", ["bind_port"]), None);
    }

    #[test]
    fn distance_counts_a_swap_as_one() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
