//! Captions to tokens, as the COCO scorer makes them: Stanford's PTBTokenizer (CoreNLP 3.4.1, `-preserveLines -lowerCase`;
//! conventions of the Penn Treebank, Marcus et al. 1993), then punctuation is dropped.
//!
//! Its rules are for English. Other scripts go by Unicode 6's letters and by the combining marks that it knows: words of most are whole, those
//! of a script written without spaces are a sentence long, and marks it does not know part a word.
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
mod look_ahead;
mod marks;
mod markup;
mod numbers;
mod rules;
mod scan;
mod tables;
mod words;

use characters::{is_digit, is_letter_or_digit, is_space};
use look_ahead::Found;
use scan::Form;

/// The tokens the COCO scorer drops.
const PUNCTUATION: [&str; 13] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

const LONGEST_PUNCTUATION: usize = 3;

/// The characters of the next line that a rule may look at.
const BEYOND: usize = 64;

/// The tokens of a caption: lower case, without punctuation.
///
/// The next caption is taken to begin with `A`, as most do, where rules look at it. The few tokens in which the original keeps a space, such as `5 1/2`, are taken apart there, as all metrics but ROUGE-L take them.
/// Characters that are neither letters nor known symbols (emoji, for one) are left out.
///
/// ```
/// use candlewick_metrics::caption::tokenizer::tokenize;
/// assert_eq!(tokenize("A man's dog can't swim."), ["a", "man", "'s", "dog", "ca", "n't", "swim"]);
/// ```
pub fn tokenize(caption: &str) -> Vec<String> {
    words(&line(caption)).map(str::to_owned).collect()
}

/// The words of a line of tokens, which tokens with a space in them make two of.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(is_python_space).filter(|word| !word.is_empty())
}

/// What Python's `str.split` splits at.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}

/// A caption's tokens as [`tokenize`] gives them, joined by spaces: the line that the COCO scorer's tokenizer hands to its metrics.
///
/// A space inside a token is a no-break space here.
pub fn line(caption: &str) -> String {
    line_before(caption, "A dog")
}

/// A caption's tokens as in a file of captions, one a line, where `next` stands in the line below.
///
/// The scorer's tokenizer reads such a file, and some of its rules look beyond the end of a line: the period of a letter that ends a caption
/// (`at 5 °C.`) is a token of its own where the next one begins like a sentence (`A`, `The`).
pub(crate) fn line_before(caption: &str, next: &str) -> String {
    let spaced = |c| if c == '\n' { ' ' } else { c };
    let mut text: Vec<char> = caption.chars().map(spaced).chain(['\n']).collect();
    let length = text.len();
    text.extend(next.chars().take(BEYOND).map(spaced).chain(['\n']));
    let mut line = String::with_capacity(caption.len() + 16);
    let mut found = Found::before(&text);
    let mut at = 0;
    while at < length {
        if matches!(text[at], ' ' | '\t') {
            at += text[at..].iter().take_while(|&&c| is_space(c)).count();
            continue;
        }
        let token = rules::token_at(&text, at, &mut found);
        let end = token.end.clamp(at + 1, length);
        push(&mut line, &text[at..end], token.form);
        at = end;
    }
    let tokens = line.trim_end_matches(is_python_space).split(' ').skip(1);
    let mut kept = String::with_capacity(line.len());
    for (i, token) in
        tokens.filter(|token| token.len() > LONGEST_PUNCTUATION || !PUNCTUATION.contains(token)).enumerate()
    {
        if i > 0 {
            kept.push(' ');
        }
        kept.push_str(token);
    }
    kept
}

/// Appends a space and the token.
fn push(line: &mut String, characters: &[char], form: Form) {
    let plain = |c: &char| c.is_ascii() && !matches!(c, '(' | ')' | '&');
    if form == Form::Plain && characters.iter().all(plain) {
        line.push(' ');
        line.extend(characters.iter().map(char::to_ascii_lowercase));
        return;
    }
    let written: String = match form {
        Form::Nothing => return,
        Form::As(other) => other.to_owned(),
        Form::Joined | Form::Raw => characters.iter().map(|&c| if c == ' ' { '\u{A0}' } else { c }).collect(),
        Form::Plain => characters.iter().filter(|&&c| c != '\u{AD}').collect(),
        Form::Closing => characters
            .iter()
            .map(|&c| treebank_quote(c).map_or_else(|| c.to_string(), str::to_owned))
            .collect::<String>()
            .replace("&apos;", "'"),
    };
    // Of soft hyphens only.
    if written.is_empty() {
        return;
    }
    let mut written = lower(&written);
    if form != Form::Raw {
        written = written.replace('(', "-lrb-").replace(')', "-rrb-").replace("&amp;", "&");
    }
    line.push(' ');
    line.push_str(&written);
}

/// Lower case, where a capital sigma becomes a final one at a word's last letter; unlike in [`str::to_lowercase`], the parts of a word with
/// a hyphen are one word.
fn lower(text: &str) -> String {
    if !text.contains('Σ') {
        return text.to_lowercase();
    }
    let mark = |c: char| matches!(c, '-' | '_' | '.' | '\'');
    let joins = |c: char| is_letter_or_digit(c) || mark(c);
    let joined = |a: char, b: char| joins(a) == joins(b) && !(mark(a) && is_digit(b) || is_digit(a) && mark(b));
    let cased = |c: &char| c.is_lowercase() || c.is_uppercase();
    let text: Vec<char> = text.chars().collect();
    let mut written = String::new();
    for run in text.chunk_by(|&a, &b| joined(a, b)) {
        let (first, last) = (run.iter().position(cased), run.iter().rposition(cased));
        for (i, c) in run.iter().enumerate() {
            match c {
                'Σ' => written.push(if first < Some(i) && last == Some(i) { 'ς' } else { 'σ' }),
                _ => written.extend(c.to_lowercase()),
            }
        }
    }
    written
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
