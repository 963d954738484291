//! Captions and their tokens as CoreNLP 3.4.1's PTBTokenizer gives them (`-preserveLines -lowerCase`), less the punctuation the COCO scorer drops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_metrics::caption::tokenizer::{line, tokenize};
use candlewick_testing::json;

#[rustfmt::skip]
const CAPTIONS: &[(&str, &str)] = &[
    ("A man's dog.", "a man 's dog"),
    ("The dogs' toys", "the dogs toys"),
    ("He doesn't run.", "he does n't run"),
    ("I can't swim and won't try", "i ca n't swim and wo n't try"),
    ("She's sure it's theirs, they're late", "she 's sure it 's theirs they 're late"),
    ("You'll see I've been; I'd say I'm there", "you 'll see i 've been i 'd say i 'm there"),
    ("A dog cannot climb.", "a dog can not climb"),
    ("They're gonna jump, they wanna run", "they 're gon na jump they wan na run"),
    ("He's gotta go", "he 's got ta go"),
    ("'Tis a dog", "'t is a dog"),
    ("y'all come", "y' all come"),
    ("It's 5 o'clock.", "it 's 5 o'clock"),
    ("The boys' mother-in-law", "the boys mother-in-law"),
    ("A man in a red t-shirt", "a man in a red t-shirt"),
    ("A two-year-old girl", "a two-year-old girl"),
    ("A dog - a black one - runs", "a dog a black one runs"),
    ("A dog -- a black one -- runs", "a dog a black one runs"),
    ("A dog – a black one — runs", "a dog a black one runs"),
    ("A half-eaten sandwich and/or salad", "a half-eaten sandwich and/or salad"),
    ("A bus w/ two doors w/o seats", "a bus w / two doors w/o seats"),
    ("The year 1990/91", "the year 1990/91"),
    ("3.5 miles", "3.5 miles"),
    ("1,000 people", "1,000 people"),
    ("At 10:30 in the morning", "at 10:30 in the morning"),
    ("At 10:30am", "at 10:30 am"),
    ("At 5 p.m. they eat.", "at 5 p.m. they eat"),
    ("A 1/2 full glass", "a 1/2 full glass"),
    ("2 1/2 dogs", "2 1/2 dogs"),
    ("½ a cake", "1/2 a cake"),
    ("24/7 store", "24/7 store"),
    ("50% off", "50 % off"),
    ("It costs $5.00 or £3 or €4", "it costs $ 5.00 or # 3 or $ 4"),
    ("Player #5 runs", "player # 5 runs"),
    ("The No. 5 bus", "the no. 5 bus"),
    ("No. It is not.", "no it is not"),
    ("Mr. and Mrs. Smith", "mr. and mrs. smith"),
    ("Dr. Smith lives on Main St. in the U.S.", "dr. smith lives on main st. in the u.s."),
    ("The u.s. flag", "the u.s. flag"),
    ("A store by Smith Inc. in town", "a store by smith inc. in town"),
    ("Cats, dogs, etc.", "cats dogs etc."),
    ("e.g. a dog", "e.g. a dog"),
    ("a dog vs. a cat", "a dog vs. a cat"),
    ("AT&T sign", "at&t sign"),
    ("A black & white cat", "a black & white cat"),
    ("R&B singer", "r&b singer"),
    ("A B&W photo", "a b&w photo"),
    ("salt&pepper", "salt & pepper"),
    ("\"Stop\" sign", "stop sign"),
    ("A sign that says \"stop\".", "a sign that says stop"),
    ("A sign says 'stop'.", "a sign says stop"),
    ("A sign says “stop”.", "a sign says stop"),
    ("It’s a dog’s life", "it 's a dog 's life"),
    ("A man (in red) runs", "a man -lrb- in red -rrb- runs"),
    ("A man [in red] {and blue}", "a man -lsb- in red -rsb- -lcb- and blue -rcb-"),
    ("Wait... what?", "wait what"),
    ("Wait… what?", "wait what"),
    ("What?! No!!!", "what ?! no !!!"),
    ("www.foo.com is on the sign", "www.foo.com is on the sign"),
    ("See http://foo.com/bar.", "see http://foo.com/bar"),
    ("mail me@foo.com", "mail me@foo.com"),
    ("a sign with @home and #tag", "a sign with @home and #tag"),
    ("A * star and a_b", "a * star and a_b"),
    ("a+b = c", "a + b = c"),
    ("the 1990's", "the 1990 's"),
    ("the 1990s and the '90s", "the 1990s and the '90s"),
    ("A 4x4 truck and a 3-D movie", "a 4x4 truck and a 3-d movie"),
    ("A café on the beach", "a café on the beach"),
    ("A dog,a cat;a bird", "a dog a cat a bird"),
    ("a dog.A cat", "a dog.a cat"),
    ("A man  with   spaces", "a man with spaces"),
    ("A ½-full glass at 90°", "a 1/2 full glass at 90 °"),
    ("rock 'n' roll", "rock 'n' roll"),
    ("A 6'2\" man", "a 6 2 man"),
    ("J. K. Rowling", "j. k. rowling"),
    ("A plane over St. Louis", "a plane over st. louis"),
    ("the 2nd man and 1st dog", "the 2nd man and 1st dog"),
    ("Jr.'s toy", "jr. 's toy"),
    ("A smiley :) and a heart <3", "a smiley :-rrb- and a heart < 3"),
    ("A sign: \"Fish & Chips\"", "a sign fish & chips"),
    ("dog/cat/bird", "dog/cat/bird"),
    ("AN UPPER CASE CAPTION.", "an upper case caption"),
];

