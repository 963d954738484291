//! JPEG: which kind a file is of, whether its data are whole, and the decoder that is right on its kind.
//!
//! zune-jpeg is fast and right where one scan holds all components, or the coding is progressive, and no component is sampled
//! more than the first; jpeg-decoder is right on the other kinds that libjpeg writes. Kinds that neither reads are named.

use image::metadata::Orientation;
use jpeg_decoder::ColorTransform;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

/// More scans than encoders make; each of them goes over the whole picture.
const MOST_SCANS: usize = 100;

/// What the markers of a JPEG tell.
#[derive(Debug, Default)]
pub(super) struct Jpeg {
    pub width: u32,
    pub height: u32,
    pub orientation: Option<Orientation>,
    /// The frame's number n of SOFn: 0 and 1 sequential, 2 progressive.
    process: u8,
    precision: u8,
    components: Vec<Component>,
    scans: Vec<Scan>,
    arithmetic: bool,
    jfif: bool,
    /// The transform that Adobe's marker tells: 0 none, 1 YCbCr, 2 YCCK.
    adobe: Option<u8>,
    /// Where the end marker is.
    end: usize,
}

#[derive(Debug)]
struct Component {
    id: u8,
    /// Horizontal and vertical sampling factor.
    sampling: [u32; 2],
}

#[derive(Debug)]
struct Scan {
    /// Places in the frame's components.
    components: Vec<usize>,
    /// Units between restarts; 0 for none.
    restart: u32,
}

