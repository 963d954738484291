#![allow(clippy::unwrap_used)]
use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::RgbImage;
use std::io::Write as _;
use tempfile::TempDir;

/// An idx file of bytes.
fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(bytes);
    file
}

/// Ten pictures of 2 × 3 pixels whose first pixel is their number, the labels 0 to 2 in turn, one of the files gzipped.
fn mnist() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pictures: Vec<u8> = (0..10).flat_map(|picture| [picture, 1, 2, 3, 4, 5]).collect();
    let labels: Vec<u8> = (0..10).map(|picture| picture % 3).collect();
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&idx(&[10, 2, 3], &pictures)).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte.gz", &gz.finish().unwrap());
    write("train-labels-idx1-ubyte", &idx(&[10], &labels));
    write("t10k-images-idx3-ubyte", &idx(&[1, 2, 3], &[9; 6]));
    write("t10k-labels.idx1-ubyte", &idx(&[1], &[2]));
    folder
}

#[test]
fn idx_files_gzipped_or_not_are_read_and_the_last_are_held_out() {
    let folder = mnist();
    let set = load(folder.path(), 0.2).unwrap();
    assert_eq!(set.classes, ["0", "1", "2"]);
    assert_eq!((set.train.len(), set.dev.len(), set.test.len()), (8, 2, 1));
    assert_eq!(set.dev.labels, [2, 0]);
    let picture = set.dev.picture(1).unwrap();
    assert_eq!((picture.width(), picture.height()), (3, 2));
    assert_eq!((picture.get_pixel(0, 0).0, picture.get_pixel(2, 1).0), ([9; 3], [5; 3]));
    assert!(set.dev.picture(2).unwrap_err().to_string().contains("there are 2"));
}

#[test]
fn broken_idx_files_are_named() {
    let fault = |name: &str, bytes: &[u8]| {
        let folder = mnist();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        load(folder.path(), 0.2).unwrap_err().to_string()
    };
    let labels = "train-labels-idx1-ubyte";
    assert!(fault(labels, &idx(&[9], &[0; 9])).contains("has 9 labels for the 10 pictures"));
    assert!(fault(labels, &idx(&[10], &[0; 9])).contains("is cut short"));
    assert!(fault(labels, &idx(&[10], &[0; 11])).contains("is too long"));
    assert!(fault(labels, &[0, 0]).contains("cut short in its header"));
    assert!(fault(labels, b"not an idx file").contains("not as an idx file"));
    assert!(fault("t10k-labels.idx1-ubyte", &idx(&[1], &[7])).contains("the label 7 of picture 0"));
    assert!(fault("t10k-images-idx3-ubyte", &idx(&[u32::MAX, u32::MAX, u32::MAX], &[])).contains("too much"));
}

#[test]
fn cifar_has_three_colours_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let record = |label: u8| [vec![label], vec![10; 1024], vec![20; 1024], vec![30; 1024]].concat();
    for batch in 1..=5 {
        let path = folder.path().join(format!("data_batch_{batch}.bin"));
        std::fs::write(path, [record(batch), record(0)].concat()).unwrap();
    }
    let set = load(folder.path(), 0.1).unwrap();
    assert_eq!((set.train.len(), set.dev.len(), set.test.len(), set.classes.len()), (9, 1, 0, 10));
    assert_eq!(set.train.labels[..3], [1, 0, 2]);
    assert_eq!(set.train.picture(0).unwrap().get_pixel(31, 31).0, [10, 20, 30]);
    std::fs::write(folder.path().join("test_batch.bin"), record(10)).unwrap();
    assert!(load(folder.path(), 0.1).unwrap_err().to_string().contains("test_batch.bin: the label 10 of picture 0"));
    std::fs::write(folder.path().join("test_batch.bin"), [0; 100]).unwrap();
    assert!(load(folder.path(), 0.1).unwrap_err().to_string().contains("no whole number of records"));
}

#[test]
fn folders_are_classes_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(2, 2, image::Rgb([7, 8, 9])).save(path).unwrap();
    };
    for picture in 0..20 {
        write(&format!("dog/{picture}.png"));
        write(&format!("cat/{picture}.PNG"));
    }
    let set = load(folder.path(), 0.25).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(set.train.len() + set.dev.len(), 40);
    assert!((4..=16).contains(&set.dev.len()), "{}", set.dev.len());
    assert_eq!(set.train.picture(0).unwrap().get_pixel(0, 0).0, [7, 8, 9]);
    // With folders for the parts nothing is held out, and a part may lack a class but bring no new one.
    write("train/a/1.png");
    write("train/b/1.png");
    write("val/b/2.png");
    let set = load(folder.path(), 0.25).unwrap();
    assert_eq!(
        (set.classes.as_slice(), set.train.len(), set.dev.labels),
        (&["a".to_owned(), "b".into()][..], 2, vec![1])
    );
    write("val/c/2.png");
    assert!(load(folder.path(), 0.25).unwrap_err().to_string().contains("val/c: is a class that the train split"));
}

#[test]
fn a_folder_without_classes_says_what_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    assert!(load(folder.path(), 0.1).unwrap_err().to_string().contains("has 0 classes"));
    assert!(load(&folder.path().join("none"), 0.1).is_err());
    assert!(load(folder.path(), 1.5).unwrap_err().to_string().contains("lies between 0 and 1"));
}

/// A folder with these files: pictures where a name ends so, texts otherwise.
fn with(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match ["png", "tif", "ppm", "pgm"].contains(&path.extension().map_or("", |ending| ending.to_str().unwrap())) {
            true => RgbImage::from_pixel(2, 2, image::Rgb([7, 8, 9]))
                .save_with_format(path, image::ImageFormat::Png)
                .unwrap(),
            false => std::fs::write(path, "text").unwrap(),
        }
    }
    folder
}

