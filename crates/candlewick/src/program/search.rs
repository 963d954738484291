//! How captions are searched for: from the options of the command line to the settings of a search.

use super::Failure;
use super::arguments::SearchArguments;
use candlewick::captioning::{CaptionPictures, GenerationConfig};
use candlewick::data::text::words::WordTokenizer;

/// What a word that another group took costs, where nothing else is said: about what Vijayakumar et al. found best.
const DIVERSITY: f64 = 0.5;

/// The fewest beams that look for wanted words, where nothing else is said.
const BEAMS: usize = 5;

/// The model's own settings with what the command line says; `n_best` captions, where that is said.
///
/// # Errors
/// A wrong call where a setting makes no sense.
pub fn settings(
    captioner: &dyn CaptionPictures,
    arguments: &SearchArguments,
    n_best: Option<usize>,
) -> Result<GenerationConfig, Failure> {
    let mut generation = captioner.generation().clone();
    let ids = |words: &String| phrases(captioner.tokenizer(), words);
    let include = arguments.include.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
    let exclude = arguments.exclude.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
    let said = arguments.exclude.iter().map(|words| format!("--exclude {words}")).zip(&exclude);
    let said = said.flat_map(|(who, all)| all.iter().map(move |bad| (who.clone(), bad.clone())));
    let own = generation.suppress_tokens.iter().map(|&word| vec![word]).chain(generation.bad_words_ids.clone());
    let own = own.map(|bad| ("the model's generation_config.json".to_owned(), bad));
    let refused: Vec<(String, Vec<u32>)> = said.chain(own).collect();
    for (words, phrases) in arguments.include.iter().zip(&include) {
        may_come(words, phrases, &refused)?;
    }
    generation.num_return_sequences = n_best.unwrap_or(generation.num_return_sequences);
    generation.num_beams = arguments.beam.unwrap_or_else(|| {
        let told = if generation.do_sample { 1 } else { generation.num_return_sequences };
        let wanted = if include.is_empty() { 1 } else { BEAMS };
        generation.num_beams.max(told).max(wanted)
    });
    generation.force_words_ids.extend(include);
    generation.bad_words_ids.extend(exclude.into_iter().flatten());
    generation.num_beam_groups = arguments.beam_groups.unwrap_or(generation.num_beam_groups);
    if arguments.beam_groups.is_some() {
        generation.diversity_penalty = arguments.diversity.unwrap_or(DIVERSITY);
    }
    generation.max_new_tokens = arguments.max_words.unwrap_or(generation.max_new_tokens);
    generation.min_new_tokens = arguments.min_words.unwrap_or(generation.min_new_tokens);
    generation.no_repeat_ngram_size = arguments.no_repeat_ngram_size.unwrap_or(generation.no_repeat_ngram_size);
    generation.repetition_penalty = arguments.repetition_penalty.unwrap_or(generation.repetition_penalty);
    sample(&mut generation, arguments)?;
    generation.length_penalty = arguments.length_penalty.unwrap_or(generation.length_penalty);
    generation.validate().map_err(|error| Failure::usage(in_flags(error.to_string())))?;
    Ok(generation)
}

/// The options of a search that the command line gives.
pub fn given(arguments: &SearchArguments) -> Vec<&'static str> {
    let search = [
        ("--beam", arguments.beam.is_some()),
        ("--beam-groups", arguments.beam_groups.is_some()),
        ("--diversity", arguments.diversity.is_some()),
        ("--include", !arguments.include.is_empty()),
        ("--exclude", !arguments.exclude.is_empty()),
        ("--max-words", arguments.max_words.is_some()),
        ("--min-words", arguments.min_words.is_some()),
        ("--length-penalty", arguments.length_penalty.is_some()),
        ("--no-repeat-ngram-size", arguments.no_repeat_ngram_size.is_some()),
        ("--repetition-penalty", arguments.repetition_penalty.is_some()),
        ("--mirrored", arguments.mirrored),
    ];
    search.into_iter().chain(sampling(arguments)).filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
}

