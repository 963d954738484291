//! Drawing a picture step by step on a canvas, where each step decides from what was drawn where to draw next.
//!
//! ```text
//! x̂_t = x − σ(c_{t−1})                      what is missing on the canvas
//! h_t^enc = f(h_{t−1}^enc, [read(x, x̂_t, h_{t−1}^dec), h_{t−1}^dec])
//! z_t ~ N(μ(h_t^enc), σ(h_t^enc)²)            h_t^dec = f(h_{t−1}^dec, z_t)
//! c_t = c_{t−1} + write(h_t^dec)              p(x | c_T)
//! L = E[−log p(x | c_T)] + Σ_t KL(q(z_t | x) ‖ N(0, 1))
//! ```
//!
//! Reading and writing go through a [Gaussian grid](candlewick_kernels::gaussian_grid) of few points, or over the whole canvas at once. To draw
//! anew, z_t is drawn from N(0, 1). Gregor et al. 2015, "DRAW: A recurrent neural network for image generation".
//!
//! [`Draw`] is the way in: it opens a model folder and draws, with every step. [`DrawTask`] trains one as a [`DrawRecipe`] says.

mod config;
mod drawing;
mod evaluate;
mod grid;
mod likelihood;
mod model;
mod network;
mod pictures;
mod prepare;
mod recipe;
mod task;

pub use config::{DrawConfig, DrawNetworkConfig, Likelihood};
pub use drawing::{Bound, Drawing, DrawnStep, GridBox};
pub use evaluate::evaluate;
pub use model::{Draw, EmbeddedFiles};
pub use pictures::{Batch, Pictures};
pub use recipe::{BatchConfig, DataConfig, DrawRecipe};
pub use task::DrawTask;
