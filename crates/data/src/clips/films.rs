//! Films of other formats, read by the program `ffmpeg`, which gives each frame as a PPM picture.

use super::frames::Decoded;
use crate::error::{Error, Result, shown};
use image::RgbImage;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// How the files of films end, in small letters.
const ENDINGS: [&str; 9] = ["avi", "mp4", "mkv", "mov", "webm", "mpg", "mpeg", "m4v", "wmv"];

/// Whether a file that ends so is a film.
pub(super) fn is_film(ending: &str) -> bool {
    ENDINGS.contains(&ending.to_lowercase().as_str())
}

/// What takes each frame once, however uneven the film's times are: since ffmpeg 5.1, and before.
const EACH_ONCE: [&str; 2] = ["-fps_mode", "-vsync"];

/// Decodes the frames of a film.
///
/// # Errors
/// When the program is not there or cannot read the film, and when frames are too many or too large.
pub(super) fn read(path: &Path, decoded: &mut Decoded) -> Result<()> {
    let ffmpeg = &decoded.limits.ffmpeg;
    let mut complaint = String::new();
    for option in EACH_ONCE {
        match run(path, option, decoded)? {
            None => return Ok(()),
            Some(found) => complaint = found,
        }
        let unknown = complaint.contains("Unrecognized option") && decoded.frames.is_empty();
        if !unknown {
            break;
        }
    }
    Err(Error::items(path, 0, format!("{} cannot read it: {complaint}", shown(ffmpeg))))
}

/// Runs the program once; gives what it complains of where it fails.
fn run(path: &Path, each_once: &str, decoded: &mut Decoded) -> Result<Option<String>> {
    let ffmpeg = &decoded.limits.ffmpeg;
    // Whatever the name is, it is a file's and no other place or option.
    let mut file = OsString::from("file:");
    file.push(path);
    let mut command = Command::new(ffmpeg);
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file);
    command.args(["-an", each_once, "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-"]);
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| {
        let what = match error.kind() {
            ErrorKind::NotFound => "is not there; install ffmpeg, or save the frames as pictures".to_owned(),
            _ => format!("cannot be started: {error}"),
        };
        Error::items(path, 0, format!("is a film, and the program {} {what}", shown(ffmpeg)))
    })?;
    // Read beside the frames, so that neither pipe waits for the other.
    let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || beginning(stderr)));
    let frames = child.stdout.take().map_or(Ok(()), |stdout| pictures(path, BufReader::new(stdout), decoded));
    if frames.is_err() {
        // What it still has to tell is not wanted.
        let _ = child.kill();
    }
    let ended = child.wait().map_err(Error::io(path))?;
    let complaints = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    frames?;
    let first = complaints.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Ok((!ended.success()).then(|| first.to_owned()))
}

/// Reads all, and gives the beginning as a text.
fn beginning(mut from: impl Read) -> String {
    let mut text = Vec::new();
    let read = from.by_ref().take(1 << 16).read_to_end(&mut text);
    // A pipe that nobody reads would stop who writes.
    let _ = read.and_then(|_| std::io::copy(&mut from, &mut std::io::sink()));
    String::from_utf8_lossy(&text).into_owned()
}

/// Decodes the PPM pictures that follow each other.
pub(super) fn pictures(path: &Path, mut from: impl BufRead, decoded: &mut Decoded) -> Result<()> {
    while !from.fill_buf().map_err(Error::io(path))?.is_empty() {
        let number = decoded.frames.len();
        let fault = |fault: &str| Error::items(path, 0, format!("frame {number} {fault}"));
        let (kind, width, height) = (word(&mut from), word(&mut from).parse::<u32>(), word(&mut from).parse::<u32>());
        let (Ok(width @ 1..), Ok(height @ 1..), "P6", "255") = (width, height, kind.as_str(), &*word(&mut from)) else {
            return Err(fault("is no PPM picture of three bytes a pixel"));
        };
        decoded.check(path, width, height)?;
        let mut pixels = vec![0; width as usize * height as usize * 3];
        from.read_exact(&mut pixels).map_err(|_| fault("is cut short"))?;
        let frame =
            RgbImage::from_raw(width, height, pixels).ok_or_else(|| fault("is of another size than it says"))?;
        decoded.push(path, frame)?;
    }
    Ok(())
}

/// What stands before the next white space, which is read too; of something longer than any number its beginning.
fn word(from: &mut impl Read) -> String {
    let mut text = String::new();
    while let Some(letter) = byte(from).filter(|_| text.len() < 10) {
        match letter.is_ascii_whitespace() {
            false => text.push(char::from(letter)),
            true if text.is_empty() => {}
            true => break,
        }
    }
    text
}

fn byte(from: &mut impl Read) -> Option<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte).ok().map(|()| byte[0])
}
