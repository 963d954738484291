//! `candlewick units`: which units of a language model tell what a text has where.

use super::arguments::UnitsArguments;
use super::output::{note, say};
use super::{Failure, bounds, device, train, whole_file};
use candlewick::data::text::read_text;
use candlewick::pages::{UnitProperty, UnitsPage};
use candlewick::tasks::language_model::units::{
    LEAST_CHARACTERS, Pattern, Property, Telling, UnitScores, properties, property_names, score_units,
};
use candlewick::tasks::language_model::{Activations, LanguageModel};
use std::path::Path;
use std::time::Instant;

/// Reads a text with a model and prints for each property the unit that tells it best.
///
/// # Errors
/// A wrong call for a property that is none; otherwise when the model or the text cannot be read, or the text is too short.
pub fn run(arguments: &UnitsArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let patterns = patterns(&arguments.property)?;
    let (device, device_name) = device::open(&arguments.device)?;
    arguments.out.as_deref().map_or(Ok(()), can_be_written)?;
    let text = text(arguments)?;
    let mut wanted = properties(&text);
    wanted.extend(patterns.iter().map(|pattern| pattern.property(&text)));
    let model = LanguageModel::from_pretrained(&arguments.model, &device)?;
    let activations = activations(&model, &text, arguments.quiet)?;
    let scores = score_units(&activations, &wanted).map_err(|error| Failure::from(error).of(&arguments.file))?;
    let page = Page { text: &text, activations: &activations, scores: &scores, properties: &wanted };
    let shown = arguments.out.as_deref().map(|out| page.write(out, &arguments.file)).transpose()?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        let mut object = json(&activations, &scores, seconds);
        if let (Some(out), Some(shown)) = (&arguments.out, shown) {
            object["page"] = out.display().to_string().into();
            object["characters_shown"] = shown.into();
        }
        return say!("{object}");
    }
    print(&activations, &scores)?;
    if let (Some(out), Some(shown)) = (&arguments.out, shown) {
        say!("{} with the first {shown} characters", out.display())?;
    }
    let (characters, units) = (activations.characters(), activations.units().len());
    say!("{characters} characters, {units} units on {device_name} in {seconds:.0} s")
}

/// The properties of one's own that the command line gives.
fn patterns(properties: &[String]) -> Result<Vec<Pattern>, Failure> {
    let mut patterns: Vec<Pattern> = Vec::new();
    for property in properties {
        let named = property.split_once('=').filter(|(name, regex)| !name.trim().is_empty() && !regex.is_empty());
        let Some((name, regex)) = named else {
            return Err(Failure::usage(format!("--property {property}: wanted NAME=REGEX, such as number='[0-9]+'")));
        };
        if property_names().contains(&name) || patterns.iter().any(|other| other.name() == name) {
            return Err(Failure::usage(format!("--property {name}: there is one of this name; take another name")));
        }
        let pattern = Pattern::new(name, regex);
        patterns.push(pattern.map_err(|error| Failure::usage(format!("--property {error}")))?);
    }
    Ok(patterns)
}

/// Finds out before minutes of reading whether there is a folder for the page.
fn can_be_written(out: &Path) -> Result<(), Failure> {
    match out.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => {
            let fault = format!("{}: there is no folder {}; make it first", out.display(), folder.display());
            Err(Failure::Work(fault))
        }
        None => Ok(()),
    }
}

/// The beginning of the text.
fn text(arguments: &UnitsArguments) -> Result<String, Failure> {
    let UnitsArguments { file, length, quiet, .. } = arguments;
    if *length < LEAST_CHARACTERS {
        return Err(Failure::usage(format!("--length is {length}; {LEAST_CHARACTERS} characters are the least")));
    }
    let mut text = read_text(file, &arguments.encoding)?;
    let characters = text.chars().count();
    if characters < LEAST_CHARACTERS {
        let fault = match characters {
            0 => "is empty".to_owned(),
            _ => format!("has {characters} characters"),
        };
        let fault = format!("{}: {fault}; name a text of at least {LEAST_CHARACTERS}", file.display());
        return Err(Failure::Work(fault));
    }
    if let Some((end, _)) = text.char_indices().nth(*length) {
        text.truncate(end);
        if !quiet {
            note!("the first {length} of {characters} characters are read; --length takes more or fewer");
        }
    }
    Ok(text)
}

