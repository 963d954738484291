//! Strided views of storages, copied out contiguously.

use super::element::Element;
use super::fault::{DAMAGED, Read};

/// A storage, or the part of one that an old PyTorch took for a storage of its own; counted in values of its type.
#[derive(Clone, Copy)]
pub struct Storage<'a> {
    pub key: &'a str,
    pub element: &'static Element,
    pub start: usize,
    pub len: usize,
}

impl Storage<'_> {
    /// The same bytes as values of another type; none where a storage has a type of its own.
    pub fn seen_as(self, element: &'static Element) -> Option<Self> {
        let divides = |bytes: usize| bytes.is_multiple_of(element.size).then(|| bytes / element.size);
        let untyped = self.element == Element::byte();
        let len = if untyped { self.len / element.size } else { self.len };
        let start = if untyped { divides(self.start)? } else { self.start };
        (untyped || self.element == element).then_some(Self { element, start, len, ..self })
    }
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

    /// Adds the values in the order of a contiguous tensor to `values`, of the bytes of its whole storage.
    pub fn copy(&self, storage: &[u8], values: &mut Vec<u8>) -> Read<()> {
        let Storage { element, start, len, .. } = self.storage;
        let width = element.size;
        let storage = storage.get(start * width..(start + len) * width).ok_or(DAMAGED)?;
        if self.is_contiguous() {
            values.extend_from_slice(
                storage.get(self.offset * width..(self.offset + self.count) * width).ok_or(DAMAGED)?,
            );
            return Ok(());
        }
        let (mut at, mut index) = (self.offset, vec![0; self.size.len()]);
        for _ in 0..self.count {
            values.extend_from_slice(storage.get(at * width..(at + 1) * width).ok_or(DAMAGED)?);
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
        Ok(())
    }

    fn is_contiguous(&self) -> bool {
        let mut wanted = 1;
        self.size.iter().zip(&self.stride).rev().all(|(&size, &stride)| {
            let fits = size < 2 || stride == wanted;
            wanted *= size.max(1);
            fits
        })
    }
}
