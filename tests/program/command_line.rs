use crate::{fail, run, scene, small, succeed, text};
use serde_json::Value;

#[test]
fn help_shows_the_commands_with_examples() {
    let folder = tempfile::tempdir().unwrap();
    let help = succeed(folder.path(), &["--help"]);
    for part in
        ["train", "caption", "evaluate", "compare", "classify", "convert", "networks", "gradient-flow", "Examples:"]
    {
        assert!(help.contains(part), "{help}");
    }
    for command in ["train", "caption", "evaluate", "compare", "classify", "convert", "networks", "gradient-flow"] {
        assert!(succeed(folder.path(), &[command, "--help"]).contains("Example"));
    }
    assert_eq!(run(folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn the_program_tells_its_version_and_writes_completions_and_pages() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let version = succeed(here, &["--version"]);
    let start = format!("candlewick {} (", env!("CARGO_PKG_VERSION"));
    assert!(
        version.starts_with(&start) && version.contains(", features ") && version.lines().count() == 1,
        "{version}"
    );
    for (shell, part) in [("bash", "_candlewick()"), ("zsh", "#compdef candlewick"), ("fish", "complete -c candlewick")]
    {
        let script = succeed(here, &["completions", shell]);
        assert!(script.contains(part) && script.contains("encoder-weights"), "{script}");
    }
    fail(here, &["completions", "tcsh"], 2, &["tcsh", "bash", "(candlewick completions --help)"]);
    fail(here, &["captoin", "a.png"], 2, &["captoin", "did you mean caption?", "(candlewick --help)"]);
    assert_eq!(succeed(here, &["man", "made/man1"]).trim(), "made/man1/candlewick.1");
    let page = std::fs::read_to_string(here.join("made/man1/candlewick-train.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("encoder") && page.contains("Examples"), "{page}");
    std::fs::write(here.join("file"), "no folder").unwrap();
    fail(here, &["man", "file"], 1, &["file"]);
}

#[test]
fn a_run_leaves_a_model_curves_logs_and_attention_and_the_model_captions() {
    let folder = tempfile::tempdir().unwrap();
    let mut words = small("out", &[]);
    words.push("--json");
    let said = succeed(folder.path(), &words);
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    for key in ["exact_match", "pointing", "seconds"] {
        assert!(last[key].is_f64(), "{key} is not in {last}");
    }
    let model = folder.path().join(last["model"].as_str().unwrap());
    for file in
        ["config.json", "preprocessor_config.json", "tokenizer.json", "generation_config.json", "model.safetensors"]
    {
        assert!(model.join(file).is_file(), "{file}");
    }
    for file in ["curves.svg", "log.jsonl", "run.json", "events.out.tfevents.candlewick"] {
        assert!(folder.path().join("out").join(file).is_file(), "{file}");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("out/attention")).unwrap().count(), 3);

    let (photo, _) = scene(folder.path(), 1);
    let caption = succeed(folder.path(), &["caption", photo.to_str().unwrap(), "--model", "out", "--beam", "2"]);
    assert!(caption.starts_with(photo.to_str().unwrap()));
    let again = succeed(
        folder.path(),
        &["caption", photo.to_str().unwrap(), "--model", model.to_str().unwrap(), "--beam", "2"],
    );
    assert_eq!(caption, again);
    // Its encoder is in the model.
    let photo = photo.to_str().unwrap();
    let weights = ["caption", photo, "--model", "out", "--encoder-weights", "none.safetensors"];
    fail(folder.path(), &weights, 2, &["--encoder-weights none.safetensors", "leave it out"]);
}

#[test]
fn the_built_in_model_captions_scenes_and_draws_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let scenes: Vec<_> = (0..20).map(|index| scene(folder.path(), index)).collect();
    let mut words = vec!["caption", "--json"];
    words.extend(scenes.iter().map(|(path, _)| path.to_str().unwrap()));
    let said = succeed(folder.path(), &words);
    let captions: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(captions.len(), scenes.len());
    let right = captions.iter().zip(&scenes).filter(|(told, (_, caption))| told["caption"] == caption.as_str()).count();
    assert!(right >= 16, "{right} of {} scenes were captioned word for word", scenes.len());

    let first = &captions[0]["words"].as_array().unwrap()[0]["attention"];
    let weights: f64 = first["weights"].as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap()).sum();
    assert!((weights - 1.0).abs() < 1e-4, "{weights}");

    succeed(folder.path(), &["caption", "scene-0.png", "--attention", "looked"]);
    let pictures = std::fs::read_dir(folder.path().join("looked/scene-0")).unwrap().count();
    assert_eq!(pictures, captions[0]["words"].as_array().unwrap().len() + 1);
    assert!(image::open(folder.path().join("looked/scene-0/00-a.png")).is_ok());
}

#[test]
fn a_broken_photo_is_named_and_the_others_are_captioned() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, _) = scene(folder.path(), 3);
    std::fs::write(folder.path().join("broken.png"), b"no picture").unwrap();
    let output = run(folder.path(), &["caption", "broken.png", photo.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert!(text(&output.stderr).contains("broken.png"));
    fail(folder.path(), &["caption", "missing.png"], 1, &["missing.png"]);
}

#[test]
fn captions_of_anybody_are_scored_without_their_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "references.json",
        r#"[{"file_path": "a.jpg", "captions": ["a red circle", "a circle"]}, {"file_path": "b.jpg", "captions": ["two blue stars"]}]"#,
    );
    write(
        "results.json",
        r#"[{"image_id": "a.jpg", "caption": "a red circle"}, {"image_id": "b.jpg", "caption": "two green stars"}]"#,
    );
    let told = succeed(folder.path(), &["score", "references.json", "results.json", "--json", "--out", "scores.json"]);
    let scores: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&scores["pictures"], &scores["distinct"]), (&2.into(), &1.0.into()));
    // Five of six words stand in a reference.
    assert!((scores["Bleu_1"].as_f64().unwrap() - 5.0 / 6.0).abs() < 1e-9, "{scores}");
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("scores.json")).unwrap()).unwrap();
    assert_eq!(written["overall"]["Bleu_1"], scores["Bleu_1"]);
    write("results.json", r#"[{"image_id": "c.jpg", "caption": "a red circle"}]"#);
    fail(folder.path(), &["score", "references.json", "results.json"], 1, &["c.jpg"]);
}

