//! Image preprocessing: resize, centre crop, rescale and normalise, as Hugging Face's `preprocessor_config.json` has it.

use candle_core::{Device, Error, Result, Tensor};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

/// The most pixels of a resized picture: a strip one pixel high would otherwise fill the memory.
const MOST_PIXELS: usize = 1 << 26;

/// The size that a picture is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resize {
    /// The shortest side becomes this long, in pixels; the sides keep their ratio.
    Shortest(usize),
    /// Exactly this height and width, in pixels.
    Exact(usize, usize),
}

/// The resampling filter, by the numbers of Pillow that `preprocessor_config.json` uses; all antialiased but the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[non_exhaustive]
pub enum Interpolation {
    /// The nearest pixel (0).
    Nearest,
    /// Lanczos over three lobes (1).
    Lanczos,
    /// Linear in both directions (2).
    #[default]
    Bilinear,
    /// Cubic in both directions, a = −1/2 (3).
    Bicubic,
    /// The mean of the covered pixels (4).
    Box,
    /// Hamming's window (5).
    Hamming,
}

const INTERPOLATIONS: [Interpolation; 6] = [
    Interpolation::Nearest,
    Interpolation::Lanczos,
    Interpolation::Bilinear,
    Interpolation::Bicubic,
    Interpolation::Box,
    Interpolation::Hamming,
];

impl TryFrom<u8> for Interpolation {
    type Error = String;

    fn try_from(number: u8) -> std::result::Result<Self, String> {
        let found = INTERPOLATIONS.get(usize::from(number)).copied();
        found.ok_or_else(|| format!("resample is {number}; 0 to 5 are known"))
    }
}

impl From<Interpolation> for u8 {
    fn from(interpolation: Interpolation) -> u8 {
        interpolation as u8
    }
}

impl Interpolation {
    fn algorithm(self) -> ResizeAlg {
        ResizeAlg::Convolution(match self {
            Self::Nearest => return ResizeAlg::Nearest,
            Self::Lanczos => FilterType::Lanczos3,
            Self::Bilinear => FilterType::Bilinear,
            Self::Bicubic => FilterType::CatmullRom,
            Self::Box => FilterType::Box,
            Self::Hamming => FilterType::Hamming,
        })
    }
}

/// Resizing, cutting out the centre, scaling and normalising: y = (pixel · rescale_factor − mean) / std.
///
/// It belongs to the weights, is saved beside them as `preprocessor_config.json`, and reads and writes the names that
/// Hugging Face's transformers use there; keys that it does not know are passed over.
///
/// ```
/// use candlewick_encoders::Preprocessing;
/// let json = serde_json::to_value(Preprocessing::imagenet()).unwrap();
/// assert_eq!(json["size"]["shortest_edge"], 256);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "File", into = "File")]
pub struct Preprocessing {
    /// The size to resize to; `None` leaves the size alone.
    pub size: Option<Resize>,
    /// Height and width of the centre that is cut out; `None` takes all. Smaller pictures get a black margin.
    pub crop: Option<(usize, usize)>,
    /// The filter of resizing.
    pub interpolation: Interpolation,
    /// The factor on the pixels' values 0 to 255.
    pub rescale_factor: f64,
    /// The mean of red, green and blue, which is subtracted.
    pub mean: [f32; 3],
    /// The standard deviation of red, green and blue, which divides.
    pub std: [f32; 3],
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self::imagenet()
    }
}

impl Preprocessing {
    /// For an optional setting, `#[serde(default, deserialize_with = "…")]`: errors name `preprocessing.crop` and not `preprocessing.?`.
    pub fn deserialize_given<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Option<Self>, D::Error> {
        Self::deserialize(deserializer).map(Some)
    }

    /// What torchvision's ImageNet weights want: shortest side 256, centre 224×224, ImageNet's mean and deviation.
    pub fn imagenet() -> Self {
        Self {
            size: Some(Resize::Shortest(256)),
            crop: Some((224, 224)),
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            ..Self::unresized()
        }
    }

    /// The same mean and deviation for other sizes, in pixels.
    pub(crate) fn imagenet_of(shortest: usize, crop: usize, interpolation: Interpolation) -> Self {
        let (size, crop) = (Some(Resize::Shortest(shortest)), Some((crop, crop)));
        Self { size, crop, interpolation, ..Self::imagenet() }
    }

