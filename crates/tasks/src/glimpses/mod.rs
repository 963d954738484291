//! A picture told by a series of looks: each look is a small part of the picture, and what was seen so far decides where the next one goes.
//!
//! ```text
//! g_t = what and where of the look at l_t        h_t = f(h_{t−1}, g_t)
//! l_{t+1} ~ N(tanh(W_l h_t), σ²)                  p(class) = softmax(W_c h_T)
//! ```
//!
//! Where to look is learned by REINFORCE, since a look is no differentiable choice. Mnih et al. 2014, "Recurrent models of visual attention";
//! several labels in a row as in Ba et al. 2015, "Multiple object recognition with visual attention".
//!
//! [`RecurrentAttentionModel`] is the way in: it opens a model folder and tells what pictures show, with every look. [`GlimpseTask`] trains one as
//! a [`GlimpseRecipe`] says.

mod classified;
mod config;
mod evaluate;
mod items;
mod model;
mod network;
mod prepare;
mod recipe;
mod retina;
mod task;

pub use classified::{Classified, Glimpse};
pub use config::{FirstLook, GlimpseNetworkConfig, RecurrentAttentionConfig};
pub use evaluate::evaluate;
pub use items::Batch;
pub use model::RecurrentAttentionModel;
pub use recipe::{BatchConfig, DataConfig, GlimpseRecipe, LossConfig, Reward};
pub use task::GlimpseTask;
