//! What the command line's numbers may be, found out before anything is made.

use super::Failure;
use candlewick::candle::DType;
use candlewick::pages::DrawingFormat;
use candlewick::parameters::available_memory;

/// A number that is one: neither NaN nor an infinity.
pub fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() { Ok(number) } else { Err("wanted a finite number".into()) }
}

/// A number of at least 0.
pub fn temperature(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| if number >= 0.0 { Ok(number) } else { Err("wanted a number of at least 0".into()) })
}

/// A number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| if number > 0.0 { Ok(number) } else { Err("wanted a number above 0".into()) })
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let within = |share: f64| if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("wanted 0 to 1".into()) };
    number(text).and_then(within)
}

/// A whole number above 0.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("one is the least".into()),
        Ok(count) => Ok(count),
        Err(_) => Err("wanted a whole number above 0".into()),
    }
}

/// A type of weights.
pub fn dtype(text: &str) -> Result<DType, String> {
    match text {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        _ => Err("wanted f32, f16 or bf16".into()),
    }
}

/// The path of a drawing, whose ending is one of the forms that drawings have.
pub fn drawing(text: &str) -> Result<std::path::PathBuf, String> {
    let path = std::path::PathBuf::from(text);
    match DrawingFormat::of(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err("a drawing is written as .svg or .png; name a file with one of these endings".into()),
    }
}

/// Refuses settings that would take more memory than there is.
///
/// # Errors
/// A wrong call that names the settings.
pub fn fits(settings: &str, bytes: f64) -> Result<(), Failure> {
    let available = available_memory() as f64;
    if bytes <= available {
        return Ok(());
    }
    let gigabytes = |bytes: f64| bytes / 1e9;
    Err(Failure::usage(format!(
        "{settings}: would take {:.1} GB of memory, and {:.1} GB are free; make them smaller",
        gigabytes(bytes),
        gigabytes(available)
    )))
}
