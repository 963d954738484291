#![allow(clippy::unwrap_used, clippy::print_stderr)]
use super::*;
use tempfile::TempDir;

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
    folder
}

fn text(name: &str, text: &str) -> (String, Vec<u8>) {
    (name.to_owned(), text.as_bytes().to_vec())
}

/// A `.npy` file as numpy 2 writes it, version 1 or 2.
fn npy(version: u8, kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = match version {
        1 => (header.len() as u16).to_le_bytes().to_vec(),
        _ => (header.len() as u32).to_le_bytes().to_vec(),
    };
    [b"\x93NUMPY", [version, 0].as_slice(), &length, header.as_bytes(), bytes].concat()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn told(set: &SeriesSet, split: Split) -> Vec<String> {
    let class =
        |labels: &[u32]| labels.iter().map(|&label| set.classes[label as usize].as_str()).collect::<Vec<_>>().join(",");
    let one =
        |series: &Series| format!("{} {:?} {} {:?}", series.name, series.values, class(&series.labels), series.targets);
    set.parts.of(split).iter().map(one).collect()
}

fn fault(files: &[(String, Vec<u8>)]) -> String {
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let folder = folder(&files);
    let message = load(folder.path(), 0.0).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message.replace(folder.path().to_str().unwrap(), "SET")
}

#[test]
fn tables_have_a_step_a_row() {
    let table = "sequence,x,y,label,split\na,1,2,cat,train\na,3,4,cat,train\nb,5,-6e-1,dog,train\nc,7,8,dog,dev\n";
    let folder = folder(&[("all.csv", table.into())]);
    let set = load(&folder.path().join("all.csv"), 0.5).unwrap();
    assert_eq!((set.width, set.classes.join(" ")), (2, "cat dog".to_owned()));
    assert_eq!(told(&set, Split::Train), ["a [1.0, 2.0, 3.0, 4.0] cat []", "b [5.0, -0.6] dog []"]);
    assert_eq!(told(&set, Split::Dev), ["c [7.0, 8.0] dog []"]);
    // Labels that change are of the steps, and without a column of sequences there is one.
    std::fs::write(folder.path().join("train.csv"), "x,label,target\n1,a,0.5\n2,b,1\n").unwrap();
    let set = load(folder.path(), 0.0).unwrap();
    assert_eq!(told(&set, Split::Train), ["1 [1.0, 2.0] a,b [0.5, 1.0]"]);
    std::fs::write(folder.path().join("train.csv"), "x,target\n1,2\n3,2\n").unwrap();
    let set = load(folder.path(), 0.0).unwrap();
    assert_eq!((told(&set, Split::Train), set.classes.len()), (vec!["1 [1.0, 3.0]  [2.0]".to_owned()], 0));
}

#[test]
fn arrays_have_all_sequences_of_a_split() {
    let values = f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let folder = folder(&[
        ("train.npy", npy(1, "<f4", "(2, 2, 2)", &values)),
        ("train_labels.npy", npy(2, "<i8", "(2,)", &[5i64.to_le_bytes(), (-1i64).to_le_bytes()].concat())),
        ("train_lengths.npy", npy(1, "|u1", "(2,)", &[2, 1])),
        ("test.npy", npy(1, ">f8", "(1, 1, 2)", &[0.5f64.to_be_bytes(), (-2f64).to_be_bytes()].concat())),
        ("test_labels.npy", npy(1, ">i2", "(1, 1)", &[0, 5])),
    ]);
    let set = load(folder.path(), 0.0).unwrap();
    assert_eq!(told(&set, Split::Train), ["0 [1.0, 2.0, 3.0, 4.0] 5 []", "1 [5.0, 6.0] -1 []"]);
    assert_eq!(told(&set, Split::Test), ["0 [0.5, -2.0] 5 []"]);
    let array = npy::read(&folder.path().join("train_labels.npy")).unwrap();
    assert_eq!((array.shape, array.values), (vec![2], vec![5.0, -1.0]));
}

#[test]
fn vowels_are_parted_by_empty_lines_and_counted_by_speaker() {
    let folder = folder(&[
        ("ae.train", b"1 2\n3 4\n\n5 6 \n\n7 8\n\n".to_vec()),
        ("size_ae.train", b"1 2 \n".to_vec()),
        ("ae.test", b"9 9\n".to_vec()),
        ("size_ae.test", b"0 1".to_vec()),
    ]);
    let set = load(folder.path(), 0.0).unwrap();
    assert_eq!(told(&set, Split::Train), ["1 [1.0, 2.0, 3.0, 4.0] 1 []", "2 [5.0, 6.0] 2 []", "3 [7.0, 8.0] 2 []"]);
    assert_eq!(told(&set, Split::Test), ["1 [9.0, 9.0] 2 []"]);
}

#[test]
fn faults_name_file_and_line() {
    let array = |kind: &str, shape: &str, bytes: &[u8]| vec![("train.npy".to_owned(), npy(1, kind, shape, bytes))];
    let with = |name: &str, bytes: Vec<u8>| {
        [array("<f4", "(1, 1, 1)", &f32s(&[1.0])), vec![(name.to_owned(), bytes)]].concat()
    };
    let table = |content: &str| vec![text("train.csv", content)];
    let vowels = |values: &str, sizes: &str| vec![text("ae.train", values), text("size_ae.train", sizes)];
    let cases = [
        (vec![], "SET: has neither train.csv, train.npy nor ae.train; give"),
        (table("x,label\n1,a\nnan,b\n"), "SET/train.csv, line 3: cell 1 is \"nan\"; wanted a finite number"),
        (table("x,label\n1\n"), "SET/train.csv, line 2: has 1 cells where the header has 2"),
        (table("x,label\n1,\n"), "SET/train.csv, line 2: has no label"),
        (table("label\na\n"), "SET/train.csv, line 1: has no column of numbers; it has label"),
        (table("sequence,x\n1,1\n2,1\n1,1\n"), "SET/train.csv, line 4: sequence 1 goes on here"),
        (table("x,split\n1,trian\n"), "SET/train.csv, line 2: split is \"trian\"; wanted train, dev or test"),
        (table("x,label\n1,a\n2,a\n"), "SET: has one class, a; a classifier wants two"),
        (table("x\n"), "SET: has no sequence to train on"),
        (
            [table("sequence,x,label\n1,1,a\n2,1,b\n"), vec![text("dev.csv", "sequence,x,label\n1,1,c\n")]].concat(),
            "SET/dev.csv, line 2: sequence 1: the label \"c\" is none of the training part (a, b)",
        ),
        (
            [table("x\n1\n"), vec![text("dev.csv", "x,y\n1,1\n")]].concat(),
            "SET/dev.csv, line 2: sequence 1: has 2 numbers a step where the first",
        ),
        (
            array("<f4", "(1, 1, 2)", &f32s(&[1.0])),
            "SET/train.npy: its header asks for 8 bytes of numbers, there are 4",
        ),
        (array("<f4", "(1, 1, 1)", &f32s(&[f32::NAN])), "SET/train.npy: number 0 is not finite"),
        (array("<f4", "(1, 1)", &f32s(&[1.0])), "SET/train.npy: has the shape [1, 1]; wanted sequences"),
        (array("<c8", "(1, 1, 1)", &[0; 8]), "SET/train.npy: its numbers are <c8; save float32"),
        (
            array("<f4", "(99999999999, 99999999999, 9)", &[]),
            "SET/train.npy: its header asks for more than there can be",
        ),
        (vec![("train.npy".to_owned(), b"PK\x03\x04".to_vec())], "SET/train.npy: does not begin as a .npy file"),
        (
            vec![("train.npy".to_owned(), b"\x93NUMPY\x01\x00\xff".to_vec())],
            "SET/train.npy: is cut short in its header",
        ),
        (
            with("train_labels.npy", npy(1, "|u1", "(2,)", &[1, 2])),
            "SET/train_labels.npy: has the shape [2] for 1 sequences of 1 steps",
        ),
        (with("train_lengths.npy", npy(1, "|u1", "(1,)", &[2])), "SET/train_lengths.npy: number 0 is 2; wanted 1 to 1"),
        (vowels("1 2\n3\n", "1"), "SET/ae.train, line 2: has 1 numbers where the line before has 2"),
        (vowels("1 x\n", "1"), "SET/ae.train, line 1: holds something that is no finite number"),
        (vowels("1\n\n2\n", "1"), "SET/ae.train: has 2 utterances where SET/size_ae.train says 1"),
        (vowels("1\n", "one"), "SET/size_ae.train, line 1: is to say how many utterances"),
    ];
    for (files, wanted) in cases {
        assert!(fault(&files).starts_with(wanted), "{}", fault(&files));
    }
}

#[test]
fn pieces_are_sets_of_notes() {
    let told = |json: &str| {
        let folder = folder(&[("a.json", json.into())]);
        let found = notes::load(&folder.path().join("a.json"));
        found.map_err(|error| error.to_string().split_once("a.json").unwrap().1.to_owned())
    };
    let pieces = told(r#"{"train": [[[60, 72], []], [[21], [108]]], "valid": [[[60], [61], [62]]]}"#).unwrap();
    assert_eq!((pieces.train.len(), pieces.dev.len(), pieces.test.len()), (2, 1, 0));
    let sounding = |piece: &notes::Piece| {
        let keys = piece.keys();
        (keys.len(), (0..keys.len()).filter(|&key| keys[key] == 1.0).collect::<Vec<_>>())
    };
    assert_eq!(sounding(&pieces.train[0]), (176, vec![39, 51]));
    assert_eq!(sounding(&pieces.train[1]), (176, vec![0, 175]));
    let cases = [
        ("{\"train\": [[[60], [20]]]}", ": train[0][1] has the note 20; a piano has 21 to 108"),
        ("{\"train\": [[[60]]]}", ": train[0] has 1 steps; what comes next wants two"),
        ("{\"test\": []}", ": has no piece in the part train"),
        ("{\"tune\": []}", ": has the part \"tune\"; wanted train, valid and test"),
    ];
    for (json, wanted) in cases {
        assert_eq!(told(json).unwrap_err(), wanted);
    }
    assert!(told("{\"train\":\n [[60]]}").unwrap_err().starts_with(", line 2: is no JSON of notes"));
    let names = notes::names();
    assert_eq!((names.len(), [0, 39, 40, 87].map(|key| names[key].as_str())), (88, ["A0", "C4", "C#4", "C8"]));
    let all = |json: &str| {
        let folder = folder(&[("a.json", json.into())]);
        notes::read(&folder.path().join("a.json")).map_err(|error| error.to_string())
    };
    for (json, wanted) in [
        (r#"{"test": [[[60], [61]]], "train": [[[62], []]]}"#, "test[0] train[0]"),
        ("[[[60], [61]], [[62], []]]", "[0] [1]"),
        ("[[60], [61, 62]]", ""),
    ] {
        let names: Vec<String> = all(json).unwrap().into_iter().map(|piece| piece.name).collect();
        assert_eq!(names.join(" "), wanted);
    }
    assert!(all("{}").unwrap_err().ends_with("a.json: has no piece") && all("[60]").unwrap_err().contains("no JSON"));
    let two = folder(&[("a.json", "{}".into()), ("b.json", "{}".into())]);
    let fault = notes::load(two.path()).unwrap_err().to_string();
    assert!(fault.ends_with("has 2 files of JSON, where one with the notes is wanted; name the file"), "{fault}");
}

#[test]
fn vowels_and_chorales_themselves() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(PathBuf::from) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let set = load(&data.join("japanese_vowels"), 0.0).unwrap();
    let steps: Vec<usize> = set.parts.train.iter().map(|series| series.values.len() / set.width).collect();
    assert_eq!((set.classes.len(), set.width, steps.len()), (9, 12, 270));
    assert!(steps.iter().all(|steps| (7..=29).contains(steps)));
    assert_eq!((set.parts.train[30].labels[0], set.parts.train[0].values[0]), (1, 1.860936));
    let pieces = notes::load(&data.join("chorales")).unwrap();
    assert_eq!((pieces.train.len(), pieces.dev.len()), (229, 76));
    assert_eq!(pieces.train[0].steps[0], [60, 72, 79, 88]);
}
