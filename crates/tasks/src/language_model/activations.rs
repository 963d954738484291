//! What each unit of a language model holds after each character of a text.
//!
//! ```text
//! a_t = (h_t, tanh c_t of layer 1, h_t, tanh c_t of layer 2, …)        tanh c_t where the cell has a memory c
//! ```
//!
//! Karpathy, Johnson and Li 2015, "Visualizing and understanding recurrent networks".

use super::model::LanguageModel;
use crate::{Error, Result};
use candle_core::Tensor;
use candlewick_data::tokens::Token;
use candlewick_generation::Decoder as _;
use candlewick_parameters::Mode;
use candlewick_recurrent::{LayerState, lstm};
use std::fmt;
use std::ops::Range;

/// What of a cell a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnitKind {
    /// The output h.
    Output,
    /// The memory c, seen through tanh.
    Memory,
}

impl UnitKind {
    /// `h` or `c`.
    pub fn letter(self) -> char {
        match self {
            Self::Output => 'h',
            Self::Memory => 'c',
        }
    }
}

/// A unit of a network; it is written `layer 1 h 37`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    /// The layer, from 1.
    pub layer: usize,
    /// What of the cell it is.
    pub kind: UnitKind,
    /// Its place in the layer, from 0.
    pub number: usize,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {} {} {}", self.layer, self.kind.letter(), self.number)
    }
}

/// The values (T, units) of all units after each of T characters.
///
/// A character has the value after the token that it ends in, or after the one before it where no token is of it, such as a space between
/// words; before the first token all values are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    units: Vec<Unit>,
    /// For each character how many tokens were read.
    rows: Vec<u32>,
    /// (tokens + 1, units), row after row; row 0 is the state of zeros.
    values: Vec<f32>,
}

/// Tokens that are read before their values are fetched.
const STEPS: usize = 256;

impl LanguageModel {
    /// The values of all units over a text, read in one stream from a state of zeros.
    ///
    /// Of a cell's state the first tensor is its output h and the second its memory c, as [`lstm`] has them; what else a cell carries, such as
    /// gates, is no unit.
    ///
    /// # Errors
    /// When the text is empty, or a value is no number.
    pub fn activations(&self, text: &str) -> Result<Activations> {
        self.activations_with(text, &mut |_| ())
    }

    /// [`LanguageModel::activations`], and tells how many tokens were read.
    ///
    /// # Errors
    /// As there.
    pub fn activations_with(&self, text: &str, progress: &mut dyn FnMut(usize)) -> Result<Activations> {
        let tokens = self.tokenizer.tokens(text)?;
        let units = self.units();
        let mut values = Vec::with_capacity((tokens.len() + 1).saturating_mul(units.len()));
        values.resize(units.len(), 0.0);
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let (mut state, mut done) = (self.zero_state(1)?, 0);
        for ids in ids.chunks(STEPS) {
            let read = self.states(ids, &mut state)?;
            if let Some(value) = read.iter().find(|value| !value.is_finite()) {
                return Err(Error::NotNumbers(format!("a unit's value is {value}; take a checkpoint before that")));
            }
            values.extend(read);
            done += ids.len();
            progress(done);
        }
        let rows = rows(text, &tokens);
        Activations::new(units, rows, values)
            .ok_or_else(|| Error::Setting("the text is empty; give a longer one".into()))
    }

    /// How many values [`LanguageModel::activations`] has after a token.
    pub fn unit_count(&self) -> usize {
        self.units().len()
    }

    /// The units in the order of their values.
    fn units(&self) -> Vec<Unit> {
        let sizes = self.layer.state_sizes();
        let layers = (1..).zip(&sizes).flat_map(|(layer, sizes)| {
            let kinds = KINDS.iter().zip(sizes).map(move |(&(_, kind), &size)| (layer, kind, size));
            kinds.collect::<Vec<_>>()
        });
        layers.flat_map(|(layer, kind, size)| (0..size).map(move |number| Unit { layer, kind, number })).collect()
    }

