//! Caption formats of lists and JSON, what may be wrong in them, and Flickr8k itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_data::captions::{CaptionSet, LoadOptions, Split, load};
use candlewick_data::text::words::WordTokenizer;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with these files; names that end in .jpg are made empty.
fn folder(files: &[(&str, &str)], photos: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().copied().chain(photos.iter().map(|photo| (*photo, ""))) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn read(folder: &TempDir) -> CaptionSet {
    load(folder.path(), &LoadOptions::default()).unwrap()
}

/// The one line that loading `name` in the folder fails with.
fn fault(folder: &TempDir, name: &str, options: &LoadOptions) -> String {
    let message = load(&folder.path().join(name), options).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// Each photo as `id split path captions`.
fn told(set: &CaptionSet, folder: &TempDir) -> Vec<String> {
    let path = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
    let told = set.images.iter().map(|i| format!("{} {} {} {}", i.id, i.split, path(&i.path), i.captions.join("/")));
    told.collect()
}

const TOKENS: &str =
    "b.jpg#0\tA dog .\na.jpg#0\tOne cat\na.jpg#1\tTwo cats\n\nb.jpg#1\tA man 's dog\nc.jpg#0\tnot listed\n";
const TRAIN: (&str, &str) = ("Flickr_8k.trainImages.txt", "b.jpg\n");

#[test]
fn flickr8k_lists_say_what_is_read() {
    let folder = folder(
        &[("Flickr8k.token.txt", TOKENS), TRAIN, ("Flickr_8k.devImages.txt", "a.jpg\r\n\r\n")],
        &["images/a.jpg", "images/b.jpg"],
    );
    let set = read(&folder);
    let wanted = ["b.jpg train images/b.jpg A dog ./A man 's dog", "a.jpg dev images/a.jpg One cat/Two cats"];
    assert_eq!(told(&set, &folder), wanted);
    assert_eq!((set.split(Split::Dev).count(), set.split(Split::Test).count(), set.skipped.report()), (1, 0, None));
}

#[test]
fn one_list_is_enough_and_photos_may_lie_elsewhere() {
    for place in ["a.jpg", "Flicker8k_Dataset/a.jpg", "Images/a.jpg"] {
        let folder = folder(&[("Flickr8k.token.txt", TOKENS), ("Flickr_8k.testImages.txt", "a.jpg")], &[place]);
        assert_eq!(told(&read(&folder), &folder), [format!("a.jpg test {place} One cat/Two cats")]);
        let from_file = load(&folder.path().join("Flickr8k.token.txt"), &LoadOptions::default()).unwrap();
        assert_eq!(told(&from_file, &folder), told(&read(&folder), &folder));
    }
    let captions = folder(&[("Flickr8k.token.txt", TOKENS), TRAIN], &[]);
    let photos = folder(&[], &["b.jpg"]);
    let given = LoadOptions { images: Some(photos.path().into()), ..LoadOptions::default() };
    assert_eq!(load(captions.path(), &given).unwrap().images[0].path, photos.path().join("b.jpg"));
    let without = LoadOptions { need_files: false, ..LoadOptions::default() };
    assert_eq!(load(captions.path(), &without).unwrap().images.len(), 1);
}

#[test]
fn faults_of_flickr8k_are_told_in_one_line() {
    let options = LoadOptions::default();
    let message = |files: &[(&str, &str)], photos: &[&str]| fault(&folder(files, photos), "", &options);
    let tokens = ("Flickr8k.token.txt", TOKENS);
    assert!(message(&[tokens], &["b.jpg"]).contains("has no split list; put Flickr_8k.trainImages.txt"));
    let unknown = message(&[tokens, ("Flickr_8k.devImages.txt", "x.jpg\na.jpg\ny.jpg")], &["a.jpg"]);
    assert!(
        unknown.contains("Flickr_8k.devImages.txt: 2 photos (x.jpg, y.jpg) have no captions in Flickr8k.token.txt")
    );
    let missing = message(&[tokens, TRAIN], &["images/a.jpg"]);
    assert!(missing.contains("trainImages.txt: 1 photos (b.jpg) have no file (looked in "), "{missing}");
    let twice = message(&[tokens, TRAIN, ("Flickr_8k.devImages.txt", "b.jpg")], &["b.jpg"]);
    assert!(twice.contains("1 photos (b.jpg) are there twice"), "{twice}");
    let line = message(&[("Flickr8k.token.txt", "a.jpg#0\tfine\na.jpg without a number\n"), TRAIN], &["b.jpg"]);
    assert!(line.contains("Flickr8k.token.txt: line 2 is not of the form NAME.jpg#k<TAB>caption"), "{line}");
    assert!(message(&[("Flickr8k.token.txt", " \n"), TRAIN], &[]).contains("the file is empty"));
    assert!(message(&[], &[]).contains("neither Flickr8k.token.txt nor a JSON file"));
    assert!(fault(&folder(&[], &[]), "nowhere", &options).contains("nowhere: "));
}

#[test]
fn broken_captions_are_named_and_skipped() {
    let folder = folder(&[TRAIN], &["b.jpg"]);
    std::fs::write(
        folder.path().join("Flickr8k.token.txt"),
        b"b.jpg#0\tA dog\nb.jpg#1\t\nb.jpg#2\tcaf\xe9\nb.jpg#3\t  \n",
    )
    .unwrap();
    let generous = LoadOptions { max_share: 0.8, ..LoadOptions::default() };
    let set = load(folder.path(), &generous).unwrap();
    assert_eq!(told(&set, &folder), ["b.jpg train b.jpg A dog"]);
    let report = set.skipped.report().unwrap();
    let wanted = "b.jpg#1: the caption is empty; b.jpg#2: the caption is not UTF-8; b.jpg#3: the caption is empty";
    assert_eq!(report, format!("skipped 3 of 4 captions: {wanted}"));
    let message = fault(&folder, "", &LoadOptions::default());
    assert!(message.contains("of 4 captions are broken, more than the 1 % allowed"), "{message}");
}

#[test]
fn karpathys_json_brings_its_splits() {
    let json = r#"{"dataset": "coco", "images": [
        {"filename": "1.jpg", "filepath": "val2014", "imgid": 0, "cocoid": 391895, "split": "restval",
         "sentences": [{"raw": "A man.", "tokens": ["a", "man"]}, {"tokens": ["two", "men"]}]},
        {"filename": "2.jpg", "imgid": 1, "split": "val", "sentences": [{"raw": "A dog"}]},
        {"filename": "3.jpg", "imgid": 2, "split": "test", "sentences": [{"raw": "A cat"}]}]}"#;
    let folder = folder(&[("dataset_coco.json", json)], &["images/val2014/1.jpg", "images/2.jpg", "3.jpg"]);
    let wanted =
        ["391895 train images/val2014/1.jpg A man./two men", "2.jpg dev images/2.jpg A dog", "3.jpg test 3.jpg A cat"];
    assert_eq!(told(&read(&folder), &folder), wanted);
}

