//! Whether a picture could be a generated scene.

use super::draw::PAINTS;
use image::RgbImage;

/// Points along each side of a picture at which it is looked at.
const GRID: u32 = 48;

/// Whether a picture looks like a generated scene, whatever its size: shapes of the scenes' colours on dark grey.
///
/// What a captioner of scenes says of another picture means nothing. At least a third of a grid of points must be dark grey and nine
/// tenths dark grey or one of the colours, which photos hardly ever are.
pub fn is_like_a_scene(picture: &RgbImage) -> bool {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return false;
    }
    let (mut ground, mut painted) = (0, 0);
    for y in 0..GRID {
        for x in 0..GRID {
            let at =
                |index: u32, length: u32| (u64::from(2 * index + 1) * u64::from(length) / u64::from(2 * GRID)) as u32;
            let pixel = picture.get_pixel(at(x, width), at(y, height)).0.map(f32::from);
            if is_ground(pixel) {
                ground += 1;
            } else if PAINTS.iter().any(|&paint| is_paint(pixel, paint)) {
                painted += 1;
            }
        }
    }
    let points = GRID * GRID;
    3 * ground >= points && 10 * (ground + painted) >= 9 * points
}

/// Dark and grey, as the ground is with its slope and noise.
fn is_ground(pixel: [f32; 3]) -> bool {
    let (least, most) =
        (pixel.iter().fold(255.0, |a: f32, &b| a.min(b)), pixel.iter().fold(0.0, |a: f32, &b| a.max(b)));
    least >= 14.0 && most <= 90.0 && most - least <= 10.0
}

/// A paint, a little lighter or darker.
fn is_paint(pixel: [f32; 3], paint: [f32; 3]) -> bool {
    let light = pixel.iter().sum::<f32>() / paint.iter().sum::<f32>();
    (0.9..1.1).contains(&light) && pixel.iter().zip(paint).all(|(found, wanted)| (found - light * wanted).abs() <= 16.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scenes::Scene;
    use crate::split::Split;
    use image::{Rgb, imageops};

    #[test]
    fn scenes_are_like_scenes_at_any_size_and_other_pictures_are_not() {
        for index in 0..60 {
            let scene = Scene::generate(5, index, Split::Test).draw();
            assert!(is_like_a_scene(&scene), "{index}");
            let large = imageops::resize(&scene, 500, 300, imageops::FilterType::Triangle);
            assert!(is_like_a_scene(&large), "{index}");
        }
        let gradient = RgbImage::from_fn(90, 60, |x, y| Rgb([(2 * x) as u8, (4 * y) as u8, 100]));
        let white = RgbImage::from_pixel(64, 64, Rgb([255; 3]));
        // A grey photo has light and dark in it.
        let grey = RgbImage::from_fn(90, 60, |x, y| Rgb([(2 * x + y) as u8; 3]));
        assert!([gradient, white, grey, RgbImage::new(0, 0)].iter().all(|picture| !is_like_a_scene(picture)));
    }

    #[test]
    fn photos_are_not_like_scenes() {
        let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(std::path::PathBuf::from) else {
            return println!("skipped: CANDLEWICK_DATA names no folder of real data");
        };
        let photos = std::fs::read_dir(data.join("flickr8k/images")).unwrap();
        let mut names: Vec<_> = photos.map(|entry| entry.unwrap().path()).collect();
        assert!(names.len() > 1000);
        names.sort();
        let like =
            |path: &std::path::PathBuf| is_like_a_scene(&crate::picture::decode(path, &Default::default()).unwrap());
        let found = names.iter().step_by(100).filter(|path| like(path)).count();
        assert_eq!(found, 0);
    }
}