#[test]
fn a_photo_gets_a_caption_and_a_word_about_what_the_built_in_model_knows() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, _) = scene(folder.path(), 1);
    for name in ["a.png", "b.png"] {
        image::RgbImage::from_fn(90, 60, |x, y| image::Rgb([(2 * x) as u8, (4 * y) as u8, 100]))
            .save(folder.path().join(name))
            .unwrap();
    }
    let output = run(folder.path(), &["caption", "a.png", scene.to_str().unwrap(), "b.png"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("a.png"), "{out}{err}");
    let lines: Vec<&str> = err.lines().collect();
    assert!(
        lines.len() == 1 && lines[0].contains("a.png and 1 more are unlike all") && lines[0].contains("--model DIR"),
        "{err}"
    );
    let output = run(folder.path(), &["caption", scene.to_str().unwrap()]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn recipes_are_in_the_program_and_a_printed_one_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let listed = succeed(here, &["recipes"]);
    assert!(listed.lines().count() >= 9 && listed.contains("flickr8k-hard"), "{listed}");
    for line in listed.lines() {
        let name = line.split_whitespace().next().unwrap();
        assert!(line.len() > 30, "{line}");
        // Written out in full, it reads as itself; as it stands, it says its own name.
        let full = succeed(here, &["recipe", name, "--full"]);
        assert!(full.contains(&format!("name = \"{name}\"")), "{full}");
        std::fs::write(here.join("full.toml"), &full).unwrap();
        assert_eq!(succeed(here, &["recipe", "full.toml", "--full"]), full);
        assert!(succeed(here, &["recipe", name]).contains(&format!("name = \"{name}\"")));
    }
    fail(here, &["train", "flickr8"], 2, &["no built-in recipe is called so", "flickr8k"]);
    fail(here, &["recipe", "nowhere.toml"], 1, &["nowhere.toml"]);
    // A folder of data does not hide the recipe of its name.
    std::fs::create_dir(here.join("sst2")).unwrap();
    assert!(succeed(here, &["recipe", "sst2"]).contains("name = \"sst2\""));
    fail(here, &["train", "flickr8k"], 1, &["--encoder-weights"]);
}
