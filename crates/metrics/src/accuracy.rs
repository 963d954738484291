//! Top-k accuracy: the share of items whose class is among the k that got the highest scores.

/// Counts the ranks of the right classes, item by item.
#[derive(Clone, Debug, Default)]
pub struct Accuracy {
    /// How many items have their class at each rank.
    ranks: Vec<usize>,
    items: usize,
}

impl Accuracy {
    /// Counts an item of `class` with these scores (logits or probabilities).
    pub fn add(&mut self, scores: &[f32], class: usize) {
        self.items += 1;
        if let Some(rank) = rank(scores, class) {
            self.ranks.resize(self.ranks.len().max(rank + 1), 0);
            self.ranks[rank] += 1;
        }
    }

    /// The share of items whose class is among the `k` with the highest scores; 0 for no items.
    pub fn top(&self, k: usize) -> f64 {
        self.ranks.iter().take(k).sum::<usize>() as f64 / self.items.max(1) as f64
    }
}

/// How many classes come before this one, of equal scores the first; nothing where a score is NaN, which is no answer.
fn rank(scores: &[f32], class: usize) -> Option<usize> {
    let own = *scores.get(class)?;
    let before = |(other, &score): (usize, &f32)| score > own || (score == own && other < class);
    let numbers = scores.iter().all(|score| !score.is_nan());
    numbers.then(|| scores.iter().enumerate().filter(|&one| before(one)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_where_no_other_is_before_it() {
        assert_eq!(rank(&[0.1, 0.7, 0.2], 1), Some(0));
        assert_eq!(rank(&[0.1, 0.7, 0.2], 0), Some(2));
        // A network that says the same of all classes tells the first.
        assert_eq!([0, 1, 2].map(|class| rank(&[0.5; 3], class)), [Some(0), Some(1), Some(2)]);
        assert_eq!([rank(&[f32::NAN; 3], 0), rank(&[0.0, f32::NAN, 1.0], 2), rank(&[0.0], 1)], [None; 3]);
    }

    #[test]
    fn the_share_is_of_all_items() {
        let mut accuracy = Accuracy::default();
        assert_eq!(accuracy.top(1), 0.0);
        for class in [1, 0, 2, 7] {
            accuracy.add(&[0.1, 0.7, 0.2], class);
        }
        assert_eq!([0, 1, 2, 3, 9].map(|k| accuracy.top(k)), [0.0, 0.25, 0.5, 0.75, 0.75]);
    }
}
