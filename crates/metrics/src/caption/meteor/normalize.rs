//! METEOR's own tokenisation (its option `-norm`, which the COCO scorer gives): applied on top of PTB tokens it splits what those keep whole.
//!
//! Hyphenated words come apart (`t-shirt` → `t shirt`), so do other symbols inside words, acronyms lose their periods (`u.s.` → `us`),
//! and an apostrophe goes with the letters after it (`n't` → `n 't`). Based on the Moses tokenizer (Koehn et al. 2007).

/// Stands for a period of an ellipsis while other periods are looked at; private use, so no caption has it.
const ELLIPSIS_PERIOD: char = '\u{E000}';

/// Lower-case abbreviations that keep their period wherever they stand; longer ones with inner periods lose theirs.
const ABBREVIATIONS: [&str; 3] = ["rev", "v", "vs"];
/// An abbreviation that keeps its period before a number: "pp. 3".
const BEFORE_NUMBERS: &str = "pp";

/// METEOR's tokens of a caption that is given as lower-case tokens.
pub(super) fn normalize(tokens: &[String]) -> Vec<String> {
    let mut text: Vec<char> = Vec::new();
    text.push(' ');
    text.extend(tokens.join(" ").chars());
    text.push(' ');
    let mut text = separate_symbols(&text);
    text = set_ellipses_apart(&text);
    text = set_commas_apart(text);
    text = unify_quotes_and_dashes(&text);
    text = rewrite(&text, |a| is_alphanumeric(a) || a == '.', '-', is_alphanumeric, &[' ']);
    text = split_apostrophes(text);
    let text: String = text.into_iter().collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut result = Vec::with_capacity(words.len());
    for (i, word) in words.iter().enumerate() {
        push_word(&mut result, word, words.get(i + 1).copied());
    }
    result.iter().map(|word| word.replace(ELLIPSIS_PERIOD, ".").to_lowercase()).collect()
}

fn is_letter(c: char) -> bool {
    matches!(c,
        'A'..='Z' | 'a'..='z' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ž' | '\u{400}'..='\u{527}' | '\u{A640}'..='\u{A66E}'
        | '\u{A67E}'..='\u{A697}' | '\u{1D00}'..='\u{1D7F}')
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_digit() || is_letter(c)
}

fn separate_symbols(text: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len() + 8);
    for &c in text {
        let stays =
            is_alphanumeric(c) || c.is_ascii_whitespace() || matches!(c, '.' | '\'' | '`' | ',' | '-' | '‘' | '’');
        if stays { out.push(c) } else { out.extend([' ', c, ' ']) }
    }
    out
}

fn set_ellipses_apart(text: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    for run in text.chunk_by(|a, b| *a == '.' && *b == '.') {
        if run.len() > 1 {
            out.push(' ');
            out.extend(run.iter().map(|_| ELLIPSIS_PERIOD));
            out.push(' ');
        } else {
            out.extend(run);
        }
    }
    out
}

fn set_commas_apart(mut text: Vec<char>) -> Vec<char> {
    let digit = |c: char| c.is_ascii_digit();
    let other = |c: char| !c.is_ascii_digit();
    let comma = [' ', ',', ' '];
    text = rewrite(&text, other, ',', other, &comma);
    text = rewrite(&text, digit, ',', other, &comma);
    rewrite(&text, other, ',', digit, &comma)
}

fn unify_quotes_and_dashes(text: &[char]) -> Vec<char> {
    let text: String = text
        .iter()
        .map(|&c| match c {
            '`' | '‘' | '’' => '\'',
            '–' => '-',
            '“' | '”' => '"',
            other => other,
        })
        .collect();
    text.replace("''", " \" ").replace("--", "-").chars().collect()
}

fn split_apostrophes(mut text: Vec<char>) -> Vec<char> {
    let other = |c: char| !is_letter(c);
    let alone = [' ', '\'', ' '];
    let with_next = [' ', '\''];
    text = rewrite(&text, other, '\'', other, &alone);
    text = rewrite(&text, |c| !is_letter(c) && !c.is_ascii_digit(), '\'', is_letter, &alone);
    text = rewrite(&text, is_letter, '\'', other, &alone);
    text = rewrite(&text, is_letter, '\'', is_letter, &with_next);
    rewrite(&text, |c| c.is_ascii_digit(), '\'', |c| c == 's', &with_next)
}

/// Puts `new` for each `middle` between two characters that fit. Like a regular expression's replacement it takes three characters at
/// a time, so that in "a-b-c" only the first hyphen is seen.
fn rewrite(
    text: &[char],
    left: impl Fn(char) -> bool,
    middle: char,
    right: impl Fn(char) -> bool,
    new: &[char],
) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut rest = text;
    while let [first, after @ ..] = rest {
        out.push(*first);
        rest = after;
        if let [m, r, tail @ ..] = after
            && *m == middle
            && left(*first)
            && right(*r)
        {
            out.extend(new);
            out.push(*r);
            rest = tail;
        }
    }
    out
}

/// Appends a word, its final period kept, dropped or set apart.
fn push_word(words: &mut Vec<String>, word: &str, next: Option<&str>) {
    let next = next.and_then(|word| word.chars().next());
    match word.strip_suffix('.').filter(|stem| !stem.is_empty()) {
        Some(stem) if stem.contains('.') && stem.chars().any(is_letter) => words.push(word.replace('.', "")),
        Some(stem) => {
            let number = next.is_some_and(|c| c.is_ascii_digit());
            let keeps = ABBREVIATIONS.contains(&stem)
                || next.is_some_and(|c| c.is_ascii_lowercase())
                || (stem == BEFORE_NUMBERS && number);
            if keeps {
                words.push(word.to_owned());
            } else {
                words.extend([stem.to_owned(), ".".to_owned()]);
            }
        }
        None => words.push(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn known_cases() {
        let cases = [
            ("a man in a t-shirt", "a man in a t shirt"),
            ("state-of-the-art", "state of the art"),
            ("a-b-c", "a b-c"),
            ("he does n't", "he does n 't"),
            ("the man 's dog", "the man ' s dog"),
            ("don't", "don 't"),
            ("the u.s. flag", "the us flag"),
            ("mr. smith", "mr. smith"),
            ("at the st.", "at the st ."),
            ("1,000 people", "1,000 people"),
            ("red,blue", "red , blue"),
            ("and/or", "and / or"),
            ("3.5 miles", "3.5 miles"),
            ("wait ... what", "wait ... what"),
            ("AT&T", "at & t"),
            ("1990's", "1990 's"),
            ("# 5 $ 6", "# 5 $ 6"),
            ("", ""),
        ];
        for (text, expected) in cases {
            let tokens: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            assert_eq!(normalize(&tokens).join(" "), expected, "{text}");
        }
    }
}
