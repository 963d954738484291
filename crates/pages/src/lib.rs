//! Pictures and pages for people: numbers and strings in, HTML, SVG, PNG and GIF out.

#![forbid(unsafe_code)]

mod animation;
mod answer_page;
mod attention_overlay;
mod attention_sheet;
mod axis;
mod bars;
mod bubble_plot;
mod chart;
mod colour_scale;
mod coloured_text;
mod comparison;
mod embedding;
mod error;
mod film_strip;
mod format;
mod gradient_flow;
mod heatmap;
mod label_placement;
mod lightness_scale;
mod look_frame;
mod matrix;
mod page;
mod panel;
mod piano_roll;
mod raster;
mod training_curves;
mod units_page;
mod unrolled_drawing;

pub use animation::{AnimationFrame, animation};
pub use answer_page::AnswerPage;
pub use attention_overlay::{CaptionWord, write_attention};
pub use bars::{Bar, Bars};
pub use bubble_plot::{Bubble, BubblePlot};
pub use colour_scale::ColourScale;
pub use coloured_text::{Coloured, ColouredText};
pub use comparison::{ComparedCaption, ComparedPicture, Comparison, ComparisonRow, comparison_table};
pub use embedding::data_url;
pub use error::{Error, Result};
pub use film_strip::{FilmCurve, FilmFrame, FilmStrip};
pub use format::DrawingFormat;
pub use gradient_flow::{GradientNorms, gradient_flow_plot};
pub use heatmap::{HeatScale, Heatmap, overlay};
pub use look_frame::{LookFrame, MarkedBox};
pub use matrix::Matrix;
pub use page::Page;
pub use piano_roll::PianoRoll;
pub use training_curves::{Curve, TrainingCurves};
pub use units_page::{UnitProperty, UnitsPage, WrittenUnits};
pub use unrolled_drawing::{DrawnStep, DrawnSteps, UnrolledDrawing};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
