#![allow(clippy::unwrap_used, clippy::print_stderr)]
use super::*;
use tempfile::TempDir;

/// A folder with these files; photos are empty files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn options() -> LoadOptions {
    LoadOptions { dev_share: 0.0, max_share: 0.5, ..LoadOptions::default() }
}

/// Each question of a split as `photo question answers said choices kind`.
fn told(folder: &TempDir, set: &QuestionSet, split: Split) -> Vec<String> {
    let one = |question: &Question| {
        let image = question.image.strip_prefix(folder.path()).unwrap().display();
        let lists = [&question.answers, &question.said, &question.choices].map(|list| list.join(","));
        format!("{image} {} {} {}", question.question, lists.join(";"), question.kind.as_deref().unwrap_or("-"))
    };
    set.parts.of(split).iter().map(one).collect()
}

fn fault(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let message = load(folder.path(), &LoadOptions { max_share: 0.0, ..options() }).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message.replace(folder.path().to_str().unwrap(), "SET")
}

#[test]
fn triples_and_tables_are_read() {
    let easy = folder(&[
        (
            "train/questions.json",
            r#"[["what shape?", "circle", 0], ["what color?", "red", 0], ["no photo?", "no", 7]]"#,
        ),
        ("train/images/0.png", ""),
        ("test/questions.json", r#"[["is it red?", "yes", 1]]"#),
        ("test/images/1.png", ""),
    ]);
    let set = load(easy.path(), &options()).unwrap();
    assert_eq!(
        told(&easy, &set, Split::Train),
        ["train/images/0.png what shape? circle;; -", "train/images/0.png what color? red;; -"]
    );
    assert_eq!(told(&easy, &set, Split::Test), ["test/images/1.png is it red? yes;; -"]);
    let report = set.skipped.report().unwrap();
    assert!(report.starts_with("skipped 1 of 4 questions: questions.json[2]: has no photo"), "{report}");
    let daquar = folder(&[
        ("questions.csv", "question,answer,image_id\nwhat is on the desk ,\"book, scissor\",image3\nwhat?,,image3\n"),
        ("images/image3.png", ""),
    ]);
    let set = load(daquar.path(), &options()).unwrap();
    assert_eq!(told(&daquar, &set, Split::Train), ["images/image3.png what is on the desk book,scissor;; -"]);
    assert_eq!(set.skipped.report().unwrap(), "skipped 1 of 2 questions: line 3: has no answer");
}

const QUESTIONS: &str = r#"{"data_subtype": "train2014", "questions": [
    {"image_id": 9, "question": "Is it?", "question_id": 90, "multiple_choices": ["yes", "no"]}]}"#;
const ANNOTATIONS: &str = r#"{"annotations": [{"question_id": 90, "image_id": 9, "answer_type": "yes/no", "question_type": "is",
    "multiple_choice_answer": "yes", "answers": [{"answer": "yes"}, {"answer": "maybe"}]}]}"#;

#[test]
fn vqa_has_two_files_and_visual7w_wrong_choices() {
    let vqa = folder(&[
        ("v2_OpenEnded_mscoco_train2014_questions.json", QUESTIONS),
        ("v2_mscoco_train2014_annotations.json", ANNOTATIONS),
        ("v2_OpenEnded_mscoco_val2014_questions.json", &QUESTIONS.replace("train2014", "val2014")),
        ("v2_mscoco_val2014_annotations.json", ANNOTATIONS),
        ("mscoco_train2014_annotations.json", "of the first version"),
        ("train2014/COCO_train2014_000000000009.jpg", ""),
        ("val2014/COCO_val2014_000000000009.jpg", ""),
    ]);
    let set = load(vqa.path(), &options()).unwrap();
    let wanted = "train2014/COCO_train2014_000000000009.jpg Is it? yes;yes,maybe;yes,no yes/no";
    assert_eq!(told(&vqa, &set, Split::Train), [wanted]);
    assert_eq!(told(&vqa, &set, Split::Dev), [wanted.replace("train2014", "val2014")]);
    let json = r#"{"dataset": "visual7w-telling", "images": [{"filename": "v7w_1.jpg", "image_id": 1, "split": "val", "qa_pairs": [
        {"qa_id": 5, "question": "What?", "answer": "Grass.", "multiple_choices": ["Sky.", "A dog.", "Sea."], "type": "what"}]}]}"#;
    let seven = folder(&[("dataset_v7w_telling.json", json), ("images/v7w_1.jpg", "")]);
    let set = load(seven.path(), &options()).unwrap();
    assert_eq!(told(&seven, &set, Split::Dev), ["images/v7w_1.jpg What? Grass.;;A dog.,Grass.,Sea.,Sky. what"]);
}

