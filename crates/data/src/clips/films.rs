//! Films of other formats, read by the program `ffmpeg`, which gives each frame as a PPM picture.

use super::frames::{FrameLimits, check_count};
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

/// The frames of a film.
///
/// # Errors
/// When the program is not there or cannot read the film, and when frames are too many or too large.
pub(super) fn read(path: &Path, limits: &FrameLimits) -> Result<Vec<RgbImage>> {
    // Whatever the name is, it is a file's and no other place or option.
    let mut file = OsString::from("file:");
    file.push(path);
    let mut command = Command::new(&limits.ffmpeg);
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file).args(["-an", "-f", "image2pipe", "-c:v", "ppm", "-"]);
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| {
        let what = match error.kind() {
            ErrorKind::NotFound => "is not there; install ffmpeg, or save the frames as pictures".to_owned(),
            _ => format!("cannot be started: {error}"),
        };
        Error::items(path, 0, format!("is a film, and the program {} {what}", shown(&limits.ffmpeg)))
    })?;
    // Read beside the frames, so that neither pipe waits for the other.
    let complaints = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = stderr.take(MOST_COMPLAINTS).read_to_end(&mut text);
            read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
        })
    });
    let frames = child.stdout.take().map_or(Ok(Vec::new()), |stdout| pictures(path, BufReader::new(stdout), limits));
    if frames.is_err() {
        // What it still has to tell is not wanted.
        let _ = child.kill();
    }
    let ended = child.wait().map_err(Error::io(path))?;
    let complaints = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let frames = frames?;
    match ended.success() {
        true => Ok(frames),
        false => {
            let first = complaints.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            Err(Error::items(path, 0, format!("{} cannot read it: {first}", shown(&limits.ffmpeg))))
        }
    }
}

/// More bytes of complaints are not read.
const MOST_COMPLAINTS: u64 = 1 << 16;

/// The PPM pictures that follow each other.
pub(super) fn pictures(path: &Path, mut from: impl BufRead, limits: &FrameLimits) -> Result<Vec<RgbImage>> {
    let fault = |fault: &str| Error::items(path, 0, format!("frame by frame: {fault}"));
    let mut frames: Vec<RgbImage> = Vec::new();
    while !from.fill_buf().map_err(Error::io(path))?.is_empty() {
        check_count(path, frames.len() + 1, limits)?;
        let mut word = || {
            let mut text = String::new();
            while let Some(letter) = byte(&mut from).filter(|_| text.len() < 10) {
                match letter.is_ascii_whitespace() {
                    false => text.push(char::from(letter)),
                    true if text.is_empty() => {}
                    true => break,
                }
            }
            text
        };
        let (kind, width, height, most) = (word(), word().parse::<u32>(), word().parse::<u32>(), word());
        let (Ok(width), Ok(height), "P6", "255") = (width, height, kind.as_str(), most.as_str()) else {
            return Err(fault("is no PPM picture of three bytes a pixel"));
        };
        if u64::from(width) * u64::from(height) > limits.picture.max_pixels {
            let most = limits.picture.max_pixels;
            return Err(fault(&format!("is {width}×{height} pixels, more than the {most} pixels allowed")));
        }
        if frames.first().is_some_and(|first| first.dimensions() != (width, height)) {
            return Err(fault(&format!("frame {} is of another size than the first", frames.len())));
        }
        let mut pixels = vec![0; width as usize * height as usize * 3];
        from.read_exact(&mut pixels).map_err(|_| fault(&format!("frame {} is cut short", frames.len())))?;
        let frame = RgbImage::from_raw(width, height, pixels).filter(|frame| !frame.is_empty());
        frames.push(frame.ok_or_else(|| fault("has no pixels"))?);
    }
    Ok(frames)
}

fn byte(from: &mut impl Read) -> Option<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte).ok().map(|()| byte[0])
}
