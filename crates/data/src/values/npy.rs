//! NumPy's `.npy` files, versions 1 to 3: a header that tells type and shape, then the numbers.

use crate::error::{Error, Result};
use std::path::Path;

/// An array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its numbers, the last dimension running fastest.
    pub values: Vec<f32>,
}

/// What is in a file, and what tells how.
struct Header {
    /// `f`, `i` or `u`, and `b` for truth values.
    kind: u8,
    bytes: usize,
    big_endian: bool,
    shape: Vec<usize>,
    /// Where the numbers begin.
    start: usize,
}

/// Reads an array of floating-point or whole numbers of any size and byte order, in C order.
///
/// # Errors
/// When it cannot be read, is no such file, is cut short or too long, is of another type or in Fortran's order, or holds what is no
/// finite number.
pub fn read(path: &Path) -> Result<Array> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let fault = |fault: String| Error::items(path, 0, fault);
    let header = header(&bytes).map_err(fault)?;
    let content = bytes.get(header.start..).unwrap_or_default();
    let wanted = header.shape.iter().try_fold(header.bytes, |product, &size| product.checked_mul(size));
    if wanted != Some(content.len()) {
        let wanted = wanted.map_or("more than there can be".to_owned(), |wanted| wanted.to_string());
        return Err(fault(format!("its header asks for {wanted} bytes of numbers, there are {}", content.len())));
    }
    let mut values = Vec::with_capacity(content.len() / header.bytes);
    for number in content.chunks_exact(header.bytes) {
        let value = decode(&header, number).filter(|value| value.is_finite());
        values.push(value.ok_or_else(|| fault(format!("number {} is not finite", values.len())))?);
    }
    Ok(Array { shape: header.shape, values })
}

fn header(bytes: &[u8]) -> std::result::Result<Header, String> {
    let short = || "is cut short in its header".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("does not begin as a .npy file; save it with numpy.save")?;
    let [major, _, rest @ ..] = rest else { return Err(short()) };
    let (length, before) = match (major, rest) {
        (1, [a, b, ..]) => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        (2 | 3, [a, b, c, d, ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
        (1..=3, _) => return Err(short()),
        _ => return Err(format!("is version {major} of .npy; wanted 1, 2 or 3")),
    };
    let start = before + length;
    let text = String::from_utf8_lossy(bytes.get(before..start).ok_or_else(short)?).into_owned();
    let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
    let kind = value("descr").and_then(|text| text.strip_prefix('\'')?.split('\'').next());
    let shape = value("shape").and_then(|text| text.strip_prefix('(')?.split(')').next());
    let (Some(kind), Some(shape), Some(order)) = (kind, shape, value("fortran_order")) else {
        return Err("its header has no plain descr, shape and fortran_order; save one array of numbers".to_owned());
    };
    if !order.starts_with("False") {
        return Err("is in Fortran's order; save numpy.ascontiguousarray of it".to_owned());
    }
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = sizes.map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>();
    let shape = shape.ok_or_else(|| "its shape is no list of whole numbers".to_owned())?;
    match kind.as_bytes() {
        &[order, kind @ (b'f' | b'i' | b'u' | b'b'), size @ b'1'..=b'8'] if fits(kind, size - b'0') => {
            Ok(Header { kind, bytes: usize::from(size - b'0'), big_endian: order == b'>', shape, start })
        }
        _ => Err(format!("its numbers are {kind}; save float32, float64 or whole numbers")),
    }
}

/// Whether there are numbers of this kind with so many bytes.
fn fits(kind: u8, bytes: u8) -> bool {
    match kind {
        b'f' => matches!(bytes, 4 | 8),
        b'b' => bytes == 1,
        _ => matches!(bytes, 1 | 2 | 4 | 8),
    }
}

fn decode(header: &Header, bytes: &[u8]) -> Option<f32> {
    // In little-endian order, filled up to eight bytes with its sign.
    let mut all = [0; 8];
    for (at, byte) in all.iter_mut().zip(bytes) {
        *at = *byte;
    }
    let own = all.get_mut(..bytes.len())?;
    if header.big_endian {
        own.reverse();
    }
    if header.kind == b'i' && own.last().is_some_and(|byte| byte & 0x80 != 0) {
        all.iter_mut().skip(bytes.len()).for_each(|byte| *byte = 0xff);
    }
    Some(match (header.kind, header.bytes) {
        (b'f', 4) => f32::from_bits(u64::from_le_bytes(all) as u32),
        (b'f', _) => f64::from_le_bytes(all) as f32,
        (b'i', _) => i64::from_le_bytes(all) as f32,
        _ => u64::from_le_bytes(all) as f32,
    })
}
