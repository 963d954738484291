use super::{candlewick, fail, run, scene, succeed, text};
use std::fs;
use std::io::Write as _;
#[cfg(target_os = "linux")]
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// A folder `in` with two scenes, one of them deeper, a broken picture, and a file that is none.
fn pictures(here: &Path) {
    let folder = here.join("in");
    fs::create_dir_all(folder.join("deep")).unwrap();
    for (index, name) in [(0, "a.png"), (1, "deep/b.png")] {
        let (path, _) = scene(here, index);
        fs::rename(path, folder.join(name)).unwrap();
    }
    fs::write(folder.join("broken.jpg"), b"\xff\xd8\xff no picture").unwrap();
    fs::write(folder.join("notes.doc"), "no picture").unwrap();
}

#[test]
fn a_folder_a_list_and_standard_input_are_captioned() {
    let here = tempfile::tempdir().unwrap();
    pictures(here.path());
    let output = run(here.path(), &["caption", "in"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(out.starts_with("in/a.png: ") && out.lines().count() == 1, "{out}");
    for part in ["--recursive", "1 .doc", "in/broken.jpg: ", "1 of 2 pictures captioned", "1 failed"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    fs::remove_file(here.path().join("in/broken.jpg")).unwrap();
    let whole = succeed(here.path(), &["caption", "in", "--recursive"]);
    assert!(whole.contains("in/deep/b.png: ") && whole.lines().count() == 2, "{whole}");
    fs::write(here.path().join("list"), "in/deep/b.png\nin/a.png\n").unwrap();
    let listed = succeed(here.path(), &["caption", "--list", "list"]);
    assert!(listed.starts_with("in/deep/b.png: ") && listed.lines().count() == 2, "{listed}");

    let mut child = candlewick(here.path())
        .args(["caption", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let picture = fs::read(here.path().join("in/a.png")).unwrap();
    child.stdin.take().unwrap().write_all(&picture).unwrap();
    let told = text(&child.wait_with_output().unwrap().stdout);
    let same = whole.lines().next().unwrap().trim_start_matches("in/a.png: ");
    assert_eq!(told.trim(), format!("-: {same}"));
    fail(here.path(), &["caption"], 2, &["candlewick caption --help"]);
    fail(here.path(), &["caption", "in/deep", "-", "-"], 2, &["standard input"]);
    fs::create_dir(here.path().join("empty")).unwrap();
    fail(here.path(), &["caption", "empty"], 1, &["empty", "no picture"]);
}

#[test]
fn captions_are_written_beside_pictures_and_only_where_there_are_none() {
    let here = tempfile::tempdir().unwrap();
    pictures(here.path());
    fs::remove_file(here.path().join("in/broken.jpg")).unwrap();
    let plain = succeed(here.path(), &["caption", "in/a.png"]);
    let caption = plain.trim().trim_start_matches("in/a.png: ");
    let write = |format: &str, more: &[&str]| {
        let words = [&["caption", "in", "--recursive", "--write", format], more].concat();
        let output = run(here.path(), &words);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let read = |name: &str| fs::read_to_string(here.path().join("in").join(name)).unwrap();

    let told = write("txt", &["--prefix", "a photo of ", "--suffix", "."]);
    assert!(told.contains("2 of 2 pictures captioned"), "{told}");
    assert_eq!(read("a.txt"), format!("a photo of {caption}.\n"));
    fs::write(here.path().join("in/a.txt"), "mine").unwrap();
    assert!(write("txt", &[]).contains("2 had one already"));
    assert_eq!(read("a.txt"), "mine");
    write("txt", &["--overwrite"]);
    assert_eq!(read("a.txt"), format!("{caption}\n"));

    write("json", &[]);
    let object: serde_json::Value = serde_json::from_str(&read("a.json")).unwrap();
    assert_eq!((object["file"].as_str(), object["caption"].as_str()), (Some("a.png"), Some(caption)));

    write("csv", &[]);
    assert_eq!(read("metadata.csv"), format!("file_name,text\na.png,{caption}\n"));
    assert!(read("deep/metadata.csv").starts_with("file_name,text\nb.png,"));
    assert!(write("csv", &[]).contains("2 had one already"));
}

#[test]
fn pictures_that_would_share_a_file_are_named_and_the_others_done() {
    let here = tempfile::tempdir().unwrap();
    let (path, _) = scene(here.path(), 0);
    for name in ["a.png", "a.jpg", "b.png"] {
        fs::copy(&path, here.path().join(name)).unwrap();
    }
    let output = run(here.path(), &["caption", "a.png", "a.jpg", "b.png", "--write", "txt"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("a.jpg: its caption would be written into a.txt, which is a.png's"), "{err}");
    assert!(here.path().join("b.txt").exists());
    fail(here.path(), &["caption", "-", "--write", "txt"], 2, &["--write", "standard input"]);
}

#[test]
fn the_built_in_model_writes_nothing_beside_pictures_that_it_does_not_know() {
    let here = tempfile::tempdir().unwrap();
    let photo = image::RgbImage::from_fn(90, 60, |x, y| image::Rgb([200, (x * 2) as u8, (y * 3) as u8]));
    photo.save(here.path().join("photo.png")).unwrap();
    fs::write(here.path().join("page.html"), "<img src=photo.png>").unwrap();
    let wanted = ["photo.png", "built-in model", "--model"];
    fail(here.path(), &["caption", "photo.png", "--write", "txt"], 1, &wanted);
    fail(here.path(), &["caption", "--html", "page.html"], 1, &wanted);
    assert!(!here.path().join("photo.txt").exists());
    assert_eq!(fs::read_to_string(here.path().join("page.html")).unwrap(), "<img src=photo.png>");
    assert!(run(here.path(), &["caption", "photo.png"]).status.success());
}

/// The tags that exiftool finds in a file.
fn tags(file: &Path) -> Option<serde_json::Value> {
    let output = Command::new("exiftool").args(["-json", "-charset", "utf8"]).arg(file).output().ok()?;
    serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()?.get(0).cloned()
}

#[test]
fn exiftool_reads_the_sidecars() {
    let here = tempfile::tempdir().unwrap();
    pictures(here.path());
    let own = "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
        <rdf:Description rdf:about=\"\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" xmp:Rating=\"5\"/></rdf:RDF></x:xmpmeta>";
    fs::write(here.path().join("in/deep/b.png.xmp"), own).unwrap();
    let caption = succeed(here.path(), &["caption", "in/deep"]);
    let caption = caption.trim().trim_start_matches("in/deep/b.png: ");
    succeed(here.path(), &["caption", "in/a.png", "in/deep", "--write", "xmp", "--prefix", "<&> "]);
    if Command::new("exiftool").arg("-ver").output().is_err() {
        eprintln!("exiftool is not here: skipped");
        return;
    }
    let wanted = format!("<&> {caption}");
    let kept = tags(&here.path().join("in/deep/b.png.xmp")).expect("exiftool reads it");
    assert_eq!(kept["Description"], wanted.as_str(), "{kept}");
    assert_eq!((kept["AltTextAccessibility"].as_str(), kept["Rating"].as_i64()), (Some(&*wanted), Some(5)), "{kept}");
    let fresh = tags(&here.path().join("in/a.png.xmp")).expect("exiftool reads it");
    assert!(fresh["Description"].as_str().is_some_and(|text| text.starts_with("<&> ")), "{fresh}");
}

#[test]
fn a_page_gets_the_texts_that_it_lacks_and_keeps_all_else() {
    let here = tempfile::tempdir().unwrap();
    pictures(here.path());
    // A byte order mark is a part of the page too.
    let page = "\u{feff}<!doctype html>\r\n<p><IMG SRC='in/a.png' >\n<img alt='' src=\"in/a.png?1\"><img alt=mine src=in/a.png>\
        <img src=https://a.org/b.png><img src=in/none.png>";
    fs::write(here.path().join("page.html"), page).unwrap();
    let output = run(here.path(), &["caption", "--html", "page.html"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("in/none.png: ") && err.contains("1 images without alt"), "{err}");
    let caption = out.trim().trim_start_matches("in/a.png: ");
    let wanted = page
        .replace("<IMG SRC", &format!("<IMG alt=\"{caption}\" SRC"))
        .replace("alt=''", &format!("alt=\"{caption}\""));
    assert_eq!(fs::read_to_string(here.path().join("page.html")).unwrap(), wanted);
}

#[cfg(target_os = "linux")]
#[test]
fn a_page_that_was_changed_meanwhile_is_left_as_it_is() {
    let here = tempfile::tempdir().unwrap();
    pictures(here.path());
    let page = here.path().join("page.html");
    fs::write(&page, "<img src=in/a.png><img src=https://a.org/b.png>").unwrap();
    // The caption waits for room in a pipe that is full.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let full = [b'\n'; 1 << 16];
    writer.write_all(&full).unwrap();
    let mut child = candlewick(here.path())
        .args(["caption", "--html", "page.html"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert!(line.contains("1 images without alt"), "{line}");
    // That was told after the page was read.
    fs::write(&page, "<p>anew</p>").unwrap();
    reader.read_exact(&mut [0; 1 << 16]).unwrap();
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("page.html: was changed meanwhile"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(fs::read_to_string(&page).unwrap(), "<p>anew</p>");
}

#[cfg(unix)]
#[test]
fn what_arrives_in_a_folder_is_captioned_until_a_signal_comes() {
    let here = tempfile::tempdir().unwrap();
    pictures(here.path());
    fs::create_dir(here.path().join("box")).unwrap();
    let mut child = candlewick(here.path())
        .args(["caption", "--watch", "box", "--write", "txt"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let wait = |name: &str| {
        let begun = std::time::Instant::now();
        while !here.path().join(name).exists() {
            assert!(begun.elapsed().as_secs() < 120, "{name} has not come");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    for name in ["first", "second"] {
        fs::copy(here.path().join("in/a.png"), here.path().join(format!("box/{name}.png"))).unwrap();
        wait(&format!("box/{name}.txt"));
    }
    // One that was cut short is taken when it comes again whole.
    let whole = fs::read(here.path().join("in/a.png")).unwrap();
    fs::write(here.path().join("box/third.png"), &whole[..whole.len() / 2]).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(!here.path().join("box/third.txt").exists());
    fs::write(here.path().join("box/third.png"), whole).unwrap();
    wait("box/third.txt");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
}
