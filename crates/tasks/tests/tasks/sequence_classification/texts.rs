//! Of texts.
#![allow(clippy::print_stderr)]

use super::recipe;
use crate::resumed::same_in_parts;
use candle_core::Device;
use candlewick_data::Split;
use candlewick_parameters::Rng;
use candlewick_tasks::language_model::{LanguageModel, LanguageModelRecipe};
use candlewick_tasks::sequence_classification::{
    DataConfig, Input, LabelledSequences, SequenceClassificationRecipe, SequenceClassifier, evaluate,
};
use candlewick_training::{ModelFolder as _, Recipe as _, Silent, fit};
use std::path::Path;

/// A sentence that praises or blames, in which `not` turns what follows, with words about it that say nothing.
fn sentence(rng: &mut Rng) -> (String, &'static str) {
    let filler = ["the", "film", "of", "a", "man", "and", "sea"];
    let mut words: Vec<&str> = (0..rng.below(9)).map(|_| filler[rng.below(filler.len())]).collect();
    let (fine, not) = (rng.chance(0.5), rng.chance(0.5));
    words.push("is");
    words.extend(not.then_some("not"));
    words.push(if fine { "fine" } else { "dull" });
    words.extend((0..rng.below(4)).map(|_| filler[rng.below(filler.len())]));
    (words.join(" "), if fine == not { "blame" } else { "praise" })
}

fn write_sentences(folder: &Path) {
    for (name, count) in [("train", 400), ("dev", 100)] {
        let mut rng = Rng::derive(7, name, 0);
        let rows: String =
            (0..count).map(|_| sentence(&mut rng)).map(|(text, label)| format!("{text}\t{label}\n")).collect();
        std::fs::write(folder.join(format!("{name}.tsv")), format!("sentence\tlabel\n{rows}")).unwrap();
    }
}

const SENTENCES: &str = "[data]\nunits = 'spaces'\n\
    [model]\nembedding_size = 8\nhidden_size = 12\ncell = 'gru'\npooling = ['attention', 'last']\n\
    stack = { bidirectional = true }\n\
    [batches]\nsize = 16\n\
    [training]\nepochs = 8\noptimizer = { name = 'adam', learning_rate = 0.01 }";

