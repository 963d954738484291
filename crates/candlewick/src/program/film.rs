//! What is told frame by frame, look by look or step by step, as a film strip shows it.

use candlewick::pages::FilmCurve;

/// The most classes that have a curve.
const CURVES: usize = 4;

/// Of so many frames at most `most`, from the first to the last and as far from each other as can be.
pub fn spread(frames: usize, most: usize) -> Vec<usize> {
    let count = frames.min(most);
    (0..count).map(|at| at * (frames - 1) / (count - 1).max(1)).collect()
}

/// The likeliest class of each frame, and how the classes that are ever the likeliest change.
pub struct Told<'a> {
    pub labels: Vec<&'a str>,
    curves: Vec<(&'a str, Vec<f64>)>,
}

impl<'a> Told<'a> {
    /// What the probabilities of each frame say, in the order of the classes' names.
    pub fn new(names: &[&'a str], frames: &[Vec<f32>]) -> Self {
        let likeliest = |row: &Vec<f32>| (0..row.len()).max_by(|&one, &other| row[one].total_cmp(&row[other]));
        let label = |row| likeliest(row).and_then(|best| names.get(best).copied()).unwrap_or_default();
        let values = |class: usize| -> Vec<f64> {
            frames.iter().map(|row| row.get(class).copied().map_or(0.0, f64::from)).collect()
        };
        let mut curves: Vec<(&str, Vec<f64>)> =
            names.iter().enumerate().map(|(class, name)| (*name, values(class))).collect();
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        curves.sort_by(|(_, one), (_, other)| most(other).total_cmp(&most(one)));
        curves.truncate(CURVES);
        Self { labels: frames.iter().map(label).collect(), curves }
    }

    pub fn curves(&self) -> Vec<FilmCurve<'_>> {
        self.curves.iter().map(|(name, values)| FilmCurve { name, values }).collect()
    }
}
