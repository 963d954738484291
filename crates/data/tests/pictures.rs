//! Decoding: every format, every orientation, and every kind of broken file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_data::picture::{Limits, decode, decode_bytes};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use std::io::Cursor;

/// 24×16, red grows to the right and green downwards, so that every turn of it can be told.
fn slope() -> RgbImage {
    RgbImage::from_fn(24, 16, |x, y| Rgb([(x * 10) as u8, (y * 15) as u8, 40]))
}

fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn read(bytes: &[u8]) -> Result<RgbImage, String> {
    decode_bytes("x", bytes, &Limits::default()).map_err(|error| error.to_string())
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body: Vec<u8> = kind.iter().chain(data).copied().collect();
    let crc = body.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    [&(data.len() as u32).to_be_bytes()[..], &body, &(!crc).to_be_bytes()].concat()
}

#[test]
fn every_format_gives_its_pixels() {
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        assert_eq!(read(&encode(slope(), format)).unwrap(), slope(), "{format:?}");
    }
    for format in [ImageFormat::Jpeg, ImageFormat::Gif] {
        let found = read(&encode(slope(), format)).unwrap();
        assert_eq!(found.dimensions(), (24, 16));
        let error: u32 = found.iter().zip(slope().iter()).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
        assert!(f64::from(error) / (24.0 * 16.0 * 3.0) < 12.0, "{format:?}: {error}");
    }
}

#[test]
fn grey_becomes_three_colours_and_transparency_lies_on_white() {
    let grey = image::GrayImage::from_pixel(3, 2, image::Luma([90]));
    assert_eq!(read(&encode(grey, ImageFormat::Png)).unwrap().get_pixel(1, 1), &Rgb([90, 90, 90]));
    let deep = image::ImageBuffer::from_pixel(3, 2, image::Luma([0x8080u16]));
    assert_eq!(
        read(&encode(DynamicImage::ImageLuma16(deep), ImageFormat::Png)).unwrap().get_pixel(0, 0),
        &Rgb([128; 3])
    );
    let mut glass = RgbaImage::from_pixel(2, 1, Rgba([200, 0, 100, 255]));
    glass.put_pixel(1, 0, Rgba([200, 0, 100, 51]));
    let found = read(&encode(glass, ImageFormat::Png)).unwrap();
    assert_eq!((found.get_pixel(0, 0), found.get_pixel(1, 0)), (&Rgb([200, 0, 100]), &Rgb([244, 204, 224])));
}

#[test]
fn exif_orientation_is_applied() {
    let plain = encode(slope(), ImageFormat::Jpeg);
    let upright = read(&plain).unwrap();
    for orientation in 1..=8u8 {
        // A little-endian TIFF with the one tag 0x0112.
        let exif = [b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[orientation, 0, 0, 0, 0, 0, 0, 0][..]]
            .concat();
        let segment = [&[0xff, 0xe1][..], &(exif.len() as u16 + 2).to_be_bytes(), &exif].concat();
        let turned = [&plain[..2], &segment, &plain[2..]].concat();
        let wanted = match orientation {
            2 => image::imageops::flip_horizontal(&upright),
            3 => image::imageops::rotate180(&upright),
            4 => image::imageops::flip_vertical(&upright),
            5 => image::imageops::flip_horizontal(&image::imageops::rotate90(&upright)),
            6 => image::imageops::rotate90(&upright),
            7 => image::imageops::flip_horizontal(&image::imageops::rotate270(&upright)),
            8 => image::imageops::rotate270(&upright),
            _ => upright.clone(),
        };
        assert_eq!(read(&turned).unwrap(), wanted, "orientation {orientation}");
    }
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded() {
    let mut header = [100_000u32.to_be_bytes(), 100_000u32.to_be_bytes()].concat();
    header.extend([8, 6, 0, 0, 0]);
    let signature = b"\x89PNG\r\n\x1a\n".to_vec();
    let bomb = [signature, chunk(b"IHDR", &header), chunk(b"IDAT", &[0x78, 0x9c, 0, 0]), chunk(b"IEND", &[])].concat();
    assert_eq!(read(&bomb).unwrap_err(), "x: is 100000×100000 pixels, more than the 100000000 pixels allowed");

    let png = encode(slope(), ImageFormat::Png);
    let few = Limits { max_pixels: 383, max_bytes: 10_000 };
    let message = decode_bytes("a.png", &png, &few).unwrap_err().to_string();
    assert_eq!(message, "a.png: is 24×16 pixels, more than the 383 pixels allowed");
    assert!(decode_bytes("a.png", &png, &Limits { max_pixels: 384, ..few }).is_ok());
    let message = decode_bytes("a.png", &png, &Limits { max_pixels: 384, max_bytes: 20 }).unwrap_err().to_string();
    assert!(message.ends_with("more than the 20 allowed"), "{message}");
}

#[test]
fn a_picture_cut_short_anywhere_is_an_error_of_one_line() {
    let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Gif];
    for format in formats {
        let whole = encode(slope(), format);
        // The last bytes of a GIF or PNG are an end mark that decoders need not see.
        for length in [1, 5, 20, whole.len() / 3, whole.len() / 2, whole.len() * 9 / 10] {
            let message = read(&whole[..length]).expect_err(&format!("{format:?} cut at {length}"));
            assert!(message.starts_with("x: ") && !message.contains('\n'), "{message}");
        }
    }
    let jpeg = encode(slope(), ImageFormat::Jpeg);
    for length in 0..jpeg.len() - 1 {
        assert!(read(&jpeg[..length]).is_err(), "JPEG cut at {length}");
    }
    assert!(read(&[&jpeg[..], b"rubbish behind the end"].concat()).is_ok());
}

#[test]
fn an_end_marker_in_a_thumbnail_is_not_the_end() {
    let plain = encode(slope(), ImageFormat::Jpeg);
    let comment = [&[0xff, 0xfe, 0, 6][..], &[0xff, 0xd9, 0xff, 0xd9]].concat();
    let whole = [&plain[..2], &comment, &plain[2..]].concat();
    assert!(read(&whole).is_ok());
    assert!(read(&whole[..whole.len() - 30]).unwrap_err().contains("cut short"));
}

#[test]
fn files_that_are_no_pictures_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_pixels: 1000, max_bytes: 1000 };
    let message = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let message = decode(&path, &limits).unwrap_err().to_string();
        assert!(message.contains(name) && !message.contains('\n'), "{message}");
        message
    };
    assert!(message("missing.jpg", None).contains("No such file") || cfg!(not(unix)));
    assert!(message("empty.jpg", Some(b"")).ends_with("the file is empty"));
    assert!(message("text.jpg", Some(b"just some words")).contains("is not a picture"));
    assert!(message("large.jpg", Some(&[7; 2000])).ends_with("has 2000 bytes, more than the 1000 allowed"));
    assert!(message("page.svg", Some(b"<svg xmlns='http://www.w3.org/2000/svg'/>")).contains("is not a picture"));
    let folder_message = decode(folder.path(), &limits).unwrap_err().to_string();
    assert!(folder_message.ends_with("is not a file"));
}
