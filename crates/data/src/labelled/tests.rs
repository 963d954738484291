#![allow(clippy::unwrap_used)]
use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
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