#[test]
fn it_learns_two_kinds_of_sentences_and_padding_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    let (recipe, run) = (recipe(SENTENCES, folder.path()), folder.path().join("run"));
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    assert_eq!((outcome.split, outcome.scores.get("accuracy")), (Some("dev"), Some(1.0)));
    let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
    let set = LabelledSequences::load(folder.path(), &recipe.data).unwrap();
    assert_eq!(evaluate(&classifier, &set, Split::Dev, &mut |_, _| ()).unwrap().get("accuracy"), Some(1.0));

    let texts = ["is not dull", "the man and the sea of a film is fine and a man", "is fine", "is not fine the"];
    let inputs = texts.map(|text| Input::Words(text.into()));
    let together = classifier.classify(&inputs).unwrap();
    let labels: Vec<&str> = together.iter().map(|told| told.labels[0].as_str()).collect();
    assert_eq!(labels, ["praise", "praise", "praise", "blame"]);
    for ((text, input), among) in texts.iter().zip(&inputs).zip(&together) {
        let alone = classifier.classify(std::slice::from_ref(input)).unwrap().remove(0);
        assert_eq!(alone.labels, among.labels);
        for (a, b) in alone.probabilities.iter().zip(&among.probabilities) {
            assert!((a - b).abs() < 1e-6, "{text}: {a} and {b}");
        }
        let alpha = among.alpha.as_ref().unwrap();
        assert_eq!(alpha.len(), text.split(' ').count());
        assert!((alpha.iter().sum::<f32>() - 1.0).abs() < 1e-5 && alpha.iter().all(|&a| a >= 0.0), "{alpha:?}");
        assert!((among.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(among.probabilities.is_sorted_by(|a, b| a >= b));
    }
    // A word that it never saw is no reason to fail; no word at all is.
    classifier.classify(&[Input::Words("is splendid".into())]).unwrap();
    for (input, wanted) in [(Input::Words(" ".into()), "has no words"), (Input::Values(vec![1.0]), "reads texts")] {
        let refused = classifier.classify(&[input]).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[test]
fn a_classifier_begins_with_what_a_language_model_learned() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    let sentences: String = (0..300).map(|index| sentence(&mut Rng::derive(9, "text", index)).0 + "\n").collect();
    std::fs::write(folder.path().join("text.txt"), sentences).unwrap();
    let text = "task = 'language_model'\nname = 'lm'\n[data]\nunits = 'spaces'\n[model]\nembedding_size = 8\n\
        hidden_size = 12\ncell = 'gru'\n[batches]\nsize = 4\nsteps = 16\n[training]\nepochs = 2\n\
        optimizer = { name = 'adam', learning_rate = 0.01 }";
    let mut language: LanguageModelRecipe = toml::from_str(text).unwrap();
    language.data.path = Some(folder.path().join("text.txt"));
    let lm = folder.path().join("lm");
    let mut task = language.prepare(&lm, &Device::Cpu, &mut |_| {}).unwrap();
    fit(&mut task, language.training(), &lm, &mut Silent).unwrap();

    let mut recipe = recipe(&SENTENCES.replace("epochs = 8", "epochs = 1"), folder.path());
    recipe.start = Some(lm.clone());
    let saved = folder.path().join("begun");
    std::fs::create_dir(&saved).unwrap();
    let task = recipe.prepare(&saved, &Device::Cpu, &mut |_| {}).unwrap();
    task.classifier().save(&saved).unwrap();
    let model = LanguageModel::from_pretrained(&lm, &Device::Cpu).unwrap();
    assert_eq!(task.classifier().tokenizer().unwrap().vocab_size(), model.tokenizer().vocab_size());
    let tensors =
        |folder: &Path| candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let best = candlewick_training::model_folder::open_model(&lm, |folder| Ok(folder.to_path_buf())).unwrap();
    let (from, to) = (tensors(&best), tensors(&saved));
    for name in ["embedding.weight", "gru.weight_ih_l0", "gru.weight_hh_l0", "gru.bias_ih_l0"] {
        let flat = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&from[name]), flat(&to[&format!("encoder.{name}")]), "{name}");
    }
    assert!(to.contains_key("encoder.gru.weight_ih_l0_reverse") && to.contains_key("encoder.pool.query"));
    for (change, wanted) in [
        ("model.hidden_size", "model.hidden_size is 13, and the language model's 12; make them equal"),
        ("model.cell", "model.cell is lstm, and the language model's gru; make them equal"),
        ("data.least_count", "data.least_count"),
    ] {
        let mut other = recipe.clone();
        match change {
            "model.hidden_size" => other.model.hidden_size = 13,
            "model.cell" => other.model.cell = "lstm".into(),
            _ => other.data.least_count = 2,
        }
        let Err(refused) = other.prepare(&saved, &Device::Cpu, &mut |_| {}) else { panic!("{change} was taken") };
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
}

#[test]
fn labels_have_the_names_that_the_recipe_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.tsv"), "sentence\tlabel\na fine film\t1\na dull film\t0\n").unwrap();
    std::fs::write(folder.path().join("dev.tsv"), "sentence\tlabel\na film\t1\n").unwrap();
    let text =
        "[data]\nlabel_names = { 0 = 'negative', 1 = 'positive' }\n[model]\nhidden_size = 4\n[training]\nepochs = 1";
    let named = recipe(text, folder.path());
    let task = named.prepare(folder.path(), &Device::Cpu, &mut |_| {}).unwrap();
    let names: Vec<&str> = task.classifier().config().id2label.values().map(String::as_str).collect();
    assert_eq!(names, ["negative", "positive"]);
    let set = LabelledSequences::load(folder.path(), &task.classifier().data_config()).unwrap();
    evaluate(task.classifier(), &set, Split::Dev, &mut |_, _| ()).unwrap();
    for (from, to, wanted) in [
        ("1 = 'positive'", "2 = 'positive'", "data.label_names: no label is called 2; there are 0, 1"),
        ("'positive'", "'negative'", "data.label_names: two labels are called negative"),
    ] {
        let Err(refused) =
            recipe(&text.replace(from, to), folder.path()).prepare(folder.path(), &Device::Cpu, &mut |_| {})
        else {
            panic!("{to} was taken")
        };
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
}

#[test]
fn a_resumed_run_is_the_same_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    let mut recipe = recipe(SENTENCES, folder.path());
    (recipe.model.dropout, recipe.model.word_dropout, recipe.label_smoothing) = (0.3, 0.2, 0.1);
    (recipe.training.epochs, recipe.training.checkpoint_every) = (2, 7);
    same_in_parts(&recipe, folder.path(), &[9, 20]);
}

#[test]
fn a_model_folder_is_the_same_classifier_with_its_rare_words_unknown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.tsv"), "sentence\tlabel\na fine film\t1\na dull film\t0\n !\t0\n")
        .unwrap();
    let text = "[data]\nleast_count = 2\ndev_share = 0.34\n[model]\nhidden_size = 4\npooling = ['max']\n[training]\nepochs = 1";
    let mut recipe = recipe(text, folder.path());
    recipe.data.dev_share = 0.0;
    let Err(refused) = recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}) else {
        panic!("nothing to validate on")
    };
    assert!(refused.to_string().contains("3 sequences to train on and 0 to validate on"), "{refused}");
    std::fs::write(folder.path().join("dev.tsv"), "sentence\tlabel\na film\t1\n").unwrap();
    let mut notes = Vec::new();
    let task = recipe.prepare(folder.path(), &Device::Cpu, &mut |note| notes.push(format!("{note:?}"))).unwrap();
    assert!(notes.iter().any(|note| note.contains("1 sequences to train on have no words")), "{notes:?}");
    let classifier = task.classifier();
    let tokenizer = classifier.tokenizer().unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.first_unknown("a fine film").as_deref()), (3, Some("fine")));
    let saved = tempfile::tempdir().unwrap();
    classifier.save(saved.path()).unwrap();
    let opened = SequenceClassifier::open_folder(saved.path(), &Device::Cpu).unwrap();
    assert_eq!(opened.config(), classifier.config());
    let inputs = [Input::Words("A film!".into())];
    assert_eq!(opened.classify(&inputs).unwrap(), classifier.classify(&inputs).unwrap());
    let exported = tempfile::tempdir().unwrap();
    let about = SequenceClassifier::export(saved.path(), exported.path(), &Default::default()).unwrap();
    assert!(
        about.made_of.contains("texts over 3 tokens") && about.made_of.contains("the class of the whole: 0, 1"),
        "{about:?}"
    );
    let again = SequenceClassifier::from_pretrained(exported.path(), &Device::Cpu).unwrap();
    assert_eq!(again.classify(&inputs).unwrap(), classifier.classify(&inputs).unwrap());
}