#[test]
fn coco_takes_its_split_from_the_name_and_its_photos_from_beside() {
    let json = |id: u32| {
        format!(
            r#"{{"info": {{}}, "images": [{{"id": {id}, "file_name": "{id}.jpg"}}],
                "annotations": [{{"image_id": {id}, "id": 1, "caption": "A dog"}}, {{"image_id": {id}, "id": 2, "caption": "Dogs"}}]}}"#
        )
    };
    let (train, val) = (json(9), json(7));
    let files = [
        ("annotations/captions_train2014.json", train.as_str()),
        ("annotations/captions_val2014.json", &val),
        ("annotations/instances_val2014.json", "{}"),
    ];
    let folder = folder(&files, &["train2014/9.jpg", "val2014/7.jpg"]);
    let set = read(&folder);
    let path = |index: usize| std::fs::canonicalize(&set.images[index].path).unwrap();
    let wanted = |name: &str| std::fs::canonicalize(folder.path().join(name)).unwrap();
    assert_eq!((path(0), path(1)), (wanted("train2014/9.jpg"), wanted("val2014/7.jpg")));
    assert_eq!((set.images[0].split, set.images[1].split), (Split::Train, Split::Dev));
    assert_eq!((set.images[1].id.to_string().as_str(), set.images[1].captions.len()), ("7", 2));
    let file = folder.path().join("annotations/other.json");
    std::fs::copy(folder.path().join(files[1].0), &file).unwrap();
    let message = fault(&folder, "annotations/other.json", &LoadOptions::default());
    assert!(message.contains("say which split"), "{message}");
    let given =
        LoadOptions { split: Some(Split::Test), images: Some(folder.path().join("val2014")), ..LoadOptions::default() };
    assert_eq!(load(&file, &given).unwrap().images[0].split, Split::Test);
}

