//! Model folders, laid out as on the Hugging Face hub, of any task.

use crate::checkpoint::RUN;
use crate::{About, Error, MODEL_FILE, Result, check_model, open_best};
use candle_core::{DType, Device, Tensor};
use candlewick_parameters::{Parameters, SafetensorsFile, write_safetensors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The file that says what the model is made of; its `model_type` says of which task it is.
pub const CONFIG_FILE: &str = "config.json";

/// The file that says what is done to pictures.
pub const PREPROCESSOR_FILE: &str = "preprocessor_config.json";

/// How a model is exported.
#[derive(Clone, Debug)]
pub struct Export {
    /// The type of the weights in the file; they are computed with in f32 whatever it is.
    pub dtype: DType,
    /// The pretrained weights of a frozen encoder, where they are not where training had them.
    pub encoder_weights: Option<PathBuf>,
    /// Further files by name and content, such as the recipe.
    pub files: Vec<(String, String)>,
}

impl Default for Export {
    /// As it was trained: f32.
    fn default() -> Self {
        Self { dtype: DType::F32, encoder_weights: None, files: Vec::new() }
    }
}

/// A trained model that lies in a folder.
pub trait ModelFolder: Sized {
    /// The word in `config.json` by which a folder of this model is known, such as `captioner`.
    const MODEL_TYPE: &'static str;

    /// The model in a folder, which holds no run but the model itself.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    fn from_folder(folder: &Path, device: &Device) -> Result<Self>;

    /// Writes the model in `folder` into another, which exists and is empty, with all its weights in one file ([`write_weights`]),
    /// and says what a card should: a step of [`crate::export`].
    ///
    /// # Errors
    /// One line that names the file and the fault.
    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About>;

    /// Opens a model folder, or the best checkpoint of a run's folder.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    fn open_folder(folder: &Path, device: &Device) -> Result<Self> {
        open_model(folder, |folder| {
            check_model(folder)?;
            Self::from_folder(folder, device)
        })
    }
}

/// Opens the model folder itself, or the best checkpoint where the folder is a run's.
///
/// # Errors
/// When it is neither, or as `open` says.
pub fn open_model<T>(folder: &Path, open: impl Fn(&Path) -> Result<T>) -> Result<T> {
    if folder.join(CONFIG_FILE).is_file() {
        return open(folder);
    }
    if folder.join(RUN).is_file() {
        return open_best(folder, open);
    }
    Err(Error::model(folder, format!("holds no {CONFIG_FILE} and no {RUN}; name a model folder or a run's folder")))
}

/// The word by which the model in a folder, or in a run's folder, is known.
///
/// # Errors
/// When there is no model, or it does not say.
pub fn model_type(folder: &Path) -> Result<String> {
    open_model(folder, |folder| {
        let path = folder.join(CONFIG_FILE);
        let config: Value = read_json(&path)?;
        let word = config.get("model_type").and_then(Value::as_str).map(str::to_owned);
        word.ok_or_else(|| Error::model(&path, "model_type is missing; name a folder of a model that was trained here"))
    })
}

/// Reads a model's `config.json` from its text; `path` is what messages call it.
///
/// # Errors
/// When it is another model's, or not a `config.json`.
pub fn parse_config<C: DeserializeOwned>(path: &Path, text: &str, model_type: &str) -> Result<C> {
    let other =
        |error: serde_json::Error| Error::model(path, format!("not the {CONFIG_FILE} of a {model_type}: {error}"));
    let whole: Value = serde_json::from_str(text).map_err(other)?;
    match whole.get("model_type").and_then(Value::as_str) {
        Some(found) if found == model_type => serde_json::from_str(text).map_err(other),
        found => {
            let found = found.unwrap_or("missing");
            Err(Error::model(path, format!("model_type is {found}; wanted {model_type}")))
        }
    }
}

/// Reads a model's `config.json`.
///
/// # Errors
/// As [`parse_config`] says, and when it cannot be read.
pub fn read_config<C: DeserializeOwned>(folder: &Path, model_type: &str) -> Result<C> {
    let path = folder.join(CONFIG_FILE);
    parse_config(&path, &read_text(&path)?, model_type)
}

/// Reads a text file of a model.
///
/// # Errors
/// When it cannot be read; the message names it.
pub fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::file(path, "cannot be read"))
}

/// Reads a JSON file of a model.
///
/// # Errors
/// When it cannot be read or is not what it should be; the message names it.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?).map_err(|error| Error::model(path, error.to_string()))
}

/// Writes a JSON file of a model.
///
/// # Errors
/// When it cannot be written; the message names it.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::model(path, error.to_string()))? + "\n";
    std::fs::write(path, text).map_err(Error::file(path, "cannot be written"))
}

/// Writes `preprocessor_config.json`, with the class of transformers' that does to pictures what its keys say.
///
/// # Errors
/// When the preprocessing is no JSON object, or the file cannot be written; the message names it.
pub fn write_preprocessing<T: Serialize>(folder: &Path, preprocessing: &T) -> Result<()> {
    let path = folder.join(PREPROCESSOR_FILE);
    let value = serde_json::to_value(preprocessing).map_err(|error| Error::model(&path, error.to_string()))?;
    let Value::Object(mut keys) = value else {
        return Err(Error::model(&path, "preprocessing is a JSON object of settings"));
    };
    // Of transformers' classes it is the one that resizes to either kind of size, crops, scales and normalises, in this order.
    keys.insert("image_processor_type".into(), "CLIPImageProcessor".into());
    keys.insert("do_convert_rgb".into(), true.into());
    write_json(&path, &keys)
}

/// The weights in a model folder, which training will not change.
///
/// # Errors
/// When the file cannot be read or is none.
pub fn read_weights(folder: &Path) -> Result<Parameters> {
    let parameters = Parameters::from_file(SafetensorsFile::open(folder.join(MODEL_FILE))?);
    parameters.freeze("");
    Ok(parameters)
}

/// Writes weights in this type, and what are no floating-point numbers as they are.
///
/// # Errors
/// When a weight is no number or out of the type's range, with its name, or the file cannot be written.
pub fn write_weights(folder: &Path, tensors: Vec<(String, Tensor)>, dtype: DType) -> Result<()> {
    let path = folder.join(MODEL_FILE);
    if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
        return Err(Error::Setting(format!("dtype {}: weights are f32, f16 or bf16", dtype.as_str())));
    }
    let written = |(name, tensor): (String, Tensor)| -> Result<(String, Tensor)> {
        if !tensor.dtype().is_float() {
            return Ok((name, tensor));
        }
        let cast = tensor.to_dtype(dtype)?;
        let values = cast.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok((name, cast)),
            false => {
                let fault = format!("{name} has a value that is no number in {}; export it as f32", dtype.as_str());
                Err(Error::model(&path, fault))
            }
        }
    };
    let tensors = tensors.into_iter().map(written).collect::<Result<Vec<_>>>()?;
    Ok(write_safetensors(&tensors, &path)?)
}
