//! What is to be told of sequences.

use super::batch::View;
use super::config::OutputKind;
use super::inputs::{Input, Labelled};
use super::several::NOTHING;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_kernels::device::upload;

/// In the place of a class where there is none to tell.
pub(super) const NONE: i64 = -1;

/// What is to be told of each sequence of a set.
pub(super) enum Targets {
    /// Classes, one of the whole, or one of each step.
    Classes { of_steps: bool, rows: Vec<Vec<i64>> },
    /// A number of the whole.
    Numbers(Vec<f32>),
    /// Which of `width` things are at the next step, 1 or 0, of each step but the last.
    Sets { width: usize, rows: Vec<Vec<f32>> },
}

impl Targets {
    /// The targets of labelled sequences, of which `lengths` says how many steps they have; `place` gives the classifier's class of a label.
    ///
    /// # Errors
    /// When a sequence lacks what is to be told of it, with its place in the set.
    pub fn of(
        output: OutputKind,
        labelled: &[Labelled],
        lengths: &[usize],
        place: impl Fn(u32) -> Result<i64>,
    ) -> Result<Self> {
        let lacks = |at: usize, found: usize, of: &str, wanted: String| {
            Error::NoData(format!("sequence {} of a part has {found} {of}; wanted {wanted}", at + 1))
        };
        let rows = || labelled.iter().zip(lengths).enumerate();
        if output == OutputKind::Number {
            let number = |(at, (one, _)): (usize, (&Labelled, &usize))| match one.targets[..] {
                [number] => Ok(number),
                _ => Err(lacks(at, one.targets.len(), "numbers to tell", "one for the whole".into())),
            };
            return Ok(Self::Numbers(rows().map(number).collect::<Result<_>>()?));
        }
        if output == OutputKind::Several {
            return Self::sets(labelled, lengths);
        }
        let classes = |(at, (one, &length)): (usize, (&Labelled, &usize))| {
            let mut classes = one.labels.iter().map(|&label| place(label)).collect::<Result<Vec<i64>>>()?;
            let found = classes.len();
            if !output.of_steps() {
                return match found {
                    1 => Ok(classes),
                    _ => Err(lacks(at, found, "labels", "one for the whole".into())),
                };
            }
            if found == 1 {
                // The class of the whole is that of each step.
                classes.resize(length, classes[0]);
            }
            if classes.len() != length {
                return Err(lacks(at, found, "labels", format!("one for each of {length} steps")));
            }
            if output == OutputKind::Next {
                if length < 2 {
                    return Err(lacks(at, length, "steps", "two at least, so that there is a next one".into()));
                }
                classes.rotate_left(1);
                classes[length - 1] = NONE;
            }
            Ok(classes)
        };
        Ok(Self::Classes { of_steps: output.of_steps(), rows: rows().map(classes).collect::<Result<_>>()? })
    }

    /// Of sequences of 0 and 1 the steps behind the first.
    fn sets(labelled: &[Labelled], lengths: &[usize]) -> Result<Self> {
        let mut width = 0;
        let set = |(at, (one, &length)): (usize, (&Labelled, &usize))| {
            let Input::Values(values) = &one.input else {
                let fault = format!("data.output: several things are told of numbers, not of {}", one.input.kind());
                return Err(Error::Setting(fault));
            };
            width = values.len() / length.max(1);
            match values.iter().position(|&value| value != 0.0 && value != 1.0) {
                _ if length < 2 => {
                    let fault = format!("sequence {} of a part has {length} steps; what comes next wants two", at + 1);
                    Err(Error::NoData(fault))
                }
                None => Ok(values.get(width..).unwrap_or_default().to_vec()),
                Some(found) => {
                    let fault = format!(
                        "sequence {} of a part holds {}; 1 says that something is there and 0 that it is not",
                        at + 1,
                        values[found]
                    );
                    Err(Error::NoData(fault))
                }
            }
        };
        let rows = labelled.iter().zip(lengths).enumerate().map(set).collect::<Result<_>>()?;
        Ok(Self::Sets { width, rows })
    }

    /// The targets of these parts of sequences: classes (N) or, one a step, (N, T), numbers (N), or sets (N, T, K).
    pub fn tensor(&self, views: &[View], steps: usize, device: &Device) -> Result<Tensor> {
        match self {
            Self::Numbers(numbers) => {
                let numbers: Vec<f32> = views.iter().filter_map(|view| numbers.get(view.place).copied()).collect();
                Ok(Tensor::new(numbers, device)?)
            }
            Self::Sets { width, rows } => {
                let mut padded = Vec::with_capacity(views.len() * steps * width);
                for (at, view) in views.iter().enumerate() {
                    padded.extend_from_slice(part(rows.get(view.place), view, *width));
                    padded.resize((at + 1) * steps * width, NOTHING);
                }
                Ok(upload(&Tensor::from_vec(padded, (views.len(), steps, *width), &Device::Cpu)?, device)?)
            }
            Self::Classes { of_steps: false, rows } => {
                let classes = views.iter().filter_map(|view| rows.get(view.place)?.first().copied());
                Ok(Tensor::new(classes.collect::<Vec<i64>>(), device)?)
            }
            Self::Classes { of_steps: true, rows } => {
                let mut padded = Vec::with_capacity(views.len() * steps);
                for (at, view) in views.iter().enumerate() {
                    padded.extend_from_slice(part(rows.get(view.place), view, 1));
                    padded.resize((at + 1) * steps, NONE);
                }
                Ok(Tensor::from_vec(padded, (views.len(), steps), device)?)
            }
        }
    }

    /// How many things there are to tell of these parts of sequences.
    pub fn count(&self, views: &[View]) -> usize {
        match self {
            Self::Numbers(_) | Self::Classes { of_steps: false, .. } => views.len(),
            Self::Sets { width, rows } => {
                views.iter().map(|view| part(rows.get(view.place), view, *width).len() / width.max(&1)).sum()
            }
            Self::Classes { of_steps: true, rows } => {
                let classes = views.iter().flat_map(|view| part(rows.get(view.place), view, 1));
                classes.filter(|&&class| class != NONE).count()
            }
        }
    }
}

/// Of a row of `width` things a step those of a view.
fn part<'a, T>(row: Option<&'a Vec<T>>, view: &View, width: usize) -> &'a [T] {
    let row = row.map_or(&[][..], Vec::as_slice);
    let [from, to] = [view.start, view.start + view.steps].map(|step| (step * width).min(row.len()));
    row.get(from..to).unwrap_or_default()
}
