//! The ordered parameter store behind `VarBuilder`: seeded initial values, strict loading, freezing.

use crate::file::SafetensorsFile;
use crate::initial::{Request, take_request};
use crate::text::{shortened, shown};
use crate::{Initial, Rng, memory, write_safetensors};
use candle_core::{DType, Device, Error, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use indexmap::IndexMap;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The parameters of a network by name, in the order in which its layers asked for them.
///
/// Cloning gives another handle on the same store. A store is either fresh ([`Parameters::new`]: values are drawn) or
/// loaded ([`Parameters::from_safetensors`]: values come from a file). Parameters under a frozen prefix are handed to
/// the layers as plain tensors, so that no graph is built for them.
#[derive(Clone)]
pub struct Parameters(Arc<Mutex<Store>>);

struct Store {
    seed: u64,
    slots: IndexMap<String, Slot>,
    source: Option<SafetensorsFile>,
    frozen: Vec<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
    /// What stands for the parameters that the file lacks or has in another shape, until `verify` names them.
    blank: HashMap<String, Tensor>,
    /// The bytes that fresh parameters may still fill, once known.
    room: Option<u64>,
}

struct Slot {
    var: Var,
    buffer: bool,
    frozen: bool,
}

impl Parameters {
    /// A store whose parameters are drawn, each from a generator derived from `seed` and the parameter's name.
    pub fn new(seed: u64) -> Self {
        Self::with_source(seed, None)
    }

    /// A network whose parameters all come from a safetensors file, built by `network`, and its store: exactly what the file holds.
    ///
    /// # Errors
    /// When the file cannot be read, the network cannot be built, or as [`Parameters::verify`] says.
    pub fn open<T>(
        path: impl AsRef<Path>,
        device: &Device,
        network: impl FnOnce(VarBuilder<'static>) -> Result<T>,
    ) -> Result<(T, Self)> {
        let parameters = Self::from_safetensors(path)?;
        let built = network(parameters.builder(device)).or_else(|error| {
            // Why a network could not be built is mostly what the file lacks.
            let store = parameters.store();
            store.source.as_ref().map_or(Ok(()), |file| strict(file, &store.missing, &store.misshapen, vec![]))?;
            Err(error)
        })?;
        parameters.verify()?;
        Ok((built, parameters))
    }

    /// A store whose parameters all come from a safetensors file; call [`Parameters::verify`] once the network is built.
    ///
    /// # Errors
    /// When the file cannot be read or is no safetensors file.
    pub fn from_safetensors(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::from_file(SafetensorsFile::open(path)?))
    }

    /// A store whose parameters all come from an opened file.
    pub fn from_file(file: SafetensorsFile) -> Self {
        Self::with_source(0, Some(file))
    }

    fn with_source(seed: u64, source: Option<SafetensorsFile>) -> Self {
        let (slots, frozen, missing, misshapen, blank) = Default::default();
        Self(Arc::new(Mutex::new(Store { seed, slots, source, frozen, missing, misshapen, blank, room: None })))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Freezes the parameters whose names begin with `prefix`, before the network is built; `""` freezes all.
    pub fn freeze(&self, prefix: impl Into<String>) {
        self.store().frozen.push(prefix.into());
    }

    /// The builder that layers ask for their parameters, in f32 on this device.
    pub fn builder(&self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, device.clone())
    }

    /// All names, buffers included, in the order of the network.
    pub fn names(&self) -> Vec<String> {
        self.store().slots.keys().cloned().collect()
    }

    /// The variables that training changes, in the order of the network: no buffers and nothing frozen.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        let store = self.store();
        let trained = store.slots.iter().filter(|(_, slot)| !slot.buffer && !slot.frozen);
        trained.map(|(name, slot)| (name.clone(), slot.var.clone())).collect()
    }

    /// What training changes without a gradient, such as the running statistics of batch norm, in the order of the network.
    pub fn buffers(&self) -> Vec<(String, Var)> {
        let store = self.store();
        let kept = store.slots.iter().filter(|(_, slot)| slot.buffer && !slot.frozen && slot.var.dtype().is_float());
        kept.map(|(name, slot)| (name.clone(), slot.var.clone())).collect()
    }

    /// Everything that a checkpoint holds, in the order of the network.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        self.store().slots.iter().map(|(name, slot)| (name.clone(), slot.var.as_detached_tensor())).collect()
    }

    /// The number of values in all parameters, buffers not counted.
    pub fn count(&self) -> usize {
        self.store().slots.values().filter(|slot| !slot.buffer).map(|slot| slot.var.elem_count()).sum()
    }

    /// Checks that a loaded network took exactly what its file holds.
    ///
    /// # Errors
    /// One line that names the file and what was missing, of another shape, or unused.
    pub fn verify(&self) -> Result<()> {
        let store = self.store();
        let Some(source) = &store.source else { return Ok(()) };
        let used = |name: &&str| store.slots.contains_key(*name) || store.blank.contains_key(*name);
        let unused = source.names().filter(|name| !used(name)).map(str::to_owned).collect();
        strict(source, &store.missing, &store.misshapen, unused)
    }

    /// Replaces the values of all parameters under `prefix` by those of a file that names them without it.
    ///
    /// Nothing is changed unless everything fits.
    ///
    /// # Errors
    /// One line that names the file and what was missing, of another shape, or unused.
    pub fn assign(&self, file: &SafetensorsFile, prefix: &str) -> Result<()> {
        self.assign_all(file, |name| name.strip_prefix(prefix), |_| true)
    }

    /// Replaces the values of all parameters but those of `parts`, such as a head for other classes, by those of a file.
    ///
    /// Nothing is changed unless everything fits.
    ///
    /// # Errors
    /// One line that names the file and what was missing, of another shape, or unused.
    pub fn assign_without(&self, file: &SafetensorsFile, parts: &[&str]) -> Result<()> {
        let under = |name: &str, part: &str| name.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'));
        let other = |name: &str| !parts.iter().any(|part| under(name, part));
        self.assign_all(file, |name| Some(name).filter(|name| other(name)), other)
    }

    /// Assigns the parameters that `short` gives a name in the file, and wants all names of the file that are `expected`.
    fn assign_all(
        &self,
        file: &SafetensorsFile,
        short: impl Fn(&str) -> Option<&str>,
        expected: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let store = self.store();
        let (mut missing, mut misshapen, mut found, mut used) = (vec![], vec![], vec![], HashSet::new());
        for (name, slot) in store.slots.iter() {
            let Some(short) = short(name) else { continue };
            file.refuse_unread(short)?;
            match file.shape(short) {
                None => missing.push(short.to_owned()),
                Some(shape) if &shape != slot.var.shape() => misshapen.push(misfit(short, slot.var.shape(), &shape)),
                Some(_) => found.push((short, slot)),
            }
            used.insert(short);
        }
        let unused = file.names().filter(|name| expected(name) && !used.contains(name)).map(str::to_owned).collect();
        strict(file, &missing, &misshapen, unused)?;
        for (name, slot) in found {
            slot.var.set(&file.tensor(name, slot.var.device())?.to_dtype(slot.var.dtype())?)?;
        }
        Ok(())
    }

    /// Replaces all values by those of a safetensors file with exactly these names and shapes.
    ///
    /// # Errors
    /// When the file cannot be read, or as [`Parameters::assign`] says.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        self.assign(&SafetensorsFile::open(path)?, "")
    }

    /// Writes all parameters and buffers to a safetensors file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_safetensors(&self.tensors(), path.as_ref())
    }
}

