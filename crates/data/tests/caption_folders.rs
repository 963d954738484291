//! Captions from Hugging Face's imagefolder, from texts beside the pictures, and from VizWiz's JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_data::captions::{CaptionSet, LoadOptions, Split, load};
use std::path::Path;
use tempfile::TempDir;

/// A folder with these files, and these that are empty.
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

/// The one line that loading fails with.
fn fault(files: &[(&str, &str)], photos: &[&str]) -> String {
    let message = load(folder(files, photos).path(), &LoadOptions::default()).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// Each photo as `id split path captions`.
fn told(set: &CaptionSet, folder: &TempDir) -> Vec<String> {
    let path = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
    let told = set.images.iter().map(|i| format!("{} {} {} {}", i.id, i.split, path(&i.path), i.captions.join("/")));
    told.collect()
}

#[test]
fn an_imagefolder_has_its_splits_as_folders() {
    let files = [
        (
            "train/metadata.jsonl",
            "{\"file_name\": \"a.jpg\", \"text\": \"A dog.\"}\n\n{\"file_name\": \"sub/b.jpg\", \"text\": \"A cat.\"}\n",
        ),
        (
            "validation/metadata.csv",
            "\u{feff}file_name,label, caption\r\na.jpg,7,\"One, two \"\"dogs\"\"\nin a row\"\r\n",
        ),
        ("test/metadata.jsonl", r#"{"file_name": "c.png", "captions": ["A man", "Ein Mann"], "license": 3}"#),
        ("dataset_infos.json", "{}"),
        ("README.md", "# A set"),
    ];
    let folder = folder(&files, &["train/a.jpg", "train/sub/b.jpg", "validation/a.jpg", "test/c.png"]);
    let set = read(&folder);
    let mut found = told(&set, &folder);
    found.sort();
    let wanted = [
        "test/c.png test test/c.png A man/Ein Mann",
        "train/a.jpg train train/a.jpg A dog.",
        "train/sub/b.jpg train train/sub/b.jpg A cat.",
        "validation/a.jpg dev validation/a.jpg One, two \"dogs\"\nin a row",
    ];
    assert_eq!(found, wanted);
    assert!(set.left_out().is_empty(), "{:?}", set.left_out());
    // The same from above the folders, and below a folder `data`.
    let above = "file_name,text\ntrain/a.jpg,A dog.\n./test/c.png,A man\n";
    let above = self::folder(&[("metadata.csv", above)], &["train/a.jpg", "test/c.png"]);
    assert_eq!(read(&above).images.iter().map(|image| image.split).collect::<Vec<_>>(), [Split::Train, Split::Test]);
    assert!(read(&above).left_out().is_empty());
    let below = self::folder(&[("data/test/metadata.csv", "file_name,text\na.jpg,A dog.\n")], &["data/test/a.jpg"]);
    assert_eq!(told(&read(&below), &below), ["data/test/a.jpg test data/test/a.jpg A dog."]);
}

#[test]
fn an_imagefolder_without_splits_is_split_by_its_names() {
    let names: Vec<String> = (0..400).map(|index| format!("{index}.jpg")).collect();
    let lines: Vec<String> =
        names.iter().map(|name| format!(r#"{{"file_name": "{name}", "text": "a dog"}}"#)).collect();
    let folder = folder(&[("metadata.jsonl", &lines.join("\n"))], &[]);
    let options = LoadOptions { need_files: false, dev_share: 0.2, ..LoadOptions::default() };
    let set = load(folder.path(), &options).unwrap();
    let dev = set.split(Split::Dev).count();
    assert!((60..100).contains(&dev) && set.split(Split::Test).count() == 0, "{dev} of 400");
    assert_eq!(load(&folder.path().join("metadata.jsonl"), &options).unwrap().images, set.images);
    let given = LoadOptions { split: Some(Split::Test), ..options };
    assert_eq!(load(folder.path(), &given).unwrap().split(Split::Test).count(), 400);
    let column = "file_name,text,split\na.jpg,x,valid\nb.jpg,y,\n";
    let folder = self::folder(&[("metadata.csv", column)], &["a.jpg", "b.jpg"]);
    let set = load(folder.path(), &LoadOptions { split: Some(Split::Train), ..LoadOptions::default() }).unwrap();
    assert_eq!((set.images[0].split, set.images[1].split), (Split::Dev, Split::Train));
}

#[test]
fn what_an_imagefolder_has_and_is_not_used_is_named() {
    let table = "file_name,caption,captions,text\na.jpg,no,\"[\"\"A dog\"\", \"\"Dogs\"\"]\",ocr\nb.jpg,no,Just one,\na.jpg,,A third,\n";
    let folder = folder(&[("metadata.csv", table)], &["a.jpg", "b.jpg", "more/c.jpg", "d.PNG"]);
    let set = read(&folder);
    assert_eq!(set.images[0].captions, ["A dog", "Dogs", "A third"]);
    assert_eq!(set.images[1].captions, ["Just one"]);
    let wanted = [
        "left out the caption and the text of metadata.csv: its captions are read",
        "left out 2 pictures without a line in a metadata file: d.PNG, more/c.jpg",
    ];
    assert_eq!(set.left_out(), wanted);
    let table = "file_name,text\na.jpg,A dog\nb.jpg,\nc.jpg,\"  \"\n";
    let folder = self::folder(&[("metadata.csv", table)], &["a.jpg", "b.jpg", "c.jpg"]);
    let generous = LoadOptions { max_share: 0.8, ..LoadOptions::default() };
    let set = load(folder.path(), &generous).unwrap();
    assert_eq!(set.images.len(), 1);
    assert_eq!(set.left_out(), ["skipped 2 of 3 captions: b.jpg: has no caption; c.jpg#0: the caption is empty"]);
}

#[test]
fn faults_of_an_imagefolder_are_told_with_their_line() {
    let jsonl = |text: &str| fault(&[("metadata.jsonl", text)], &["a.jpg"]);
    let csv = |text: &str| fault(&[("metadata.csv", text)], &["a.jpg"]);
    let line = "{\"file_name\": \"a.jpg\", \"text\": \"A dog\"}\n";
    let cases = [
        (
            jsonl(&format!("{line}{{\"file_name\": \"b.jpg\"")),
            "metadata.jsonl: wrong JSON in line 2, column 21: EOF while parsing",
        ),
        (jsonl(&format!("{line}{{\"text\": \"A cat\"}}")), "metadata.jsonl: line 2: has no file_name"),
        (
            jsonl(&format!("{line}{{\"file_name\": 3, \"text\": \"A cat\"}}")),
            "line 2: file_name is 3; wanted the picture's name",
        ),
        (
            jsonl(&format!("{line}{{\"file_name\": \"b.jpg\", \"text\": {{}}}}")),
            "line 2: text is neither a text nor a list of texts",
        ),
        (
            jsonl("{\"file_name\": \"a.jpg\", \"label\": 1}"),
            "has captions in none of the columns captions, caption, text; it has file_name, label",
        ),
        (
            jsonl(&format!("{line}{{\"file_name\": \"b.jpg\", \"text\": \"x\"}}")),
            "1 photos (b.jpg) have no file (looked in ",
        ),
        (jsonl(" \n"), "metadata.jsonl: the file is empty"),
        (
            csv("file_name,text\na.jpg,A dog, running\n"),
            "metadata.csv: line 2: has 3 cells where the first has 2; put cells with commas in quotes",
        ),
        (
            csv("file_name,captions\na.jpg,\"['A dog', 'Dogs']\"\n"),
            "line 2: captions is no list of texts; write a list as JSON does",
        ),
        (
            csv("file_name,text,split\na.jpg,A dog,best\n"),
            "line 2: split is \"best\"; wanted train, validation or test",
        ),
        (csv("file_name,text,split\na.jpg,A dog,train\na.jpg,A cat,test\n"), "line 3: a.jpg is in another split above"),
        (fault(&[("metadata.csv", ""), ("metadata.jsonl", "")], &[]), "has metadata.jsonl and metadata.csv; keep one"),
        (
            fault(&[("train/metadata.parquet", "PAR1")], &[]),
            "metadata.parquet: is Parquet, which is not read; save it as",
        ),
    ];
    for (found, wanted) in cases {
        assert!(found.contains(wanted), "{found}\n{wanted}");
    }
}

#[test]
fn texts_beside_pictures_are_their_captions() {
    let files = [
        ("train/a.txt", "A dog.\r\n\r\n  Two dogs. \n"),
        ("train/b.txt", "一只狗\n"),
        ("val/a.txt", "A cat."),
        ("train/notes.txt", "mine"),
        ("LICENSE", "free"),
    ];
    let folder = folder(&files, &["train/a.jpg", "train/b.webp", "val/a.PNG", "val/c.jpg"]);
    let set = read(&folder);
    let wanted = [
        "train/a.jpg train train/a.jpg A dog./Two dogs.",
        "train/b.webp train train/b.webp 一只狗",
        "val/a.PNG dev val/a.PNG A cat.",
    ];
    assert_eq!(told(&set, &folder), wanted);
    let left_out = [
        "left out 1 pictures without a .txt of their name: val/c.jpg",
        "left out 2 files that are neither pictures nor their texts: LICENSE, train/notes.txt",
    ];
    assert_eq!(set.left_out(), left_out);
    // Without folders of splits, and with captions that are none.
    let flat =
        self::folder(&[("a.txt", "A dog"), ("b.txt", "\n \n"), ("c.txt", "A cat")], &["a.jpg", "b.jpg", "c.jpg"]);
    std::fs::write(flat.path().join("c.txt"), b"A cat\ncaf\xe9\n").unwrap();
    let options = LoadOptions { max_share: 0.5, dev_share: 0.0, ..LoadOptions::default() };
    let set = load(flat.path(), &options).unwrap();
    assert_eq!(told(&set, &flat), ["a.jpg train a.jpg A dog", "c.jpg train c.jpg A cat"]);
    let skipped = "skipped 2 of 4 captions: b.jpg: has no caption; c.jpg#1: the caption is not UTF-8";
    assert_eq!(set.left_out(), [skipped]);
    let only_pictures = fault(&[("notes.txt", "mine")], &["a.jpg"]);
    assert!(
        only_pictures.contains("no pictures with a .txt of their name beside them; give the folder"),
        "{only_pictures}"
    );
}

/// A VizWiz file of two pictures.
fn vizwiz(first: u32) -> String {
    let image = |id: u32| {
        format!(r#"{{"id": {id}, "file_name": "VizWiz_{id}.jpg", "vizwiz_url": "x", "text_detected": true}}"#)
    };
    let caption = |id: u32, text: &str, flags: &str| {
        format!(r#"{{"image_id": {id}, "id": 1, "caption": "{text}", {flags}, "text_detected": false}}"#)
    };
    let (kept, precanned, rejected) = (
        r#""is_precanned": false, "is_rejected": false"#,
        r#""is_precanned": true, "is_rejected": false"#,
        r#""is_precanned": false, "is_rejected": true"#,
    );
    let captions = [
        caption(first, "A can", kept),
        caption(first, "Quality issues are too severe", precanned),
        caption(first, "spam", rejected),
        caption(first, "A tin", kept),
        caption(first + 1, "Quality issues are too severe", precanned),
    ];
    let images = [image(first), image(first + 1)];
    format!(r#"{{"info": {{}}, "images": [{}], "annotations": [{}]}}"#, images.join(","), captions.join(","))
}

#[test]
fn vizwiz_leaves_out_what_it_says_is_not_to_be_used() {
    let (train, val) = (vizwiz(0), vizwiz(10));
    let test = r#"{"images": [{"id": 20, "file_name": "VizWiz_20.jpg"}]}"#;
    let files =
        [("annotations/train.json", train.as_str()), ("annotations/val.json", &val), ("annotations/test.json", test)];
    // The picture that is left without a caption need not be there.
    let folder = folder(&files, &["train/VizWiz_0.jpg", "val/VizWiz_10.jpg"]);
    let set = read(&folder);
    let all: Vec<String> =
        set.images.iter().map(|i| format!("{} {} {}", i.id, i.split, i.captions.join("/"))).collect();
    assert_eq!(all, ["0 train A can/A tin", "10 dev A can/A tin"]);
    let wanted = [
        "left out 1 pictures of test.json, which has no captions",
        "left out 3 captions of train.json: 1 rejected, 2 precanned, and with them 1 pictures that have no others",
        "left out 3 captions of val.json: 1 rejected, 2 precanned, and with them 1 pictures that have no others",
    ];
    assert_eq!(set.left_out(), wanted);
    let one = load(&folder.path().join("annotations/val.json"), &LoadOptions::default()).unwrap();
    assert_eq!((one.images.len(), one.left_out().len()), (1, 1));
}

#[test]
fn pictures_that_nobody_has_told_of_are_loaded_where_that_is_no_fault() {
    let json = r#"{"info": {}, "images": [{"id": 7, "file_name": "COCO_test2014_000000000007.jpg"}]}"#;
    let file = "annotations/image_info_test2014.json";
    let folder = folder(&[(file, json)], &["test2014/COCO_test2014_000000000007.jpg"]);
    let path = folder.path().join(file);
    let fault = load(&path, &LoadOptions::default()).unwrap_err().to_string();
    assert!(fault.contains("has images but no captions"), "{fault}");
    let set = load(&path, &LoadOptions { need_captions: false, ..LoadOptions::default() }).unwrap();
    let image = &set.images[0];
    assert_eq!((image.id.to_string().as_str(), image.split, image.captions.len()), ("7", Split::Test, 0));
    assert!(image.path.is_file() && set.left_out().is_empty());
}

#[test]
fn damaged_files_are_told_in_one_line_or_still_read() {
    let table =
        "file_name,captions,split\na.jpg,\"[\"\"A dog\"\", \"\"Dogs\"\"]\",train\nb.jpg,\"Two, \"\"cats\"\"\",test\n";
    let lines =
        "{\"file_name\": \"a.jpg\", \"text\": \"A dog\"}\n{\"file_name\": \"b.jpg\", \"captions\": [\"A cat\"]}\n";
    let told = vizwiz(0);
    for (name, whole) in
        [("metadata.csv", table), ("metadata.jsonl", lines), ("train.json", &told), ("a.txt", "A dog\nTwo dogs\n")]
    {
        let folder = folder(&[], &["a.jpg", "b.jpg", "VizWiz_0.jpg"]);
        for index in 0..600_usize {
            let mut bytes = whole.as_bytes().to_vec();
            let at = index.wrapping_mul(2_654_435_761) % bytes.len();
            match index % 3 {
                0 => bytes[at] ^= 1 << (index / 3 % 8),
                1 => drop(bytes.drain(at..(at + 1 + index % 20).min(whole.len()))),
                _ => bytes.truncate(at),
            }
            std::fs::write(folder.path().join(name), bytes).unwrap();
            if let Err(fault) = load(folder.path(), &LoadOptions { max_share: 1.0, ..LoadOptions::default() }) {
                let fault = fault.to_string();
                assert!(!fault.contains('\n') && fault.len() > 20, "{name} {index}: {fault}");
            }
        }
    }
}
