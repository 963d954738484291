//! Words with habits: abbreviations that keep their period, and words that are cut in two. All are lower case; looked up without regard to case.

/// Abbreviations that keep their period wherever they stand.
#[rustfmt::skip]
pub(super) const ABBREVIATIONS: &[&str] = &[
    // months and days
    "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "mon", "tue", "tues", "wed", "thu", "thurs", "fri",
    // states
    "ala", "ariz", "calif", "colo", "conn", "ct", "dak", "fla", "ga", "ind", "kan", "kans", "ky", "md", "mich", "minn", "mo",
    "mont", "neb", "nev", "okla", "penn", "tenn", "va", "vt", "wis", "wisc", "wyo",
    // companies and suffixes of names
    "inc", "co", "cos", "corp", "pty", "ptys", "ppty", "pptys", "ltd", "plc", "rt", "bancorp", "bhd", "assn", "univ", "intl", "sys",
    "tel", "est", "ext", "sq", "jr", "sr", "bros", "ed.d", "ph.d", "esq", "etc", "al", "seq", "blvd", "rd", "dept",
];

/// Abbreviations that keep their period and mostly stand before a name; `mr.smith` is one word then.
#[rustfmt::skip]
pub(super) const BEFORE_NAMES: &[&str] = &[
    "mr", "mrs", "ms", "dr", "drs", "prof", "profs", "sen", "sens", "rep", "reps", "atty", "attys", "lt", "col", "gen", "messrs",
    "gov", "govs", "adm", "rev", "maj", "sgt", "cpl", "pvt", "capt", "st", "ste", "ave", "pres", "lieut", "hon", "brig", "cmdr",
    "comdr", "pfc", "spc", "supt", "supts", "det", "mt", "ft", "mft", "mfg", "vs", "alex", "wm", "jos", "cie", "a.k.a", "cf",
    "treas", "asst", "ph", "invt", "elec", "natl", "pp",
];

/// Abbreviations that keep their period only with a capital: they are words of their own otherwise.
pub(super) const CAPITALISED: [&str; 11] =
    ["Ark", "Az", "Del", "Ill", "La", "Mass", "Miss", "Ore", "Pa", "Tex", "Wash"];

/// Abbreviations that keep their period only before a number.
pub(super) const BEFORE_NUMBERS: [&str; 11] =
    ["art", "arts", "bldg", "ca", "fig", "figs", "no", "nos", "op", "para", "prop"];

/// Odd words that are tokens as they stand.
pub(super) const WHOLE: [&str; 11] =
    ["-lrb-", "-rrb-", "-lcb-", "-rcb-", "-lsb-", "-rsb-", "c.d.s", "pro-", "anti-", "s&p-500", "s&ls"];

/// Words written together, and after how many letters they are cut.
pub(super) const CUT: [(&str, usize); 8] =
    [("cannot", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("gimme", 3), ("wanna", 3), ("'twas", 2), ("'tis", 2)];

/// Words with an apostrophe that stay whole; `'` is any apostrophe.
pub(super) const WITH_APOSTROPHE: [&str; 20] = [
    "'n",
    "'n'",
    "'em",
    "'til",
    "'till",
    "'cause",
    "'20s",
    "'30s",
    "'40s",
    "'50s",
    "'60s",
    "'70s",
    "'80s",
    "'90s",
    "dunkin'",
    "somethin'",
    "ol'",
    "l'",
    "d'",
    "j'",
];

/// Words with a straight apostrophe that stay whole.
pub(super) const WITH_STRAIGHT_APOSTROPHE: [&str; 9] =
    ["cont'd.", "nor'easter", "c'mon", "e'er", "s'mores", "ev'ry", "li'l", "nat'l", "cap'n"];

/// Words that, after a space, begin a sentence: a single letter and a period before them are two tokens.
#[rustfmt::skip]
pub(super) const SENTENCE_STARTS: &[&str] = &[
    "A", "About", "According", "Additionally", "After", "An", "As", "At", "But", "Earlier", "He", "Her", "Here", "However", "If",
    "In", "It", "Last", "Many", "More", "Mr.", "Ms.", "Now", "Once", "One", "Other", "Our", "She", "Since", "So", "Some", "Such",
    "That", "The", "Then", "There", "These", "They", "This", "We", "What", "When", "While", "Yet", "You",
];
