//! How captions are cut into words: a recipe's `words`.

use super::WordTokenizer;
use super::pipeline::Pipeline;
use crate::error::{Error, Result, shown};
use candlewick_parameters::nearest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::path::PathBuf;

/// How captions are cut into words.
///
/// A recipe says it in a word, in a file's name that ends in `.json`, or, where there are settings, in a table with a `kind`:
/// `words = { kind = "bpe", vocab_size = 8000 }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Words {
    /// `ptb`: words in lower case without punctuation, contractions apart, much as the Penn Treebank cuts English (Marcus et al. 1993).
    #[default]
    Ptb,
    /// `whitespace`: what stands between spaces, as it is written, for texts that are cut already.
    Whitespace,
    /// `characters`: every character that is not a space, with its combining marks, for scripts that are written without spaces. The space
    /// before a character is part of it, so that texts with spaces come back with them.
    Characters,
    /// `bpe`: byte-pair encoding of characters (Sennrich et al. 2016), spaces as in SentencePiece: frequent words are whole, others come in
    /// pieces, in any script.
    Bpe(BpeConfig),
    /// A `tokenizer.json`: one of a model of ours, or one of Hugging Face's, which gets our four special tokens in its own ones' place.
    File(PathBuf),
}

/// The settings of byte-pair encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BpeConfig {
    /// V, the most pieces, the special tokens and the single characters among them. 4,000.
    #[serde(default = "vocab_size")]
    pub vocab_size: usize,
}

impl Default for BpeConfig {
    fn default() -> Self {
        Self { vocab_size: vocab_size() }
    }
}

fn vocab_size() -> usize {
    4_000
}

impl JsonSchema for Words {
    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How captions are cut into words: a word, the name of a tokenizer.json, or a table with a kind.",
            "anyOf": [
                { "enum": KINDS },
                { "type": "string", "pattern": "\\.json$" },
                {
                    "type": "object",
                    "properties": { "kind": { "enum": KINDS }, "vocab_size": { "type": "integer", "minimum": 1 } },
                    "required": ["kind"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// The words that a recipe may say.
const KINDS: [&str; 4] = ["ptb", "whitespace", "characters", "bpe"];

impl Words {
    /// The tokenizer whose vocabulary is what comes `min_count` times in these captions; that of a file keeps its own.
    ///
    /// # Errors
    /// When nothing comes often enough, or the file is no tokenizer.
    pub fn tokenizer<S: AsRef<str>>(
        &self,
        captions: impl IntoIterator<Item = S>,
        min_count: usize,
    ) -> Result<WordTokenizer> {
        match self {
            Self::Ptb => WordTokenizer::train_whole(Pipeline::Ptb, captions, min_count),
            Self::Whitespace => WordTokenizer::train_whole(Pipeline::Whitespace, captions, min_count),
            Self::Characters => WordTokenizer::train_whole(Pipeline::Characters, captions, min_count),
            Self::Bpe(config) => WordTokenizer::train_pieces(captions, min_count, config.vocab_size),
            Self::File(file) => WordTokenizer::adopt(file),
        }
    }

    /// Whether a tokenizer cuts texts so; of a file's, whether it is that one.
    pub fn is_of(&self, tokenizer: &WordTokenizer) -> bool {
        let pipeline = match self {
            Self::Ptb => Pipeline::Ptb,
            Self::Whitespace => Pipeline::Whitespace,
            Self::Characters => Pipeline::Characters,
            Self::Bpe(_) => Pipeline::Bpe,
            Self::File(file) => return WordTokenizer::adopt(file).is_ok_and(|own| own == *tokenizer),
        };
        pipeline.is_of(&tokenizer.inner)
    }

    /// Finds out, before any captions are read, whether they can be cut so.
    ///
    /// # Errors
    /// One line that names the setting or the file.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::File(file) => WordTokenizer::adopt(file).map(drop),
            Self::Bpe(BpeConfig { vocab_size }) if *vocab_size <= super::SPECIALS.len() => {
                let least = super::SPECIALS.len();
                Err(Error::setting(format!(
                    "words.vocab_size is {vocab_size}; wanted more than the {least} special tokens"
                )))
            }
            _ => Ok(()),
        }
    }

    fn named(name: &str) -> std::result::Result<Self, String> {
        match name {
            "ptb" => Ok(Self::Ptb),
            "whitespace" => Ok(Self::Whitespace),
            "characters" => Ok(Self::Characters),
            "bpe" => Ok(Self::Bpe(BpeConfig::default())),
            file if file.ends_with(".json") => Ok(Self::File(file.into())),
            _ => {
                let (nearest, kinds) = (nearest(name, &KINDS), KINDS.join(", "));
                Err(format!("no words are called {name:?}; there are {kinds}, and files that end in .json{nearest}"))
            }
        }
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ptb => f.write_str("ptb"),
            Self::Whitespace => f.write_str("whitespace"),
            Self::Characters => f.write_str("characters"),
            Self::Bpe(_) => f.write_str("bpe"),
            Self::File(file) => f.write_str(&shown(file)),
        }
    }
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Bpe<'a> {
            kind: &'a str,
            #[serde(flatten)]
            config: &'a BpeConfig,
        }
        match self {
            Self::Bpe(config) => Bpe { kind: "bpe", config }.serialize(serializer),
            Self::File(file) => file.serialize(serializer),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error as _;
        use serde_json::{Map, Value};
        struct Said;
        impl<'de> serde::de::Visitor<'de> for Said {
            type Value = Words;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "one of {}, a file that ends in .json, or a table with a kind", KINDS.join(", "))
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Words, E> {
                Words::named(name).map_err(E::custom)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> std::result::Result<Words, A::Error> {
                let mut given = Map::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                let kind = given.remove("kind").unwrap_or(Value::String("bpe".into()));
                let kind = kind.as_str().ok_or_else(|| A::Error::custom(format!("kind is {kind}; wanted a word")))?;
                match Words::named(kind).map_err(A::Error::custom)? {
                    Words::Bpe(_) => {
                        serde_json::from_value(Value::Object(given)).map(Words::Bpe).map_err(A::Error::custom)
                    }
                    words => match given.keys().next() {
                        Some(key) => Err(A::Error::custom(format!("{key}: {kind} has no such setting"))),
                        None => Ok(words),
                    },
                }
            }
        }
        deserializer.deserialize_any(Said)
    }
}
