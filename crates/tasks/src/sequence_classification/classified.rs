//! What is told of a sequence.

use super::config::{OutputKind, SequenceClassifierConfig};

/// What a sequence is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Classified {
    /// The classes' names, the likeliest first; of a classifier that tells each step or the next one the likeliest of each step, of one that
    /// tells which of several come next those after the last step.
    pub labels: Vec<String>,
    /// How probable each of them is.
    pub probabilities: Vec<f32>,
    /// Of each step the probability of each class, in the classes' order, of a classifier that tells of steps.
    pub steps: Option<Vec<Vec<f32>>>,
    /// The number, of a classifier that tells one.
    pub number: Option<f32>,
    /// The weight of each step, where attention pools them; they sum to 1.
    pub alpha: Option<Vec<f32>>,
}

impl Classified {
    /// What a row of answers says, K numbers for the whole or for each step, with the weights of attention.
    pub(super) fn of(config: &SequenceClassifierConfig, row: &[f32], alpha: Option<&[f32]>) -> Self {
        let names: Vec<&str> = config.id2label.values().map(String::as_str).collect();
        let alpha = alpha.map(<[f32]>::to_vec);
        let nothing = Self { labels: Vec::new(), probabilities: Vec::new(), steps: None, number: None, alpha };
        let steps = || row.chunks(names.len().max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>();
        match config.output {
            OutputKind::Number => Self { number: row.first().copied(), ..nothing },
            OutputKind::One => nothing.with(likeliest_first(&names, row)),
            OutputKind::Each | OutputKind::Next => {
                let steps = steps();
                let likeliest = steps.iter().filter_map(|step| likeliest_first(&names, step).into_iter().next());
                let told = nothing.with(likeliest);
                Self { steps: Some(steps), ..told }
            }
            OutputKind::Several => {
                let sigmoid = |z: &f32| 1.0 / (1.0 + (-z).exp());
                let steps: Vec<Vec<f32>> = steps().iter().map(|step| step.iter().map(sigmoid).collect()).collect();
                let told = nothing.with(steps.last().map_or_else(Vec::new, |last| likeliest_first(&names, last)));
                Self { steps: Some(steps), ..told }
            }
        }
    }

    fn with(self, classes: impl IntoIterator<Item = (String, f32)>) -> Self {
        let (labels, probabilities) = classes.into_iter().unzip();
        Self { labels, probabilities, ..self }
    }
}

/// The classes with their probabilities, the likeliest first.
fn likeliest_first(names: &[&str], probabilities: &[f32]) -> Vec<(String, f32)> {
    let mut classes: Vec<(String, f32)> =
        names.iter().map(|&name| name.to_owned()).zip(probabilities.iter().copied()).collect();
    // The sort is stable: of equal probabilities the first class comes first.
    classes.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    classes
}