#[test]
fn captions_become_the_tokens_of_ptbtokenizer() {
    for (caption, tokens) in CAPTIONS {
        assert_eq!(tokenize(caption).join(" "), *tokens, "{caption}");
    }
}

#[test]
fn captions_of_every_script_become_the_lines_of_ptbtokenizer() {
    let fixture: Vec<(String, String)> = json("tokens.json");
    assert!(fixture.len() > 300);
    for (caption, wanted) in fixture {
        assert_eq!(line(&caption), wanted, "{caption:?}");
    }
}

#[test]
fn paths_and_degrees() {
    assert_eq!(line("see www.example.com/cats."), "see www.example.com/cats");
    assert_eq!(line("it is cold at -10 °C."), "it is cold at -10 ° c");
}

#[test]
fn a_line_end_in_a_caption_is_a_space() {
    assert_eq!(tokenize("a dog\nruns\r\non\u{2028}grass\n"), ["a", "dog", "runs", "on", "grass"]);
    assert_eq!(line("5\n1/2 cups"), "5\u{A0}1/2 cups");
}

#[test]
fn tokenising_tokens_changes_nothing_in_plain_captions() {
    for caption in ["a man 's dog", "two dogs do n't run", "a t-shirt and a red-haired girl", "mr. smith 's 3.5 miles"]
    {
        assert_eq!(tokenize(caption).join(" "), caption);
    }
}

#[test]
fn odd_input_is_no_trouble() {
    assert!(tokenize("").is_empty());
    assert!(tokenize(" \t\n . ... -- \u{200B}").is_empty());
    assert_eq!(tokenize("😀 a dog👍 runs\n"), ["a", "dog", "runs"]);
    // Every short string of the characters that rules look at, at any place: no panic, and no token with a space or nothing in it.
    let alphabet =
        ['a', 'N', 't', '5', '.', '\'', '’', '-', '/', '&', '<', '>', '(', ')', '@', '"', ' ', ':', '$', '#', ';', 'é'];
    for i in 0..alphabet.len().pow(4) {
        let text: String = (0..4).map(|k| alphabet[i / alphabet.len().pow(k) % alphabet.len()]).collect();
        for token in tokenize(&text) {
            assert!(!token.is_empty() && !token.contains(char::is_whitespace), "{text:?}");
        }
    }
}

/// What begins like a token that reaches far, over and over.
#[rustfmt::skip]
const REPEATED: [&str; 58] = [
    "a", "a.", "a-", "a b ", "5", "5.", "'", "(", "<a ", "a@", "a/", "&", "A&", ":", "1:", "a'", "‘", ".", "!", "-", "+", "no..", "a,", "0a.",
    "www.", "www.1-", "http://", "a.com", "a.com/", "<!a", "<a b=\"x ", "&#1", "&apos;", "&eacute;", "&lt;a", "no. ", "a. ", "x.[^x=", "\\*", "A$",
    "5 1/2 ", "555-1234 ", "हि", "न्-", "Σ-", "中-", "\u{AD}", "\u{AD}a", "a\u{301}", "é.", "😀", "\0", "\u{FEFF}", "\t", "\u{A0}", "\r", "@.", "a,a-",
];

#[test]
fn a_long_caption_takes_time_that_grows_with_its_length() {
    let start = std::time::Instant::now();
    for unit in REPEATED {
        assert!(tokenize(&unit.repeat(50_000 / unit.chars().count())).len() <= 50_000, "{unit}");
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    let words: String = "a dog runs on a beach, ".repeat(43_479);
    assert_eq!(tokenize(&words).len(), 6 * 43_479);
}
