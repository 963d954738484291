//! The captioners' decoders: one file a paper, a trait that all have, and one type for any of them.

mod added;
mod any;
mod caption_decoder;
mod config;
pub(crate) mod hard_attention;
mod schema;
mod show_attend_tell;
mod show_tell;
mod top_down;

pub use added::{AddedDecoder, BuildDecoder, add_decoder};
pub use any::{AnyDecoder, AnyMemory, AnyState};
pub use caption_decoder::{CaptionDecoder, SampledPositions, TeacherForcedRead};
pub use config::DecoderConfig;
pub use hard_attention::{Attention, HardAttention};
pub use show_attend_tell::{Memory, ShowAttendTell, ShowAttendTellConfig, State};
pub use show_tell::{PictureInput, PictureVector, ShowTell, ShowTellConfig};
pub use top_down::{TopDown, TopDownConfig, TopDownMemory, TopDownState};
