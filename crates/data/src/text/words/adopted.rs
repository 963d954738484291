//! A tokenizer from elsewhere with the special tokens that captions need.

use super::{END, SPECIALS, START, UNK, UNKNOWN, WordTokenizer};
use crate::error::{Error, Result, shown};
use crate::text::utf8;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

impl WordTokenizer {
    /// Reads a `tokenizer.json` of a model of ours as it is, and one of Hugging Face's with `<pad>`, `<start>`, `<end>` and `<unk>` as
    /// ids 0 to 3 in the place of its own special tokens; its other tokens follow in their order.
    ///
    /// # Errors
    /// When the file cannot be read, or is no tokenizer of a kind that is known.
    pub fn adopt(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = utf8::read(path)?;
        let no_json = |error: serde_json::Error| Error::tokenizer(&name, format!("is not a tokenizer.json: {error}"));
        let mut file: Value = serde_json::from_slice(&bytes).map_err(no_json)?;
        let ours = SPECIALS.iter().all(|&(token, id)| {
            let added = file["added_tokens"].as_array();
            added.is_some_and(|all| all.iter().any(|one| one["content"] == token && one["id"] == id))
        });
        if ours {
            return Self::from_bytes(&name, &bytes);
        }
        adopt(&mut file).map_err(|fault| Error::tokenizer(shown(path), fault))?;
        Self::from_bytes(&name, file.to_string().as_bytes())
    }
}

/// Gives the tokenizer our special tokens.
fn adopt(file: &mut Value) -> std::result::Result<(), String> {
    let wrong = || {
        "is not a tokenizer.json that is known: it wants a model of type BPE, WordPiece, WordLevel or Unigram"
            .to_owned()
    };
    let added = file["added_tokens"].as_array().cloned().unwrap_or_default();
    let special = |one: &&Value| one["special"] == true;
    let special: HashSet<String> =
        added.iter().filter(special).filter_map(|one| one["content"].as_str()).map(str::to_owned).collect();
    let gone = |token: &str| special.contains(token) || SPECIALS.iter().any(|&(ours, _)| ours == token);
    let model = file.get_mut("model").and_then(Value::as_object_mut).ok_or_else(wrong)?;
    // All tokens by their old ids.
    let mut tokens: BTreeMap<u64, String> = BTreeMap::new();
    match model.get("vocab") {
        Some(Value::Object(vocab)) => {
            tokens.extend(vocab.iter().filter_map(|(token, id)| Some((id.as_u64()?, token.clone()))));
        }
        Some(Value::Array(vocab)) => {
            let all = (0u64..).zip(vocab).filter_map(|(id, entry)| Some((id, entry[0].as_str()?.to_owned())));
            tokens.extend(all);
        }
        _ => return Err(wrong()),
    }
    let own: Vec<(u64, String)> =
        added.iter().filter_map(|one| Some((one["id"].as_u64()?, one["content"].as_str()?.to_owned()))).collect();
    tokens.extend(own);
    let kept = tokens.into_values().filter(|token| !gone(token));
    let ids: HashMap<String, u32> = kept.zip(SPECIALS.len() as u32..).collect();
    renumber(model, &ids).ok_or_else(wrong)?;
    let flags = |token: &str, id: u32, special: bool| {
        json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": !special, "special": special })
    };
    let mut all: Vec<Value> = SPECIALS.iter().map(|&(token, id)| flags(token, id, true)).collect();
    for mut one in added {
        if let Some(id) = one["content"].as_str().and_then(|token| ids.get(token)) {
            one["id"] = json!(id);
            all.push(one);
        }
    }
    file["added_tokens"] = Value::Array(all);
    file["post_processor"] = template();
    file["padding"] = Value::Null;
    file["truncation"] = Value::Null;
    Ok(())
}

/// Puts the new ids into a model's vocabulary, our special tokens first; nothing for a model of an unknown kind.
fn renumber(model: &mut Map<String, Value>, ids: &HashMap<String, u32>) -> Option<()> {
    let kind = model.get("type")?.as_str()?.to_owned();
    match (kind.as_str(), model.get_mut("vocab")?) {
        ("BPE" | "WordPiece" | "WordLevel", Value::Object(vocab)) => {
            let kept = vocab.keys().filter_map(|token| Some((token.clone(), json!(ids.get(token)?))));
            let ours = SPECIALS.iter().map(|&(token, id)| (token.to_owned(), json!(id)));
            *vocab = kept.chain(ours).collect();
        }
        ("Unigram", Value::Array(vocab)) => {
            let kept = vocab.iter().filter(|entry| entry[0].as_str().is_some_and(|token| ids.contains_key(token)));
            let ours = SPECIALS.iter().map(|&(token, _)| json!([token, 0.0]));
            *vocab = ours.chain(kept.cloned()).collect();
        }
        _ => return None,
    }
    match kind.as_str() {
        "Unigram" => model.insert("unk_id".into(), json!(UNK)),
        // Byte-level encoding knows everything.
        "BPE" if model.get("unk_token").is_none_or(Value::is_null) => None,
        _ => model.insert("unk_token".into(), json!(UNKNOWN)),
    };
    Some(())
}

/// `<start>`, the caption and `<end>`, as a file has it.
fn template() -> Value {
    let special = |token: &str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let sequence = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    let (start, end) = (special("<start>"), special("<end>"));
    let token = |token: &str, id: u32| json!({ "id": token, "ids": [id], "tokens": [token] });
    json!({
        "type": "TemplateProcessing",
        "single": [start, sequence("A"), end],
        "pair": [start, sequence("A"), end, sequence("B"), end],
        "special_tokens": { "<start>": token("<start>", START), "<end>": token("<end>", END) },
    })
}
