//! Whether a run folder holds a run of the same configuration.

use crate::{Error, FitConfig, Result, Resume};
use serde_json::Value;
use std::path::Path;

/// Refuses a run of another configuration, and names where they differ.
pub(crate) fn check_same(out: &Path, config: &FitConfig, found: &Value, wanted: &Value) -> Result<()> {
    if config.resume == Resume::Never {
        let fault = "holds a run already and resume is \"never\"; choose another folder or remove this one";
        return Err(Error::corrupt(out, fault));
    }
    let mut differences = Vec::new();
    compare("", found, wanted, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    differences.truncate(3);
    Err(Error::OtherRun { path: out.to_path_buf(), difference: differences.join("; ") })
}

/// Collects where two configurations differ.
fn compare(path: &str, found: &Value, wanted: &Value, differences: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let part = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or(Value::Null);
                compare(&path, &part(a), &part(b), differences);
            }
        }
        _ if found == wanted => {}
        _ => differences.push(format!("{path} was {found}, is {wanted}")),
    }
}
