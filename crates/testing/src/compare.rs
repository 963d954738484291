//! Comparison of numbers, wherever they stand.

#[cfg(feature = "tensors")]
use candle_core::{DType, Tensor};

/// Numbers with a shape.
pub trait Values {
    /// The shape.
    fn shape(&self) -> Vec<usize>;

    /// The numbers in f64, row after row.
    fn values(&self) -> Vec<f64>;
}

impl Values for [f32] {
    fn shape(&self) -> Vec<usize> {
        vec![self.len()]
    }

    fn values(&self) -> Vec<f64> {
        self.iter().copied().map(f64::from).collect()
    }
}

impl Values for [f64] {
    fn shape(&self) -> Vec<usize> {
        vec![self.len()]
    }

    fn values(&self) -> Vec<f64> {
        self.to_vec()
    }
}

impl<T> Values for Vec<T>
where
    [T]: Values,
{
    fn shape(&self) -> Vec<usize> {
        self.as_slice().shape()
    }

    fn values(&self) -> Vec<f64> {
        self.as_slice().values()
    }
}

#[cfg(feature = "tensors")]
impl Values for Tensor {
    fn shape(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn values(&self) -> Vec<f64> {
        values(self)
    }
}

/// Fails unless shapes are equal and all values agree to `tolerance` times the largest of the wanted ones; NaN equals NaN.
#[track_caller]
pub fn assert_close(what: &str, found: &(impl Values + ?Sized), wanted: &(impl Values + ?Sized), tolerance: f64) {
    assert_eq!(found.shape(), wanted.shape(), "{what}: shape");
    let (found, wanted) = (found.values(), wanted.values());
    let largest = wanted.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        let close = (found - wanted).abs() <= tolerance * largest || found.is_nan() && wanted.is_nan();
        assert!(close, "{what}[{i}]: {found} instead of {wanted}, where the largest is {largest}");
    }
}

/// The numbers of a tensor of any type and layout, row after row.
#[cfg(feature = "tensors")]
pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// [`flat`] in f64.
#[cfg(feature = "tensors")]
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The bits of an f32 tensor's numbers, to tell runs apart that are nearly the same.
#[cfg(feature = "tensors")]
pub fn bits(tensor: &Tensor) -> Vec<u32> {
    flat(tensor).into_iter().map(f32::to_bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_difference_is_measured_by_the_largest_value() {
        let nan = f64::NAN;
        assert_close("close", &[1.0, 1e-9, nan][..], &vec![1.0 + 1e-6, 0.0, nan], 1e-5);
        for (found, wanted) in [([1.0, 2.0], [1.0, 2.1]), ([1.0, nan], [1.0, 2.0]), ([1e-9, 0.0], [0.0, 0.0])] {
            assert!(
                catch_unwind(|| assert_close("far", &found[..], &wanted[..], 1e-2)).is_err(),
                "{found:?} {wanted:?}"
            );
        }
        assert!(catch_unwind(|| assert_close("shape", &[1.0][..], &[1.0, 1.0][..], 1.0)).is_err());
    }
}
