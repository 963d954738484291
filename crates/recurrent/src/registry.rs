//! Layers over sequences by name: recurrent networks of every cell, and what they are compared with.
//!
//! A recipe that says `cell = "mut1"` gets its layer from [`sequence_layer`] and needs to know nothing of its type; [`add_cell`] makes one of
//! the caller's own known by its name.

use crate::baselines::self_attention::{SelfAttention, SelfAttentionConfig};
use crate::baselines::temporal_convolution::{TemporalConvolution, TemporalConvolutionConfig};
use crate::cell::{BuildCell, Cell};
use crate::cells::gru::GruCell;
use crate::cells::jozefowicz::JozefowiczCell;
use crate::cells::layer_norm_lstm::LayerNormLstmCell;
use crate::cells::lstm::LstmCell;
use crate::cells::lstm_variants::LstmVariantCell;
use crate::cells::min_rnns::{MinGruCell, MinLstmCell};
use crate::cells::nas::NasCell;
use crate::cells::rnn::RnnCell;
use crate::layer::SequenceLayer;
use crate::stack::{Stack, StackConfig};
use candle_core::{Error, Result};
use candlewick_parameters::{VarBuilder, nearest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

/// The layers; the names of the LSTM's variants are the paper's. A new cell is a row.
const ROWS: [Row; 20] = [
    recurrent::<RnnCell>("rnn").without(MEMORY),
    recurrent::<LstmCell>("lstm"),
    recurrent::<GruCell>("gru").without(MEMORY),
    recurrent::<LstmVariantCell>("lstm_v").with("variant", "vanilla"),
    recurrent::<LstmVariantCell>("lstm_nig").with("variant", "no_input_gate"),
    recurrent::<LstmVariantCell>("lstm_nfg").with("variant", "no_forget_gate").without(&["forget_bias"]),
    recurrent::<LstmVariantCell>("lstm_nog").with("variant", "no_output_gate"),
    recurrent::<LstmVariantCell>("lstm_niaf").with("variant", "no_input_activation"),
    recurrent::<LstmVariantCell>("lstm_noaf").with("variant", "no_output_activation"),
    recurrent::<LstmVariantCell>("lstm_cifg").with("variant", "coupled_gates").without(&["forget_bias"]),
    recurrent::<LstmVariantCell>("lstm_fgr").with("variant", "full_gate_recurrence"),
    recurrent::<LayerNormLstmCell>("lstm_layer_norm"),
    recurrent::<JozefowiczCell>("mut1").with("mutant", "mut1").without(MEMORY),
    recurrent::<JozefowiczCell>("mut2").with("mutant", "mut2").without(MEMORY),
    recurrent::<JozefowiczCell>("mut3").with("mutant", "mut3").without(MEMORY),
    recurrent::<NasCell>("nas"),
    recurrent::<MinGruCell>("min_gru").without(MEMORY_AND_RECURRENT_WEIGHTS),
    recurrent::<MinLstmCell>("min_lstm").without(MEMORY_AND_RECURRENT_WEIGHTS),
    stateless::<TemporalConvolutionConfig>("convolution", |d, h, settings, vb| {
        Ok(Box::new(TemporalConvolution::new(d, h, &read(settings)?, vb)?))
    }),
    stateless::<SelfAttentionConfig>("self_attention", |d, h, settings, vb| {
        Ok(Box::new(SelfAttention::new(d, h, &read(settings)?, vb)?))
    }),
];

/// What [`add_cell`] added; nothing is ever taken out.
static ADDED: RwLock<Vec<Row>> = RwLock::new(Vec::new());

/// All rows, those of [`add_cell`] last.
fn rows() -> Vec<Row> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    ROWS.iter().chain(added.iter()).copied().collect()
}

/// Makes a cell of the caller's own known by its name: [`sequence_layer`], recipes and captioners then build it as they build the others, and open
/// again the models that it is in.
///
/// It stays known as long as the program runs. `examples/own_cell.rs` has a cell in full.
///
/// # Errors
/// When a layer has this name already.
pub fn add_cell<C: BuildCell>(name: &'static str) -> Result<()> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if ROWS.iter().chain(added.iter()).any(|row| row.name == name) {
        candle_core::bail!("{name}: there is a sequence layer of this name already; take another name")
    }
    added.push(recurrent::<C>(name));
    Ok(())
}

/// What a cell lacks whose state is h alone.
const MEMORY: &[&str] = &["zoneout_cell"];

