//! Which settings of a [`StackConfig`] concern which layer.

use crate::cell::CellConfig;
use crate::lstm_variants::LstmVariant;
use crate::sequence::{Kind, kind};
use crate::stack::StackConfig;
use candle_core::{Error, Result};
use serde::Serialize;

/// A setting, what it is for, and whether it changes a layer of this kind.
type Setting = (&'static str, &'static str, fn(Kind) -> bool);

/// All settings of [`StackConfig`].
const SETTINGS: [Setting; 19] = [
    ("num_layers", "every layer", every),
    ("bidirectional", "every layer", every),
    ("bias", "the biases of a recurrent cell", recurrent),
    ("nonlinearity", "the plain recurrent network", |kind| matches!(kind, Kind::Rnn)),
    ("forget_bias", "the bias of an LSTM's forget gate", forgets),
    ("orthogonal", "the first values of a recurrent cell's weight_hh", recurrent),
    ("proj_size", "the projection of the lstm", |kind| matches!(kind, Kind::Lstm)),
    ("variant", "cells of the type LstmVariantCell, where a name such as lstm_cifg does not say it", |_| false),
    ("peepholes", "the variants of the LSTM, such as lstm_v", |kind| matches!(kind, Kind::Variant(_))),
    ("mutant", "cells of the type MutantCell, where a name such as mut2 does not say it", |_| false),
    ("kernel_size", "the convolution", |kind| matches!(kind, Kind::Convolution)),
    ("num_heads", "self_attention", |kind| matches!(kind, Kind::Attention)),
    ("dropout", "every layer", every),
    ("input_dropout", "every layer", every),
    ("variational", "every layer", every),
    ("weight_dropout", "a recurrent cell's matrices from state to state", recurrent),
    ("recurrent_dropout", "the state that a recurrent cell's matrices read", recurrent),
    ("zoneout_hidden", "the output that a recurrent cell carries on", recurrent),
    ("zoneout_cell", "a memory beside the output, such as the LSTM's c", remembers),
];

fn every(_: Kind) -> bool {
    true
}

fn recurrent(kind: Kind) -> bool {
    !matches!(kind, Kind::Convolution | Kind::Attention)
}

fn forgets(kind: Kind) -> bool {
    match kind {
        Kind::Lstm | Kind::LayerNorm => true,
        Kind::Variant(variant) => !matches!(variant, LstmVariant::NoForgetGate | LstmVariant::CoupledGates),
        _ => false,
    }
}

fn remembers(kind: Kind) -> bool {
    matches!(kind, Kind::Lstm | Kind::Variant(_) | Kind::Nas | Kind::LayerNorm)
}

impl StackConfig {
    /// Whether a setting, by its name in a recipe, changes the layer of this name in [`crate::sequence_layers`].
    ///
    /// ```
    /// use candlewick_recurrent::StackConfig;
    /// assert!(StackConfig::concerns("forget_bias", "lstm") && !StackConfig::concerns("forget_bias", "gru"));
    /// ```
    pub fn concerns(setting: &str, layer: &str) -> bool {
        let found = SETTINGS.iter().find(|row| row.0 == setting);
        found.zip(kind(layer).ok()).is_some_and(|((_, _, concerns), kind)| concerns(kind))
    }
}

/// Checks that a [`StackConfig`] or a [`CellConfig`] leaves alone what does not concern the layer of this name.
///
/// # Errors
/// When a setting that does nothing there is neither its default nor what the name says; the message names it and what it is for.
pub(crate) fn check<C: Serialize + Default>(name: &str, kind: Kind, config: &C) -> Result<()> {
    let usual = CellConfig::default();
    let named = match kind {
        Kind::Variant(variant) => CellConfig { variant, ..usual },
        Kind::Mutant(mutant) => CellConfig { mutant, ..usual },
        _ => usual,
    };
    let given = serde_json::to_value(config).map_err(Error::wrap)?;
    let usual = serde_json::to_value(C::default()).map_err(Error::wrap)?;
    let named = serde_json::to_value(named).map_err(Error::wrap)?;
    if given["bias"] == false && !given["forget_bias"].is_null() {
        let value = &given["forget_bias"];
        candle_core::bail!(
            "{name}: forget_bias is {value}, but with bias = false no gate has one; leave one of them out"
        )
    }
    let differs = |setting| given[setting] != usual[setting] && given[setting] != named[setting];
    match SETTINGS.iter().find(|(setting, _, concerns)| !concerns(kind) && differs(*setting)) {
        Some((setting, purpose, _)) => {
            let value = &given[*setting];
            candle_core::bail!("{name}: {setting} is {value}, but it is for {purpose}; leave it out")
        }
        None => Ok(()),
    }
}
