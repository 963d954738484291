use crate::support::{RECIPE, photos, scene, small, succeed};
use crate::{bounded, support};
use std::fs;

/// Settings of a training on scenes that none can be trained with, and what the line names.
const REFUSED: [(&str, &str); 69] = [
    ("name=../escaped", "name is"),
    ("name=", "name is"),
    ("name=/tmp/escaped", "name is"),
    ("training.epochs=-1", "training.epochs"),
    ("training.epochs=1e99", "training.epochs"),
    ("training.seed=-1", "training.seed"),
    ("training.clip_norm=nan", "training.clip_norm"),
    ("training.clip_norm=-1.0", "training.clip_norm"),
    ("training.clip_value=inf", "training.clip_value"),
    ("training.accumulate=0", "training.accumulate"),
    ("training.average=1.5", "average"),
    ("training.precision='low'", "training.precision"),
    ("training.average=nan", "training.average"),
    ("training.max_seconds=nan", "training.max_seconds"),
    ("training.max_seconds=-5.0", "max_seconds"),
    ("training.log_every=0", "log_every"),
    ("training.target={value=nan}", "training.target.value"),
    ("training.early_stopping={patience=1,min_delta=nan}", "training.early_stopping.min_delta"),
    ("training.early_stopping={patience=1,min_delta=-1.0}", "min_delta"),
    ("training.schedule={name='step',gamma=inf,every=1}", "training.schedule.gamma"),
    ("training.schedule={name='step',gamma=0.0,every=1}", "schedule.gamma"),
    ("training.schedule={name='step',gamma=0.5,every=0}", "schedule.every"),
    ("training.schedule={name='cosine',min_factor=2.0}", "min_factor"),
    ("training.optimizer={name='adam',eps=0.0}", "training.optimizer.eps"),
    ("training.optimizer={name='adam',learning_rate=nan}", "training.optimizer.learning_rate"),
    ("training.optimizer={name='adam',learning_rate=-1.0}", "learning_rate"),
    ("training.optimizer={name='adam',betas=[1.0,0.9]}", "betas"),
    ("training.optimizer={name='sgd',momentum=-1.0}", "momentum"),
    ("training.optimizer={name='sgd',nesterov=true}", "nesterov"),
    ("training.optimizer={name='adamm'}", "did you mean adam?"),
    ("training.metric=bleu", "bleu"),
    ("preprocessing.image_std=[inf,1.0,1.0]", "preprocessing"),
    ("preprocessing.image_std=[0.0,1.0,1.0]", "image_std"),
    ("preprocessing.image_std=[-1.0,1.0,1.0]", "image_std"),
    ("preprocessing.image_mean=[nan,0.0,0.0]", "preprocessing"),
    ("preprocessing.rescale_factor=0.0", "rescale_factor"),
    ("preprocessing.size={height=1000000,width=1000000}", "preprocessing"),
    ("encoder.network=resnet5", "did you mean resnet50?"),
    ("encoder.network=resnet18", "--encoder-weights"),
    ("encoder.learning_rate_factor=nan", "encoder.learning_rate_factor"),
    ("encoder.learning_rate_factor=-1.0", "learning_rate_factor"),
    ("encoder.fine_tune=layer9", "fine_tune"),
    ("encoder.layer=nowhere", "encoder.layer: convnet has no layer nowhere"),
    ("decoder.hidden_size=0", "hidden_size"),
    ("decoder.hidden_size=1000000000", "GB"),
    ("decoder.hidden_size=18446744073709551615", "hidden_size"),
    ("decoder.embedding_size=0", "embedding_size"),
    ("decoder.embedding_size=1000000000", "GB"),
    ("decoder.attention_size=0", "attention_size"),
    ("decoder.cell=lstmm", "decoder.cell: no sequence layer is called lstmm; did you mean lstm?"),
    ("decoder.dropout=2.0", "dropout"),
    ("decoder.dropout=nan", "decoder.dropout"),
    ("loss.label_smoothing=1.0", "label_smoothing"),
    ("loss.doubly_stochastic=-1.0", "doubly_stochastic"),
    ("scheduled_sampling.most=2.0", "scheduled_sampling"),
    ("generation.num_beams=1000000", "num_beams"),
    ("generation.max_new_tokens=100000000", "max_new_tokens"),
    ("generation.temperature=0.0", "temperature"),
    ("batches.size=0", "batches.size"),
    ("batches.workers=100000", "batches.workers"),
    ("words=character", "did you mean characters?"),
    ("words=nowhere.json", "nowhere.json"),
    ("words={kind='bpe',vocab_size=2}", "words.vocab_size"),
    ("words={kind='bpe',vocab_size=-1}", "words"),
    ("words={kind='ptb',vocab_size=9}", "words: vocab_size"),
    ("data={kind='photos',path='.',dev_share=1.0}", "data.dev_share"),
    ("data.train=1000000000", "data.train"),
    ("data.train=0", "data.train"),
    ("data.dev=-1", "data.dev"),
];

