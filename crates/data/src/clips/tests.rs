#![allow(clippy::unwrap_used, clippy::print_stderr)]
use super::*;
use crate::picture::Limits;
use crate::split::Split;
use image::codecs::gif::GifEncoder;
use image::{Frame, Rgb, RgbImage, Rgba, RgbaImage};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with these files: pictures of 2 × 3 pixels whose red is the number in their names.
fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let number: String = name.rsplit('/').next().unwrap().chars().filter(char::is_ascii_digit).collect();
        match name.ends_with(".png") {
            true => RgbImage::from_pixel(2, 3, Rgb([number.parse().unwrap(), 0, 0])).save(path).unwrap(),
            false => std::fs::write(path, "no picture").unwrap(),
        }
    }
    folder
}

fn options() -> LoadOptions {
    LoadOptions { dev_share: 0.0, max_share: 0.5, ..LoadOptions::default() }
}

fn told(set: &ClipSet, split: Split) -> String {
    let one = |clip: &Clip| format!("{}:{}", set.classes[clip.label as usize], clip.name);
    set.parts.of(split).iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The first pixel's red of each frame, or the fault.
fn reds(clip: &Clip, limits: &FrameLimits) -> Result<Vec<u8>, String> {
    let frames = clip.frames(limits).map_err(|error| error.to_string())?;
    Ok(frames.iter().map(|frame| frame.get_pixel(0, 0).0[0]).collect())
}

const CLIPS: [&str; 7] =
    ["run/a/2.png", "run/a/10.png", "run/a/1.png", "walk/b/01.png", "walk/b/02.png", "walk/c/7.png", "walk/d.avi"];

#[test]
fn a_folder_is_a_clip_and_frames_come_by_number() {
    let folder = folder(&CLIPS);
    let set = load(folder.path(), &options()).unwrap();
    assert_eq!(told(&set, Split::Train), "run:run/a walk:walk/b walk:walk/d");
    assert_eq!(set.skipped.report().unwrap(), "skipped 1 of 4 clips: walk/c: has one frame; a clip has two or more");
    let limits = FrameLimits::default();
    assert_eq!(reds(&set.parts.train[0], &limits).unwrap(), [1, 2, 10]);
    let over = |limits: FrameLimits| reds(&set.parts.train[0], &limits).unwrap_err();
    let few = over(FrameLimits { max_frames: 2, ..FrameLimits::default() });
    assert!(few.ends_with("run/a: has more than the 2 frames allowed; cut it"), "{few}");
    let little = over(FrameLimits { max_pixels: 17, ..FrameLimits::default() });
    assert!(
        little.ends_with("run/a: its frames have more than the 17 pixels allowed; cut it or make it smaller"),
        "{little}"
    );
    RgbImage::new(4, 3).save(folder.path().join("run/a/3.png")).unwrap();
    let set = load(folder.path(), &options()).unwrap();
    let fault = reds(&set.parts.train[0], &limits).unwrap_err();
    assert!(fault.ends_with("3.png: is 4×3 pixels where the first frame has 2×3"), "{fault}");
}

#[test]
fn a_clip_is_opened_by_itself() {
    let folder = folder(&["a/1.png", "a/2.png", "b/1.png", "3.png", "d/e/1.png"]);
    let open = |name: &str| Clip::open(&folder.path().join(name)).map_err(|error| error.to_string());
    assert_eq!(reds(&open("a").unwrap(), &FrameLimits::default()).unwrap(), [1, 2]);
    assert!(open("b").unwrap_err().ends_with("b: has one frame; a clip has two or more"));
    for name in ["3.png", "d"] {
        assert!(open(name).unwrap_err().contains(&format!("{name}: is no clip")), "{}", open(name).unwrap_err());
    }
    assert!(open("none").is_err());
}

#[test]
fn parts_are_folders_or_lists() {
    let folders =
        folder(&["train/run/a/1.png", "train/run/a/2.png", "train/walk/b.mp4", "val/walk/c.gif", "test/run/e.mov"]);
    let set = load(folders.path(), &options()).unwrap();
    let parts = [Split::Train, Split::Dev, Split::Test].map(|split| told(&set, split));
    assert_eq!(parts, ["run:run/a walk:walk/b", "walk:walk/c", "run:run/e"]);
    let files: Vec<String> = CLIPS.iter().map(|name| format!("frames/{name}")).collect();
    let listed = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let write = |name: &str, text: &str| std::fs::write(listed.path().join(name), text).unwrap();
    write("trainlist01.txt", "run/a 1\nwalk/d.avi 2\n");
    write("devlist01.txt", "walk/b\r\n");
    write("frames/walk/notes.txt", "");
    let set = load(listed.path(), &options()).unwrap();
    let notes =
        ["passed over 1 files that are no clips: walk/notes.txt", "left out 1 clips that no list 01 names: walk/c"];
    assert_eq!(set.notes, notes);
    assert_eq!([told(&set, Split::Train), told(&set, Split::Dev)], ["run:run/a walk:walk/d", "walk:walk/b"]);
    let fault = |options: &LoadOptions| load(listed.path(), options).unwrap_err().to_string();
    assert!(fault(&LoadOptions { list: 2, ..options() }).ends_with("has no trainlist02.txt, but number 1; name that"));
    write("devlist01.txt", "walk/b\nwalk/d 2\n");
    assert!(fault(&options()).contains("devlist01.txt, line 2: names walk/d, as "), "{}", fault(&options()));
    write("devlist01.txt", "walk/x.avi 2\n");
    assert!(
        fault(&options()).contains("devlist01.txt, line 1: names walk/x, which is not there"),
        "{}",
        fault(&options())
    );
}

#[test]
fn a_gif_has_frames_on_white() {
    let folder = folder(&["run/a/1.png", "run/a/2.png", "walk/x.txt"]);
    let path = folder.path().join("walk/g.gif");
    let mut encoder = GifEncoder::new(std::fs::File::create(&path).unwrap());
    for pixel in [Rgba([200, 10, 0, 255]), Rgba([0, 0, 0, 0]), Rgba([90, 10, 0, 255])] {
        encoder.encode_frame(Frame::new(RgbaImage::from_pixel(3, 2, pixel))).unwrap();
    }
    drop(encoder);
    let set = load(folder.path(), &options()).unwrap();
    assert_eq!(told(&set, Split::Train), "run:run/a walk:walk/g");
    let clip = &set.parts.train[1];
    let found = reds(clip, &FrameLimits::default()).unwrap();
    assert_eq!(found.len(), 3);
    assert!(found[0].abs_diff(200) < 3 && found[2].abs_diff(90) < 3, "{found:?}");
    let small = FrameLimits { picture: Limits { max_pixels: 5, ..Limits::default() }, ..FrameLimits::default() };
    assert!(reds(clip, &small).unwrap_err().ends_with("g.gif: is 3×2 pixels, more than the 5 pixels allowed"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(reds(clip, &FrameLimits::default()).is_err());
}

#[test]
fn pictures_one_after_the_other_are_frames() {
    let limits =
        FrameLimits { picture: Limits { max_pixels: 1_000_000, ..Limits::default() }, ..FrameLimits::default() };
    let told = |bytes: &[u8]| {
        let mut decoded = frames::Decoded { clip: Path::new("a.avi"), limits: &limits, frames: Vec::new() };
        let read = films::pictures(Path::new("a.avi"), bytes, &mut decoded);
        read.map(|()| decoded.frames.iter().map(|frame| frame.as_raw().clone()).collect::<Vec<_>>())
    };
    assert_eq!(told(b"P6\n1 1\n255\nabcP6\n1 1\n255\n\n\n\n").unwrap(), [b"abc".to_vec(), b"\n\n\n".to_vec()]);
    let fault = |bytes: &[u8]| told(bytes).unwrap_err().to_string();
    assert_eq!(fault(b"P6\n1 1\n255\nab"), "a.avi: frame 0 is cut short");
    assert_eq!(fault(b"P6 1 1 255 abcP6 2 1 255 abcdef"), "a.avi: is 2×1 pixels where the first frame has 1×1");
    assert_eq!(fault(b"P6 99999 99999 255 "), "a.avi: is 99999×99999 pixels, more than the 1000000 pixels allowed");
    for broken in [&b"JFIF"[..], b"P6 0 1 255 ", b"P6 1 1 65535 abcdef"] {
        assert_eq!(fault(broken), "a.avi: frame 0 is no PPM picture of three bytes a pixel");
    }
}

#[test]
fn a_film_wants_a_program() {
    let folder = folder(&CLIPS);
    let set = load(folder.path(), &options()).unwrap();
    let film = &set.parts.train[2];
    let with = |ffmpeg: PathBuf| reds(film, &FrameLimits { ffmpeg, ..FrameLimits::default() });
    let fault = with("no-such-program".into()).unwrap_err();
    let wanted = "walk/d.avi: is a film, and the program no-such-program is not there; install ffmpeg, or save the frames as pictures";
    assert!(fault.ends_with(wanted), "{fault}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let program = |text: &str| {
            let path = folder.path().join("ffmpeg");
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let frames =
            program("case \"$*\" in *file:*walk/d.avi*) printf 'P6\\n1 1\\n255\\nabcP6\\n1 1\\n255\\ndef';; esac");
        assert_eq!(with(frames).unwrap(), [b'a', b'd']);
        let old = "case \"$*\" in *fps_mode*) echo \"Unrecognized option 'fps_mode'\" >&2; exit 8;; esac\n\
                   printf 'P6\\n1 1\\n255\\nabcP6\\n1 1\\n255\\ndef'";
        assert_eq!(with(program(old)).unwrap(), [b'a', b'd']);
        let broken = with(program("echo 'no moov atom' >&2; exit 3")).unwrap_err();
        assert!(broken.ends_with("ffmpeg cannot read it: no moov atom"), "{broken}");
        assert!(
            with(program("printf 'P6\\n1 1\\n255\\nabc'"))
                .unwrap_err()
                .ends_with("has 1 frames; a clip has two or more")
        );
    }
}

#[test]
fn folders_without_clips_are_told() {
    let fault = |files: &[&str]| load(folder(files).path(), &LoadOptions::default()).unwrap_err().to_string();
    assert!(fault(&[]).contains("has no clips; a set has a folder for each class"));
    assert!(fault(&["run/a/1.png", "run/a/2.png"]).ends_with("has one class, run; a classifier wants two"));
    let file = folder(&["a.avi"]);
    let told = load(&file.path().join("a.avi"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(told.ends_with("a.avi: is not a folder; name one that holds a folder for each class"), "{told}");
    let foreign = fault(&["train/run/a.avi", "train/walk/b.avi", "test/fly/c.avi"]);
    assert!(
        foreign.ends_with("test/fly/c.avi: is of the class fly, which the training part does not have"),
        "{foreign}"
    );
}

#[test]
fn weizmann_itself() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(|data| PathBuf::from(data).join("weizmann")) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let set = load(&data, &LoadOptions::default()).unwrap();
    assert_eq!((set.classes.len(), set.parts.train.len(), set.parts.dev.len()), (10, 50, 10));
    assert!(set.parts.dev.iter().all(|clip| clip.name.contains("lyova")));
    let frames = set.parts.train[0].frames(&FrameLimits::default()).unwrap();
    assert!((28..=146).contains(&frames.len()));
    assert_eq!(frames[0].dimensions(), (180, 144));
}
