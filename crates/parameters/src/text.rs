//! Tensor names in messages: escaped, shortened, listed.

/// A name as a message of one line shows it.
pub(crate) fn shown(name: &str) -> String {
    const LONGEST: usize = 120;
    let short: String = name.chars().take(LONGEST).collect();
    let more = if short.len() < name.len() { "…" } else { "" };
    if short.chars().any(char::is_control) { format!("{short:?}{more}") } else { short + more }
}

/// The first of these, and how many more there are: the message stays one readable line.
pub(crate) fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let first = names.iter().take(SHOWN).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{first} and {} more", names.len() - SHOWN) } else { first }
}