/// Options that cannot be, each with what the line names.
const OPTIONS: [(&str, &str); 46] = [
    ("train --set training.epochs", "KEY=VALUE"),
    ("train --set =1", "--set"),
    ("train --threads 0", "--threads"),
    ("train --threads 1000", "--threads is 1000"),
    ("train --threads 1000000", "--threads"),
    ("train --threads=-1", "--threads"),
    ("train --device cpu:7", "cpu:7"),
    ("train --device auto:3", "auto:3"),
    ("train --device abacus", "abacus"),
    ("train --precision low", "low"),
    ("train --start nowhere", "nowhere"),
    ("train nowhere.toml", "nowhere.toml"),
    ("train --data .", "--data"),
    ("caption", "PICTURE"),
    ("caption x.png --bem 3", "did you mean --beam? (candlewick caption --help)"),
    ("caption scene-1.png --beam 0", "--beam"),
    ("caption scene-1.png --beam 1000000", "--beam"),
    ("caption scene-1.png --beam 18446744073709551616", "--beam"),
    ("caption scene-1.png --n-best 1000000", "--n-best"),
    ("caption scene-1.png --length-penalty nan", "--length-penalty"),
    ("caption scene-1.png --max-words 0", "--max-words"),
    ("caption scene-1.png --model nowhere", "nowhere"),
    ("caption scene-1.png --include xyzzy", "xyzzy"),
    ("caption missing.png", "missing.png"),
    ("evaluate --model nowhere --data .", "nowhere"),
    ("evaluate --model . --data . --max-share nan", "--max-share"),
    ("evaluate --model . --data . --max-share=-1", "--max-share"),
    ("evaluate --model . --data . --max-share 2", "--max-share"),
    ("evaluate --model . --data . --split tset", "tset"),
    ("evaluate --model . --data . --dev-share nan", "--dev-share"),
    ("evaluate --model . --data . --coco-zip a/b", "--coco-zip a/b"),
    ("evaluate --model . --data . --coco-zip=", "--coco-zip"),
    ("answer scene-1.png ?", "has no words"),
    ("answer scene-1.png what? --model nowhere", "nowhere"),
    ("classify scene-1.png --model nowhere", "nowhere"),
    ("classify scene-1.png --model resnet18", "--weights"),
    ("networks --size 100000", "--size"),
    ("networks --size 18446744073709551615", "--size"),
    ("networks alexnet --plot plot.pdf", ".svg or .png"),
    ("gradient-flow --hidden-size 1000000", "--hidden-size"),
    ("gradient-flow --steps 18446744073709551615", "--steps"),
    ("gradient-flow --singular-value nan", "--singular-value"),
    ("units run text.txt --length 0", "--length"),
    ("units run text.txt --property word=a", "take another name"),
    ("units run text.txt --property a=(", "unclosed group"),
    ("units run text.txt --property a=b{9999999}", "--property a="),
];

#[test]
fn settings_that_cannot_be_are_refused_by_name_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (setting, named) in REFUSED {
        let ended = bounded(here, &small("out", &[setting]), setting);
        assert!(ended.code > 0 && ended.line().contains(named), "{setting}: {}", ended.err);
        assert!(!here.join("out/log.jsonl").exists(), "{setting}: a run was begun");
    }
    let deep = format!("{}=1", vec!["a"; 50_000].join("."));
    let ended = bounded(here, &small("out", &[&deep]), "a deep key");
    assert!(ended.line().contains("no setting lies so deep"), "{}", ended.err);
    let ended = bounded(here, &small("out", &["training.epochs=1\ntraining.seed=2"]), "two settings in one");
    assert!(ended.line().contains("sets training as well"), "{}", ended.err);
}

#[test]
fn options_that_cannot_be_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    scene(here, 1);
    for (call, named) in OPTIONS {
        let ended = bounded(here, &call.split(' ').collect::<Vec<_>>(), call);
        assert!(ended.code > 0 && ended.line().contains(named), "{call}: {}", ended.err);
    }
    assert!(!here.join("runs").exists(), "a wrong call leaves nothing behind");
}

#[test]
fn forgotten_weights_and_a_lost_run_are_told_before_the_photos_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    fs::write(here.join("train.toml"), RECIPE.replace("\"convnet\"", "\"resnet50\"")).unwrap();
    let train = ["train", "train.toml", "--data", "data", "--quiet"];
    let ended = bounded(here, &train, "forgotten weights");
    assert!(ended.line().contains("--encoder-weights FILE|hub:REPO, or encoder.from_scratch = true"), "{}", ended.err);
    let lost = bounded(here, &[&train[..], &["--start", "nowhere"]].concat(), "a lost run");
    assert!(lost.line().contains("nowhere"), "{}", lost.err);
    // Both at once contradict each other.
    fs::write(here.join("train.toml"), RECIPE.replace("\"convnet\"", "\"convnet\", from_scratch = true")).unwrap();
    let both = bounded(here, &[&train[..], &["--encoder-weights", "encoder.safetensors"]].concat(), "both");
    assert!(both.line().contains("from_scratch"), "{}", both.err);
}

#[test]
fn runs_know_their_photos_and_their_dev_split() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    let train = |epochs| {
        let words = ["train", "train.toml", "--data", "data", "--encoder-weights", "encoder.safetensors", "--quiet"];
        [&words[..], &["--out", "out", "--set", epochs]].concat()
    };
    succeed(here, &train("training.epochs=1"));
    let list = here.join("data/Flickr_8k.devImages.txt");
    let whole = fs::read_to_string(&list).unwrap();
    fs::write(&list, whole.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let ended = bounded(here, &train("training.epochs=2"), "another dev split");
    assert!(ended.line().contains("dev_split"), "{}", ended.err);
    fs::write(&list, whole).unwrap();
    let (photo, _) = support::scene(here, 77);
    fs::copy(photo, here.join("data/images/train3.png")).unwrap();
    let ended = bounded(here, &train("training.epochs=2"), "another photo");
    assert!(ended.line().contains("photos"), "{}", ended.err);
}
