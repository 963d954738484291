//! The nearest of known words by edit distance, for messages.

/// `; did you mean WORD?` with the known word of the least edit distance (Levenshtein 1966), or nothing where none is near.
pub fn nearest(word: &str, known: &[&str]) -> String {
    let best = known.iter().map(|known| (distance(word, known), known)).min();
    match best.filter(|(distance, _)| *distance <= (word.chars().count() / 3).max(1)) {
        Some((_, best)) => format!("; did you mean {best}?"),
        None => String::new(),
    }
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let changed = before + usize::from(letter != *other);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        let known = ["resnet18", "resnet50", "lstm"];
        assert_eq!(nearest("resnet5", &known), "; did you mean resnet50?");
        assert_eq!(nearest("lsmt", &known), "");
        assert_eq!(nearest("lst", &known), "; did you mean lstm?");
        assert_eq!(nearest("transformer", &known), "");
        assert_eq!(nearest("", &known), "");
    }
}
