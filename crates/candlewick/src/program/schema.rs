//! The JSON schema of all settings of a task's recipes.

use candlewick::training::Recipe;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::{Value, json};

/// The schema of a recipe of type R; of one that lies on a `base` it says nothing more, since a table there may have a part of what the
/// whole must have.
pub fn of<R: Recipe>() -> Value {
    let mut whole = SchemaSettings::draft07().into_generator().into_root_schema_for::<R>();
    RecursiveTransform(closed).transform(&mut whole);
    if let Some(properties) = whole.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("task".into(), json!({ "description": "The task.", "const": R::TASK }));
    }
    let mut part = |name: &str| whole.remove(name).unwrap_or_default();
    let (version, definitions, description) = (part("$schema"), part("definitions"), part("description"));
    whole.remove("title");
    let base = "The file of a recipe beside this one, whose settings hold where this one has none.";
    let based = json!({
        "type": "object",
        "properties": { "base": { "description": base, "type": "string" } },
        "required": ["base"],
    });
    json!({
        "$schema": version,
        "title": format!("A recipe of the task {}", R::TASK),
        "description": description,
        "anyOf": [whole, based],
        "definitions": definitions,
    })
}

/// A recipe has no other settings than those that there are, also where the files of models may; what they are is told in words.
fn closed(schema: &mut Schema) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".into(), json!(false));
    }
    // An example for programmers is none for who writes a recipe.
    if let Some(Value::String(text)) = schema.get_mut("description")
        && let Some((told, _)) = text.split_once("```")
    {
        *text = told.trim_end().to_owned();
    }
}