    /// Pictures that have their size already: values from −1 to 1.
    pub fn unresized() -> Self {
        Self {
            size: None,
            crop: None,
            interpolation: Interpolation::Bilinear,
            rescale_factor: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }

    /// The input of the network, f32 (3, height, width).
    ///
    /// # Errors
    /// As [`Preprocessing::original`].
    pub fn apply(&self, picture: &RgbImage, device: &Device) -> Result<Tensor> {
        let seen = self.original(picture)?;
        let (width, height) = (seen.width() as usize, seen.height() as usize);
        let mut values = Vec::with_capacity(3 * width * height);
        for channel in 0..3 {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            // A byte has 256 values, so each channel is a table.
            let table: [f32; 256] =
                std::array::from_fn(|value| ((value as f64 * self.rescale_factor) as f32 - mean) / std);
            values.extend(seen.as_raw().iter().skip(channel).step_by(3).map(|&value| table[usize::from(value)]));
        }
        Tensor::from_vec(values, (3, height, width), device)
    }

    /// The part of the picture that the network sees, resized and cropped but not normalised: what attention is drawn over.
    ///
    /// # Errors
    /// When the picture is empty, or would become unreasonably large.
    pub fn original(&self, picture: &RgbImage) -> Result<RgbImage> {
        let (height, width) = (picture.height() as usize, picture.width() as usize);
        if height == 0 || width == 0 {
            candle_core::bail!("preprocessing: a picture of {width}×{height} pixels is empty")
        }
        let (to_height, to_width) = self.resized(height, width);
        // The first pass of resizing makes a picture as wide as the new one and as high as the old.
        let pixels = to_height.saturating_mul(to_width).max(height.saturating_mul(to_width));
        if pixels == 0 || pixels > MOST_PIXELS {
            candle_core::bail!(
                "preprocessing: a picture of {width}×{height} pixels would become {to_width}×{to_height}; \
                 cut it to a less extreme shape"
            )
        }
        let resized = match (to_height, to_width) == (height, width) {
            true => Cow::Borrowed(picture),
            false => Cow::Owned(self.resize(picture, to_height, to_width)?),
        };
        match self.crop.filter(|&crop| crop != (to_height, to_width)) {
            Some((height, width)) => centre_crop(&resized, height, width),
            None => Ok(resized.into_owned()),
        }
    }

    /// Height and width of every input, if all pictures get the same.
    pub fn input_size(&self) -> Option<(usize, usize)> {
        match (self.crop, self.size) {
            (Some(crop), _) => Some(crop),
            (None, Some(Resize::Exact(height, width))) => Some((height, width)),
            (None, _) => None,
        }
    }

    /// (height, width) after resizing.
    fn resized(&self, height: usize, width: usize) -> (usize, usize) {
        match self.size {
            None => (height, width),
            Some(Resize::Exact(height, width)) => (height, width),
            // The longer side is cut down to whole pixels, as torchvision does.
            Some(Resize::Shortest(size)) if height < width => {
                (size, (size as f64 * width as f64 / height as f64) as usize)
            }
            Some(Resize::Shortest(size)) => ((size as f64 * height as f64 / width as f64) as usize, size),
        }
    }

    /// Horizontally and then vertically in two calls, because Pillow rounds to bytes between the two.
    fn resize(&self, picture: &RgbImage, height: usize, width: usize) -> Result<RgbImage> {
        let mut resized = Cow::Borrowed(picture);
        let options = ResizeOptions::new().resize_alg(self.interpolation.algorithm());
        for (width, height) in [(width as u32, picture.height()), (width as u32, height as u32)] {
            let mut target = RgbImage::new(width, height);
            let source = TypedImageRef::<U8x3>::from_buffer(resized.width(), resized.height(), &resized);
            let mut view = TypedImage::<U8x3>::from_buffer(width, height, &mut target).map_err(Error::wrap)?;
            // The call that takes any type of pixel would be built for all of them, for minutes.
            let source = source.map_err(Error::wrap)?;
            Resizer::new().resize_typed(&source, &mut view, &options).map_err(Error::wrap)?;
            resized = Cow::Owned(target);
        }
        Ok(resized.into_owned())
    }
}

/// The centre crop of a picture; what lies outside the picture is black.
fn centre_crop(picture: &RgbImage, height: usize, width: usize) -> Result<RgbImage> {
    if height == 0 || width == 0 || height.saturating_mul(width) > MOST_PIXELS {
        candle_core::bail!("preprocessing: crop_size {height}×{width} is not a size")
    }
    let mut canvas = RgbImage::new(width as u32, height as u32);
    let top = offset(picture.height() as usize, height);
    let left = offset(picture.width() as usize, width);
    image::imageops::replace(&mut canvas, picture, -left, -top);
    Ok(canvas)
}

/// Where the crop begins, rounded half to even as torchvision does; negative where a margin is needed.
fn offset(size: usize, crop: usize) -> i64 {
    if crop > size {
        return -(((crop - size) / 2) as i64);
    }
    ((size - crop) as f64 / 2.0).round_ties_even() as i64
}

/// `preprocessor_config.json`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct File {
    /// Whether pictures are resized.
    #[serde(default = "yes")]
    do_resize: bool,
    /// The size to resize to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<Size>,
    /// The filter of resizing, by Pillow's number.
    #[serde(default)]
    resample: Interpolation,
    /// Whether the centre is cut out.
    #[serde(default)]
    do_center_crop: bool,
    /// The size of the centre that is cut out; smaller pictures get a black margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crop_size: Option<Size>,
    /// Whether values are scaled.
    #[serde(default = "yes")]
    do_rescale: bool,
    /// The factor on the values 0 to 255.
    #[serde(default = "byte")]
    rescale_factor: f64,
    /// Whether values are normalised: less the mean, divided by the deviation.
    #[serde(default = "yes")]
    do_normalize: bool,
    /// The mean of red, green and blue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_mean: Option<[f32; 3]>,
    /// The standard deviation of red, green and blue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_std: Option<[f32; 3]>,
}