fn misfit(name: &str, wanted: &Shape, found: &Shape) -> String {
    format!("{} (the network has {:?}, the file {:?})", shown(name), wanted.dims(), found.dims())
}

fn strict(file: &SafetensorsFile, missing: &[String], misshapen: &[String], unused: Vec<String>) -> Result<()> {
    let nothing_fits = unused.len() == file.names().count();
    // PyTorch's counter of batches is in its checkpoints and in no network of ours.
    let unused: Vec<String> = unused.into_iter().filter(|name| !name.ends_with("num_batches_tracked")).collect();
    let faults: Vec<String> = [("missing", missing), ("of another shape", misshapen), ("unused", &unused)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{} {what}: {}", names.len(), shortened(names)))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    if nothing_fits {
        let missing: HashSet<&str> = missing.iter().map(String::as_str).collect();
        file.refuse_prefix(|name| missing.contains(name))?;
    }
    let path = file.path().display();
    candle_core::bail!(
        "{path}: these are not the weights of this network; {}; name the file that belongs to it",
        faults.join("; ")
    )
}

impl SimpleBackend for Parameters {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let request = take_request();
        let bytes = size_in_bytes(&shape, name)?;
        let request = request.unwrap_or_else(|| Request { initial: translate(init, &shape), buffer: false });
        let mut store = self.store();
        if store.blank.contains_key(name)
            || !store.slots.contains_key(name) && store.is_at_fault(&shape, name, bytes)?
        {
            let zero = Tensor::zeros((), dtype, device)?.broadcast_as(&shape)?;
            store.blank.insert(name.to_owned(), zero.clone());
            return Ok(zero);
        }
        if !store.slots.contains_key(name) {
            let mut var = store.value(&shape, name, &request.initial, bytes, device)?;
            if var.dtype() != dtype {
                var = Var::from_tensor(&var.to_dtype(dtype)?)?;
            }
            let frozen = store.frozen.iter().any(|prefix| name.starts_with(prefix.as_str()));
            let slot = Slot { var, buffer: request.buffer, frozen };
            store.slots.insert(name.to_owned(), slot);
        }
        let slot = &store.slots[name];
        if slot.var.shape() != &shape {
            candle_core::bail!("parameter {}", misfit(name, &shape, slot.var.shape()))
        }
        // A buffer stays a variable, so that batch norm can record its statistics in it.
        Ok(if slot.frozen && !slot.buffer { slot.var.as_detached_tensor() } else { slot.var.as_tensor().clone() })
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let store = self.store();
        let missing = || Error::CannotFindTensor { path: name.to_owned() }.bt();
        if let Some(slot) = store.slots.get(name) {
            return slot.var.as_tensor().to_dtype(dtype);
        }
        store.source.as_ref().ok_or_else(missing)?.tensor(name, device)?.to_dtype(dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        let store = self.store();
        store.slots.contains_key(name) || store.source.as_ref().is_some_and(|source| source.shape(name).is_some())
    }
}