#[test]
fn plain_lists_and_photos_elsewhere() {
    let json = r#"[{"image": "a.jpg", "question": "who?", "answer": "man", "choices": ["boy", "man"], "kind": "who", "split": "dev"},
        {"image": "b.jpg", "question": " what? ", "answer": "dog"}, {"image": "b.jpg", "question": "?", "answer": "x", "choices": ["y"]}]"#;
    let list = folder(&[("list.json", json), ("photos/a.jpg", ""), ("photos/b.jpg", "")]);
    let options = LoadOptions { images: Some(list.path().join("photos")), ..options() };
    let set = load(&list.path().join("list.json"), &options).unwrap();
    assert_eq!(told(&list, &set, Split::Dev), ["photos/a.jpg who? man;;boy,man who"]);
    assert_eq!(told(&list, &set, Split::Train), ["photos/b.jpg what? dog;; -"]);
    assert!(set.skipped.report().unwrap().ends_with("list.json[2]: the answer \"x\" is none of its choices"));
}

#[test]
fn all_questions_of_a_photo_are_in_one_part() {
    let rows: String = (0..60).map(|row| format!("what {row}?,x,image{}\n", row % 20)).collect();
    let table = folder(&[("questions.csv", &format!("question,answer,image_id\n{rows}"))]);
    let options = LoadOptions { dev_share: 0.3, need_files: false, ..options() };
    let parts = load(table.path(), &options).unwrap().parts;
    assert_eq!((parts.count(), parts.dev.is_empty()), (60, false));
    assert!(parts.dev.iter().all(|dev| parts.train.iter().all(|train| train.image != dev.image)));
}

#[test]
fn faults_name_file_and_place() {
    let vqa = ("OpenEnded_mscoco_train2014_questions.json", QUESTIONS);
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&[], "SET: has no questions.csv, no train/questions.json and no JSON file; give"),
        (
            &[("questions.csv", "question,answer\na,b\n")],
            "SET/questions.csv, line 1: wants the columns question, answer, image_id; it has question, answer",
        ),
        (
            &[("questions.csv", "question,answer,image_id\na,b,c,d\n")],
            "SET/questions.csv, line 2: has 4 cells where the header has 3; put cells",
        ),
        (&[("a.json", "[{\"image\": \"a.jpg\"}]")], "SET/a.json, line 1: is no JSON of a list of questions"),
        (&[("a.json", "[]"), ("b.json", "[]")], "SET: has 2 JSON files (a.json, b.json); give the one"),
        (&[("a.json", "[]")], "SET: has no question"),
        (
            &[("a.json", "{\"annotations\": []}")],
            "SET/a.json: has neither VQA's data_subtype and questions nor Visual7W's",
        ),
        (
            &[("a.json", r#"[{"image": "a.jpg", "question": "q", "answer": "a", "split": "x"}]"#)],
            "SET/a.json: a.json[0] has the split \"x\"; wanted",
        ),
        (&[vqa], "SET/OpenEnded_mscoco_train2014_questions.json: has 0 files of annotations of train2014 beside it"),
        (
            &[vqa, ("mscoco_train2014_annotations.json", "{\"annotations\": []}")],
            "SET/mscoco_train2014_annotations.json: has no annotation of question 90",
        ),
    ];
    for (files, wanted) in cases {
        assert!(fault(files).starts_with(wanted), "{}", fault(files));
    }
    let none = "SET: none of its photos is there, such as SET/images/1; put them there, or name their folder";
    assert_eq!(fault(&[("a.json", r#"[["q", "a", 1]]"#)]), none);
    let one = [("a.json", r#"[["q", "a", 1], ["q", "a", 2]]"#), ("images/1.png", "")];
    assert!(fault(&one).starts_with("1 of 2 questions are broken"), "{}", fault(&one));
}

#[test]
fn easy_vqa_daquar_and_flickr8k_themselves() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(PathBuf::from) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let count = |name: &str, images: Option<PathBuf>| {
        let set = load(&data.join(name), &LoadOptions { images, ..LoadOptions::default() }).unwrap();
        assert_eq!(set.skipped.report(), None, "{name}");
        set
    };
    let easy = count("easy_vqa", None);
    assert_eq!((easy.parts.count(), easy.parts.dev.is_empty()), (38_575, false));
    let daquar = count("daquar", None);
    assert_eq!(daquar.parts.count(), 6_795);
    assert!(daquar.parts.train.iter().any(|question| question.answers.len() == 4));
    let flickr = count("flickr8k_questions", Some(data.join("flickr8k/images")));
    assert_eq!((flickr.parts.train.len(), flickr.parts.dev.len()), (4_699, 751));
    assert!(flickr.parts.train.iter().all(|question| question.choices.len() == 4 && question.kind.is_some()));
}