#[test]
fn a_simple_list_is_split_by_the_hash_of_its_names() {
    let names: Vec<String> = (0..400).map(|index| format!("{index}.jpg")).collect();
    let entry = |name: &String| format!(r#"{{"file_path": "{name}", "captions": ["a dog", "dogs"]}}"#);
    let json = format!("\u{feff}\n[{}]", names.iter().map(entry).collect::<Vec<_>>().join(",\n"));
    let folder = folder(&[("my.json", &json)], &[]);
    let options = LoadOptions { need_files: false, dev_share: 0.2, ..LoadOptions::default() };
    let set = load(folder.path(), &options).unwrap();
    let dev = set.split(Split::Dev).count();
    assert!((60..100).contains(&dev), "{dev} of 400");
    // More photos do not move the ones that were there.
    let fewer = format!("[{}]", names.iter().take(50).map(entry).collect::<Vec<_>>().join(","));
    std::fs::write(folder.path().join("my.json"), fewer).unwrap();
    assert_eq!(load(folder.path(), &options).unwrap().images, set.images[..50]);
    let named =
        r#"[{"file_path": "a.jpg", "captions": ["x"], "split": "test"}, {"file_path": "b.jpg", "captions": ["y"]}]"#;
    std::fs::write(folder.path().join("my.json"), named).unwrap();
    let set = load(folder.path(), &LoadOptions { split: Some(Split::Dev), ..options }).unwrap();
    assert_eq!((set.images[0].split, set.images[1].split), (Split::Test, Split::Dev));
}

#[test]
fn wrong_json_is_told_with_file_line_and_fault() {
    let options = LoadOptions { need_files: false, ..LoadOptions::default() };
    let message = |text: &str| fault(&folder(&[("x_train.json", text)], &[]), "x_train.json", &options);
    let cases = [
        (
            "[{\"file_path\": \"a.jpg\",\n \"captions\": [\"x\"}]",
            "x_train.json: wrong JSON in line 2, column 18: expected `,` or `]`",
        ),
        ("[{\"file_path\": \"a.jpg\"}]", "missing field `captions`"),
        ("[{\"file_path\": \"a.jpg\", \"captions\": \"x\"}]", "invalid type: string \"x\", expected a sequence"),
        (
            "[{\"file_path\": \"a.jpg\", \"captions\": [\"x\"], \"split\": \"best\"}]",
            "entries[0] has the split \"best\"; wanted train",
        ),
        ("[{\"file_path\": \"a.jpg\", \"captions\": [\"x\"]", "wrong JSON in line 1"),
        ("[]", "has no photo with a caption"),
        ("{\"a\": 1}", "neither Karpathy's nor COCO's"),
        ("{\"images\": [{\"filename\": \"a\"}]}", "has images but no captions"),
        ("{\"images\": [{\"filename\": \"a\", \"sentences\": []}]}", "images[0] has no \"split\""),
        ("{\"images\": [{\"id\": 1}], \"annotations\": []}", "images[0] has no \"file_name\""),
        ("{\"images\": [], \"annotations\": [{\"image_id\": 1}]}", "annotations[0] has no \"caption\""),
        (
            "{\"images\": [], \"annotations\": [{\"image_id\": 1, \"caption\": \"x\"}]}",
            "captions of image 1, which is not among",
        ),
        ("words\n", "line 1 is not of the form"),
    ];
    for (text, wanted) in cases {
        assert!(message(text).contains(wanted), "{text}: {}", message(text));
    }
    let photos = r#"[{"file_path": "a.jpg", "captions": ["x"]}, {"file_path": "b.jpg", "captions": ["x"]}]"#;
    let missing = fault(&folder(&[("x.json", photos)], &["b.jpg"]), "x.json", &LoadOptions::default());
    assert!(missing.contains("x.json: 1 photos (a.jpg) have no file"), "{missing}");
    let two = fault(&folder(&[("x.json", photos), ("y.json", photos)], &[]), "", &options);
    assert!(two.contains("has 2 JSON files (x.json, y.json); give the one"), "{two}");
}

#[test]
fn flickr8k_itself() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA") else {
        println!("skipped: CANDLEWICK_DATA is not set");
        return;
    };
    let set = load(&PathBuf::from(data).join("flickr8k"), &LoadOptions::default()).unwrap();
    assert_eq!(set.skipped.report(), None);
    assert_eq!([Split::Train, Split::Dev, Split::Test].map(|split| set.split(split).count()), [6000, 1000, 0]);
    assert!(set.images.iter().all(|image| image.captions.len() == 5 && image.path.is_file()));
    let captions: Vec<&String> = set.split(Split::Train).flat_map(|image| &image.captions).collect();
    let words = WordTokenizer::train(&captions, 5).unwrap();
    assert_eq!(words.vocab_size(), 2541);
    let unknown: usize = captions.iter().map(|c| words.encode(c).unwrap().iter().filter(|id| **id == 3).count()).sum();
    let total: usize = captions.iter().map(|c| words.encode(c).unwrap().len() - 2).sum();
    assert!((unknown as f64) < 0.03 * total as f64, "{unknown} of {total} words are unknown");
    let first = &set.split(Split::Train).next().unwrap().captions[0];
    assert_eq!(
        words.decode(&words.encode(first).unwrap()).unwrap(),
        "a black dog is running after a white dog in the snow"
    );
    for image in set.images.iter().step_by(100) {
        let photo = candlewick_data::picture::decode(&image.path, &Default::default()).unwrap();
        assert_eq!(photo.dimensions(), (224, 224), "{}", image.id);
    }
}

