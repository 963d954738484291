//! Translators: what they learn, that padding changes nothing, that runs resume, several as one, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::resumed::same_in_parts;
use candle_core::Device;
use candlewick_data::Split;
use candlewick_parameters::Rng;
use candlewick_tasks::translation::{DataConfig, Pairs, TranslationRecipe, Translator, TranslatorEnsemble, evaluate};
use candlewick_training::{Recipe as _, Silent, fit};
use std::path::Path;

const GERMAN: [&str; 8] = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht"];
const ENGLISH: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];

/// Numbers in two languages, one word for one.
fn write_pairs(folder: &Path) {
    for (name, count) in [("train", 600), ("dev", 60)] {
        let mut rng = Rng::derive(7, name, 0);
        let (mut german, mut english) = (String::new(), String::new());
        for _ in 0..count {
            let numbers: Vec<usize> = (0..4 + rng.below(3)).map(|_| rng.below(8)).collect();
            let line = |words: [&str; 8], numbers: &[usize]| {
                numbers.iter().map(|&number| words[number]).collect::<Vec<_>>().join(" ") + "\n"
            };
            german += &line(GERMAN, &numbers);
            english += &line(ENGLISH, &numbers);
        }
        std::fs::write(folder.join(format!("{name}.de")), german).unwrap();
        std::fs::write(folder.join(format!("{name}.en")), english).unwrap();
    }
}

fn recipe(text: &str, data: &Path) -> TranslationRecipe {
    let head = "task = 'translation'\nname = 'test'\n";
    let mut recipe: TranslationRecipe = toml::from_str(&format!("{head}{text}")).unwrap();
    recipe.data.path = Some(data.to_owned());
    recipe
}

const ATTENTION: &str = "[data]\nsource = 'de'\ntarget = 'en'\nunits = 'spaces'\n\
    [model.encoder]\nembedding_size = 24\nhidden_size = 24\ncell = 'gru'\nstack = { bidirectional = true }\n\
    [model.decoder]\nkind = 'attention'\ncell = 'lstm'\nembedding_size = 24\nhidden_size = 32\nattention_size = 24\ndropout = 0.0\n\
    [generation]\nnum_beams = 2\nmax_new_tokens = 20\n\
    [batches]\nsize = 16\n\
    [training]\nepochs = 16\nclip_norm = 1.0\noptimizer = { name = 'adam', learning_rate = 0.01 }\nschedule = { name = 'cosine' }";

#[test]
fn it_learns_to_translate_and_tells_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path());
    let (recipe, run) = (recipe(ATTENTION, folder.path()), folder.path().join("run"));
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    let bleu = outcome.scores.get("BLEU").unwrap();
    assert!(outcome.split == Some("dev") && bleu > 85.0, "{outcome:?}");

    let translator = Translator::from_pretrained(&run, &Device::Cpu).unwrap();
    let pairs = Pairs::load(folder.path(), &DataConfig::new("de", "en")).unwrap();
    let dev = pairs.split(Split::Dev).unwrap();
    let again = evaluate(dev, |texts| translator.translate(texts, translator.generation()), &mut |_, _| ()).unwrap();
    assert_eq!(again.scores.get("BLEU"), Some(bleu));
    assert!(again.signatures[0].contains("tok:13a"), "{:?}", again.signatures);

    // Alone and among others, shorter and longer ones.
    let texts = ["eins zwei drei vier", "acht acht zwei eins fünf sechs", "drei fünf eins zwei"];
    let generation = translator.generation().clone();
    let together = translator.translate(&texts, &generation).unwrap();
    assert_eq!(together[0].text, "one two three four");
    let (mut near, mut words) = (0, 0);
    for (text, among) in texts.iter().zip(&together) {
        let alone = translator.translate(&[text], &generation).unwrap().remove(0);
        assert_eq!(alone.text, among.text);
        assert!(among.finished && (alone.score - among.score).abs() < 1e-4, "{alone:?} {among:?}");
        assert_eq!(among.source.len(), text.split(' ').count() + 1);
        assert_eq!(among.alpha.len(), among.words.len());
        for (at, weights) in among.alpha.iter().enumerate() {
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{weights:?}");
            let largest = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap();
            near += usize::from(largest.abs_diff(at) <= 1);
        }
        words += among.words.len();
    }
    // What a state both ways knows of a word it knows of the next to it.
    assert!(near * 10 >= words * 8, "{near} of {words} words looked at their own: {together:?}");
    // The same twice is the same once.
    let both = [&run, &run].map(|run| Translator::from_pretrained(run, &Device::Cpu).unwrap());
    let ensemble = TranslatorEnsemble::new(both.into()).unwrap();
    let told = ensemble.translate(&texts, &generation).unwrap();
    assert!(told.iter().zip(&together).all(|(a, b)| a.text == b.text), "{told:?}");
    let best = translator.n_best(
        &texts[..1],
        &candlewick_generation::GenerationConfig { num_return_sequences: 2, ..generation.clone() },
    );
    let best = &best.unwrap()[0];
    assert!(best.len() == 2 && best[0].score >= best[1].score && best[0].text != best[1].text, "{best:?}");
    let refused = translator.translate(&["eins", " "], &generation).unwrap_err().to_string();
    assert_eq!(refused, "sentence 2 is empty; leave it out");
}

