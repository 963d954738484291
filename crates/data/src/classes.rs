//! The names of a set's classes, and which of them a label is.

use std::collections::BTreeSet;

/// The different names: numbers by size where all are numbers, otherwise by letters.
pub(crate) fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
    let mut sorted: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    if numbers.is_some() {
        sorted.sort_by_key(|name| name.parse::<i64>().ok());
    }
    sorted
}

/// The place of a name among the classes.
pub(crate) fn place(classes: &[String], name: &str) -> Option<u32> {
    (0..).zip(classes).find(|(_, class)| *class == name).map(|(place, _)| place)
}

/// What is wrong with classes to tell apart, where there are fewer than two.
pub(crate) fn too_few(classes: &[String]) -> Option<String> {
    match classes {
        [] => Some("has nothing with a label to train on".to_owned()),
        [one] => Some(format!("has one class, {one}; a classifier wants two")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_order_and_names_in_theirs() {
        let classes = sorted(["10", "9", "1", "10"]);
        assert_eq!(
            (classes.join(" "), place(&classes, "10"), place(&classes, "2")),
            ("1 9 10".to_owned(), Some(2), None)
        );
        assert_eq!(sorted(["b", "a", "10", "9"]).join(" "), "10 9 a b");
        assert_eq!(too_few(&classes), None);
        assert_eq!(too_few(&classes[..1]).unwrap_or_default(), "has one class, 1; a classifier wants two");
    }
}