fn told(files: &[&str]) -> String {
    let folder = with(files);
    match load(folder.path(), 0.0) {
        Ok(set) => format!(
            "{} {} {} {} {}",
            set.classes.join(","),
            set.train.len(),
            set.dev.len(),
            set.test.len(),
            set.notes.join(" ")
        ),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains('\n') && message.starts_with(folder.path().to_str().unwrap()), "{message}");
            message.replace(folder.path().to_str().unwrap(), "SET")
        }
    }
}

#[test]
fn a_class_may_be_called_as_a_split_is() {
    assert_eq!(told(&["control/0.png", "placebo/0.png", "test/0.png", "test/1.png"]), "control,placebo,test 4 0 0 ");
    assert_eq!(told(&["bus/0.png", "car/0.png", "train/0.png"]), "bus,car,train 3 0 0 ");
    assert_eq!(told(&["invalid/0.png", "valid/0.png"]), "invalid,valid 2 0 0 ");
    assert_eq!(told(&["train/dev/0.png", "train/ops/0.png", "val/dev/0.png"]), "dev,ops 2 1 0 ");
    assert_eq!(told(&["Training/a/0.png", "Training/b/0.png", "Testing/b/0.png"]), "a,b 2 0 1 ");
    let beside = told(&["train/a/0.png", "train/b/0.png", "val/a/0.png", "samples/0.png", "test/0.png"]);
    assert_eq!(beside, "a,b 2 1 0 passed over 2 files and folders that are no pictures of a class: samples, test");
    let loose = told(&["train/a/0.png", "train/b/0.png", "train/cover.png", "val/a/0.png"]);
    assert_eq!(loose, "a,b 2 1 0 passed over 1 files and folders that are no pictures of a class: train/cover.png");
    let cases = [
        (
            &["bus/0.png", "train/steam/0.png"][..],
            "SET: train may be splits or classes: they hold folders, as splits do, and lie beside bus; move",
        ),
        (&["train/0.png", "test/0.png"], "SET: test, train may be splits or classes: they hold pictures themselves"),
        (&["val/a/0.png", "val/b/0.png"], "SET: has splits (val) but no folder train with a folder for each class"),
        (&["train/a/0.png", "train/b/0.png", "val/a/0.png", "dev/a/0.png"], "SET: dev and val are one split twice"),
        (
            &["train/a/0.png", "train/b/0.png", "val/c/0.png"],
            "SET/val/c: is a class that the train split does not have",
        ),
    ];
    for (files, wanted) in cases {
        assert!(told(files).starts_with(wanted), "{}", told(files));
    }
}

#[test]
fn pictures_are_found_at_any_depth_and_in_every_format() {
    assert_eq!(told(&["cat/0.png", "cat/more/1.png", "cat/more/yet/2.png", "dog/images/0.png"]), "cat,dog 4 0 0 ");
    assert_eq!(told(&["cat/0.tif", "cat/1.TIFF", "dog/0.ppm", "owl/0.pgm"]), "cat,dog,owl 4 0 0 ");
}

#[test]
fn what_is_passed_over_is_named_and_counted() {
    let junk = [
        "a/0.png",
        "b/0.png",
        ".DS_Store",
        "a/.DS_Store",
        "a/._0.png",
        "b/Thumbs.db",
        "b/desktop.ini",
        "__MACOSX/a/._0.png",
    ];
    assert_eq!(told(&junk), "a,b 2 0 0 ");
    let files = ["a/0.png", "b/0.png", "b/1.txt", "b/more/2.avif", "b/.3.png", "empty/notes.txt", "read.me"];
    let line = "passed over 5 files and folders that are no pictures of a class: read.me, b/.3.png, b/1.txt, b/more/2.avif, empty";
    assert_eq!(told(&files), format!("a,b 2 0 0 {line}"));
    assert_eq!(told(&["a/0.png", "b/x.txt"]), "SET: has one class, a; a classifier wants two");
    let unreadable =
        "SET/b: has no picture that can be read, but 0.avif; save them as JPEG or PNG, or remove the folder";
    assert_eq!(told(&["a/0.png", "b/0.avif", "c/0.png"]), unreadable);
    assert!(told(&["a/0.txt"]).starts_with("SET: has 0 classes; a set of pictures has a folder for each class"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_are_not() {
    let (folder, elsewhere) = (with(&["a/0.png", "b/0.png"]), with(&["0.png", "1.png"]));
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("c")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/up")).unwrap();
    let set = load(folder.path(), 0.0).unwrap();
    assert_eq!((set.classes.as_slice(), set.train.len()), (&["a".to_owned(), "b".into(), "c".into()][..], 4));
}

#[test]
fn labels_that_make_no_sense_are_told() {
    let set = |labels: &[u8]| {
        let folder = mnist();
        std::fs::write(folder.path().join("train-labels-idx1-ubyte"), idx(&[10], labels)).unwrap();
        std::fs::remove_file(folder.path().join("t10k-images-idx3-ubyte")).unwrap();
        load(folder.path(), 0.2).map_err(|error| error.to_string())
    };
    let wrong = set(&[0, 1, 200, 1, 0, 1, 0, 1, 0, 1]).unwrap_err();
    assert!(wrong.ends_with(
        "picture 2 has the label 200, which makes 201 classes, 198 of them without a picture; mend the labels"
    ));
    assert!(set(&[0; 10]).unwrap_err().ends_with("has one class, 0; a classifier wants two"));
    // EMNIST's letters begin at 1.
    let letters = set(&[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]).unwrap();
    assert_eq!(
        (letters.classes.len(), letters.notes),
        (4, vec!["1 of 4 classes have no picture to train on: 0".to_owned()])
    );
}
