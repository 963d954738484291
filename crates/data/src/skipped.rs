//! Broken items: named, skipped, counted, and too many of them stop the run.

use crate::error::{Error, Result, escaped, one_line};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The share of broken items that is allowed where the user says nothing: one in a hundred.
pub const DEFAULT_MAX_SHARE: f64 = 0.01;

/// How many broken items a message names.
const NAMED: usize = 5;

/// Collects broken items by name and reason, from any number of threads; clones share one collection.
///
/// An item that is broken is recorded once, whatever number of epochs meets it again.
#[derive(Clone, Debug)]
pub struct Skipped {
    what: &'static str,
    total: usize,
    max_share: f64,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    reasons: BTreeMap<String, String>,
    unreported: Vec<String>,
}

impl Skipped {
    /// Nothing skipped yet among `total` items called `what` ("photos"), of which the share `max_share` (0 to 1) may be broken.
    pub fn new(what: &'static str, total: usize, max_share: f64) -> Self {
        Self { what, total, max_share, found: Arc::default() }
    }

    /// Records that the item `name` is broken because of `reason`, so that the caller may skip it.
    ///
    /// # Errors
    /// When more than `max_share` of all items are broken; the message names the first of them and says what to do.
    pub fn record(&self, name: &str, reason: impl ToString) -> Result<()> {
        let mut found = self.lock();
        if !found.reasons.contains_key(name) {
            // A reason often begins with the name that stands before it in the report anyway.
            let reason = one_line(&reason.to_string());
            let bare = reason.strip_prefix(&escaped(name)).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&reason);
            found.reasons.insert(name.to_string(), bare.to_string());
            found.unreported.push(name.to_string());
        }
        let share = found.reasons.len() as f64 / self.total.max(1) as f64;
        if share <= self.max_share {
            return Ok(());
        }
        let listed = list(found.reasons.iter().map(|(name, reason)| (name.as_str(), reason.as_str())));
        Err(Error::TooManyBroken(format!(
            "{} of {} {} are broken, more than the {} % allowed (max_share = {}): {listed}; mend or remove them, or allow a larger share",
            found.reasons.len(),
            self.total,
            self.what,
            percent(self.max_share),
            self.max_share,
        )))
    }

    /// How many different items are broken so far.
    pub fn count(&self) -> usize {
        self.lock().reasons.len()
    }

    /// Whether the item of this name was recorded as broken.
    pub fn contains(&self, name: &str) -> bool {
        self.lock().reasons.contains_key(name)
    }

    /// One line about the items that were recorded since the last call, or nothing where there are none.
    ///
    /// It reads like `skipped 3 of 6000 photos: a.jpg: the file is empty; …`; a second call says nothing of these again.
    pub fn report(&self) -> Option<String> {
        let mut found = self.lock();
        let names = std::mem::take(&mut found.unreported);
        if names.is_empty() {
            return None;
        }
        let listed = list(names.iter().map(|name| (name.as_str(), found.reasons.get(name).map_or("", String::as_str))));
        Some(format!("skipped {} of {} {}: {listed}", names.len(), self.total, self.what))
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        // The collection is whole between any two statements, so a thread that died with the lock did no harm.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn list<'a>(items: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> String {
    let count = items.len();
    let mut text = String::new();
    for (index, (name, reason)) in items.take(NAMED).enumerate() {
        let _ = write!(text, "{}{}: {reason}", if index > 0 { "; " } else { "" }, escaped(name));
    }
    if count > NAMED {
        let _ = write!(text, "; and {} more", count - NAMED);
    }
    text
}

fn percent(share: f64) -> f64 {
    (share * 1e4).round() / 1e2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_item_is_reported_once() {
        let skipped = Skipped::new("photos", 600, 0.01);
        skipped.record("b.jpg", "b.jpg: the file is empty").unwrap();
        skipped.record("a.jpg", "no such file").unwrap();
        skipped.record("a.jpg", "no such file").unwrap();
        assert_eq!(skipped.report().unwrap(), "skipped 2 of 600 photos: b.jpg: the file is empty; a.jpg: no such file");
        assert_eq!(skipped.report(), None);
        skipped.record("c.jpg", "is cut\nshort").unwrap();
        assert_eq!(skipped.report().unwrap(), "skipped 1 of 600 photos: c.jpg: is cut short");
        skipped.record("d\n.jpg", "d\\n.jpg: the file is empty").unwrap();
        assert_eq!(skipped.report().unwrap(), "skipped 1 of 600 photos: d\\n.jpg: the file is empty");
        assert_eq!(skipped.count(), 4);
        assert!(skipped.contains("a.jpg") && skipped.contains("d\n.jpg") && !skipped.contains("d.jpg"));
    }

    #[test]
    fn too_many_stop_the_run_and_the_message_says_what_to_do() {
        let skipped = Skipped::new("photos", 200, 0.01);
        skipped.record("1.jpg", "bad").unwrap();
        skipped.record("2.jpg", "bad").unwrap();
        let message = skipped.record("3.jpg", "bad").unwrap_err().to_string();
        assert!(message.starts_with(
            "3 of 200 photos are broken, more than the 1 % allowed (max_share = 0.01): 1.jpg: bad; 2.jpg"
        ));
        assert!(message.contains("allow a larger share") && !message.contains('\n'));
        let strict = Skipped::new("photos", 200, 0.0);
        assert!(strict.record("1.jpg", "bad").is_err());
    }

    #[test]
    fn threads_share_one_collection() {
        let skipped = Skipped::new("photos", 1000, 1.0);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let skipped = skipped.clone();
                scope.spawn(move || {
                    (0..100).for_each(|i| skipped.record(&format!("{}", worker * 50 + i), "bad").unwrap())
                });
            }
        });
        assert_eq!(skipped.count(), 250);
        assert!(skipped.report().unwrap().ends_with("; and 245 more"));
    }
}
