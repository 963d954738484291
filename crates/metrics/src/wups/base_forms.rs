//! The words that a noun may be a form of, as WordNet's own program finds them (morphy): exceptions, then endings.

use std::collections::HashMap;

/// What ends a plural, and what may stand there in the singular.
const ENDINGS: [(&str, &str); 9] = [
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
];

/// The nouns that `word` may be a form of, itself first, of those that `known` knows.
pub(super) fn base_forms(
    word: &str,
    exceptions: &HashMap<String, Vec<String>>,
    known: impl Fn(&str) -> bool,
) -> Vec<String> {
    let itself = || std::iter::once(word.to_owned());
    if let Some(listed) = exceptions.get(word) {
        return of_known(itself().chain(listed.iter().cloned()), &known);
    }
    let mut forms = shortened(&[word.to_owned()]);
    let mut found = of_known(itself().chain(forms.iter().cloned()), &known);
    // Each ending makes a word shorter or is not there any more afterwards, so this comes to an end.
    while found.is_empty() && !forms.is_empty() {
        forms = shortened(&forms);
        found = of_known(forms.iter().cloned(), &known);
    }
    found
}

fn shortened(words: &[String]) -> Vec<String> {
    let one = |word: &String| -> Vec<String> {
        let stems = ENDINGS.iter().filter_map(|(end, other)| Some(format!("{}{other}", word.strip_suffix(end)?)));
        stems.collect()
    };
    words.iter().flat_map(one).collect()
}

fn of_known(words: impl Iterator<Item = String>, known: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for word in words.filter(|word| known(word)) {
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_come_first_and_endings_are_taken_off_until_a_word_is_known() {
        let exceptions = HashMap::from([("geese".to_owned(), vec!["goose".to_owned()])]);
        let known = ["goose", "box", "boxe", "man", "church", "city", "glass", "glasses", "leaf", "bus"];
        let told = |word: &str| base_forms(word, &exceptions, |form| known.contains(&form)).join(" ");
        assert_eq!([told("geese"), told("churches"), told("men"), told("cities")], ["goose", "church", "man", "city"]);
        assert_eq!([told("boxes"), told("glasses"), told("leaves")], ["boxe box", "glasses glass", "leaf"]);
        assert_eq!([told("busess"), told("s"), told(""), told("horses")], ["bus", "", "", ""]);
    }
}