/// What a cell lacks whose state is h alone, which no matrix reads.
const MEMORY_AND_RECURRENT_WEIGHTS: &[&str] = &["zoneout_cell", "weight_dropout", "recurrent_dropout"];

type LayerBuilder = fn(usize, usize, Value, VarBuilder<'_>) -> Result<Box<dyn SequenceLayer>>;
type CellBuilder = fn(usize, usize, Value, VarBuilder<'_>) -> Result<Box<dyn Cell>>;

/// A layer by name.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    /// A setting that the name makes, and its value.
    made: Option<(&'static str, &'static str)>,
    /// Settings of the configuration that would change nothing here.
    without: &'static [&'static str],
    /// All settings, from those that are given.
    complete: fn(Value) -> Result<Value>,
    layer: LayerBuilder,
    cell: Option<CellBuilder>,
}

/// The row of a stack of this cell.
const fn recurrent<C: BuildCell>(name: &'static str) -> Row {
    let cell: CellBuilder = |d, h, settings, vb| Ok(Box::new(C::new(d, h, &read(settings)?, vb)?));
    let row = stateless::<StackConfig<C::Config>>(name, |d, h, settings, vb| {
        Ok(Box::new(Stack::<C>::new(d, h, &read(settings)?, vb)?))
    });
    Row { cell: Some(cell), ..row }
}

/// The row of a layer that is no stack of cells, with the type of its configuration.
const fn stateless<C: Serialize + DeserializeOwned>(name: &'static str, layer: LayerBuilder) -> Row {
    let complete = |settings| serde_json::to_value(read::<C>(settings)?).map_err(Error::wrap);
    Row { name, made: None, without: &[], complete, layer, cell: None }
}

fn read<C: DeserializeOwned>(settings: Value) -> Result<C> {
    serde_json::from_value(settings).map_err(Error::wrap)
}

impl Row {
    const fn with(self, setting: &'static str, value: &'static str) -> Self {
        Self { made: Some((setting, value)), ..self }
    }

    const fn without(self, without: &'static [&'static str]) -> Self {
        Self { without, ..self }
    }

    fn find(name: &str) -> Result<Self> {
        let names = sequence_layers();
        match rows().into_iter().find(|row| row.name == name) {
            Some(row) => Ok(row),
            None => {
                let nearest = nearest(name, &names);
                candle_core::bail!("no sequence layer is called {name}{nearest}; there are {}", names.join(", "))
            }
        }
    }

    /// The configuration's value of this setting where nothing is given.
    fn usual(&self, setting: &str) -> Option<Value> {
        (self.complete)(Value::Object(Map::new())).ok()?.get(setting).cloned()
    }

    /// Whether this setting can be given and changes the layer.
    fn has(&self, setting: &str) -> bool {
        let by_name = rows().iter().any(|row| row.made.is_some_and(|(made, _)| made == setting));
        !by_name && !self.without.contains(&setting) && self.usual(setting).is_some()
    }

    /// Whether the name makes this setting.
    fn makes(&self, setting: &str, value: &Value) -> bool {
        self.made.is_some_and(|(made, own)| made == setting && value == own)
    }

    /// What the layer's configuration is read from: the given settings and the one that the name makes.
    ///
    /// # Errors
    /// When one is given that the layer does not have; where it is at its usual value it is left out.
    fn settle(&self, settings: &Settings) -> Result<Value> {
        let (mut settled, rows) = (Map::new(), rows());
        for (setting, value) in &settings.0 {
            let usual = || rows.iter().any(|row| row.usual(setting).is_some_and(|usual| same(&usual, value)));
            if self.has(setting) {
                settled.insert(setting.clone(), value.clone());
            } else if !self.makes(setting, value) && !usual() {
                let has = |row: &&Self| row.has(setting) || row.makes(setting, value);
                let whose: Vec<&str> = rows.iter().filter(has).map(|row| row.name).collect();
                let whose = if whose.is_empty() { "no layer".into() } else { whose.join(", ") };
                candle_core::bail!("{}: {setting} is {value}, but it is for {whose}; leave it out", self.name)
            }
        }
        settled.extend(self.made.map(|(setting, value)| (setting.to_owned(), value.into())));
        Ok(Value::Object(settled))
    }
}

/// Whether two settings are equal, whole numbers and others alike.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}

