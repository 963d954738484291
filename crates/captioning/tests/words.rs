//! Captions in a script without spaces: from texts beside pictures to a captioner that is opened again and tells them.
#![allow(clippy::unwrap_used)]

use candle_core::Device;
use candlewick_captioning::{Captioner, CaptioningRecipe, prepare};
use candlewick_data::captions::Split;
use candlewick_data::scenes::Scene;
use candlewick_training::{Silent, fit};
use serde_json::{Value, json};
use std::path::Path;

const CAPTIONS: [&str; 10] = [
    "一只黑色的狗在雪地上追赶一只白色的狗",
    "一个女孩正走进一间木屋",
    "两个孩子在公园里踢足球",
    "一个穿红色T恤的男人骑着自行车",
    "一只猫睡在红色的椅子上",
    "一位老人坐在长椅上看报纸",
    "海滩上有三只狗在奔跑",
    "一个小女孩在彩色的颜料里玩耍",
    "一个男孩跳进蓝色的游泳池",
    "一只棕色的狗叼着一个黄色的球",
];

/// Ten scenes with a Chinese caption each beside them, to learn and to be validated on.
fn pictures(folder: &Path) {
    for split in ["train", "validation"] {
        std::fs::create_dir_all(folder.join(split)).unwrap();
        for (index, caption) in (0..).zip(CAPTIONS) {
            let place = folder.join(split).join(format!("{index}.png"));
            Scene::generate(5, index, Split::Train).draw().save(&place).unwrap();
            std::fs::write(place.with_extension("txt"), format!("{caption}\n")).unwrap();
        }
    }
}

fn recipe(data: &Path, words: &Value) -> CaptioningRecipe {
    let blocks =
        json!([{ "channels": 8, "kernel_size": 4, "stride": 4 }, { "channels": 16, "kernel_size": 4, "stride": 2 }]);
    let recipe = json!({
        "task": "captioning",
        "name": "chinese",
        "words": words,
        "data": { "kind": "photos", "path": data, "min_count": 1 },
        "preprocessing": { "do_rescale": true, "do_resize": true, "size": { "height": 32, "width": 32 }, "do_center_crop": false, "do_normalize": false },
        "encoder": { "network": "convnet", "coordinates": true, "config": { "blocks": blocks }, "from_scratch": true },
        "decoder": { "embedding_size": 24, "hidden_size": 48, "attention_size": 16, "dropout": 0.0 },
        "generation": { "max_new_tokens": 30 },
        "batches": { "size": 5 },
        "training": { "epochs": 120, "checkpoint_every": 0, "validate_every": 120, "optimizer": { "name": "adam", "learning_rate": 0.01 } },
    });
    serde_json::from_value(recipe).unwrap()
}

#[test]
fn captions_without_spaces_are_learned_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data);
    for words in [json!("characters"), json!({ "kind": "bpe", "vocab_size": 200 })] {
        let out = folder.path().join(format!("run-{}", words["kind"]));
        let recipe = recipe(&data, &words);
        let mut notes = Vec::new();
        let mut task = prepare(&recipe, &out, &Device::Cpu, &mut |note| notes.push(format!("{note:?}"))).unwrap();
        assert!(!notes.iter().any(|note| note.contains("left out")), "{notes:?}");
        let report = fit(&mut task, &recipe.training, &out, &mut Silent).unwrap();
        let score = |name: &str| report.best_scores.as_ref().unwrap().get(name).unwrap();
        assert!(score("Bleu_4") > 0.5, "characters count as words: {:?}", report.best_scores);
        let told = Captioner::from_pretrained(&out, &Device::Cpu).unwrap();
        assert!(told.tokenizer() == task.captioner().tokenizer());
        let mut right = 0;
        for (index, caption) in (0..).zip(CAPTIONS) {
            let ids = told.tokenizer().encode(caption).unwrap();
            assert_eq!(told.tokenizer().decode(&ids).unwrap(), caption, "{words}");
            let picture = Scene::generate(5, index, Split::Train).draw();
            let said = told.caption(&picture, &recipe.generation).unwrap();
            let parts: String = said.words.iter().map(|word| word.text.as_str()).collect();
            assert_eq!(parts, said.text, "no word brings a space with it");
            right += usize::from(said.text == caption);
        }
        assert!(right >= 8, "{right} of 10 by heart, {words}");
        // What goes on from it keeps its words, whether the recipe names them or not, and no others.
        let on = |words: &Value| {
            let mut on = self::recipe(&data, words);
            (on.start, on.encoder.from_scratch) = (Some(out.clone()), false);
            let task = prepare(&on, &folder.path().join("on"), &Device::Cpu, &mut |_| ());
            task.map(|task| assert!(task.captioner().tokenizer() == told.tokenizer()))
                .map_err(|error| error.to_string())
        };
        on(&words).unwrap();
        on(&json!("ptb")).unwrap();
        assert!(on(&json!("whitespace")).unwrap_err().starts_with("words: the model that training starts from"));
    }
}

#[test]
fn captions_that_are_not_trained_on_or_would_be_cut_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data);
    std::fs::write(data.join("train/0.txt"), "一只狗\n...\n").unwrap();
    let told = |settings: Value| {
        let mut whole = serde_json::to_value(recipe(&data, &settings["words"])).unwrap();
        whole["data"]["longest"] = settings["longest"].clone();
        whole["generation"]["max_new_tokens"] = settings["max_new_tokens"].clone();
        let (recipe, mut lines) = (serde_json::from_value(whole).unwrap(), Vec::new());
        prepare(&recipe, folder.path(), &Device::Cpu, &mut |note| lines.push(format!("{note:?}"))).unwrap();
        lines.retain(|line| !line.contains("pictures to train on") && !line.starts_with("Progress"));
        lines
    };
    let found = told(json!({ "words": "characters", "longest": 13, "max_new_tokens": 10 }));
    let wanted = [
        r#"Skipped("left out captions: 3 longer than 13 words (data.longest)")"#,
        r#"Line("5 of 8 captions have more words than generation.max_new_tokens, 10; set it higher")"#,
    ];
    assert_eq!(found, wanted);
    let found = told(json!({ "words": "ptb", "longest": 40, "max_new_tokens": 10 }));
    assert_eq!(found, [r#"Skipped("left out captions: 1 without a word")"#]);
}
