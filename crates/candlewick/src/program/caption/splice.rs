//! Edits of a text that leave all else of it as it is.

use std::ops::Range;

/// The text with each range replaced; ranges do not overlap.
pub fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut edited = String::with_capacity(text.len());
    let mut done = 0;
    for (range, new) in edits {
        edited += text.get(done..range.start).unwrap_or_default();
        edited += &new;
        done = range.end;
    }
    edited += text.get(done..).unwrap_or_default();
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_edited_stays() {
        let edits = vec![(4..5, "X".to_owned()), (1..3, String::new()), (0..0, "<".to_owned()), (6..6, ">".to_owned())];
        assert_eq!(splice("abcdef", edits), "<adXf>");
    }
}