impl Jpeg {
    /// Walks over the markers up to the end marker.
    ///
    /// Segments are jumped over, so an end marker inside an EXIF thumbnail does not count.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut jpeg = Self::default();
        let (mut at, mut restart) = (2, 0);
        let cut = || "is cut short: its end is missing".to_owned();
        loop {
            // Entropy-coded bytes and fill bytes lie between markers: a marker is 0xFF and then neither 0x00 nor 0xFF.
            let rest = bytes.get(at..).ok_or_else(cut)?;
            let skip = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff));
            let start = at + skip.ok_or_else(cut)?;
            let marker = *bytes.get(start + 1).ok_or_else(cut)?;
            at = start + 2;
            match marker {
                0xd9 => {
                    jpeg.end = start;
                    return Ok(jpeg);
                }
                // These stand alone: TEM, the restarts and the start of the image.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let Some(&[high, low]) = bytes.get(at..at + 2) else { return Err(cut()) };
            let length = usize::from(u16::from_be_bytes([high, low])).max(2);
            let segment = bytes.get(at + 2..at + length).ok_or_else(cut)?;
            at += length;
            match marker {
                0xc4 | 0xc8 => {}
                0xc0..=0xcf if marker == 0xcc => jpeg.arithmetic = true,
                0xc0..=0xcf => jpeg.frame(marker - 0xc0, segment)?,
                0xda => jpeg.scan(segment, restart)?,
                0xdd => restart = segment.first_chunk().map_or(0, |&bytes| u32::from(u16::from_be_bytes(bytes))),
                0xe0 if segment.starts_with(b"JFIF\0") => jpeg.jfif = true,
                0xee if segment.starts_with(b"Adobe") => jpeg.adobe = segment.get(11).copied(),
                0xe1 if jpeg.orientation.is_none() => {
                    jpeg.orientation = segment.strip_prefix(b"Exif\0\0").and_then(Orientation::from_exif_chunk);
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self, process: u8, segment: &[u8]) -> Result<(), String> {
        let Some((&[precision, h1, h0, w1, w0, count], rest)) = segment.split_first_chunk() else {
            return Err("is broken: its frame header is too short".into());
        };
        if !self.components.is_empty() {
            return Err("has two frames, which cannot be read".into());
        }
        self.process = process;
        self.precision = precision;
        self.width = u32::from(u16::from_be_bytes([w1, w0]));
        self.height = u32::from(u16::from_be_bytes([h1, h0]));
        let component = |&[id, sampling, _]: &[u8; 3]| Component {
            id,
            sampling: [u32::from(sampling >> 4), u32::from(sampling & 15)],
        };
        self.components = rest.as_chunks().0.iter().take(usize::from(count)).map(component).collect();
        match self.components.len() == usize::from(count) {
            true => Ok(()),
            false => Err("is broken: its frame header is too short".into()),
        }
    }

    fn scan(&mut self, segment: &[u8], restart: u32) -> Result<(), String> {
        let count = segment.first().map_or(0, |&count| usize::from(count));
        let ids = segment.get(1..).unwrap_or_default().as_chunks::<2>().0.iter().take(count);
        let place = |&[id, _]: &[u8; 2]| self.components.iter().position(|component| component.id == id);
        let components: Option<Vec<usize>> = ids.map(place).collect();
        let components = components.filter(|found| !found.is_empty() && found.len() == count);
        let components = components.ok_or("is broken: a scan is of components that its frame does not have")?;
        self.scans.push(Scan { components, restart });
        match self.scans.len() > MOST_SCANS {
            true => Err(format!("has more than {MOST_SCANS} scans, which no encoder makes")),
            false => Ok(()),
        }
    }

    /// What keeps the picture from being read, where neither decoder knows its kind or parts of it are not there.
    pub fn check(&self) -> Result<(), String> {
        let anew = |what: &str| Err(format!("{what}, which cannot be read; save it anew as baseline JPEG"));
        let largest = self.largest();
        match self.process {
            _ if self.components.is_empty() => return Err("is broken: it has no frame".into()),
            9..=15 => return anew("uses arithmetic coding"),
            _ if self.arithmetic => return anew("uses arithmetic coding"),
            3 => return anew("is a lossless JPEG"),
            5..=7 => return anew("is a hierarchical JPEG"),
            _ => {}
        }
        if self.precision != 8 {
            return anew(&format!("has {} bits a sample", self.precision));
        }
        if self.height == 0 {
            return anew("tells its height only behind its first scan (DNL)");
        }
        if self.width == 0 {
            return Err("has no pixels".into());
        }
        if !matches!(self.components.len(), 1 | 3 | 4) {
            return anew(&format!("has {} components a pixel", self.components.len()));
        }
        for component in &self.components {
            for (factor, most) in component.sampling.into_iter().zip(largest) {
                if factor == 0 || factor > 4 {
                    return Err(format!("is broken: a sampling factor is {factor}, wanted 1 to 4"));
                }
                if most % factor != 0 {
                    return anew("samples one component at no whole multiple of another");
                }
            }
        }
        let told = |place: usize| self.scans.iter().any(|scan| scan.components.contains(&place));
        match (0..self.components.len()).find(|&place| !told(place)) {
            Some(place) => Err(format!("is cut short: it has no data of its component {}", place + 1)),
            None => Ok(()),
        }
    }

    /// The largest sampling factors, horizontal and vertical.
    fn largest(&self) -> [u32; 2] {
        [0, 1].map(|axis| self.components.iter().map(|component| component.sampling[axis]).max().unwrap_or(1))
    }

    /// The pixels, three colours each.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let body = bytes.get(..self.end).unwrap_or_default();
        // Fill bytes before the end marker.
        let fill = body.iter().rev().take_while(|&&byte| byte == 0xff).count();
        let body = body.get(..body.len() - fill).unwrap_or_default();
        if !self.is_for_zune() {
            return self.decode_any(body);
        }
        // It is strict on what libjpeg only warns of, and the other decoder is not.
        self.decode_fast(body).or_else(|fault| match self.is_for_jpeg_decoder() {
            true => self.decode_any(body),
            false => Err(format!("is broken or cut short: {fault}")),
        })
    }

    /// Whether zune-jpeg 0.5 is right on the picture's kind.
    fn is_for_zune(&self) -> bool {
        let whole =
            self.process == 2 || self.scans.first().is_some_and(|scan| scan.components.len() == self.components.len());
        let first = self.components.first().map(|component| component.sampling);
        let power = |factor: &u32| factor.is_power_of_two();
        let named = self.has_ids(b"RGB");
        let taken_for_rgb = named || self.adobe == Some(0);
        whole
            && (self.components.len() != 3 || taken_for_rgb == (self.transform() == ColorTransform::RGB))
            && first == Some(self.largest())
            && self.components.iter().flat_map(|component| &component.sampling).all(power)
    }

    /// The colours of the components, told as libjpeg tells them.
    fn transform(&self) -> ColorTransform {
        match (self.components.len(), self.adobe) {
            (1, _) => ColorTransform::Grayscale,
            (3, _) if self.jfif => ColorTransform::YCbCr,
            (3, Some(0)) => ColorTransform::RGB,
            (3, None) if self.has_ids(b"RGB") => ColorTransform::RGB,
            (3, _) => ColorTransform::YCbCr,
            (_, None | Some(0)) => ColorTransform::CMYK,
            _ => ColorTransform::YCCK,
        }
    }

    fn has_ids(&self, ids: &[u8]) -> bool {
        self.components.iter().map(|component| component.id).eq(ids.iter().copied())
    }

    /// Whether jpeg-decoder 0.3 is right: its count of the blocks in a scan of one component is not what the standard says where
    /// the component is sampled more than once but less than the most.
    fn is_for_jpeg_decoder(&self) -> bool {
        let largest = self.largest();
        let right = |place: usize| {
            let sampling = self.components.get(place).map_or([1; 2], |component| component.sampling);
            [self.width, self.height].into_iter().zip(sampling).zip(largest).all(|((size, factor), most)| {
                let counted = (size.div_ceil(8 * most) * factor).min(size.div_ceil(8));
                counted == blocks(size, factor, most)
            })
        };
        self.scans
            .iter()
            .filter(|scan| scan.components.len() == 1)
            .all(|scan| scan.components.iter().all(|&at| right(at)))
    }

    fn decode_fast(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let bytes = [body, &[0; PADDING], self.restart_at_end(), &[0xff, 0x02, 0, 2, 0xff, 0xd9]].concat();
        let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
        let options = options.set_max_width(usize::MAX).set_max_height(usize::MAX);
        let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes.as_slice()), options);
        decoder.decode().map_err(|error| error.to_string())
    }

    /// A restart marker where one is looked for behind the last unit.
    fn restart_at_end(&self) -> &'static [u8] {
        let Some(Scan { components, restart }) = self.scans.last() else { return &[] };
        let largest = self.largest();
        let sampling = match components.as_slice() {
            &[one] => self.components.get(one).map_or(largest, |component| component.sampling),
            _ => [1; 2],
        };
        let units = [self.width, self.height].into_iter().zip(sampling).zip(largest);
        let units: u32 = units.map(|((size, factor), most)| blocks(size, factor, most)).product();
        if *restart > 0 && units.is_multiple_of(*restart) { &[0xff, 0xd0, 0, 0, 0, 0, 0, 0, 0, 0] } else { &[] }
    }

    fn decode_any(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        if !self.is_for_jpeg_decoder() {
            let kind = "samples its components at three rates in scans of their own";
            return Err(format!("{kind}, which cannot be read; save it anew as baseline JPEG"));
        }
        let bytes = [body, &[0; PADDING], &[0xff, 0xff, 0, 0xff, 0xd9]].concat();
        let mut decoder = jpeg_decoder::Decoder::new(bytes.as_slice());
        decoder.set_color_transform(self.transform());
        let pixels = decoder.decode().map_err(|error| match error {
            jpeg_decoder::Error::Unsupported(what) => {
                format!("is of a kind that cannot be read ({what:?}); save it anew as baseline JPEG")
            }
            error => format!("is broken or cut short: {error}"),
        })?;
        Ok(match self.components.len() {
            1 => pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
            // Adobe's programs write inks inverted, and the decoder takes every file for one of theirs.
            4 if self.adobe.is_some() => pixels.as_chunks().0.iter().flat_map(|&inks| rgb(inks)).collect(),
            4 => pixels.as_chunks().0.iter().flat_map(|inks| rgb(inks.map(|ink| 255 - ink))).collect(),
            _ => pixels,
        })
    }
}

/// What stands behind the data before a marker that is an error inside of them: decoders read a few bytes ahead, and fill what
/// is missing with zeros and say nothing, so more than this much of it is told as cut short.
const PADDING: usize = 16;

/// The blocks of eight pixels of a component along a side of this size.
fn blocks(size: u32, factor: u32, most: u32) -> u32 {
    (size * factor).div_ceil(8 * most)
}

/// The colour of cyan, magenta, yellow and black: (255 − ink) · (255 − black) / 255.
fn rgb([inks @ .., black]: [u8; 4]) -> [u8; 3] {
    inks.map(|ink| ((u32::from(255 - ink) * u32::from(255 - black) + 127) / 255) as u8)
}
