//! Sequences as a network is given them.

use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::buckets::padded_to_a_step;
use candlewick_data::clips::moving::MovingClip;
use candlewick_kernels::device::upload;
use image::{RgbImage, imageops};
use rayon::prelude::*;
use std::borrow::Cow;

/// Sequences of one kind, ready for the network.
#[derive(Clone, Debug)]
pub(super) enum Sequences {
    /// Ids of tokens.
    Words(Vec<Vec<u32>>),
    /// D numbers a step, step after step.
    Values { width: usize, rows: Vec<Vec<f32>> },
    /// Frames of one size.
    Frames { size: (usize, usize), rows: Vec<Frames> },
}

/// The frames of a clip.
#[derive(Clone, Debug)]
pub(super) enum Frames {
    Held(Vec<RgbImage>),
    /// Those that are drawn each time.
    Drawn(MovingClip),
}

impl Frames {
    fn len(&self) -> usize {
        match self {
            Self::Held(frames) => frames.len(),
            Self::Drawn(clip) => clip.actions.len(),
        }
    }

    /// The values of the frames of a view (T, 3, h, w), −1 to 1.
    fn values(&self, view: &View) -> Vec<f32> {
        let frames = match self {
            Self::Held(frames) => Cow::Borrowed(frames),
            Self::Drawn(clip) => Cow::Owned(clip.frames()),
        };
        let mut values = Vec::new();
        for frame in frames.iter().skip(view.start).take(view.steps) {
            let frame = if view.mirrored { Cow::Owned(imageops::flip_horizontal(frame)) } else { Cow::Borrowed(frame) };
            for channel in 0..3 {
                values.extend(
                    frame.as_raw().iter().skip(channel).step_by(3).map(|&value| f32::from(value) / 127.5 - 1.0),
                );
            }
        }
        values
    }
}

/// Sequences and what is to be told of them.
pub struct Batch {
    /// (N, T) of ids, (N, T, D) of numbers, or the frames of all (ΣT, 3, h, w).
    pub(super) inputs: Tensor,
    /// How many steps each has.
    pub(super) lengths: Vec<usize>,
    /// Classes (N) or (N, T), numbers (N), or sets (N, T, K).
    pub(super) targets: Tensor,
    /// How many things that are.
    pub(super) count: usize,
}

/// The part of a sequence that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Which sequence.
    pub place: usize,
    /// The first step.
    pub start: usize,
    /// How many steps.
    pub steps: usize,
    /// Whether frames are mirrored.
    pub mirrored: bool,
}

impl View {
    /// All of a sequence of so many steps.
    pub fn whole(place: usize, steps: usize) -> Self {
        Self { place, start: 0, steps, mirrored: false }
    }
}

impl Sequences {
    /// T of each sequence.
    pub fn lengths(&self) -> Vec<usize> {
        let count = match self {
            Self::Words(rows) => rows.len(),
            Self::Values { rows, .. } => rows.len(),
            Self::Frames { rows, .. } => rows.len(),
        };
        (0..count).map(|place| self.length(place)).collect()
    }

    /// T of the sequence at this place, 0 where there is none.
    pub fn length(&self, place: usize) -> usize {
        let length = match self {
            Self::Words(rows) => rows.get(place).map(Vec::len),
            Self::Values { width, rows } => rows.get(place).map(|row| row.len() / width.max(&1)),
            Self::Frames { rows, .. } => rows.get(place).map(Frames::len),
        };
        length.unwrap_or(0)
    }

    /// These parts of sequences with zeros behind the shorter ones, (N, T) or (N, T, D), or all their frames (ΣT, 3, h, w); T is at least 1.
    pub fn padded(&self, views: &[View], device: &Device) -> Result<Tensor> {
        let missing = || Error::task("a part of a sequence is missing from its set");
        let longest = views.iter().map(|view| view.steps).max().unwrap_or(0).max(1);
        match self {
            Self::Words(rows) => {
                let row = |view: &View| rows.get(view.place)?.get(view.start..view.start + view.steps);
                let rows = views.iter().map(row).collect::<Option<Vec<_>>>().ok_or_else(missing)?;
                Ok(padded_to_a_step(&rows, 0, device)?)
            }
            Self::Values { width, rows } => {
                let row =
                    |view: &View| rows.get(view.place)?.get(view.start * width..(view.start + view.steps) * width);
                let mut numbers = Vec::with_capacity(views.len() * longest * width);
                for (at, view) in views.iter().enumerate() {
                    numbers.extend_from_slice(row(view).ok_or_else(missing)?);
                    numbers.resize((at + 1) * longest * width, 0.0);
                }
                Ok(upload(&Tensor::from_vec(numbers, (views.len(), longest, *width), &Device::Cpu)?, device)?)
            }
            Self::Frames { size: (height, width), rows } => {
                let clip = |view: &View| rows.get(view.place).map(|frames| frames.values(view));
                let clips = views.par_iter().map(clip).collect::<Option<Vec<_>>>().ok_or_else(missing)?;
                let count = views.iter().map(|view| view.steps).sum::<usize>();
                Ok(upload(&Tensor::from_vec(clips.concat(), (count, 3, *height, *width), &Device::Cpu)?, device)?)
            }
        }
    }
}
