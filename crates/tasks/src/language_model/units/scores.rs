//! How well units tell properties: chosen on the first half of a text, scored on the second.
//!
//! ```text
//! u* = argmax_u |r(a_u, p)| on the first half;  score = sign r(a_u*, p) on the first half · r(a_u*, p) on the second
//! ```
//!
//! r is the point-biserial correlation for what holds or does not, and Spearman's for numbers. The same with p shifted by half the text, the end
//! going on at the beginning, is what chance gives to so many units.

use super::correlation::{dot, ranks, standardised};
use super::properties::{Marking, Property};
use crate::language_model::activations::Activations;
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;

/// The fewest characters of which anything can be said.
pub const LEAST_CHARACTERS: usize = 100;

/// Units that are taken up at a time: their values are neighbours in memory.
const TOGETHER: usize = 16;

/// A property with the unit that tells it best.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// The property's name.
    pub property: String,
    /// The unit, by its place in [`Activations::units`].
    pub unit: usize,
    /// Its correlation with the property on the first half, by which it was chosen.
    pub first: f64,
    /// That on the second half, with the sign turned where the first is below 0.
    pub score: f64,
    /// The score where the property is shifted by half the text.
    pub chance: f64,
    /// The correlation of every unit with the property on the second half.
    pub correlations: Vec<f32>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitScores {
    /// The properties that vary in both halves, in their order.
    pub telling: Vec<Telling>,
    /// The names of the others, which cannot be told.
    pub constant: Vec<String>,
}

/// The unit that tells each property best.
///
/// # Errors
/// When the text is shorter than [`LEAST_CHARACTERS`], or a property is of another text.
pub fn score_units(activations: &Activations, properties: &[Property]) -> Result<UnitScores> {
    let characters = activations.characters();
    if characters < LEAST_CHARACTERS {
        let fault = format!("the text has {characters} characters; wanted at least {LEAST_CHARACTERS}");
        return Err(Error::Setting(fault));
    }
    let (mut wanted, mut scores) = (Vec::new(), UnitScores::default());
    for property in properties {
        let values = property.marking.values();
        if values.len() != characters {
            let (name, found) = (&property.name, values.len());
            return Err(Error::Setting(format!("{name} is of {found} characters, the values of {characters}")));
        }
        match Wanted::new(property, &values) {
            Some(column) => wanted.push(column),
            None => scores.constant.push(property.name.clone()),
        }
    }
    let count = activations.units().len();
    let starts: Vec<usize> = (0..count).step_by(TOGETHER).collect();
    let blocks = starts.par_iter().map(|&start| block(activations, start..count.min(start + TOGETHER), &wanted));
    let found: Vec<Vec<Found>> = blocks.collect::<Vec<_>>().into_iter().flatten().collect();
    scores.telling = wanted.iter().enumerate().map(|(at, wanted)| wanted.best(&found, at)).collect();
    Ok(scores)
}

/// A property as both halves want it: its values or their ranks, standardised.
struct Wanted<'a> {
    name: &'a str,
    by_rank: bool,
    halves: [Vec<f32>; 2],
    /// What the two halves have where it is shifted by half the text.
    shifted: [Vec<f32>; 2],
}

/// How a unit goes together with a property on each half.
#[derive(Clone, Copy, Default)]
struct Found {
    halves: [f64; 2],
    shifted: [f64; 2],
}

/// The two halves of a text.
fn halves(characters: usize) -> [Range<usize>; 2] {
    [0..characters / 2, characters / 2..characters]
}

impl<'a> Wanted<'a> {
    /// Nothing where one of the halves does not vary.
    fn new(property: &'a Property, values: &[f32]) -> Option<Self> {
        let by_rank = matches!(property.marking, Marking::Number(_));
        let mut turned = values.to_vec();
        turned.rotate_left(values.len() / 2);
        let half = |values: &[f32], half: &Range<usize>| {
            let values = &values[half.clone()];
            standardised(if by_rank { ranks(values) } else { values.to_vec() })
        };
        let [first, second] = halves(values.len());
        let both = |values: &[f32]| Some([half(values, &first)?, half(values, &second)?]);
        Some(Self { name: &property.name, by_rank, halves: both(values)?, shifted: both(&turned)? })
    }

    /// The unit that tells it best; `found` has the units' rows of properties, of which this is the one at a place.
    fn best(&self, found: &[Vec<Found>], at: usize) -> Telling {
        let of = |unit: usize| found.get(unit).and_then(|row| row.get(at)).copied().unwrap_or_default();
        let choose = |both: fn(&Found) -> [f64; 2]| {
            let mut best = (0, [0f64; 2]);
            for unit in 0..found.len() {
                let halves = both(&of(unit));
                if halves[0].abs() > best.1[0].abs() {
                    best = (unit, halves);
                }
            }
            best
        };
        let turned = |[first, second]: [f64; 2]| if first < 0.0 { -second } else { second };
        let (unit, halves) = choose(|found| found.halves);
        let (_, shifted) = choose(|found| found.shifted);
        let correlations = (0..found.len()).map(|unit| of(unit).halves[1] as f32).collect();
        let (property, score, chance) = (self.name.to_owned(), turned(halves), turned(shifted));
        Telling { property, unit, first: halves[0], score, chance, correlations }
    }
}