fn yes() -> bool {
    true
}

fn byte() -> f64 {
    1.0 / 255.0
}

/// The ways in which such files give a size.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Size {
    Shortest { shortest_edge: usize },
    Exact { height: usize, width: usize },
    Number(usize),
}

impl From<Preprocessing> for File {
    fn from(from: Preprocessing) -> Self {
        Self {
            do_resize: from.size.is_some(),
            size: from.size.map(|size| match size {
                Resize::Shortest(shortest_edge) => Size::Shortest { shortest_edge },
                Resize::Exact(height, width) => Size::Exact { height, width },
            }),
            resample: from.interpolation,
            do_center_crop: from.crop.is_some(),
            crop_size: from.crop.map(|(height, width)| Size::Exact { height, width }),
            do_rescale: from.rescale_factor != 1.0,
            rescale_factor: from.rescale_factor,
            do_normalize: true,
            image_mean: Some(from.mean),
            image_std: Some(from.std),
        }
    }
}

impl TryFrom<File> for Preprocessing {
    type Error = String;

    fn try_from(file: File) -> std::result::Result<Self, String> {
        let size = match file.size.filter(|_| file.do_resize) {
            None if file.do_resize => return Err("do_resize is set, but there is no size".to_owned()),
            None => None,
            Some(Size::Exact { height, width }) => Some(Resize::Exact(height, width)),
            Some(Size::Shortest { shortest_edge } | Size::Number(shortest_edge)) => {
                Some(Resize::Shortest(shortest_edge))
            }
        };
        let crop = match file.crop_size.filter(|_| file.do_center_crop) {
            None if file.do_center_crop => return Err("do_center_crop is set, but there is no crop_size".to_owned()),
            None => None,
            Some(Size::Exact { height, width }) => Some((height, width)),
            Some(Size::Shortest { shortest_edge: side } | Size::Number(side)) => Some((side, side)),
        };
        let sides = |size: Resize| match size {
            Resize::Exact(height, width) => (height, width),
            Resize::Shortest(side) => (side, side),
        };
        for (key, size) in [("size", size.map(sides)), ("crop_size", crop)] {
            if let Some((height, width)) = size
                && (height == 0 || width == 0 || height.saturating_mul(width) > MOST_PIXELS)
            {
                return Err(format!("{key} is {height}×{width} pixels; wanted 1 to {MOST_PIXELS} of them"));
            }
        }
        let (mean, std) = match (file.do_normalize, file.image_mean, file.image_std) {
            (false, ..) => ([0.0; 3], [1.0; 3]),
            (true, Some(mean), Some(std)) => (mean, std),
            _ => return Err("do_normalize is set, but image_mean or image_std is missing".to_owned()),
        };
        if let Some(mean) = mean.iter().find(|mean| !mean.is_finite()) {
            return Err(format!("image_mean has {mean}; it wants numbers"));
        }
        if let Some(std) = std.iter().find(|&&std| !(std > 0.0 && std.is_finite())) {
            return Err(format!("image_std has {std}; it wants numbers above 0"));
        }
        let rescale_factor = if file.do_rescale { file.rescale_factor } else { 1.0 };
        if !(rescale_factor > 0.0 && rescale_factor.is_finite()) {
            return Err(format!("rescale_factor is {rescale_factor}; it wants a number above 0, mostly 1/255"));
        }
        Ok(Self { size, crop, interpolation: file.resample, rescale_factor, mean, std })
    }
}
