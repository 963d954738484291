//! Decoding: every format, every orientation, and every kind of broken file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_data::picture::{Limits, decode, decode_bytes};
use candlewick_testing::fixture;
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
    let exact = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Pnm];
    for format in exact {
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
    let deep = |[r, g, b]: [u8; 3], low: u16| Rgb([r, g, b].map(|upper| u16::from(upper) << 8 | low));
    let deep = image::ImageBuffer::from_fn(24, 16, |x, y| deep(slope().get_pixel(x, y).0, 0xff));
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Pnm] {
        assert_eq!(read(&encode(DynamicImage::ImageRgb16(deep.clone()), format)).unwrap(), slope(), "{format:?}");
    }
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
fn a_side_has_a_limit_of_its_own() {
    let header = [100_000_000u32.to_be_bytes(), 1u32.to_be_bytes()].concat();
    let signature = b"\x89PNG\r\n\x1a\n".to_vec();
    let strip = [signature, chunk(b"IHDR", &[&header[..], &[8, 2, 0, 0, 0]].concat()), chunk(b"IEND", &[])].concat();
    assert_eq!(read(&strip).unwrap_err(), "x: is 100000000×1 pixels; a side may have 65535 at most");
}

#[test]
fn what_a_png_holds_beside_its_pixels_takes_no_memory() {
    use std::io::Write as _;
    let png = encode(slope(), ImageFormat::Png);
    // 400 MB of zeros in 400 kB: the limit is on the pixels' memory, and these are none.
    let mut zeros = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    (0..400).for_each(|_| zeros.write_all(&[0; 1 << 20]).unwrap());
    let zeros = zeros.finish().unwrap();
    for (kind, head) in
        [(b"iCCP", &b"profile\0\0"[..]), (b"zTXt", b"text\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0")]
    {
        let data = [head, &zeros].concat();
        let with = [&png[..33], &chunk(kind, &data), &png[33..]].concat();
        assert_eq!(read(&with).unwrap(), slope(), "{kind:?}");
    }
}

#[test]
fn a_picture_cut_short_anywhere_is_an_error_of_one_line() {
    let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Gif];
    let formats = formats.into_iter().chain([ImageFormat::Tiff, ImageFormat::Pnm]);
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

/// The mean difference of a picture to the slope of the fixtures.
fn from_the_slope(picture: &RgbImage) -> f64 {
    let wanted = RgbImage::from_fn(40, 24, |x, y| Rgb([5 * x as u8, 9 * y as u8, 60]));
    assert_eq!(picture.dimensions(), wanted.dimensions());
    let error: u32 = picture.iter().zip(wanted.iter()).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
    f64::from(error) / wanted.len() as f64
}

fn jpeg(name: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("{name}.jpg"))).unwrap()
}

#[test]
fn jpegs_of_several_scans_and_of_any_sampling_give_their_pixels() {
    let kinds = [
        "three_scans_420",
        "two_scans_420",
        "three_scans_420_restarts",
        "three_scans_440",
        "two_and_one_422",
        "three_scans_411",
        "chroma_more_1x1_2x1",
        "chroma_more_1x1_2x2",
        "chroma_more_1x1_2x1_progressive",
        "mixed_1x2_2x1",
        "one_chroma_1x1_1x1_2x2",
        "thirds_3x1",
        "thirds_3x2_progressive",
        "rgb_components",
    ];
    for kind in kinds {
        let error = from_the_slope(&read(&jpeg(kind)).unwrap());
        // Colours at a third or a half of the luminance's rate are steps in the slope.
        assert!(error < 4.0, "{kind}: {error}");
    }
}

#[test]
fn the_colours_of_a_jpeg_are_told_as_libjpeg_tells_them() {
    let rgb = jpeg("rgb_components");
    // Adobe's marker tells them in a file that does not say it is JFIF, which is YCbCr whatever else it says.
    let jfif = [&rgb[..2], b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", &rgb[2..]].concat();
    assert!(from_the_slope(&read(&rgb).unwrap()) < 2.0);
    assert!(from_the_slope(&read(&jfif).unwrap()) > 20.0);
}

#[test]
fn jpegs_that_cannot_be_read_are_named_by_their_kind() {
    let whole = jpeg("chroma_more_1x1_2x1");
    let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = whole.clone();
        changes.iter().for_each(|&(at, byte)| bytes[frame + at] = byte);
        read(&bytes).unwrap_err()
    };
    let cases = [
        (read(&jpeg("arithmetic")).unwrap_err(), "uses arithmetic coding, which cannot be read; save it anew as base"),
        (with(&[(1, 0xc3)]), "is a lossless JPEG, which cannot be read"),
        (with(&[(1, 0xc5)]), "is a hierarchical JPEG, which"),
        (with(&[(1, 0xc1), (4, 12)]), "has 12 bits a sample, which"),
        (with(&[(5, 0), (6, 0)]), "tells its height only behind its first scan"),
        (with(&[(11, 0x31)]), "samples one component at no whole multiple of another"),
        (with(&[(11, 0x01)]), "a sampling factor is 0"),
    ];
    for (message, wanted) in cases {
        assert!(message.starts_with("x: the JPEG ") && message.contains(wanted), "{message}");
    }
}

#[test]
fn jpegs_whose_data_stop_before_their_end_marker_are_cut_short() {
    let noise = RgbImage::from_fn(90, 70, |x, y| Rgb([x, y, x + y].map(|v| (v * 2654435 % 251) as u8)));
    let whole = encode(noise, ImageFormat::Jpeg);
    let end = &[0xff, 0xd9];
    for share in [3, 5, 7, 9] {
        let mut data = whole[..whole.len() * share / 10].to_vec();
        data.pop_if(|byte| *byte == 0xff);
        let message = read(&[&data, &end[..]].concat()).expect_err(&format!("cut at {share}/10"));
        assert!(message.starts_with("x: the JPEG is broken or cut short: "), "{message}");
    }
    let scans = jpeg("three_scans_420");
    let second = (0..scans.len() - 1).filter(|&at| scans[at..at + 2] == [0xff, 0xda]).nth(1).unwrap();
    let message = read(&[&scans[..second], end].concat()).expect_err("no chroma");
    assert_eq!(message, "x: the JPEG is cut short: it has no data of its component 2");
    // What libjpeg takes with a warning, and the whole picture.
    let (data, _) = whole.split_at(whole.len() - 2);
    let upright = read(&whole).unwrap();
    for between in [&[0, 0, 0, 1, 2, 3][..], &[0xff; 3], &[0; 40]] {
        assert_eq!(read(&[data, between, end].concat()).unwrap(), upright);
    }
    assert!(read(&[&whole[..20], &[0; 10], &whole[20..]].concat()).is_ok());
    assert_eq!(read(&[&whole[..], &[0xff; 50], b"more"].concat()).unwrap(), upright);
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