#[test]
fn a_vector_is_enough_for_what_is_short() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path());
    let text = ATTENTION.replace(
        "kind = 'attention'\ncell = 'lstm'\nembedding_size = 24\nhidden_size = 32\nattention_size = 24",
        "kind = 'vector'\nvector = 'each_step'\ncell = 'gru'\nembedding_size = 24\nhidden_size = 48",
    );
    let (recipe, run) = (recipe(&text, folder.path()), folder.path().join("run"));
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let bleu = report.best_scores.as_ref().and_then(|scores| scores.get("BLEU")).unwrap();
    // A decoder that sees nothing of the source writes one sentence for all, which is worth less than 4.
    assert!(bleu > 8.0, "{bleu}");
    let translator = Translator::from_pretrained(&run, &Device::Cpu).unwrap();
    let told = translator.translate(&["eins zwei drei vier"], translator.generation()).unwrap();
    assert!(told[0].alpha.is_empty() && !told[0].words.is_empty());
}

#[test]
fn of_several_test_parts_none_is_taken_and_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path());
    let add = |name: &str| {
        for language in ["de", "en"] {
            std::fs::copy(
                folder.path().join(format!("dev.{language}")),
                folder.path().join(format!("{name}.{language}")),
            )
            .unwrap();
        }
    };
    let load = || Pairs::load(folder.path(), &DataConfig::new("de", "en"));
    add("test_2016");
    assert_eq!(load().unwrap().split(Split::Test).unwrap().len(), 60);
    add("test_2017");
    let pairs = load().unwrap();
    let told = "several parts for the test split, test_2016, test_2017; keep one in the folder";
    assert!(pairs.test.is_empty() && pairs.notes == [told], "{:?}", pairs.notes);
    assert_eq!(pairs.split(Split::Test).unwrap_err().to_string(), told);
    for name in ["dev_2016", "dev_2017"] {
        add(name);
    }
    // The one that is called so is meant.
    assert_eq!(load().unwrap().dev.len(), 60);
    for language in ["de", "en"] {
        std::fs::remove_file(folder.path().join(format!("dev.{language}"))).unwrap();
    }
    assert!(load().unwrap_err().to_string().contains("several parts for the dev split, dev_2016, dev_2017"));
}

#[test]
fn a_resumed_run_is_the_same_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path());
    let mut recipe = recipe(&ATTENTION.replace("dropout = 0.0", "dropout = 0.2"), folder.path());
    recipe.label_smoothing = 0.1;
    (recipe.training.epochs, recipe.training.checkpoint_every) = (2, 7);
    same_in_parts(&recipe, folder.path(), &[5, 30]);
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path());
    let refused = |from: &str, to: &str| {
        let recipe = recipe(&ATTENTION.replace(from, to), folder.path());
        let error = recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |_| {}).err().unwrap().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    for (from, to, wanted) in [
        ("target = 'en'", "target = 'de'", "data.source and data.target are both de"),
        ("target = 'en'", "target = 'fr'", ".fr"),
        ("hidden_size = 32", "hidden_size = 0", "model.decoder.hidden_size is 0"),
        ("dropout = 0.0", "dropout = 2.0", "dropout is 2"),
        ("cell = 'gru'", "cell = 'gru'\npooling = ['mean', 'max']", "name one way of pooling"),
        ("[data]", "[data]\nlongest = 2", "0 pairs to train on"),
        ("dropout = 0.0", "score = 'dot'\ndropout = 0.0", "states of size 32 with annotations of size 48"),
    ] {
        let found = refused(from, to);
        assert!(found.contains(wanted), "{found}");
    }
    let all = std::fs::read_to_string(folder.path().join("dev.en")).unwrap();
    std::fs::write(folder.path().join("dev.en"), all.lines().skip(1).collect::<Vec<_>>().join("\n")).unwrap();
    let found = refused("x", "x");
    assert!(found.contains("dev.de") && found.contains("60 lines") && found.contains("59"), "{found}");
    let given = toml::from_str::<TranslationRecipe>(&format!(
        "task = 'translation'\nname = 'x'\n{}",
        ATTENTION.replace("num_beams", "num_beam")
    ));
    assert!(given.unwrap_err().to_string().contains("num_beam: no such setting"));
}
