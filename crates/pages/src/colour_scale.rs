//! Colour scales of values on pages and in terminals: from −1 to +1 through nothing, and from nothing to the largest weight.

use crate::page::{Colours, Rgb, SHADES};
use std::fmt::Write as _;

/// What the colours of values say.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ColourScale {
    /// From −1, blue, through 0, nothing, to +1, red.
    Signed,
    /// From 0, nothing, to the largest weight.
    Weight {
        /// What has the full colour, above 0.
        largest: f32,
    },
}

/// A colour and how much there is of it; what is no number has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shade {
    colour: Colour,
    /// From 0, nothing, to [`SHADES`].
    level: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Colour {
    Negative,
    Positive,
    Weight,
}

impl Shade {
    /// The class that the frame of pages knows; nothing where there is no colour.
    pub fn class(self) -> Option<String> {
        let letter = match self.colour {
            Colour::Negative => 'n',
            Colour::Positive => 'p',
            Colour::Weight => 'w',
        };
        (self.level > 0).then(|| format!("{letter}{}", self.level))
    }

    /// Over paper; nothing where there is no colour.
    pub fn mixed(self, colours: &Colours) -> Option<Rgb> {
        let full = match self.colour {
            Colour::Negative => colours.negative,
            Colour::Positive => colours.positive,
            Colour::Weight => colours.weight,
        };
        let share = self.level as f32 / SHADES as f32;
        let mut mixed = colours.paper;
        for (mixed, full) in mixed.iter_mut().zip(full) {
            *mixed = (f32::from(*mixed) + share * (f32::from(full) - f32::from(*mixed))).round() as u8;
        }
        (self.level > 0).then_some(mixed)
    }
}

impl ColourScale {
    /// The value as a share of the full colour, from 0 to 1; 0 for what is no number.
    pub(crate) fn share(self, value: f32) -> f32 {
        let share = match self {
            Self::Signed => value.abs(),
            Self::Weight { largest } => value / largest,
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    fn colour(self, value: f32) -> Colour {
        match self {
            Self::Signed if value < 0.0 => Colour::Negative,
            Self::Signed => Colour::Positive,
            Self::Weight { .. } => Colour::Weight,
        }
    }

    /// The CSS variable of the value's full colour.
    pub(crate) fn full(self, value: f32) -> &'static str {
        match self.colour(value) {
            Colour::Negative => "negative",
            Colour::Positive => "positive",
            Colour::Weight => "weight",
        }
    }

    pub(crate) fn shade(self, value: f32) -> Shade {
        let colour = self.colour(value);
        let level = (self.share(value) * SHADES as f32).round() as usize;
        // Without a colour both signs are one.
        Shade { colour: if level == 0 { Colour::Positive } else { colour }, level }
    }

    /// What the colours stand for, as HTML for a [`crate::Page`].
    pub fn legend(self) -> String {
        let (from, to, steps, largest) = match self {
            Self::Signed => ("−1".to_owned(), "+1".to_owned(), -(SHADES as i32)..=SHADES as i32, 1.0),
            Self::Weight { largest } => ("0".to_owned(), number(largest), 0..=SHADES as i32, largest),
        };
        let mut html = format!("<span class=\"legend\">{from} <span aria-hidden=\"true\">");
        for step in steps {
            let class = self.shade(step as f32 / SHADES as f32 * largest).class().unwrap_or_default();
            let _ = write!(html, "<span class=\"{class}\">\u{2002}</span>");
        }
        html + "</span> " + &to + "</span>"
    }
}

/// With two digits that count, and no zeros behind.
fn number(value: f32) -> String {
    let decimals = (1.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::LIGHT;

    fn class(scale: ColourScale, value: f32) -> String {
        scale.shade(value).class().unwrap_or_default()
    }

    #[test]
    fn values_have_shades_and_what_is_no_number_has_none() {
        let signed = [-7.0, -1.0, -0.31, -0.04, -0.0, 0.0, 0.04, 0.06, 1.0, f32::INFINITY, f32::NAN];
        assert_eq!(
            signed.map(|value| class(ColourScale::Signed, value)),
            ["n10", "n10", "n3", "", "", "", "", "p1", "p10", "p10", ""]
        );
        let weights = [-1.0, 0.0, 0.1, 0.2, 0.9, f32::NAN];
        let scale = ColourScale::Weight { largest: 0.2 };
        assert_eq!(weights.map(|value| class(scale, value)), ["", "", "w5", "w10", "w10", ""]);
        assert_eq!(class(ColourScale::Weight { largest: 0.0 }, 0.0), "");
        assert_eq!(ColourScale::Signed.shade(-0.01), ColourScale::Signed.shade(0.01));
        assert_eq!(ColourScale::Signed.shade(-1.0).mixed(&LIGHT), Some(LIGHT.negative));
        assert_eq!(ColourScale::Signed.shade(0.0).mixed(&LIGHT), None);
    }

    #[test]
    fn the_legend_names_both_ends() {
        let legend = ColourScale::Signed.legend();
        assert!(legend.contains(">−1 <") && legend.ends_with("</span> +1</span>"), "{legend}");
        assert_eq!(["n10", "n1", "p1", "p10"].map(|class| legend.matches(&format!("\"{class}\"")).count()), [1; 4]);
        let ends = [0.37, 1.0, 12.0, 0.0123].map(|largest| ColourScale::Weight { largest }.legend());
        for (legend, end) in ends.iter().zip(["0.37", "1", "12", "0.012"]) {
            assert!(legend.ends_with(&format!("</span> {end}</span>")), "{legend}");
        }
    }
}
