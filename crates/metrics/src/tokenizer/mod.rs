//! English captions to tokens, as the COCO scorer makes them: Stanford's PTBTokenizer (CoreNLP 3.4.1, `-preserveLines -lowerCase`;
//! conventions of the Penn Treebank, Marcus et al. 1993), then punctuation is dropped.
//!
//! Contractions come apart (`don't` → `do n't`, `man's` → `man 's`, `cannot` → `can not`), hyphenated and slashed words stay whole
//! (`t-shirt`, `and/or`), abbreviations keep their period (`mr.`, `u.s.`), symbols are tokens of their own.
//!
//! Two things may surprise, and are so in the scorer: round brackets are not dropped but become the tokens `-lrb-` and `-rrb-`, since
//! its list of punctuation has them in capitals only; and a period before a comma stays with the word (`dog.,` → `dog.`).

mod abbreviations;
mod addresses;
mod characters;
mod compounds;
mod marks;
mod numbers;
mod rules;
mod words;

use rules::Form;

/// The tokens the COCO scorer drops.
const PUNCTUATION: [&str; 13] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

/// The tokens of a caption: lower case, without punctuation.
///
/// Of the few tokens in which the original keeps a space, such as `5 1/2`, the parts are tokens here. Characters that are neither
/// letters nor known symbols (emoji, for one) are left out.
///
/// ```
/// use candlewick_metrics::tokenizer::tokenize;
/// assert_eq!(tokenize("A man's dog can't swim."), ["a", "man", "'s", "dog", "ca", "n't", "swim"]);
/// ```
pub fn tokenize(caption: &str) -> Vec<String> {
    // Some rules look at what follows; a caption is a line, so its end is a newline.
    let text: Vec<char> = caption.chars().chain(['\n']).collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let token = rules::token_at(&text, at);
        let end = token.end.clamp(at + 1, text.len());
        push(&mut tokens, &text[at..end], token.form);
        at = end;
    }
    tokens
}

fn push(tokens: &mut Vec<String>, characters: &[char], form: Form) {
    let written: String = match form {
        Form::Nothing => return,
        Form::As(other) => other.to_owned(),
        Form::Plain => characters.iter().filter(|&&c| c != '\u{AD}').collect(),
        Form::Closing => {
            characters.iter().map(|&c| treebank_quote(c).map_or_else(|| c.to_string(), str::to_owned)).collect()
        }
    };
    let written = written.to_lowercase().replace('(', "-lrb-").replace(')', "-rrb-").replace("&amp;", "&");
    let kept = written.split_whitespace().filter(|token| !PUNCTUATION.contains(token));
    tokens.extend(kept.map(str::to_owned));
}

/// A quotation mark in the treebank's form; a few have none.
fn treebank_quote(quote: char) -> Option<&'static str> {
    match quote {
        '\u{91}' | '‘' | '‛' | '‹' => Some("`"),
        '\u{92}' | '’' | '›' => Some("'"),
        '\u{93}' | '“' | '«' => Some("``"),
        '\u{94}' | '”' | '»' => Some("''"),
        _ => None,
    }
}
