//! `candlewick answer`: a picture and a question in, answers out.

use super::arguments::AnswerArguments;
use super::output::{note, say, shown};
use super::{Failure, device, embedded, hub};
use candlewick::data::picture::{self, Limits};
use candlewick::data::scenes::is_like_a_scene;
use candlewick::pages::{AnswerPage, Bar, Heatmap};
use candlewick::tasks::vqa::{Answered, Ask, VqaModel};
use image::RgbImage;
use std::path::{Path, PathBuf};

/// Answers a question about a picture.
///
/// # Errors
/// A wrong call where attention is wanted of a model that has none; otherwise when model or picture cannot be read,
/// the question has no words, or a choice cannot be one.
pub fn run(arguments: &AnswerArguments) -> Result<(), Failure> {
    let (device, _) = device::open(&arguments.device)?;
    let weights = hub::encoder_weights(arguments.encoder_weights.as_deref())?;
    let model = match &arguments.model {
        Some(folder) => VqaModel::open(folder, weights.as_deref(), &device)?,
        None if weights.is_some() => {
            return Err(Failure::usage("--encoder-weights: the built-in model has its encoder; leave them out"));
        }
        None => VqaModel::embedded(&embedded::SCENE_QUESTIONS, &device)?,
    };
    let choices: Vec<String> =
        arguments.choices.iter().flat_map(|all| all.split('|')).map(|one| one.trim().to_owned()).collect();
    let photo = picture::decode(&arguments.photo, &Limits::default())?;
    if arguments.model.is_none() && !is_like_a_scene(&photo) {
        note!(
            "{} is unlike all that the built-in model knows, coloured shapes on a dark ground: what it says there means nothing; name a model of photos with --model DIR (candlewick train flickr8k_questions trains one)",
            shown(&arguments.photo)
        );
    }
    let ask = Ask { picture: &photo, question: &arguments.question, choices: &choices };
    let told = model.answer(&[ask])?.pop().ok_or_else(|| Failure::Work("nothing was answered".into()))?;
    let page = match &arguments.attention {
        Some(folder) => Some(draw(folder, &model, &photo, &told, arguments)?),
        None => None,
    };
    tell(arguments, &told, page.as_deref())
}

fn tell(arguments: &AnswerArguments, told: &Answered, page: Option<&Path>) -> Result<(), Failure> {
    let AnswerArguments { photo, question, top, json, .. } = arguments;
    let likeliest = told.answers.iter().zip(&told.probabilities).take(*top);
    if *json {
        let answers: Vec<serde_json::Value> = likeliest
            .map(|(answer, probability)| serde_json::json!({ "answer": answer, "probability": probability }))
            .collect();
        let mut object =
            serde_json::json!({ "file": photo.display().to_string(), "question": question, "answers": answers });
        if let Some(page) = page {
            object["page"] = page.display().to_string().into();
        }
        return say!("{object}");
    }
    say!("{}: {}", shown(photo), super::output::escaped(question))?;
    for (answer, probability) in likeliest {
        say!("  {:5.1} %  {answer}", 100.0 * probability)?;
    }
    page.map_or(Ok(()), |page| say!("{}", shown(page)))
}

/// Writes where each hop looked, `hop-1.png` and so on, and the page with all, whose path it gives.
fn draw(
    folder: &Path,
    model: &VqaModel,
    photo: &RgbImage,
    told: &Answered,
    arguments: &AnswerArguments,
) -> Result<PathBuf, Failure> {
    let Some(encoder) = model.encoder().filter(|_| !told.alpha.is_empty()) else {
        return Err(Failure::usage("--attention: this model does not attend to pictures; leave it out"));
    };
    let seen = encoder.preprocessing().original(photo)?;
    let hops: Vec<Heatmap<'_>> = told
        .alpha
        .iter()
        .map(|map| Heatmap { height: map.height, width: map.width, weights: &map.weights, peak: map.peak() })
        .collect();
    let answers = told.answers.iter().zip(&told.probabilities).take(arguments.top);
    let answers: Vec<Bar<'_>> = answers.map(|(name, &value)| Bar { name, value, chance: None, link: None }).collect();
    let page = AnswerPage { picture: &seen, question: &arguments.question, hops: &hops, answers: &answers };
    let overlays = page.overlays();
    std::fs::create_dir_all(folder).map_err(|error| Failure::from(error).of(folder))?;
    for (hop, drawn) in overlays.iter().enumerate() {
        let path = folder.join(format!("hop-{}.png", hop + 1));
        drawn.save(&path).map_err(|error| Failure::from(error).of(&path))?;
    }
    let path = folder.join("answer.html");
    std::fs::write(&path, page.html(&overlays)?).map_err(|error| Failure::from(error).of(&path))?;
    Ok(path)
}