/// The options that have words drawn at random, and whether each is given.
fn sampling(arguments: &SearchArguments) -> Vec<(&'static str, bool)> {
    vec![
        ("--sample", arguments.sample),
        ("--temperature", arguments.temperature.is_some()),
        ("--top-k", arguments.top_k.is_some()),
        ("--top-p", arguments.top_p.is_some()),
        ("--typical-p", arguments.typical_p.is_some()),
        ("--seed", arguments.seed.is_some()),
    ]
}

/// Puts in what the command line says of sampling.
///
/// # Errors
/// A wrong call where beams are asked for as well.
fn sample(generation: &mut GenerationConfig, arguments: &SearchArguments) -> Result<(), Failure> {
    let given = sampling(arguments).into_iter().find(|(_, given)| *given);
    let Some((flag, _)) = given else { return Ok(()) };
    let beams =
        [("--beam", arguments.beam.is_some_and(|beams| beams > 1)), ("--include", !arguments.include.is_empty())];
    if let Some((other, _)) = beams.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{flag} draws words at random, {other} searches with beams; leave one of them out"
        )));
    }
    generation.do_sample = true;
    generation.num_beams = 1;
    generation.num_beam_groups = 1;
    generation.temperature = arguments.temperature.unwrap_or(generation.temperature);
    generation.top_k = arguments.top_k.unwrap_or(generation.top_k);
    generation.top_p = arguments.top_p.unwrap_or(generation.top_p);
    generation.typical_p = arguments.typical_p.unwrap_or(generation.typical_p);
    generation.seed = arguments.seed.unwrap_or(generation.seed);
    Ok(())
}

/// What the settings are called on the command line.
const FLAGS: [(&str, &str); 13] = [
    ("num_beam_groups", "--beam-groups"),
    ("num_beams", "--beam"),
    ("num_return_sequences", "--n-best"),
    ("diversity_penalty", "--diversity"),
    ("force_words_ids", "--include"),
    ("bad_words_ids", "--exclude"),
    ("max_new_tokens", "--max-words"),
    ("min_new_tokens", "--min-words"),
    ("top_k", "--top-k"),
    ("top_p", "--top-p"),
    ("typical_p", "--typical-p"),
    ("repetition_penalty", "--repetition-penalty"),
    ("length_penalty", "--length-penalty"),
];

/// A fault of the settings in the words of the command line.
fn in_flags(fault: String) -> String {
    let fault = fault.strip_prefix("generation config: ").unwrap_or(&fault).to_owned();
    FLAGS.iter().fold(fault, |fault, (key, flag)| fault.replace(key, flag))
}

/// The ids of words and of their alternatives; a word that the model does not know can be neither wanted nor refused.
fn phrases(tokenizer: &WordTokenizer, words: &str) -> Result<Vec<Vec<u32>>, Failure> {
    let mut all = Vec::new();
    for alternative in words.split('|') {
        let found = tokenizer.phrases(alternative)?;
        if let Some(word) = found.unknown {
            return Err(Failure::usage(format!("the model does not know the word {word:?}; it says other words")));
        }
        if found.ids.is_empty() {
            return Err(Failure::usage(format!("{words:?}: {alternative:?} holds no word")));
        }
        all.extend(found.ids);
    }
    Ok(all)
}

/// Refuses wanted words that all hold refused ones; `refused` says by whom.
fn may_come(words: &str, phrases: &[Vec<u32>], refused: &[(String, Vec<u32>)]) -> Result<(), Failure> {
    let holds = |phrase: &[u32], bad: &[u32]| phrase.windows(bad.len()).any(|part| part == bad);
    let mut refusals = phrases.iter().map(|phrase| refused.iter().find(|(_, bad)| holds(phrase, bad)));
    match refusals.next().flatten() {
        Some((who, _)) if refusals.all(|other| other.is_some()) => {
            Err(Failure::usage(format!("--include {words}: {who} refuses it; leave one of the two out")))
        }
        _ => Ok(()),
    }
}
