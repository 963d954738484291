//! The frames of a clip: pictures in a folder, a GIF, or a film.

use super::films;
use crate::error::{Error, Result};
use crate::picture::{self, Limits};
use crate::tree::Tree;
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder as _, ImageDecoder as _, Rgb, RgbImage, RgbaImage};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// How much of a clip may be in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The most frames of a clip.
    pub max_frames: usize,
    /// The most pixels of all its frames together, of three bytes each.
    pub max_pixels: u64,
    /// How large a frame may be.
    pub picture: Limits,
    /// The program that reads films: a name that is looked for in `PATH`, or a path.
    pub ffmpeg: PathBuf,
}

impl Default for FrameLimits {
    /// Ten minutes at 30 frames a second, 1.5 GB in all.
    fn default() -> Self {
        Self { max_frames: 18_000, max_pixels: 500_000_000, picture: Limits::default(), ffmpeg: "ffmpeg".into() }
    }
}

/// Where the frames are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In a folder, a picture each.
    Pictures { folder: PathBuf, frames: Vec<PathBuf> },
    /// In a GIF.
    Gif(PathBuf),
    /// In a film that another program reads.
    Film(PathBuf),
}

impl Source {
    /// The clip of a folder's pictures; none where it holds folders or no pictures.
    pub fn of_folder(tree: &Tree) -> Option<Self> {
        if !tree.folders.is_empty() || !tree.has_pictures() {
            return None;
        }
        let mut frames = crate::tree::all_pictures(tree);
        frames.sort_by_cached_key(|path| by_numbers(path));
        Some(Self::Pictures { folder: tree.path.clone(), frames })
    }

    /// The clip of a file; none of a file that holds no frames.
    pub fn of_file(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_string_lossy().to_lowercase();
        match ending.as_str() {
            "gif" => Some(Self::Gif(path.to_path_buf())),
            ending => films::is_film(ending).then(|| Self::Film(path.to_path_buf())),
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Pictures { folder: path, .. } | Self::Gif(path) | Self::Film(path) => path,
        }
    }

    /// How the name of its file ends; nothing of a folder.
    pub fn ending(&self) -> Option<String> {
        match self {
            Self::Pictures { .. } => None,
            Self::Gif(path) | Self::Film(path) => Some(path.extension()?.to_string_lossy().into_owned()),
        }
    }

    /// What is wrong with it at first sight.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Pictures { frames, .. } if frames.len() < 2 => {
                Some("has one frame; a clip has two or more".to_owned())
            }
            _ => None,
        }
    }

    pub fn frames(&self, limits: &FrameLimits) -> Result<Vec<RgbImage>> {
        let mut decoded = Decoded { clip: self.path(), limits, frames: Vec::new() };
        match self {
            Self::Pictures { frames, .. } => {
                for path in frames {
                    decoded.push(path, picture::decode(path, &limits.picture)?)?;
                }
            }
            Self::Gif(path) => gif(path, &mut decoded)?,
            Self::Film(path) => films::read(path, &mut decoded)?,
        }
        let frames = decoded.frames;
        match frames.len() {
            0 | 1 => Err(Error::items(self.path(), 0, format!("has {} frames; a clip has two or more", frames.len()))),
            _ => Ok(frames),
        }
    }
}

/// The frames of a clip, as far as they are decoded.
pub(super) struct Decoded<'a> {
    /// The folder or the file of the clip.
    pub clip: &'a Path,
    pub limits: &'a FrameLimits,
    pub frames: Vec<RgbImage>,
}

impl Decoded<'_> {
    /// Refuses a next frame of this size, which `path` holds, where it is another than the first one's or over the limits.
    pub fn check(&self, path: &Path, width: u32, height: u32) -> Result<()> {
        let (limits, count) = (self.limits, self.frames.len() + 1);
        let pixels = u64::from(width) * u64::from(height);
        let first = self.frames.first().map_or((width, height), RgbImage::dimensions);
        let is = format!("is {width}×{height} pixels");
        match () {
            () if pixels > limits.picture.max_pixels => {
                let fault = format!("{is}, more than the {} pixels allowed", limits.picture.max_pixels);
                Err(Error::items(path, 0, fault))
            }
            () if first != (width, height) => {
                let fault = format!("{is} where the first frame has {}×{}", first.0, first.1);
                Err(Error::items(path, 0, fault))
            }
            () if count > limits.max_frames => {
                let fault = format!("has more than the {} frames allowed; cut it", limits.max_frames);
                Err(Error::items(self.clip, 0, fault))
            }
            () if pixels.saturating_mul(count as u64) > limits.max_pixels => {
                let fault = format!(
                    "its frames have more than the {} pixels allowed; cut it or make it smaller",
                    limits.max_pixels
                );
                Err(Error::items(self.clip, 0, fault))
            }
            () => Ok(()),
        }
    }

    /// Takes the next frame in.
    pub fn push(&mut self, path: &Path, frame: RgbImage) -> Result<()> {
        self.check(path, frame.width(), frame.height())?;
        self.frames.push(frame);
        Ok(())
    }
}

fn gif(path: &Path, decoded: &mut Decoded) -> Result<()> {
    let bytes = picture::read(path, decoded.limits.picture.max_bytes)?;
    let broken = |error: image::ImageError| Error::items(path, 0, format!("the GIF is broken or cut short: {error}"));
    let decoder = GifDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    let (width, height) = decoder.dimensions();
    decoded.check(path, width, height)?;
    for frame in decoder.into_frames() {
        decoded.push(path, on_white(frame.map_err(broken)?.buffer()))?;
    }
    Ok(())
}

fn on_white(frame: &RgbaImage) -> RgbImage {
    // A GIF's pixel is opaque or not there.
    let pixel = |x, y| match frame.get_pixel(x, y).0 {
        [.., 0] => Rgb([255; 3]),
        [red, green, blue, _] => Rgb([red, green, blue]),
    };
    RgbImage::from_fn(frame.width(), frame.height(), pixel)
}

/// A piece of a name: a number, which comes by its size, or what stands between numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Number(u128),
    Text(String),
}

/// The pieces of a file's name: `frame2.png` comes before `frame10.png`.
fn by_numbers(path: &Path) -> Vec<Piece> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let digit = |letter: &char| letter.is_ascii_digit();
    let letters: Vec<char> = name.chars().collect();
    let runs = letters.chunk_by(|one, next| digit(one) == digit(next)).map(|run| run.iter().collect::<String>());
    runs.map(|run| run.parse().map_or_else(|_| Piece::Text(run.clone()), Piece::Number)).collect()
}
