//! Each property on small texts.
#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn marking(name: &str, text: &str) -> Marking {
    properties(text).into_iter().find(|property| property.name == name).unwrap().marking
}

/// `x` under each character that a property holds of, `.` under the others.
fn under(marking: Marking) -> String {
    let Marking::Yes(marks) = marking else { panic!("it is a number") };
    marks.into_iter().map(|mark| if mark { 'x' } else { '.' }).collect()
}

fn marked(name: &str, text: &str, wanted: &str) {
    assert_eq!(under(marking(name, text)), wanted, "{name} of {text:?}");
}

fn numbers(name: &str, text: &str, wanted: &[usize]) {
    let Marking::Number(found) = marking(name, text) else { panic!("{name} is no number") };
    let wanted: Vec<f32> = wanted.iter().map(|&number| number as f32).collect();
    assert_eq!(found, wanted, "{name} of {text:?}");
}

#[test]
fn quotes_heal_at_a_blank_line() {
    marked("quotes", "a \"bc\" d", "...xx...");
    marked("quotes", "\"a\nb\" \"c", ".xxx...x");
    // A paragraph that is spoken on has no mark at its end, and the next one has one at its beginning.
    marked("quotes", "\"ab\n\n\"cd\" e", ".xxx..xx...");
}

#[test]
fn comments_strings_and_conditions_are_those_of_c() {
    marked("comment", "a /* \"b\" */ c // d\ne", "....xxxxxx......xx..");
    marked("string", "f(\"a\\\"b\", '\"', \"c\")", "...xxxx.........x..");
    marked("if", "if (a(b) && c) d", "....xxxxxxxxx...");
    marked("if", "elif (a) if(b) x", "............x...");
    marked("if", "if (a /* ) */\n) ;", "....xxxxxxxxxx...");
    marked("if", "if (a\n\nif (b)", "....xx.....x.");
    marked("if", "\"if (a)\" iff (b)", "................");
}

#[test]
fn indentation_is_known_as_far_as_it_is_read() {
    numbers("indentation", " \ta\n  b c\nd", &[1, 8, 8, 8, 1, 2, 2, 2, 2, 2, 0]);
    numbers("indentation", "\t\t a", &[8, 16, 17, 17]);
    numbers("indentation", "\ta\n\nb", &[8, 8, 8, 8, 0]);
}

#[test]
fn braces_count_from_the_character_after_them() {
    numbers("braces", "a{b{c}d}e", &[0, 0, 1, 1, 2, 1, 1, 0, 0]);
    numbers("braces", "\\{a{\"}\"}", &[0, 0, 0, 0, 1, 1, 1, 0]);
    numbers("braces", "}a", &[0, 0]);
    // One more was opened than is closed, in a branch that is not compiled.
    numbers("braces", "{\n{a\n}\nb{", &[0, 1, 1, 2, 2, 0, 0, 0, 0]);
    numbers("braces", "\\\\{a", &[0, 0, 0, 1]);
}

#[test]
fn a_line_is_counted_from_its_beginning_and_its_end() {
    numbers("position", "ab\n\nc", &[1, 2, 0, 0, 1]);
    marked("line end", "abcdefghijkl\nab\nabc", "..xxxxxxxxxx.xx....");
}

#[test]
fn words_are_letters_and_digits() {
    marked("word", "Ärger_2, x-y", "xxxxxxx..x.x");
}

#[test]
fn capital_lines_are_headings_and_speakers() {
    marked("capital line", "First Citizen:\nWe are\n", "xxxxxxxxxxxxxx........");
    marked("capital line", "a\n\nROMEO: \nAh:\n", "...xxxxxxx.....");
    marked("capital line", "CHAPTER II\nI\n", "xxxxxxxxxx...");
}

#[test]
fn formulas_heal_at_a_blank_line() {
    marked("math", "a $x+1$ b", "...xxx...");
    marked("math", "$$x$$ \\$ $y$ \\\\$z$", "..x.......x.....x.");
    marked("math", "$x\n\n$y$", ".xx..x.");
    marked("math", "$x$$y$z", ".x..x..");
}

#[test]
fn a_regular_expression_marks_the_characters_of_its_matches() {
    let pattern = Pattern::new("ends", "é+$|^a").unwrap();
    assert_eq!(under(pattern.property("ab éé\nac é").marking), "x..xx.x..x");
    assert_eq!(pattern.property("").marking, Marking::Yes(vec![]));
    let error = Pattern::new("ends", "(a").unwrap_err().to_string();
    assert!(error.contains("ends=(a") && error.contains("unclosed group") && !error.contains('\n'), "{error}");
}

#[test]
fn every_property_has_a_value_for_every_character() {
    for text in ["", "\n", "a \"b\n$c$ {/*é", "if (\n\n}"] {
        for property in properties(text) {
            assert_eq!(property.marking.values().len(), text.chars().count(), "{} of {text:?}", property.name);
        }
    }
    let names = property_names();
    assert_eq!(names.len(), properties("").len());
}