/// How each of some units goes together with each property.
fn block(activations: &Activations, units: Range<usize>, wanted: &[Wanted]) -> Vec<Vec<Found>> {
    let characters = activations.characters();
    let values = activations.of_some(units);
    values.chunks(characters).map(|values| unit(values, wanted)).collect()
}

fn unit(values: &[f32], wanted: &[Wanted]) -> Vec<Found> {
    let mut found = vec![Found::default(); wanted.len()];
    let ranked = wanted.iter().any(|wanted| wanted.by_rank);
    for (half, range) in halves(values.len()).into_iter().enumerate() {
        let values = &values[range];
        let ranks = if ranked { standardised(ranks(values)) } else { None };
        let values = standardised(values.to_vec());
        for (found, wanted) in found.iter_mut().zip(wanted) {
            // A unit that does not vary tells nothing.
            let Some(own) = (if wanted.by_rank { &ranks } else { &values }) else { continue };
            found.halves[half] = dot(own, &wanted.halves[half]);
            found.shifted[half] = dot(own, &wanted.shifted[half]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::language_model::activations::{Unit, UnitKind};
    use crate::language_model::units::correlation::{pearson, spearman};
    use candlewick_parameters::Rng;

    const T: usize = 2001;
    const UNITS: usize = 37;

    /// Units of noise, of which number 7 tells `told` turned round.
    fn planted(told: &[f32]) -> Activations {
        let mut rng = Rng::derive(3, "noise", 0);
        let mut noise = || rng.uniform() * 2.0 - 1.0;
        let units = (0..UNITS).map(|number| Unit { layer: 1, kind: UnitKind::Output, number }).collect();
        let mut values = vec![0.0; UNITS];
        for &told in told {
            values.extend((0..UNITS).map(|unit| if unit == 7 { 0.4 * noise() - told } else { noise() }));
        }
        Activations::new(units, (1..=told.len() as u32).collect(), values).unwrap()
    }

    fn property(name: &str, marking: Marking) -> Property {
        Property { name: name.into(), about: String::new(), marking }
    }

    #[test]
    fn a_planted_unit_is_found_and_chance_is_small() {
        let mut rng = Rng::derive(4, "marks", 0);
        let marks: Vec<bool> = (0..T).map(|_| rng.chance(0.3)).collect();
        let yes = property("yes", Marking::Yes(marks));
        let told = yes.marking.values();
        // Only the order counts.
        let cubes = told.iter().zip(0..).map(|(told, at)| (10.0 * told + (at % 3) as f32).powi(3)).collect();
        let number = property("number", Marking::Number(cubes));
        let (never, late) = (property("never", Marking::Yes(vec![false; T])), (0..T).map(|at| at > T - 9).collect());
        let late = property("late", Marking::Yes(late));
        let activations = planted(&told);
        let scores = score_units(&activations, &[never, yes.clone(), number.clone(), late]).unwrap();
        assert_eq!(scores.constant, ["never", "late"]);
        let names: Vec<&str> = scores.telling.iter().map(|telling| telling.property.as_str()).collect();
        assert_eq!(names, ["yes", "number"]);
        let second = |values: &[f32]| values[T / 2..].to_vec();
        let unit = second(&activations.of(7));
        let by_hand = [pearson(&unit, &second(&told)), spearman(&unit, &second(&number.marking.values()))];
        for (telling, by_hand) in scores.telling.iter().zip(by_hand) {
            assert_eq!(telling.unit, 7, "{telling:?}");
            assert!(telling.first < -0.6 && telling.score > 0.6 && telling.chance.abs() < 0.15, "{telling:?}");
            assert!((telling.score + by_hand).abs() < 1e-5, "{} and {by_hand}", telling.score);
            assert!((f64::from(telling.correlations[7]) - by_hand).abs() < 1e-5);
            assert!(telling.correlations.len() == UNITS && telling.correlations[8].abs() < 0.2);
        }
    }

    #[test]
    fn short_texts_and_properties_of_other_texts_are_refused() {
        let told = vec![0.0; LEAST_CHARACTERS - 1];
        let error = score_units(&planted(&told), &[]).unwrap_err().to_string();
        assert!(error.contains("99 characters"), "{error}");
        let other = property("other", Marking::Yes(vec![true; 3]));
        assert!(score_units(&planted(&[0.0; T]), &[other]).unwrap_err().to_string().contains("other is of 3"));
    }
}