/// What a wanted parameter may take where the file is smaller: enough for every file that merely lacks some.
const SMALL: u64 = 64 << 20;

impl Store {
    /// Whether the file, if there is one, lacks a parameter or has it in another shape, which is noted for `verify`.
    ///
    /// # Errors
    /// When the parameter is far larger than the file: the sizes that the network was built with are not to be gone on with.
    fn is_at_fault(&mut self, shape: &Shape, name: &str, bytes: u64) -> Result<bool> {
        let Some(source) = &self.source else { return Ok(false) };
        source.refuse_unread(name)?;
        match source.shape(name) {
            Some(found) if &found == shape => return Ok(false),
            Some(found) => self.misshapen.push(misfit(name, shape, &found)),
            None => self.missing.push(name.to_owned()),
        }
        if bytes > SMALL.max(source.len().saturating_mul(4)) {
            strict(source, &self.missing, &self.misshapen, vec![])?;
        }
        Ok(true)
    }

    /// The value of a parameter asked for the first time, drawn or from the file.
    fn value(&mut self, shape: &Shape, name: &str, initial: &Initial, bytes: u64, device: &Device) -> Result<Var> {
        if let Some(source) = &self.source {
            return source.variable(name, device);
        }
        let room = self.room.unwrap_or_else(memory::available_memory);
        // A matrix is made orthogonal in double precision, beside the one that comes of it.
        let drawn = if matches!(initial, Initial::Orthogonal(_)) { bytes.saturating_mul(3) } else { bytes };
        if drawn > room {
            let (dims, wanted, left) = (shape.dims(), gigabytes(bytes), gigabytes(room));
            candle_core::bail!(
                "parameter {name} of shape {dims:?} takes {wanted} of memory, and {left} are left; \
                 make the sizes in the recipe or config.json smaller"
            )
        }
        self.room = Some(if device.is_cpu() { room - bytes } else { room });
        let values = initial.values(shape.dims(), &mut Rng::derive(self.seed, name, 0))?;
        Var::from_vec(values, shape, device)
    }
}

/// What a parameter takes in f32.
fn size_in_bytes(shape: &Shape, name: &str) -> Result<u64> {
    let count = shape.dims().iter().try_fold(1usize, |count, &size| count.checked_mul(size.max(1)));
    match count.and_then(|count| count.checked_mul(size_of::<f32>())).filter(|&bytes| isize::try_from(bytes).is_ok()) {
        Some(bytes) => Ok(if shape.dims().contains(&0) { 0 } else { bytes as u64 }),
        None => candle_core::bail!(
            "parameter {name} of shape {:?} has more values than any memory; make the sizes in the recipe or config.json smaller",
            shape.dims()
        ),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// The initial value that a layer of candle's asked for.
fn translate(init: Init, shape: &Shape) -> Initial {
    match init {
        Init::Const(value) => Initial::Constant(value),
        Init::Randn { stdev, .. } => Initial::Normal(stdev),
        Init::Uniform { lo, up } => Initial::Uniform(up.abs().max(lo.abs())),
        Init::Kaiming { dist, fan, non_linearity } => {
            let std = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                candle_nn::init::NormalOrUniform::Normal => Initial::Normal(std),
                candle_nn::init::NormalOrUniform::Uniform => Initial::Uniform(std * 3f64.sqrt()),
            }
        }
    }
}
