//! WordNet's nouns (Miller 1995, "WordNet: A Lexical Database for English") and the Wu–Palmer similarity of two of them.
//!
//! With s the lowest synset that is above both a and b or one of them (Wu and Palmer 1994, "Verbs Semantics and Lexical Selection"):
//!
//! ```text
//! WUP(a, b) = 2 · depth(s) / (d(a, s) + d(b, s) + 2 · depth(s))
//! ```
//!
//! As in NLTK, d is the shortest way up, `depth` the longest way to the root with both ends counted, and s is the common one whose
//! shortest way to the root is longest; of several the first by name.

use super::Error;
use super::base_forms::base_forms;
use super::files::Text;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

/// WordNet's nouns: what is a kind of what.
#[derive(Debug)]
pub struct WordNet {
    synsets: Vec<Synset>,
    /// The places in `synsets` of a word's senses.
    senses: HashMap<String, Vec<usize>>,
    exceptions: HashMap<String, Vec<String>>,
}

/// Words of one meaning.
#[derive(Debug)]
struct Synset {
    /// The first word.
    lemma: String,
    above: Vec<usize>,
    /// Steps to the root on the shortest way.
    shortest: usize,
    /// Steps to the root on the longest way.
    longest: usize,
}

impl WordNet {
    /// Opens the folder with `index.noun`, `data.noun` and `noun.exc`, each as it is or gzipped; takes about a second.
    ///
    /// # Errors
    /// When a file is missing or cannot be read, or a line is not as WordNet's format asks; the message names it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (data, index) = (Text::read(folder, "data.noun")?, Text::read(folder, "index.noun")?);
        let lines = data.synsets()?;
        let places: HashMap<u32, usize> = (0..).zip(&lines).map(|(place, line)| (line.offset, place)).collect();
        let find = |text: &Text, line: usize, offsets: &[u32]| -> Result<Vec<usize>, Error> {
            let place = |offset: &u32| {
                places.get(offset).copied().ok_or_else(|| {
                    text.fault(
                        line,
                        format!("names the synset {offset:08}, which {} does not have", data.path.display()),
                    )
                })
            };
            offsets.iter().map(place).collect()
        };
        let mut synsets = Vec::with_capacity(lines.len());
        for line in &lines {
            let above = find(&data, line.number, &line.hypernyms)?;
            synsets.push(Synset { lemma: line.lemma.clone(), above, shortest: 0, longest: 0 });
        }
        if let Some(circle) = measure_depths(&mut synsets) {
            return Err(data.fault(lines[circle].number, "leads back to itself by its hypernyms"));
        }
        let mut senses = HashMap::new();
        for line in index.senses()? {
            senses.insert(line.lemma, find(&index, line.number, &line.offsets)?);
        }
        Ok(Self { synsets, senses, exceptions: Text::read(folder, "noun.exc")?.exceptions() })
    }

    /// Whether the word, or one that it is a form of, is a noun.
    pub fn knows(&self, word: &str) -> bool {
        !self.synsets_of(&normal(word)).is_empty()
    }

    /// WUP of the two senses of the words that are most alike: 1 for equal words, 0 where one of two others is no noun.
    ///
    /// The size of letters, and whether spaces are underscores, says nothing.
    pub fn similarity(&self, a: &str, b: &str) -> f64 {
        let (a, b) = (normal(a), normal(b));
        if a == b {
            return 1.0;
        }
        let others: Vec<Ancestors> = self.synsets_of(&b).into_iter().map(|synset| self.ancestors(synset)).collect();
        let mut best = 0.0;
        for synset in self.synsets_of(&a) {
            let own = self.ancestors(synset);
            best = others.iter().map(|other| self.wup(&own, other)).fold(best, f64::max);
        }
        best
    }

    /// The senses of a word and of those that it is a form of.
    fn synsets_of(&self, word: &str) -> Vec<usize> {
        let forms = base_forms(word, &self.exceptions, |form| self.senses.contains_key(form));
        forms.iter().filter_map(|form| self.senses.get(form)).flatten().copied().collect()
    }

    /// A synset and all above it.
    fn ancestors(&self, synset: usize) -> Ancestors {
        let mut steps = BTreeMap::from([(synset, 0)]);
        let mut queue = VecDeque::from([(synset, 0)]);
        while let Some((one, distance)) = queue.pop_front() {
            for &above in &self.synsets[one].above {
                if let Entry::Vacant(first) = steps.entry(above) {
                    first.insert(distance + 1);
                    queue.push_back((above, distance + 1));
                }
            }
        }
        Ancestors { synset, steps }
    }

    fn wup(&self, a: &Ancestors, b: &Ancestors) -> f64 {
        let common: Vec<usize> = a.steps.keys().filter(|synset| b.steps.contains_key(synset)).copied().collect();
        let lowest = common.iter().map(|&synset| self.synsets[synset].shortest).max();
        let lowest = common.into_iter().filter(|&synset| Some(self.synsets[synset].shortest) == lowest);
        // The first sense itself, where it is above the second.
        let Some(subsumer) = lowest.min_by_key(|&synset| (synset != a.synset, self.name(synset))) else { return 0.0 };
        let depth = 2 * (self.synsets[subsumer].longest + 1);
        depth as f64 / (a.steps[&subsumer] + b.steps[&subsumer] + depth) as f64
    }

    /// What NLTK calls a synset: its first word, and the number of its sense.
    fn name(&self, synset: usize) -> String {
        let lemma = &self.synsets[synset].lemma;
        let sense = self.senses.get(lemma).and_then(|senses| senses.iter().position(|&sense| sense == synset));
        format!("{lemma}.n.{:02}", sense.map_or(0, |sense| sense + 1))
    }
}

/// A synset with all above it, and how many steps these are away.
struct Ancestors {
    synset: usize,
    steps: BTreeMap<usize, usize>,
}

/// A word as WordNet writes it.
fn normal(word: &str) -> String {
    word.split_whitespace().collect::<Vec<_>>().join("_").to_lowercase()
}

/// Fills in how deep each synset lies; gives one that is above itself, where there is one.
fn measure_depths(synsets: &mut [Synset]) -> Option<usize> {
    let mut below = vec![Vec::new(); synsets.len()];
    let mut waiting: Vec<usize> = synsets.iter().map(|synset| synset.above.len()).collect();
    for (place, synset) in synsets.iter().enumerate() {
        synset.above.iter().for_each(|&above| below[above].push(place));
    }
    // A synset's turn comes when all above it have had theirs.
    let mut ready: Vec<usize> = (0..synsets.len()).filter(|&place| waiting[place] == 0).collect();
    while let Some(place) = ready.pop() {
        let above = &synsets[place].above;
        let shortest = above.iter().map(|&above| synsets[above].shortest + 1).min().unwrap_or(0);
        let longest = above.iter().map(|&above| synsets[above].longest + 1).max().unwrap_or(0);
        (synsets[place].shortest, synsets[place].longest) = (shortest, longest);
        for &under in &below[place] {
            waiting[under] -= 1;
            if waiting[under] == 0 {
                ready.push(under);
            }
        }
    }
    waiting.iter().position(|&waiting| waiting > 0)
}
