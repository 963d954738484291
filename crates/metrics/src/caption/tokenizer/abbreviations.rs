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
    "inc", "co", "cos", "corp", "ltd", "plc", "rt", "bancorp", "bhd", "assn", "univ", "intl", "sys", "bldg",
    "tel", "est", "ext", "sq", "jr", "sr", "bros", "ed.d", "ph.d", "esq", "etc", "al", "seq", "blvd", "rd",
];

/// Abbreviations that keep their period and mostly stand before a name; `mr.smith` is one word then.
#[rustfmt::skip]
pub(super) const BEFORE_NAMES: &[&str] = &[
    "mr", "mrs", "ms", "dr", "drs", "prof", "profs", "sen", "sens", "rep", "reps", "atty", "attys", "lt", "col", "gen", "messrs",
    "gov", "govs", "adm", "rev", "maj", "sgt", "cpl", "pvt", "capt", "st", "ste", "ave", "pres", "lieut", "hon", "brig", "cmdr",
    "comdr", "pfc", "spc", "supt", "supts", "det", "mt", "ft", "vs", "dept", "adj", "adv", "assoc", "ens", "insp", "mlle", "mme", "msgr", "sfc", "alex", "wm", "jos", "cie", "a.k.a", "cf",
    "treas", "asst", "ph", "invt", "elec", "natl",
];

/// Abbreviations of [`ABBREVIATIONS`]' kind of which one letter, at the place given, must be of the case given.
#[rustfmt::skip]
pub(super) const CASED: [(&str, usize); 19] = [
    ("Ark", 0), ("Az", 0), ("Del", 0), ("Ill", 0), ("La", 0), ("Mass", 0), ("Miss", 0), ("Ore", 0), ("Pa", 0), ("Tex", 0), ("Wash", 0),
    ("pty", 2), ("ptys", 2), ("pte", 2), ("ptes", 2), ("ppty", 3), ("pptys", 3), ("ppte", 3), ("pptes", 3),
];

/// The same for [`BEFORE_NAMES`]' kind.
pub(super) const CASED_BEFORE_NAMES: [(&str, usize); 2] = [("mfg", 1), ("mtg", 1)];

/// Abbreviations that keep their period only before a number.
pub(super) const BEFORE_NUMBERS: [&str; 10] = ["art", "bldg", "ca", "fig", "figs", "no", "nos", "op", "pp", "prop"];

/// Odd words that are tokens as they stand.
pub(super) const WHOLE: [&str; 11] =
    ["-lrb-", "-rrb-", "-lcb-", "-rcb-", "-lsb-", "-rsb-", "c.d.s", "pro-", "anti-", "s&p-500", "s&ls"];

/// Acronyms of two countries, without the last period.
pub(super) const COUNTRIES: [&str; 8] =
    ["canada-u.s", "sino-u.s", "korean-u.s", "eu-u.s", "japan-u.s", "non-u.s", "u.s.-u.k", "u.s.-u.s.s.r"];

/// Types of files by which a name of one is known.
#[rustfmt::skip]
pub(super) const FILE_TYPES: [&str; 35] = [
    "bat", "bmp", "c", "class", "cgi", "cpp", "dll", "doc", "docx", "exe", "gif", "gz", "h", "htm", "html", "jar", "java", "jpeg", "jpg",
    "mov", "mp3", "pdf", "php", "pl", "png", "ppt", "ps", "py", "sql", "tar", "txt", "wav", "x", "xml", "zip",
];

/// Words written together, and after how many letters they are cut.
pub(super) const CUT: [(&str, usize); 8] =
    [("cannot", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("gimme", 3), ("wanna", 3), ("'twas", 2), ("'tis", 2)];

/// Words with an apostrophe that stay whole; `'` is any apostrophe.
pub(super) const WITH_APOSTROPHE: [&str; 22] = [
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
    "c'est",
    "cap'n",
];

/// Words with a straight apostrophe that stay whole.
pub(super) const WITH_STRAIGHT_APOSTROPHE: [&str; 8] =
    ["cont'd.", "nor'easter", "c'mon", "e'er", "s'mores", "ev'ry", "li'l", "nat'l"];

/// Words that, after a space, begin a sentence: a single letter and a period before them are two tokens.
#[rustfmt::skip]
pub(super) const SENTENCE_STARTS: &[&str] = &[
    "A", "About", "According", "Additionally", "After", "An", "As", "At", "But", "Earlier", "He", "Her", "Here", "However", "If",
    "In", "It", "Last", "Many", "More", "Mr.", "Ms.", "Now", "Once", "One", "Other", "Our", "She", "Since", "So", "Some", "Such",
    "That", "The", "Then", "There", "These", "They", "This", "We", "What", "When", "While", "Yet", "You",
];
