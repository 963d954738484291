//! How captions are cut into words, and how a tokenizer is kept in a file.
#![allow(clippy::unwrap_used)]
use super::*;

fn split(text: &str) -> Vec<String> {
    WordTokenizer::with_words(&["a"]).unwrap().split(text).unwrap()
}

#[test]
fn words_are_split_as_captions_need_it() {
    let cases = [
        ("A Man's t-shirt, and his dog .", "a man 's t-shirt and his dog"),
        ("A man 's dog does n't bark", "a man 's dog does n't bark"),
        ("It doesn't; can't - won\u{2019}t!", "it does n't ca n't wo n't"),
        ("the boys' \"red\" hats (two)", "the boys red hats two"),
        ("They're 2,000 m from #7 -- 3.5", "they 're 2,000 m from 7 3.5"),
        ("rock-n-roll - a one-eyed cat- ", "rock-n-roll a one-eyed cat"),
        ("Café CAFE\u{301} Straße", "café café straße"),
        ("snow_board&ski<end>", "snow board ski end"),
        ("'quoted' '90s 'someone", "quoted 90s someone"),
        ("n't isn't", "n't is n't"),
        ("  ...  ", ""),
    ];
    for (text, wanted) in cases {
        assert_eq!(split(text).join(" "), wanted, "{text}");
    }
}

#[test]
fn ids_follow_count_and_then_the_alphabet() {
    let captions = ["a dog runs", "a cat runs", "a dog and a bird", "zebra zebra"];
    let words = WordTokenizer::train(captions, 2).unwrap();
    let vocabulary: Vec<_> = (0..words.vocab_size() as u32).map(|id| words.word(id).unwrap()).collect();
    assert_eq!(vocabulary, ["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "runs", "zebra"]);
    assert_eq!(words.encode("A dog, a bird!").unwrap(), [START, 4, 5, 4, UNK, END]);
    assert_eq!(words.encode("").unwrap(), [START, END]);
    assert_eq!(words.decode(&[START, 4, 5, 6, END, 4, PAD]).unwrap(), "a dog runs");
    assert_eq!((words.id("dog"), words.id("cow"), words.word(8)), (Some(5), None, None));
    assert!(words.decode(&[4, 99]).unwrap_err().to_string().contains("id 99"));
    assert!(WordTokenizer::train(captions, 9).unwrap_err().to_string().contains("min_count"));
    assert!(WordTokenizer::with_words(&["a", "b", "a"]).is_err());
}

#[test]
fn special_tokens_written_in_a_caption_are_words() {
    let words = WordTokenizer::with_words(&["end", "start"]).unwrap();
    assert_eq!(words.encode("<end> the <start>").unwrap(), [START, 4, UNK, 5, END]);
}

#[test]
fn a_saved_tokenizer_is_the_same_when_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let words = WordTokenizer::train(["A man's t-shirt doesn't fit", "<end> of it"], 1).unwrap();
    words.save(&path).unwrap();
    let loaded = WordTokenizer::load(&path).unwrap();
    for text in ["A man's t-shirt", "it doesn't <end> unknown of the"] {
        assert_eq!(loaded.encode(text).unwrap(), words.encode(text).unwrap());
    }
    assert_eq!(loaded.decode(&[START, 4, 3, 5, END]).unwrap(), words.decode(&[4, 5]).unwrap());
    let first = std::fs::read(&path).unwrap();
    loaded.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first, "saving is deterministic");
    let json: serde_json::Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(json["model"]["type"], "WordLevel");
    assert_eq!(json["post_processor"]["type"], "TemplateProcessing");
    assert_eq!(json["added_tokens"][3]["content"], "<unk>");
}

#[test]
fn files_that_are_no_tokenizer_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    assert!(WordTokenizer::load(&path).unwrap_err().to_string().contains("tokenizer.json: "));
    for bytes in ["", "{", "[]", "{\"version\":\"1.0\"}"] {
        let message = WordTokenizer::from_bytes("x.json", bytes.as_bytes()).unwrap_err().to_string();
        assert!(message.starts_with("x.json: is not a tokenizer.json") && !message.contains('\n'), "{message}");
    }
    let words = WordTokenizer::with_words(&["dog"]).unwrap();
    words.save(&path).unwrap();
    let other = std::fs::read_to_string(&path).unwrap().replace("<start>", "[CLS]");
    let message = WordTokenizer::from_bytes("x.json", other.as_bytes()).unwrap_err().to_string();
    assert!(message.contains("<start> must have id 1 and is not there"), "{message}");
}
