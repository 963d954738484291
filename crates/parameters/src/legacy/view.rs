//! Tensors as a checkpoint has them: what each shows of a storage.

use super::unpickle::{ODD, Read};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

/// A storage, or the part of one that an old PyTorch took for a storage of its own; counted in elements.
#[derive(Clone, Copy)]
pub struct Storage<'a> {
    pub key: &'a str,
    pub dtype: DType,
    pub start: usize,
    pub len: usize,
}

/// What a tensor shows of its storage, past whose end it does not reach.
#[derive(Clone)]
pub struct View<'a> {
    pub storage: Storage<'a>,
    pub offset: usize,
    pub size: Vec<usize>,
    pub stride: Vec<usize>,
    pub count: usize,
}

impl<'a> View<'a> {
    /// None for a view that reaches past the end of its storage, or is too large for a number.
    pub fn new(storage: Storage<'a>, offset: usize, size: Vec<usize>, mut stride: Vec<usize>) -> Option<Self> {
        if size.len() != stride.len() {
            return None;
        }
        // candle multiplies all sizes, even where one of them is 0.
        let (mut last, mut product) = (offset, 1usize);
        for (&size, stride) in size.iter().zip(&mut stride) {
            if size < 2 {
                *stride = 0;
            }
            last = last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)?;
            product = product.checked_mul(size.max(1))?;
        }
        let count = if size.contains(&0) { 0 } else { product };
        let fits = if count == 0 { offset <= storage.len } else { last < storage.len };
        fits.then_some(Self { storage, offset, size, stride, count })
    }

    /// The values, copied from the bytes of all storages.
    pub fn tensor(&self, storages: &HashMap<&str, &[u8]>) -> Read<Tensor> {
        let Storage { key, dtype, start, len } = self.storage;
        let width = dtype.size_in_bytes();
        let storage = storages.get(key).ok_or("a storage is missing")?;
        let storage = storage.get(start * width..(start + len) * width).ok_or(ODD)?;
        let gathered;
        let values = if self.is_contiguous() {
            storage.get(self.offset * width..(self.offset + self.count) * width).ok_or(ODD)?
        } else {
            gathered = self.gathered(storage, width)?;
            &gathered
        };
        Tensor::from_raw_buffer(values, dtype, &self.size, &Device::Cpu).map_err(|error| error.to_string())
    }

    fn is_contiguous(&self) -> bool {
        let mut wanted = 1;
        self.size.iter().zip(&self.stride).rev().all(|(&size, &stride)| {
            let fits = size < 2 || stride == wanted;
            wanted *= size.max(1);
            fits
        })
    }

    /// The values in the order of a contiguous tensor.
    fn gathered(&self, storage: &[u8], width: usize) -> Read<Vec<u8>> {
        let mut values = Vec::with_capacity(self.count * width);
        let (mut at, mut index) = (self.offset, vec![0; self.size.len()]);
        for _ in 0..self.count {
            values.extend_from_slice(storage.get(at * width..(at + 1) * width).ok_or(ODD)?);
            for ((index, &size), &stride) in index.iter_mut().zip(&self.size).zip(&self.stride).rev() {
                *index += 1;
                at += stride;
                if *index < size {
                    break;
                }
                at -= size * stride;
                *index = 0;
            }
        }
        Ok(values)
    }
}
