//! Words of scripts with and without spaces, and tokenizers from elsewhere.
#![allow(clippy::unwrap_used)]

use candlewick_data::text::words::{BpeConfig, END, PAD, START, UNK, WordTokenizer, Words};

const CHINESE: [&str; 10] = [
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
const OTHERS: [&str; 6] = [
    "草原を走る犬、がぎぐ",
    "สุนัขวิ่งบนหญ้า",
    "a dog runs on the grass",
    "Zwei Hunde laufen über Gras.",
    "一只 dog 在 grass 上",
    "개가 풀밭을 달린다",
];

fn kinds() -> [Words; 3] {
    [Words::Whitespace, Words::Characters, Words::Bpe(BpeConfig { vocab_size: 300 })]
}

fn all() -> Vec<&'static str> {
    CHINESE.into_iter().chain(OTHERS).collect()
}

#[test]
fn captions_of_every_script_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for words in kinds() {
        let tokenizer = words.tokenizer(all(), 1).unwrap();
        let path = folder.path().join(format!("{words}.json"));
        tokenizer.save(&path).unwrap();
        let loaded = WordTokenizer::load(&path).unwrap();
        assert_eq!(loaded, tokenizer);
        for caption in all() {
            let ids = tokenizer.encode(caption).unwrap();
            assert!(!ids.contains(&UNK), "{words}: {caption}");
            assert_eq!((ids[0], ids[ids.len() - 1]), (START, END), "{words}: {caption}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), caption, "{words}");
            assert_eq!(loaded.encode(caption).unwrap(), ids, "{words}: {caption}");
            // By itself each word is text as well.
            let whole: String = ids.iter().map(|&id| tokenizer.decode(&[id]).unwrap()).collect();
            assert_eq!(whole, caption.replace(' ', ""), "{words}");
        }
        assert_eq!(tokenizer.encode("").unwrap(), [START, END], "{words}");
        assert_eq!(tokenizer.encode(" \n ").unwrap(), [START, END], "{words}");
        // Trained again it is the same, file and all.
        words.tokenizer(all(), 1).unwrap().save(&folder.path().join("again.json")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(folder.path().join("again.json")).unwrap(), "{words}");
    }
}

#[test]
fn a_word_is_what_its_kind_says() {
    let ids = |words: &Words, text: &str| {
        let tokenizer = words.tokenizer(all(), 1).unwrap();
        let ids = tokenizer.encode(text).unwrap();
        ids[1..ids.len() - 1].iter().map(|&id| tokenizer.word(id).unwrap()).collect::<Vec<_>>().join("|")
    };
    let [whitespace, characters, bpe] = kinds();
    assert_eq!(ids(&whitespace, " Zwei  Hunde\nlaufen über Gras. "), "Zwei|Hunde|laufen|über|Gras.");
    assert_eq!(ids(&characters, "一只狗 dog 在奔跑"), "一|只|狗|▁d|o|g|▁在|奔|跑");
    assert_eq!(ids(&characters, "หญ้า"), "ห|ญ้|า", "marks stay with their letters");
    assert_eq!(ids(&characters, "か\u{3099}"), "が", "composed");
    assert_eq!(ids(&characters, "a dog"), "a|▁d|o|g");
    assert_eq!(ids(&bpe, "dog dogs"), "▁dog|▁dog|s");
    let pieces = ids(&bpe, CHINESE[0]);
    assert!(pieces.starts_with("▁一只") && (3..19).contains(&pieces.split('|').count()), "{pieces}");
    // What is rare is unknown.
    let rare = Words::Characters.tokenizer(["狗狗猫", "狗"], 2).unwrap();
    assert_eq!(rare.encode("猫狗").unwrap(), [START, UNK, 4, END]);
    let rare = Words::Bpe(BpeConfig { vocab_size: 9 }).tokenizer(["狗狗猫", "狗"], 2).unwrap();
    assert_eq!(rare.decode(&rare.encode("狗猫狗").unwrap()).unwrap(), "狗狗");
    let few = Words::Bpe(BpeConfig { vocab_size: 20 }).tokenizer(all(), 1).unwrap_err().to_string();
    assert!(few.starts_with("words.vocab_size is 20, and ") && few.ends_with("come 1 times; make it larger"), "{few}");
    for words in kinds() {
        assert!(words.tokenizer(["a b"], 9).unwrap_err().to_string().contains("min_count"), "{words}");
    }
}

