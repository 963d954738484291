//! How often a recurrent attention model is right, and whether it finds what it looks for.

use super::items::{Batch, items};
use super::model::RecurrentAttentionModel;
use crate::Result;
use candlewick_data::placed::{Placed, PlacedPictures};
use candlewick_training::Scores;

/// Pictures that are looked at together.
const BATCH: usize = 256;

/// Scores a model on a set: `accuracy`, the share of pictures all of whose labels are right; `each`, of single labels, where there are several;
/// `found`, the share of labels whose last look lies on what is labelled, of pictures whose first look lay on nothing, where pictures were
/// placed within larger ones.
///
/// Probabilities are the mean of `samples` looks-through, whose first looks are drawn from `seed`; `progress` is told how many pictures of how
/// many are done.
///
/// # Errors
/// When a picture cannot be read or is of another size than the model's.
pub fn evaluate(
    model: &RecurrentAttentionModel,
    set: &PlacedPictures,
    (samples, seed): (usize, u64),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scores> {
    let mut tally = Tally::default();
    let numbers: Vec<usize> = (0..set.len()).collect();
    progress(0, set.len());
    for numbers in numbers.chunks(BATCH) {
        let items = items(set, numbers)?;
        let batch = Batch::of(&items, model.config())?;
        let first = numbers.first().copied().unwrap_or_default();
        let (through, probabilities) = model.mean_of(&batch.pictures, samples, (seed, first))?;
        let locations =
            through.locations.iter().map(|places| places.to_vec2::<f32>()).collect::<candle_core::Result<Vec<_>>>()?;
        for (row, item) in items.iter().enumerate() {
            tally.add(model, item, &probabilities.iter().map(|label| label[row].as_slice()).collect::<Vec<_>>());
            let looks: Vec<[f32; 2]> = locations.iter().map(|places| [places[row][0], places[row][1]]).collect();
            tally.find(model, item, &looks);
        }
        progress(tally.pictures, set.len());
    }
    Ok(tally.scores(model))
}

/// The names of the scores, the main one first.
pub(super) fn score_names(model: &RecurrentAttentionModel) -> Vec<&'static str> {
    let placing = &model.config().placing;
    let several = (placing.pictures > 1).then_some("each");
    ["accuracy"].into_iter().chain(several).chain(placing.size.map(|_| "found")).collect()
}

#[derive(Default)]
struct Tally {
    pictures: usize,
    right: usize,
    labels: usize,
    labels_right: usize,
    sought: usize,
    found: usize,
}

impl Tally {
    fn add(&mut self, model: &RecurrentAttentionModel, item: &Placed, probabilities: &[&[f32]]) {
        let classes = model.config().id2label.len();
        let likeliest = |row: &[f32]| (0..classes).max_by(|&one, &other| row[one].total_cmp(&row[other]));
        let right = probabilities.iter().zip(&item.labels);
        let right = right.filter(|(row, label)| likeliest(row) == Some(**label as usize)).count();
        self.pictures += 1;
        self.right += usize::from(right == item.labels.len());
        self.labels += item.labels.len();
        self.labels_right += right;
    }

    /// Counts the labels that were looked at in the end, unless the first look was on one already.
    fn find(&mut self, model: &RecurrentAttentionModel, item: &Placed, looks: &[[f32; 2]]) {
        let (height, width) = model.config().size;
        let place = |look: &[f32; 2]| ((look[0] + 1.0) / 2.0 * width as f32, (look[1] + 1.0) / 2.0 * height as f32);
        let on = |look: &[f32; 2], at: usize| {
            item.boxes.get(at).is_some_and(|one| one.contains(place(look).0, place(look).1))
        };
        if looks.first().is_none_or(|first| (0..item.boxes.len()).any(|at| on(first, at))) {
            return;
        }
        let last = looks.chunks(model.config().network.looks).filter_map(<[_]>::last);
        self.sought += item.boxes.len();
        self.found += last.enumerate().filter(|(at, look)| on(look, *at)).count();
    }

    fn scores(&self, model: &RecurrentAttentionModel) -> Scores {
        let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        let value = |name: &'static str| match name {
            "accuracy" => share(self.right, self.pictures),
            "each" => share(self.labels_right, self.labels),
            _ => share(self.found, self.sought),
        };
        // Nothing is sought where every first look lay on something.
        let told = score_names(model).into_iter().filter(|name| *name != "found" || self.sought > 0);
        told.map(|name| (name, value(name))).collect()
    }
}
