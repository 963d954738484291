//! The JSON schema of a decoder, which is read by its `kind`.

use super::config::DecoderConfig;
use super::top_down::TopDownConfig;
use candlewick_recurrent::decoders::{AttentionDecoderConfig, VectorDecoderConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;

impl JsonSchema for DecoderConfig {
    fn schema_name() -> Cow<'static, str> {
        "DecoderConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds = [
            with_kind("show_attend_tell", false, AttentionDecoderConfig::json_schema(generator)),
            with_kind("show_tell", true, VectorDecoderConfig::json_schema(generator)),
            with_kind("top_down", true, TopDownConfig::json_schema(generator)),
        ];
        json_schema!({ "description": "The decoder; its kind is show_attend_tell where it is left out.", "anyOf": kinds })
    }
}

/// The schema of a table of settings that has a `kind` too.
fn with_kind(kind: &str, required: bool, mut schema: Schema) -> Schema {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("kind".into(), json!({ "const": kind }));
    }
    if required {
        schema.insert("required".into(), json!(["kind"]));
    }
    schema
}