/// Settings of a layer by name, as a recipe gives them: those of its [`StackConfig`] and of its cell beside one another.
///
/// Read from a file, each is one that some layer has; [`sequence_layer`] refuses those that the layer at hand does not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// The settings with one more.
    pub fn with(mut self, setting: &str, value: impl Into<Value>) -> Self {
        self.0.insert(setting.to_owned(), value.into());
        self
    }

    /// Whether a setting of yes or no is given as yes.
    pub fn is_set(&self, setting: &str) -> bool {
        self.0.get(setting) == Some(&Value::Bool(true))
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (settings, rows) = (Map::deserialize(deserializer)?, rows());
        for (setting, value) in &settings {
            let mut fault = format!("{setting}: no sequence layer has such a setting");
            let taken = rows.iter().filter(|row| row.usual(setting).is_some()).any(|row| {
                let alone = Map::from_iter([(setting.clone(), value.clone())]);
                let complete = (row.complete)(Value::Object(alone));
                complete.map_err(|error| fault = format!("{setting}: {error}")).is_ok()
            });
            if !taken {
                return Err(D::Error::custom(fault));
            }
        }
        Ok(Self(settings))
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut properties = Map::new();
        for row in rows() {
            let Ok(Value::Object(usual)) = (row.complete)(Value::Object(Map::new())) else { continue };
            for (setting, usual) in usual.into_iter().filter(|(setting, _)| row.has(setting)) {
                let own = properties.entry(setting).or_insert_with(|| json!({ "default": usual, "description": "Of" }));
                if let Some(Value::String(description)) = own.get_mut("description") {
                    *description += &format!(" {}", row.name);
                }
            }
        }
        json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// The names that [`sequence_layer`] takes, those of [`add_cell`] last.
pub fn sequence_layers() -> Vec<&'static str> {
    rows().iter().map(|row| row.name).collect()
}

/// Whether a setting, by its name in a recipe, changes the layer of this name.
///
/// ```
/// use candlewick_recurrent::has_setting;
/// assert!(has_setting("lstm", "forget_bias") && !has_setting("gru", "forget_bias"));
/// ```
pub fn has_setting(layer: &str, setting: &str) -> bool {
    Row::find(layer).is_ok_and(|row| row.has(setting))
}

/// Builds the layer of this name from inputs of size D to H.
///
/// `"convolution"` and `"self_attention"` carry no state; they see what comes after a step only where `bidirectional` is set.
///
/// ```
/// # fn main() -> candle_core::Result<()> {
/// use candlewick_recurrent::{Settings, sequence_layer};
/// let parameters = candlewick_parameters::Parameters::new(1);
/// let settings = Settings::default().with("bidirectional", true);
/// let layer = sequence_layer("mut1", 8, 16, &settings, parameters.builder(&candle_core::Device::Cpu))?;
/// assert_eq!(layer.output_size(), 32);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When no layer has this name, a setting is not one of its own ([`has_setting`]) or does not fit it, or the builder has no such
/// parameters.
pub fn sequence_layer(
    name: &str,
    input_size: usize,
    hidden_size: usize,
    settings: &Settings,
    vb: VarBuilder,
) -> Result<Box<dyn SequenceLayer>> {
    let row = Row::find(name)?;
    (row.layer)(input_size, hidden_size, row.settle(settings)?, vb)
}

/// Builds the cell of the layer of this name, for networks that go step by step themselves, with the parameters' names of
/// [`BuildCell::new`].
///
/// ```
/// # fn main() -> candle_core::Result<()> {
/// use candle_core::{DType, Device, Tensor};
/// use candlewick_recurrent::{Cell, Settings, recurrent_cell};
/// let parameters = candlewick_parameters::Parameters::new(1);
/// let cell = recurrent_cell("gru", 8, 16, &Settings::default(), parameters.builder(&Device::Cpu))?;
/// let state = cell.zero_state(2, DType::F32, &Device::Cpu)?;
/// let state = cell.step(&Tensor::ones((2, 8), DType::F32, &Device::Cpu)?, &state)?;
/// assert_eq!(state[0].dims(), [2, 16]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`sequence_layer`], and when the layer is not one of cells.
pub fn recurrent_cell(
    name: &str,
    input_size: usize,
    hidden_size: usize,
    settings: &Settings,
    vb: VarBuilder,
) -> Result<Box<dyn Cell>> {
    let row = Row::find(name)?;
    match row.cell {
        Some(build) => build(input_size, hidden_size, row.settle(settings)?, vb),
        None => candle_core::bail!("{name} carries no state from step to step; take a recurrent cell"),
    }
}
