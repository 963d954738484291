//! Data types: safetensors' names for them, and their conversion to candle's.

use bytemuck::Pod;
use candle_core::{Device, Error, Result, Shape, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as Unknown;
use std::io;

/// The type of a tensor's values, or why they cannot be had.
#[derive(Clone)]
pub(crate) enum Kind {
    Known(Dtype),
    /// What completes a sentence that begins with the tensor's name.
    Unread(String),
}

/// The type of this name in a header.
pub(crate) fn named(name: &str) -> Kind {
    match Dtype::deserialize(name.into_deserializer()) as std::result::Result<Dtype, Unknown> {
        Ok(dtype) => Kind::Known(dtype),
        Err(_) => Kind::Unread(format!("is of the type {}, which cannot be read", crate::text::shown(name))),
    }
}

/// What is wrong with a type that no network here has, if it is one.
pub(crate) fn unread(dtype: Dtype) -> Option<String> {
    use Dtype::{C64, F4, F6_E2M3, F6_E3M2, F8_E4M3FNUZ, F8_E5M2FNUZ, F8_E8M0};
    matches!(dtype, C64 | F4 | F6_E2M3 | F6_E3M2 | F8_E4M3FNUZ | F8_E5M2FNUZ | F8_E8M0)
        .then(|| format!("is of the type {dtype:?}, which no network here reads; save it as F32"))
}

/// A tensor of what `read` puts into a buffer of as many values as the shape has.
///
/// Floats of 16 and 8 bits become f32; truth values u8, i8 becomes i16, u16 u32, and u64 i64, since candle has no such types.
pub(crate) fn tensor(
    dtype: Dtype,
    shape: &Shape,
    device: &Device,
    read: impl FnOnce(&mut [u8]) -> io::Result<()>,
) -> Result<Tensor> {
    let count = shape.elem_count();
    Ok(match dtype {
        Dtype::F32 => Tensor::from_vec(values::<f32>(count, read)?, shape, device)?,
        Dtype::F64 => Tensor::from_vec(values::<f64>(count, read)?, shape, device)?,
        Dtype::I64 => Tensor::from_vec(values::<i64>(count, read)?, shape, device)?,
        Dtype::I32 => Tensor::from_vec(values::<i32>(count, read)?, shape, device)?,
        Dtype::U32 => Tensor::from_vec(values::<u32>(count, read)?, shape, device)?,
        Dtype::I16 => Tensor::from_vec(values::<i16>(count, read)?, shape, device)?,
        Dtype::U8 | Dtype::BOOL => Tensor::from_vec(values::<u8>(count, read)?, shape, device)?,
        Dtype::I8 => converted(values::<i8>(count, read)?, i16::from, shape, device)?,
        Dtype::U16 => converted(values::<u16>(count, read)?, u32::from, shape, device)?,
        Dtype::F16 => converted(values::<u16>(count, read)?, |bits| f16::from_bits(bits).to_f32(), shape, device)?,
        Dtype::BF16 => converted(values::<u16>(count, read)?, |bits| bf16::from_bits(bits).to_f32(), shape, device)?,
        // The first half of an f16.
        Dtype::F8_E5M2 => {
            let wide = |byte: u8| f16::from_bits(u16::from(byte) << 8).to_f32();
            converted(values::<u8>(count, read)?, wide, shape, device)?
        }
        Dtype::F8_E4M3 => converted(values::<u8>(count, read)?, e4m3, shape, device)?,
        Dtype::U64 => {
            let signed =
                values::<u64>(count, read)?.into_iter().map(i64::try_from).collect::<std::result::Result<_, _>>();
            let signed: Vec<i64> =
                signed.map_err(|_| Error::Msg("has a value of 2⁶³ or more, which no i64 holds".into()))?;
            Tensor::from_vec(signed, shape, device)?
        }
        other => return Err(Error::Msg(unread(other).unwrap_or_default())),
    })
}

/// As many values as are wanted, read into place.
pub(crate) fn values<T: Pod>(count: usize, read: impl FnOnce(&mut [u8]) -> io::Result<()>) -> Result<Vec<T>> {
    let mut values = vec![T::zeroed(); count];
    read(bytemuck::cast_slice_mut(&mut values)).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Msg("is cut off: the file was cut short after it was opened".into()),
        _ => Error::Msg(format!("cannot be read: {error}")),
    })?;
    Ok(values)
}

fn converted<T, U: candle_core::WithDType>(
    values: Vec<T>,
    convert: impl Fn(T) -> U,
    shape: &Shape,
    device: &Device,
) -> Result<Tensor> {
    Tensor::from_vec(values.into_iter().map(convert).collect::<Vec<U>>(), shape, device)
}

/// A sign, four bits of exponent with a bias of 7, three of mantissa; no infinities.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 0xf), f32::from(byte & 7) / 8.0);
    let magnitude = match (exponent, byte & 7) {
        (0xf, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-6),
        _ => (1.0 + mantissa) * 2f32.powi(exponent - 7),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}