#[test]
fn tokenizers_that_write_their_words_in_another_way_differ() {
    let whitespace = Words::Whitespace.tokenizer(["狗 猫"], 1).unwrap();
    let ptb = Words::Ptb.tokenizer(["狗 猫"], 1).unwrap();
    let characters = Words::Characters.tokenizer(["狗", "猫"], 1).unwrap();
    assert_eq!(whitespace, ptb, "the same words, and spaces between them");
    assert_ne!(whitespace, characters, "the same words, and no spaces between them");
}

#[test]
fn a_tokenizer_is_known_by_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("characters.json");
    Words::Characters.tokenizer(all(), 1).unwrap().save(&file).unwrap();
    let kinds: Vec<Words> = std::iter::once(Words::Ptb).chain(kinds()).collect();
    for (index, made) in kinds.iter().enumerate() {
        let tokenizer = made.tokenizer(all(), 1).unwrap();
        for (other, words) in kinds.iter().enumerate() {
            assert_eq!(words.is_of(&tokenizer), index == other, "{words} of {made}");
        }
        assert_eq!(Words::File(file.clone()).is_of(&tokenizer), *made == Words::Characters, "{made}");
    }
}

#[test]
fn wanted_words_are_found_in_every_form_that_they_come_in() {
    let said = |words: &Words, text: &str| {
        let tokenizer = words.tokenizer(all(), 1).unwrap();
        let found = tokenizer.phrases(text).unwrap();
        let phrase = |ids: &Vec<u32>| ids.iter().map(|&id| tokenizer.word(id).unwrap()).collect::<Vec<_>>().join(" ");
        (found.ids.iter().map(phrase).collect::<Vec<_>>(), found.unknown)
    };
    let [whitespace, characters, bpe] = kinds();
    let known = |all: &[&str]| (all.iter().map(ToString::to_string).collect::<Vec<_>>(), None);
    let unknown = |word: &str| (Vec::new(), Some(word.to_owned()));
    assert_eq!(said(&Words::Ptb, "A Dog"), known(&["a dog"]));
    assert_eq!(said(&Words::Ptb, "a horse"), unknown("horse"));
    assert_eq!(said(&Words::Ptb, "..."), known(&[]));
    assert_eq!(said(&whitespace, "Zwei Hunde"), known(&["Zwei Hunde"]));
    assert_eq!(said(&whitespace, "hunde"), unknown("hunde"));
    assert_eq!(said(&characters, "狗"), known(&["狗"]));
    assert_eq!(said(&characters, "黑色"), known(&["黑 色"]));
    assert_eq!(said(&characters, "dog"), known(&["d o g", "▁d o g"]));
    assert_eq!(said(&characters, "马"), unknown("马"));
    assert_eq!(said(&bpe, "dog"), known(&["▁dog"]));
    let (dogs, none) = said(&bpe, "狗");
    assert!(dogs.contains(&"狗".to_owned()) && none.is_none(), "{dogs:?}");
    assert!(dogs.iter().all(|phrase| phrase.contains('狗')), "{dogs:?}");
}

