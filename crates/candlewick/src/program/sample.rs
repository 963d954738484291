//! `candlewick sample`: text as a language model writes it.

use super::arguments::SampleArguments;
use super::output::{say, write};
use super::{Failure, device, embedded};
use candlewick::generation::GenerationConfig;
use candlewick::tasks::language_model::LanguageModel;

/// Writes texts, letter by letter as they come, one after the other.
///
/// # Errors
/// When the model cannot be opened, or does not know a letter of what it is to go on from.
pub fn run(arguments: &SampleArguments) -> Result<(), Failure> {
    let (device, _) = device::open(&arguments.device)?;
    let model = match &arguments.model {
        Some(folder) => LanguageModel::from_pretrained(folder, &device)?,
        None => LanguageModel::embedded(&embedded::SHAKESPEARE, &device)?,
    };
    let SampleArguments { prime, count, json, .. } = arguments;
    for number in 0..*count {
        let generation = settings(arguments, model.generation(), number as u64)?;
        if arguments.feed == "softmax" {
            let text = model.sample_feeding_softmax(prime, generation.max_new_tokens)?;
            tell(arguments, &text, None)?;
            continue;
        }
        let writer = model.sample(prime, &generation)?;
        if !json {
            write(prime)?;
        }
        let mut text = String::new();
        for piece in writer {
            let piece = piece?;
            if !json {
                write(&piece)?;
            }
            text += &piece;
        }
        match json {
            true => tell(arguments, &text, Some(generation.seed))?,
            false => say!("")?,
        }
    }
    Ok(())
}

fn tell(arguments: &SampleArguments, text: &str, seed: Option<u64>) -> Result<(), Failure> {
    match arguments.json {
        true => say!("{}", serde_json::json!({ "prime": arguments.prime, "text": text, "seed": seed })),
        false => say!("{}{text}", arguments.prime),
    }
}

/// The model's settings with those of the command line.
fn settings(arguments: &SampleArguments, own: &GenerationConfig, number: u64) -> Result<GenerationConfig, Failure> {
    let mut generation = own.clone();
    generation.max_new_tokens = arguments.length.unwrap_or(generation.max_new_tokens);
    generation.top_k = arguments.top_k.unwrap_or(generation.top_k);
    generation.top_p = arguments.top_p.unwrap_or(generation.top_p);
    generation.seed = arguments.seed.wrapping_add(number);
    match arguments.temperature {
        Some(0.0) => generation.do_sample = false,
        Some(temperature) => generation.temperature = temperature,
        None => {}
    }
    generation.validate().map_err(Failure::usage)?;
    Ok(generation)
}
