//! What decoders write about.

use candle_core::{Result, Tensor, bail};
use candlewick_kernels::additive_attention::Counts;

/// N sources, each as annotations to attend to and as one vector: pictures, or sentences that were read.
#[derive(Clone, Debug)]
pub struct Source {
    annotations: Tensor,
    vector: Tensor,
    counts: Option<Counts>,
    grid: (usize, usize),
}

impl Source {
    /// Sources with annotations a_p (N, P, C), and the vector v (N, C) that stands for each as a whole, such as their mean.
    ///
    /// # Errors
    /// When the shapes do not fit together.
    pub fn new(annotations: Tensor, vector: Tensor) -> Result<Self> {
        let (n, p, c) = annotations.dims3()?;
        if vector.dims() != [n, c] {
            bail!("source: a vector of shape {:?} beside annotations of shape {:?}", vector.dims(), annotations.dims())
        }
        Ok(Self { annotations, vector, counts: None, grid: (1, p) })
    }

    /// Says how many annotations each source has; those after them only fill its row.
    pub fn with_counts(self, counts: Option<Counts>) -> Self {
        Self { counts, ..self }
    }

    /// Says that the annotations are the positions of a map, row by row.
    ///
    /// # Errors
    /// When the map has another number of positions.
    pub fn with_grid(self, (height, width): (usize, usize)) -> Result<Self> {
        let p = self.annotations.dim(1)?;
        if height * width != p {
            bail!("source: {p} positions are no map of {height} rows and {width} columns")
        }
        Ok(Self { grid: (height, width), ..self })
    }

    /// a (N, P, C).
    pub fn annotations(&self) -> &Tensor {
        &self.annotations
    }

    /// v (N, C).
    pub fn vector(&self) -> &Tensor {
        &self.vector
    }

    /// How many annotations each source has; nothing where all have P.
    pub fn counts(&self) -> Option<&Counts> {
        self.counts.as_ref()
    }

    /// Rows and columns of the map; 1 and P for what has no place on one.
    pub fn grid_size(&self) -> (usize, usize) {
        self.grid
    }
}