#[test]
fn folds_are_ten_parts_of_the_real_set() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA") else {
        eprintln!("skipped: CANDLEWICK_DATA is unset");
        return;
    };
    let path = Path::new(&data).join("rt_polarity");
    let mut tested = 0;
    let text = include_str!("../../../../../models/rt_polarity/train.toml");
    let mut recipe: SequenceClassificationRecipe = toml::from_str(text).unwrap();
    for number in 0..10 {
        recipe.data.fold.as_mut().unwrap().number = number;
        let set = LabelledSequences::load(&path, &recipe.data).unwrap();
        assert_eq!(set.classes, ["neg", "pos"]);
        tested += set.parts.test.len();
        assert!((700..1200).contains(&set.parts.test.len()), "{}", set.parts.test.len());
    }
    let whole = LabelledSequences::load(&path, &DataConfig { fold: None, ..recipe.data }).unwrap();
    assert_eq!(tested, whole.parts.train.len());
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    for (text, wanted) in [
        ("[model]\ncell = 'lstn'\n", "no sequence layer is called lstn"),
        ("[model]\npooling = []\n", "pooling: none is given"),
        ("[model]\npooling = ['max', 'max']\n", "comes twice"),
        ("[model]\ndropout = 1.5\n", "model.dropout is 1.5"),
        ("[model]\nword_dropout = -1.0\n", "model.word_dropout is -1"),
        ("[model]\nhidden_size = 0\n", "model.hidden_size is 0"),
        ("[data]\nleast_count = 0\n", "data.least_count is 0"),
        ("[data]\nleast_count = 2\nunits = 'characters'\n", "data.least_count"),
        ("[data]\ninput = 'values'\nleast_count = 2\n", "data.input = \"words\""),
        ("[data]\ninput = 'values'\n", "train.csv"),
        ("[data]\nfold = { number = 10, of = 10 }\n", "fold 10 of 10"),
        ("[data]\nencoding = 'utf-7'\n", "encoding"),
        ("[data]\noutput = 'number'\n", "data.output"),
        ("[data]\noutput = 'several'\n", "data.output"),
        ("[data]\nvalues = { kind = 'notes' }\n", "data.values"),
        ("[data]\ninput = 'values'\nvalues = { kind = 'notes' }\n", "data.output"),
        ("[data]\ninput = 'values'\nvalues = { kind = 'adding' }\n", "data.output"),
        ("[data]\ninput = 'values'\noutput = 'number'\nvalues = { kind = 'adding', steps = 1 }\n", "data.values"),
        ("[data]\nnormalize = true\n", "data.normalize"),
        ("[data]\ninput = 'values'\nearly = [3]\n", "data.early"),
        ("[data]\ninput = 'values'\noutput = 'each'\nearly = [0]\n", "data.early"),
        ("[data]\ninput = 'frames'\noutput = 'number'\n", "data.output"),
        ("[data]\ninput = 'frames'\nframes = { kind = 'clips', height = 0 }\n", "data.frames"),
        ("[data]\ninput = 'frames'\nframes = { kind = 'clips', join = true }\n", "data.frames.join"),
        ("[data]\ninput = 'frames'\n", "has no clips"),
        ("[data]\nframes = { kind = 'moving' }\n", "data.frames"),
        ("[batches]\nwindow = 1\n", "batches.window"),
        ("[batches]\nmirror = true\n", "batches.mirror"),
        ("[batches]\nsize = 0\n", "batches.size is 0"),
    ] {
        let recipe = recipe(&format!("{text}[training]\nepochs = 1"), folder.path());
        let Err(error) = recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |_| {}) else {
            panic!("{text} was taken")
        };
        let error = error.to_string();
        assert!(error.contains(wanted) && !error.contains('\n'), "{text}: {error}");
    }
    let unknown = "task = 'a'\nname = 'a'\n[data]\ninput = 'smells'\n[training]\nepochs = 1";
    let error = toml::from_str::<SequenceClassificationRecipe>(unknown).unwrap_err().to_string();
    assert!(error.contains("smells") && error.contains("frames"), "{error}");
    let mut recipe = recipe("[training]\nepochs = 1", folder.path());
    recipe.data.path = None;
    let Err(error) = recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}) else { panic!("no data was taken") };
    assert!(error.to_string().contains("--data DIR"), "{error}");
}