#[test]
fn a_recipe_says_words_in_a_word_a_file_or_a_table() {
    let read = |text: &str| serde_json::from_str::<Words>(text);
    for (text, wanted) in [
        ("\"ptb\"", Words::Ptb),
        ("\"whitespace\"", Words::Whitespace),
        ("\"characters\"", Words::Characters),
        ("\"bpe\"", Words::Bpe(BpeConfig { vocab_size: 4000 })),
        (r#"{"kind": "bpe", "vocab_size": 800}"#, Words::Bpe(BpeConfig { vocab_size: 800 })),
        (r#"{"vocab_size": 800}"#, Words::Bpe(BpeConfig { vocab_size: 800 })),
        (r#"{"kind": "characters"}"#, Words::Characters),
        ("\"a/tokenizer.json\"", Words::File("a/tokenizer.json".into())),
    ] {
        assert_eq!(read(text).unwrap(), wanted, "{text}");
        assert_eq!(read(&serde_json::to_string(&wanted).unwrap()).unwrap(), wanted);
    }
    let fault = |text: &str| read(text).unwrap_err().to_string();
    assert!(
        fault("\"character\"")
            .contains("no words are called \"character\"; there are ptb, whitespace, characters, bpe")
    );
    assert!(fault("\"character\"").contains("; did you mean characters?"), "{}", fault("\"character\""));
    assert!(fault(r#"{"kind": "bpe", "size": 3}"#).contains("unknown field `size`"));
    assert!(fault(r#"{"kind": "ptb", "vocab_size": 3}"#).contains("vocab_size: ptb has no such setting"));
    assert!(fault("3").contains("one of ptb"), "{}", fault("3"));
    let few = Words::Bpe(BpeConfig { vocab_size: 4 }).check().unwrap_err().to_string();
    assert!(few.contains("words.vocab_size is 4"), "{few}");
    let gone = Words::File("nowhere/tokenizer.json".into()).check().unwrap_err().to_string();
    assert!(gone.starts_with("nowhere/tokenizer.json: "), "{gone}");
}

/// A `tokenizer.json` with this model, as Hugging Face's libraries write one.
fn file(model: serde_json::Value, rest: serde_json::Value, special: &[(&str, u32)]) -> serde_json::Value {
    let added = special.iter().map(|(token, id)| {
        serde_json::json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                            "normalized": false, "special": true })
    });
    let mut file = serde_json::json!({ "version": "1.0", "truncation": null, "padding": { "strategy": "BatchLongest",
        "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" },
        "added_tokens": added.collect::<Vec<_>>(), "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null, "model": model });
    for (key, value) in rest.as_object().unwrap() {
        file[key] = value.clone();
    }
    file
}

/// The tokenizer of a file, which must be the same when it is saved and opened again.
fn adopted(file: &serde_json::Value) -> WordTokenizer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let words = Words::File(path.clone());
    words.check().unwrap();
    let found = words.tokenizer(["captions count for nothing"], 5).unwrap();
    assert_eq!([PAD, START, END, UNK].map(|id| found.word(id).unwrap()), ["<pad>", "<start>", "<end>", "<unk>"]);
    let size = found.vocab_size() as u32;
    assert!((0..size).all(|id| found.word(id).is_some()) && found.word(size).is_none(), "no gaps");
    let own = folder.path().join("own.json");
    found.save(&own).unwrap();
    assert_eq!(WordTokenizer::load(&own).unwrap(), found);
    assert_eq!(Words::File(own).tokenizer([""], 1).unwrap(), found, "one of ours stays as it is");
    found
}

/// A file of its kind.
fn bert() -> serde_json::Value {
    let vocab = serde_json::json!({ "[PAD]": 0, "[unused1]": 1, "[UNK]": 2, "[CLS]": 3, "[SEP]": 4, "dog": 5, "##s": 6, "runs": 7 });
    let model = serde_json::json!({ "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                                    "max_input_chars_per_word": 100, "vocab": vocab });
    let rest = serde_json::json!({ "pre_tokenizer": { "type": "BertPreTokenizer" },
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true } });
    let special = [("[PAD]", 0), ("[UNK]", 2), ("[CLS]", 3), ("[SEP]", 4)];
    file(model, rest, &special)
}

#[test]
fn a_wordpiece_file_gets_our_special_tokens_for_its_own() {
    let bert = adopted(&bert());
    assert_eq!(bert.vocab_size(), 8);
    assert_eq!(bert.encode("Dogs runs cat").unwrap(), [START, 5, 6, 7, UNK, END]);
    assert_eq!(bert.decode(&[START, 5, 6, 7, END]).unwrap(), "dogs runs");
    assert_eq!(bert.phrases("dogs").unwrap().ids, [[5, 6]]);
}

/// A file of its kind.
fn gpt() -> serde_json::Value {
    let vocab =
        serde_json::json!({ "a": 0, "d": 1, "o": 2, "g": 3, "Ġ": 4, "do": 5, "dog": 6, "Ġdog": 7, "<|endoftext|>": 8 });
    let model = serde_json::json!({ "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
        "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": ["d o", "do g", "Ġ dog"] });
    let bytes =
        serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    file(model, serde_json::json!({ "pre_tokenizer": bytes, "decoder": bytes }), &[("<|endoftext|>", 8)])
}

#[test]
fn a_byte_level_file_gets_our_special_tokens_for_its_own() {
    let gpt = adopted(&gpt());
    assert_eq!(gpt.vocab_size(), 12);
    assert_eq!(gpt.encode("a dog dog").unwrap(), [START, 4, 11, 11, END]);
    assert_eq!(gpt.decode(&[START, 4, 11, 10, END]).unwrap(), "a dogdog");
    let forms = gpt.phrases("dog").unwrap().ids;
    assert_eq!(forms, [vec![10], vec![11]], "with the space before it and without");
}

/// A file of its kind.
fn unigram() -> serde_json::Value {
    let vocab = serde_json::json!([
        ["<s>", 0.0],
        ["<pad>", 0.0],
        ["</s>", 0.0],
        ["<unk>", 0.0],
        ["▁", -3.0],
        ["▁dog", -1.5],
        ["狗", -2.0]
    ]);
    let model = serde_json::json!({ "type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": false });
    let space =
        serde_json::json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    let special = [("<s>", 0), ("<pad>", 1), ("</s>", 2), ("<unk>", 3)];
    file(model, serde_json::json!({ "pre_tokenizer": space, "decoder": space }), &special)
}

#[test]
fn a_unigram_file_gets_our_special_tokens_for_its_own() {
    let xlm = adopted(&unigram());
    assert_eq!(xlm.encode("dog 狗").unwrap(), [START, 5, 4, 6, END]);
    assert_eq!(xlm.decode(&xlm.encode("dog 狗").unwrap()).unwrap(), "dog 狗");
    assert_eq!(xlm.encode("猫").unwrap(), [START, 4, UNK, END]);
}

#[test]
fn files_that_cannot_be_adopted_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.json");
    let cases = [
        "",
        "[]",
        "{\"model\": {}}",
        "{\"model\": {\"type\": \"Rare\", \"vocab\": {}}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}}}",
    ];
    for text in cases {
        std::fs::write(&path, text).unwrap();
        let fault = Words::File(path.clone()).check().unwrap_err().to_string();
        assert!(fault.contains("other.json: is not a tokenizer.json") && !fault.contains('\n'), "{text}: {fault}");
    }
}

#[test]
fn damaged_files_are_named_or_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.json");
    Words::Bpe(BpeConfig { vocab_size: usize::MAX }).tokenizer(all(), 1).unwrap().save(&path).unwrap();
    let own = std::fs::read(&path).unwrap();
    for whole in
        [own, bert().to_string().into_bytes(), gpt().to_string().into_bytes(), unigram().to_string().into_bytes()]
    {
        for index in 0..300 {
            std::fs::write(&path, damaged(&whole, index)).unwrap();
            let found = Words::File(path.clone()).tokenizer([""], 1);
            match found.and_then(|found| found.encode("a dog 狗").and_then(|ids| found.decode(&ids))) {
                Ok(_) => {}
                Err(fault) => assert!(!fault.to_string().contains('\n'), "{index}: {fault}"),
            }
        }
    }
}

/// The bytes with a bit changed, some taken out, the end cut off, or a value replaced by an odd one.
fn damaged(whole: &[u8], index: usize) -> Vec<u8> {
    const VALUES: [&str; 8] = ["null", "-1", "1e999", "18446744073709551616", "\"\"", "[]", "{}", "[[]]"];
    let at = index.wrapping_mul(2_654_435_761) % whole.len();
    let mut bytes = whole.to_vec();
    match index % 4 {
        0 => bytes[at] ^= 1 << (index % 7),
        1 => drop(bytes.drain(at..(at + 1 + index % 50).min(whole.len()))),
        2 => bytes.truncate(at),
        _ => {
            let from = whole[at..].iter().position(|&byte| byte == b':').map_or(whole.len(), |place| at + place + 1);
            let end =
                whole[from..].iter().position(|byte| b",}".contains(byte)).map_or(whole.len(), |place| from + place);
            drop(bytes.splice(from..end, VALUES[index / 4 % VALUES.len()].bytes()));
        }
    }
    bytes
}
