//! Prefixes of wrapper modules in parameter names: DataParallel's `module.`, torch.compile's `_orig_mod.`, a model's own.

use crate::SafetensorsFile;
use candle_core::Result;
use std::collections::HashMap;

/// What `torch.nn.DataParallel` puts before all names.
const DATA_PARALLEL: &str = "module.";
/// What `torch.compile` puts before the names of each module that it compiled.
const COMPILED: &str = "_orig_mod.";

/// The most parts of a prefix that are looked at.
const DEEPEST: usize = 16;

/// What [`unwrapped`] took away.
#[derive(Default)]
pub(crate) struct Wrappers {
    pub data_parallel: bool,
    pub compiled: bool,
}

/// The names without `module.`, where all begin with it, and without `_orig_mod.` wherever it stands.
pub(crate) fn unwrapped(mut file: SafetensorsFile) -> Result<(SafetensorsFile, Wrappers)> {
    let mut wrappers = Wrappers::default();
    loop {
        if file.names().any(is_compiled) {
            wrappers.compiled = true;
            file = file.renamed(|name| Some(without_compiled(name)))?;
        } else if file.names().next().is_some() && file.names().all(is_parallel) {
            wrappers.data_parallel = true;
            file = file.renamed(|name| Some(name.strip_prefix(DATA_PARALLEL).unwrap_or(name).to_owned()))?;
        } else {
            return Ok((file, wrappers));
        }
    }
}

fn is_parallel(name: &str) -> bool {
    name.strip_prefix(DATA_PARALLEL).is_some_and(|rest| !rest.is_empty())
}

fn is_compiled(name: &str) -> bool {
    without_compiled(name) != name
}

/// The last part of a name stays, whatever it is.
fn without_compiled(name: &str) -> String {
    let (path, last) = name.rsplit_once('.').map_or(("", name), |(path, last)| (path, last));
    let kept = path.split('.').filter(|part| *part != "_orig_mod").chain([last]);
    if path.is_empty() { name.to_owned() } else { kept.collect::<Vec<_>>().join(".") }
}

impl SafetensorsFile {
    /// Refuses a file that holds nothing that is `known`, but does behind a prefix that others put before the names.
    ///
    /// # Errors
    /// One line that names the file, the prefix, and how to come by a file without it.
    pub fn refuse_prefix(&self, known: impl Fn(&str) -> bool) -> Result<()> {
        if self.names().any(&known) {
            return Ok(());
        }
        let path = self.path().display();
        if self.names().any(|name| is_compiled(name) && known(&without_compiled(name))) {
            candle_core::bail!(
                "{path}: has {COMPILED} in its names, as torch.compile leaves them; candlewick convert takes it away"
            )
        }
        let Some(prefix) = self.prefix_of(&known) else { return Ok(()) };
        let which = if self.names().all(|name| name.starts_with(&prefix)) { "all" } else { "the network's" };
        let by_others = prefix.trim_end_matches('.').split('.').all(|part| ["module", "_orig_mod"].contains(&part));
        if which == "all" && by_others {
            let who = if prefix.contains(DATA_PARALLEL) { "torch.nn.DataParallel" } else { "torch.compile" };
            candle_core::bail!(
                "{path}: all names begin with {prefix}, as {who} saves them; candlewick convert takes it away"
            )
        }
        candle_core::bail!(
            "{path}: {which} names begin with `{prefix}`; candlewick convert --prefix {prefix} takes it away"
        )
    }

    /// The prefix behind which most of the names are known.
    fn prefix_of(&self, known: impl Fn(&str) -> bool) -> Option<String> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for name in self.names() {
            for (dot, _) in name.match_indices('.').take(DEEPEST) {
                if known(&name[dot + 1..]) {
                    *counts.entry(&name[..=dot]).or_default() += 1;
                }
            }
        }
        // Of equal ones the shorter: a network may have a part of another's names within.
        let best = counts.into_iter().max_by_key(|&(prefix, count)| (count, std::cmp::Reverse((prefix.len(), prefix))));
        best.map(|(prefix, _)| prefix.to_owned())
    }
}
