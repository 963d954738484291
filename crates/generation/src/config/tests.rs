#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn a_file_of_transformers_is_read_and_ours_comes_back() {
    let text = r#"{"_from_model_config": true, "max_length": 40, "num_beams": 4, "early_stopping": "never",
        "top_k": null, "bos_token_id": null, "bad_words_ids": [[3, 4]], "length_penalty": 2, "transformers_version": "5.23.0"}"#;
    let config = GenerationConfig::from_json(text).unwrap();
    let wanted = GenerationConfig {
        early_stopping: EarlyStopping::Never,
        bad_words_ids: vec![vec![3, 4]],
        length_penalty: 2.0,
        max_new_tokens: 40,
        bos_token_id: None,
        ..GenerationConfig::beam(4)
    };
    assert_eq!(config, wanted);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generation_config.json");
    for config in [wanted, GenerationConfig::sample(0.7, 10, 0.9), GenerationConfig::greedy()] {
        config.save(&path).unwrap();
        assert_eq!(GenerationConfig::load(&path).unwrap(), config);
    }
    // transformers refuses empty lists: they are not written.
    assert!(!std::fs::read_to_string(&path).unwrap().contains("bad_words_ids"));
    std::fs::write(&path, "{\"top_p\": 1.5}").unwrap();
    let error = GenerationConfig::load(&path).unwrap_err().to_string();
    assert!(error.contains("generation_config.json: ") && error.contains("top_p"), "{error}");
}

#[test]
fn forced_words_are_read_and_written_in_the_forms_of_transformers() {
    let text = r#"{"num_beams": 2, "force_words_ids": [[3, 4], [[5]], [[6], [7, 8]]]}"#;
    let config = GenerationConfig::from_json(text).unwrap();
    assert_eq!(config.force_words_ids, [vec![vec![3, 4]], vec![vec![5]], vec![vec![6], vec![7, 8]]]);
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!(written["force_words_ids"], serde_json::json!([[3, 4], [5], [[6], [7, 8]]]));
    assert_eq!(GenerationConfig::from_json(&written.to_string()).unwrap(), config);
}

#[test]
fn a_wrong_value_is_one_line_that_names_the_key() {
    for (text, wanted) in [
        (r#"{"num_beams": 0}"#, "num_beams must be at least 1 and at most 10000; found 0"),
        (r#"{"num_beams": -2}"#, "num_beams"),
        (r#"{"num_beams": "four"}"#, "num_beams"),
        (r#"{"max_new_tokens": 0}"#, "max_new_tokens"),
        (r#"{"temperature": 0}"#, "temperature must be a number above 0; found 0"),
        (r#"{"top_p": 0.0}"#, "top_p"),
        (r#"{"repetition_penalty": -1}"#, "repetition_penalty"),
        (r#"{"min_new_tokens": 30}"#, "min_new_tokens must be at most max_new_tokens = 20; found 30"),
        (r#"{"bad_words_ids": [[]]}"#, "bad_words_ids"),
        (r#"{"num_beams": 2, "force_words_ids": [[[3]], [[]]]}"#, "force_words_ids must be lists of at least one"),
        (r#"{"force_words_ids": [3]}"#, "force_words_ids: wanted a list of words' ids"),
        (r#"{"force_words_ids": [[3]]}"#, "num_beams must be above 1 with force_words_ids; found 1"),
        (r#"{"num_beams": 4, "num_beam_groups": 2, "force_words_ids": [[3]]}"#, "num_beam_groups must be 1 with"),
        (r#"{"do_sample": true, "force_words_ids": [[3]]}"#, "do_sample must be false with force_words_ids"),
        (r#"{"early_stopping": "always"}"#, "early_stopping is \"always\"; wanted true, false or \"never\""),
        (r#"{"num_beams": 2, "num_return_sequences": 3}"#, "num_return_sequences must be at most num_beams = 2"),
        (r#"{"num_return_sequences": 2}"#, "num_return_sequences must be 1 for a greedy search"),
        (r#"{"num_beams": 2, "do_sample": true}"#, "beams are not sampled"),
        ("[1]", "a JSON object"),
        ("{", "EOF"),
    ] {
        let error = GenerationConfig::parse(text).unwrap_err();
        assert!(error.contains(wanted) && !error.contains('\n'), "{text}: {error}");
    }
    for (text, wanted) in [
        (r#"{"max_length": 3, "min_length": 2}"#, (3, 2)),
        (r#"{"max_length": 3, "max_new_tokens": 7, "min_length": 0}"#, (7, 0)),
    ] {
        let config = GenerationConfig::from_json(text).unwrap();
        assert_eq!((config.max_new_tokens, config.min_new_tokens), wanted);
    }
    let error = GenerationConfig::from_json(r#"{"max_length": -1}"#).unwrap_err().to_string();
    assert!(error.starts_with("max_length: "), "{error}");
    let error = GenerationConfig::from_json(r#"{"num_beams": 1000000}"#).unwrap_err().to_string();
    assert!(error.contains("num_beams must be at least 1 and at most 10000; found 1000000"), "{error}");
    let error = GenerationConfig::greedy().validate_for(2).unwrap_err().to_string();
    assert!(error.contains("eos_token_id must be below the vocabulary's size 2; found 2"), "{error}");
    for wrong in [f64::NAN, f64::INFINITY] {
        assert!(GenerationConfig::sample(wrong, 0, 1.0).validate().is_err());
        assert!(GenerationConfig { length_penalty: wrong, ..GenerationConfig::beam(2) }.validate().is_err());
    }
}
