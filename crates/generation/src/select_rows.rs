//! Choosing rows of a decoder's state.

use candle_core::{Result, Tensor};

/// A state with one row per sentence, of which a search can keep, repeat and reorder rows.
pub trait SelectRows: Sized {
    /// The state whose row m is row `rows[m]` of this one; `rows` is (M) of type u32.
    ///
    /// The result is cut from the graph: a search asks for no gradient, and would otherwise keep every step's tensors.
    ///
    /// # Errors
    /// When a row lies outside the state.
    fn select(&self, rows: &Tensor) -> Result<Self>;
}

impl SelectRows for () {
    fn select(&self, _: &Tensor) -> Result<Self> {
        Ok(())
    }
}

impl SelectRows for Tensor {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        // index_select wants its source without gaps; for a tensor that has none this is free.
        Ok(self.detach().contiguous()?.index_select(rows, 0)?.detach())
    }
}

impl<T: SelectRows> SelectRows for Vec<T> {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        self.iter().map(|part| part.select(rows)).collect()
    }
}

impl<T: SelectRows> SelectRows for Option<T> {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        self.as_ref().map(|part| part.select(rows)).transpose()
    }
}

impl<A: SelectRows, B: SelectRows> SelectRows for (A, B) {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok((self.0.select(rows)?, self.1.select(rows)?))
    }
}

impl<A: SelectRows, B: SelectRows, C: SelectRows> SelectRows for (A, B, C) {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok((self.0.select(rows)?, self.1.select(rows)?, self.2.select(rows)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn every_part_of_a_state_has_its_rows_chosen_and_is_cut_from_the_graph() {
        let var = Var::new(&[[0f32, 10.], [1., 11.], [2., 12.]], &Device::Cpu).unwrap();
        let rows = Tensor::new(&[2u32, 0, 2, 1], &Device::Cpu).unwrap();
        // A transposed tensor has gaps in memory.
        let wide = (var.as_tensor() * 1.0).unwrap();
        let tall = wide.t().unwrap().contiguous().unwrap().t().unwrap();
        let state = (Some(wide), vec![tall], (None::<Tensor>, ()));
        let (first, second, (third, ())) = state.select(&rows).unwrap();
        let wanted = [[2f32, 12.], [0., 10.], [2., 12.], [1., 11.]];
        for part in [first.unwrap(), second[0].clone()] {
            assert_eq!(part.to_vec2::<f32>().unwrap(), wanted);
            assert!(!part.track_op());
        }
        assert!(third.is_none());
    }
}