#[test]
fn ids_stay_as_the_data_has_them() {
    let json = r#"{"images": [{"id": "0000000004", "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"},
                              {"id": "7", "file_name": "c.jpg"}, {"id": "01", "file_name": "d.jpg"}],
        "annotations": [{"image_id": "0000000004", "caption": "a"}, {"image_id": 7, "caption": "b"},
                        {"image_id": "7", "caption": "c"}, {"image_id": "01", "caption": "d"}]}"#;
    let options = LoadOptions { need_files: false, ..LoadOptions::default() };
    let set = load(&folder(&[("captions_val.json", json)], &[]).path().join("captions_val.json"), &options).unwrap();
    let ids: Vec<String> = set.images.iter().map(|image| serde_json::to_string(&image.id).unwrap()).collect();
    assert_eq!(ids, ["\"0000000004\"", "7", "\"7\"", "\"01\""]);
    assert_eq!(set.images[2].captions, ["c"]);
    let twice = json.replace("\"01\", \"f", "\"7\", \"f").replace("\"01\", \"c", "\"7\", \"c");
    let message = fault(&folder(&[("captions_val.json", &twice)], &[]), "captions_val.json", &options);
    assert!(message.contains("images[3] has the id \"7\" of another image"), "{message}");
    let other = json.replace("{\"image_id\": 7,", "{\"image_id\": \"007\",");
    let message = fault(&folder(&[("captions_val.json", &other)], &[]), "captions_val.json", &options);
    assert!(message.contains("captions of image \"007\", which is not among its images"), "{message}");
    let wrong = json.replace("\"id\": 7", "\"id\": 7.5");
    let message = fault(&folder(&[("captions_val.json", &wrong)], &[]), "captions_val.json", &options);
    assert!(message.contains("images[1] has the id 7.5; wanted a whole number or a text"), "{message}");
}