    /// The values (tokens, units) after each of some tokens, which begin with a state and leave the last.
    fn states(&self, ids: &[u32], state: &mut LayerState) -> candle_core::Result<Vec<f32>> {
        let mode = &mut Mode::Eval;
        let inputs = self.inputs(&Tensor::new(ids, self.device())?.unsqueeze(0)?, mode)?;
        let mut columns: Vec<Vec<Tensor>> = Vec::new();
        for step in 0..ids.len() {
            let x = inputs.narrow(1, step, 1)?.contiguous()?;
            *state = self.layer.forward(&x, Some(state), None, mode)?.1;
            let shown = state.iter().flat_map(|cell| KINDS.iter().filter_map(|&(place, _)| cell.get(place)));
            columns.resize_with(shown.clone().count(), Vec::new);
            columns.iter_mut().zip(shown).for_each(|(column, tensor)| column.push(tensor.clone()));
        }
        let kinds = state.iter().flat_map(|cell| KINDS.iter().filter(|(place, _)| *place < cell.len()));
        let columns = columns.iter().zip(kinds).map(|(column, (_, kind))| match kind {
            UnitKind::Output => Tensor::cat(column, 0),
            UnitKind::Memory => Tensor::cat(column, 0)?.tanh(),
        });
        let columns = columns.collect::<candle_core::Result<Vec<_>>>()?;
        Tensor::cat(&columns, 1)?.flatten_all()?.to_vec1()
    }
}

/// Where the units lie in a cell's state.
const KINDS: [(usize, UnitKind); 2] = [(lstm::H, UnitKind::Output), (lstm::C, UnitKind::Memory)];

/// For each character of a text how many of its tokens begin before it ends.
fn rows(text: &str, tokens: &[Token]) -> Vec<u32> {
    let mut read = 0;
    let row = |(at, letter): (usize, char)| {
        while tokens.get(read).is_some_and(|token| token.bytes.start < at + letter.len_utf8()) {
            read += 1;
        }
        read as u32
    };
    text.char_indices().map(row).collect()
}

impl Activations {
    /// The values (rows, units), row after row, and for each character the row that it has; nothing where there is no character, or it has no
    /// row.
    pub fn new(units: Vec<Unit>, rows: Vec<u32>, values: Vec<f32>) -> Option<Self> {
        let last = rows.iter().max().map(|&row| row as usize)?;
        let there = !units.is_empty() && values.len().is_multiple_of(units.len()) && last < values.len() / units.len();
        there.then_some(Self { units, rows, values })
    }

    /// The units, in the order of their values.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// T.
    pub fn characters(&self) -> usize {
        self.rows.len()
    }

    /// The values of all units after a character; none where there is no such.
    pub fn after(&self, character: usize) -> &[f32] {
        let row = self.rows.get(character).map_or(0..0, |&row| self.row(row));
        self.values.get(row).unwrap_or_default()
    }

    fn row(&self, row: u32) -> Range<usize> {
        let start = row as usize * self.units.len();
        start..start + self.units.len()
    }

    /// The values of a unit after each character; zeros where there is no such.
    pub fn of(&self, unit: usize) -> Vec<f32> {
        self.of_some(unit..unit + 1)
    }

    /// The values of neighbouring units, one unit's (T) after the other's.
    pub(super) fn of_some(&self, units: Range<usize>) -> Vec<f32> {
        let (characters, width) = (self.characters(), units.len());
        let mut all = vec![0.0; width * characters];
        for (at, &row) in self.rows.iter().enumerate() {
            let start = self.row(row).start;
            // A row of neighbours is read whole: the values of one unit lie far apart.
            let values = self.values.get(start + units.start..start + units.end).unwrap_or_default();
            for (unit, &value) in values.iter().enumerate() {
                all[unit * characters + at] = value;
            }
        }
        all
    }
}
