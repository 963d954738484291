//! Classifiers of sequences: what they learn, that padding changes nothing, that runs resume, and what is refused.

mod clips;
mod texts;
mod values;

use candlewick_tasks::sequence_classification::SequenceClassificationRecipe;
use std::path::Path;

fn recipe(text: &str, data: &Path) -> SequenceClassificationRecipe {
    let head = "task = 'sequence_classification'\nname = 'test'\n";
    let mut recipe: SequenceClassificationRecipe = toml::from_str(&format!("{head}{text}")).unwrap();
    recipe.data.path = Some(data.to_owned());
    recipe
}