/// What the page shows.
struct Page<'a> {
    text: &'a str,
    activations: &'a Activations,
    scores: &'a UnitScores,
    properties: &'a [Property],
}

impl Page<'_> {
    /// Writes the page; gives how many characters of the text it has.
    fn write(&self, out: &Path, file: &Path) -> Result<usize, Failure> {
        let of = |telling: &Telling| {
            let own = self.properties.iter().find(|property| property.name == telling.property);
            own.map(|property| property.marking.values()).unwrap_or_default()
        };
        let marks: Vec<Vec<f32>> = self.scores.telling.iter().map(of).collect();
        let properties = self.scores.telling.iter().zip(&marks).map(|(telling, marks)| UnitProperty {
            name: &telling.property,
            best: telling.unit,
            score: telling.score as f32,
            chance: telling.chance as f32,
            scores: &telling.correlations,
            marks,
        });
        let properties: Vec<UnitProperty> = properties.collect();
        let units: Vec<String> = self.activations.units().iter().map(ToString::to_string).collect();
        let rows = (0..self.activations.characters()).map(|at| self.activations.after(at));
        let (values, properties) = (&rows.collect::<Vec<_>>(), &properties);
        let title = &format!("Units over {}", file.file_name().unwrap_or(file.as_os_str()).to_string_lossy());
        let page = UnitsPage { title, text: self.text, units: &units, values, properties }.html()?;
        whole_file::write(out, page.html.as_bytes())?;
        Ok(page.characters)
    }
}

/// The values of all units, with a bar.
fn activations(model: &LanguageModel, text: &str, quiet: bool) -> Result<Activations, Failure> {
    let tokens = model.tokenizer().encode(text)?.len();
    bounds::fits("--length", (tokens * model.unit_count() * size_of::<f32>()) as f64)?;
    if model.tokenizer().unknown().is_some()
        && let Some(unknown) = model.tokenizer().first_unknown(text)
        && !quiet
    {
        note!("{unknown:?}, and what else the model did not learn, counts as its token for what is unknown");
    }
    let bar = train::counter(tokens as u64, "reading", quiet);
    let activations = model.activations_with(text, &mut |read| bar.set_position(read as u64))?;
    bar.finish_and_clear();
    Ok(activations)
}

fn unit(activations: &Activations, telling: &Telling) -> String {
    activations.units().get(telling.unit).map(ToString::to_string).unwrap_or_default()
}

fn print(activations: &Activations, scores: &UnitScores) -> Result<(), Failure> {
    let width = scores.telling.iter().map(|telling| telling.property.chars().count()).max().unwrap_or(0).max(12);
    say!("{:<width$}  {:<16} {:>7} {:>7}", "property", "best unit", "score", "chance")?;
    for telling in &scores.telling {
        let (name, unit) = (&telling.property, unit(activations, telling));
        say!("{name:<width$}  {unit:<16} {:>7.3} {:>7.3}", telling.score, telling.chance)?;
    }
    if !scores.constant.is_empty() {
        say!("left out, as they are the same throughout a half of the text: {}", scores.constant.join(", "))?;
    }
    say!("chosen by the first half of the text, scored on the second; chance: the same for a text shifted by a half")
}

fn json(activations: &Activations, scores: &UnitScores, seconds: f64) -> serde_json::Value {
    let row = |telling: &Telling| {
        serde_json::json!({
            "property": telling.property,
            "unit": unit(activations, telling),
            "score": telling.score,
            "chance": telling.chance,
            "first_half": telling.first,
        })
    };
    serde_json::json!({
        "properties": scores.telling.iter().map(row).collect::<Vec<_>>(),
        "constant": scores.constant,
        "characters": activations.characters(),
        "units": activations.units().len(),
        "seconds": seconds,
    })
}