#[test]
fn marks_utf_16_and_hidden_files_are_known_for_what_they_are() {
    let mark = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let (tokens, list) = (mark(TOKENS), mark("b.jpg\n"));
    let names = ["Flickr8k.token.txt", TRAIN.0];
    let with = [
        (names[0], tokens.as_str()),
        (names[1], &list),
        ("._Flickr8k.token.txt", "\0\x05\x16"),
        ("._x_trainImages.txt", "\0"),
    ];
    let set = read(&folder(&with, &["b.jpg"]));
    assert_eq!((set.images[0].id.to_string().as_str(), set.images[0].captions.len()), ("b.jpg", 2));
    for name in names {
        let folder = folder(&[(names[0], TOKENS), TRAIN], &["b.jpg"]);
        let path = folder.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            std::fs::write(&path, text.encode_utf16().flat_map(order).collect::<Vec<u8>>()).unwrap();
            let message = fault(&folder, "", &LoadOptions::default());
            assert!(message.ends_with(&format!("{name}: is UTF-16; save it as UTF-8")), "{message}");
        }
    }
    let latin = folder(&[(names[0], TOKENS), TRAIN], &["b.jpg"]);
    std::fs::write(latin.path().join(TRAIN.0), b"b.jpg\ncaf\xe9.jpg\n").unwrap();
    assert!(
        fault(&latin, "", &LoadOptions::default()).contains("trainImages.txt: line 2 is not UTF-8, perhaps Latin-1")
    );
    let json = r#"[{"file_path": "a.jpg", "captions": ["x"], "split": "dev"}]"#;
    let beside = folder(&[("x.json", json), ("._x.json", "\0\x05\x16\x07")], &["a.jpg"]);
    assert_eq!(read(&beside).images.len(), 1);
    std::fs::write(beside.path().join("x.json"), b"[{\"file_path\":\n\"caf\xe9.jpg\"}]").unwrap();
    assert!(fault(&beside, "", &LoadOptions::default()).contains("x.json: line 2 is not UTF-8"));
}

#[test]
fn two_lists_of_a_split_are_one_too_many() {
    let lists = [("Flickr8k.token.txt", TOKENS), TRAIN, ("old_trainImages.txt", "a.jpg\n")];
    let message = fault(&folder(&lists, &["b.jpg"]), "", &LoadOptions::default());
    assert!(
        message.contains("has 2 lists of the train split (Flickr_8k.trainImages.txt, old_trainImages.txt)"),
        "{message}"
    );
    let tokens = [("a.token", TOKENS), ("b.token", TOKENS), TRAIN];
    let message = fault(&folder(&tokens, &["b.jpg"]), "", &LoadOptions::default());
    assert!(message.contains("has 2 token files (a.token, b.token)"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_line_end_in_a_name_stays_in_one_line() {
    let folder = folder(&[("cap\ntions/x.json", "[]")], &[]);
    let message = load(&folder.path().join("cap\ntions/x.json"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(message.ends_with("cap\\ntions/x.json: has no photo with a caption"), "{message}");
    assert!(!message.contains('\n'));
}
