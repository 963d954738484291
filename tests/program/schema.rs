use crate::{fail, succeed};
use serde_json::Value;

/// What a value lacks of what a schema says, with its place; of the words of JSON Schema those that ours use.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    const KNOWN: [&str; 27] = [
        "$ref",
        "$schema",
        "title",
        "description",
        "default",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "anyOf",
        "oneOf",
        "allOf",
        "enum",
        "const",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "format",
        "definitions",
        "not",
        "deprecated",
        "examples",
        "pattern",
        "minLength",
        "uniqueItems",
    ];
    let Some(object) = schema.as_object() else {
        if schema == false {
            found.push(format!("{at}: nothing may be here"));
        }
        return;
    };
    object.keys().for_each(|word| assert!(KNOWN.contains(&word.as_str()), "{at}: the test knows no {word}"));
    let holds = |schema: &Value| {
        let mut own = vec![];
        faults(root, schema, value, at, &mut own);
        own
    };
    if let Some(path) = schema["$ref"].as_str() {
        let schema = root.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} is nowhere"));
        faults(root, schema, value, at, found);
    }
    for schema in schema["allOf"].as_array().into_iter().flatten() {
        faults(root, schema, value, at, found);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(all) = schema[word].as_array() {
            let each: Vec<Vec<String>> = all.iter().map(holds).collect();
            let right = each.iter().filter(|own| own.is_empty()).count();
            if right == 0 || word == "oneOf" && right != 1 {
                found.push(format!("{at}: {right} of {word} hold {each:?}"));
            }
        }
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value))
        || object.get("const").is_some_and(|one| one != value)
    {
        found.push(format!("{at}: {value} is none of {schema}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        all => all.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => value.is_null(),
    };
    if !types.is_empty() && !types.iter().any(is) {
        found.push(format!("{at}: {value} is no {types:?}"));
    }
    if value.as_f64().is_some_and(|number| schema["minimum"].as_f64().is_some_and(|least| number < least)) {
        found.push(format!("{at}: {value} is too small"));
    }
    if let Some(value) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !value.contains_key(name) {
                found.push(format!("{at}: has no {name}"));
            }
        }
        for (name, value) in value {
            let at = format!("{at}.{name}");
            match (schema["properties"].get(name), object.get("additionalProperties")) {
                (Some(schema), _) | (None, Some(schema)) => faults(root, schema, value, &at, found),
                (None, None) => {}
            }
        }
    }
    if let Some(values) = value.as_array() {
        for (index, value) in values.iter().enumerate() {
            let schema = if schema["items"].is_array() { &schema["items"][index] } else { &schema["items"] };
            faults(root, schema, value, &format!("{at}[{index}]"), found);
        }
    }
}

fn faults_of(schema: &Value, recipe: &str) -> Vec<String> {
    let value = serde_json::to_value(recipe.parse::<toml::Table>().unwrap()).unwrap();
    let mut found = vec![];
    faults(schema, schema, &value, "", &mut found);
    found
}

#[test]
fn each_recipe_is_one_of_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for line in succeed(here, &["recipes"]).lines() {
        let name = line.split_whitespace().next().unwrap();
        let schema: Value = serde_json::from_str(&succeed(here, &["recipe", name, "--schema"])).unwrap();
        for words in [&["recipe", name][..], &["recipe", name, "--full"]] {
            assert_eq!(faults_of(&schema, &succeed(here, words)), Vec::<String>::new(), "{words:?}");
        }
    }
    fail(here, &["recipe", "mnist", "--schema", "--full"], 2, &["--full"]);
}

#[test]
fn a_schema_tells_slips_and_what_settings_are_for() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let schema = |name| serde_json::from_str::<Value>(&succeed(here, &["recipe", name, "--schema"])).unwrap();
    let (captioning, classification) = (schema("scenes"), schema("mnist"));
    let full = succeed(here, &["recipe", "scenes", "--full"]);
    for (from, to) in [
        ("epochs = 4", "epochs = \"many\""),
        ("epochs = 4", "epoch = 4"),
        ("num_beams = 1", "num_beam = 1"),
        ("hidden_size = 128", "hiden_size = 128"),
        ("do_rescale = true", "rescale = true"),
        ("kind = \"scenes\"", "kind = \"scene\""),
        ("resume = \"auto\"", "resume = \"always\""),
        ("name = \"adam\"", "name = \"adamm\""),
        ("task = \"captioning\"", "task = \"classification\""),
    ] {
        assert!(full.contains(from), "{from} is not in {full}");
        assert!(!faults_of(&captioning, &full.replace(from, to)).is_empty(), "{to} passes");
    }
    assert!(faults_of(&captioning, &full.replace("\nname = \"scenes\"", ""))[0].contains("anyOf"));
    assert!(!faults_of(&classification, &full).is_empty());
    let told = captioning.to_string();
    for part in
        ["The largest norm of all gradients together.", "E, the size of a word's vector.", "The filter of resizing"]
    {
        assert!(told.contains(part), "{part}");
    }
}
