//! A page's frame: what every page begins with, the colours of all of them in the light and in the dark, and no request to anywhere.

use crate::embedding::escaped;
use std::fmt::Write as _;

/// A page that holds all that it shows; for phones and wide screens, in the light and in the dark.
///
/// A browser refuses whatever it would fetch from elsewhere: pictures are data URLs, as [`crate::data_url`] gives them. The
/// elements of [`crate::ColouredText`] and [`crate::Bars`] need no style of their own.
///
/// ```
/// use candlewick_pages::Page;
///
/// let body = "<h1>Sentiment</h1>\n<p class=\"faint\">of 9 reviews</p>\n";
/// let html = Page { title: "Sentiment", style: ".faint { margin: 0 }", body, script: "" }.html();
/// assert!(html.starts_with("<!doctype html>") && html.contains("of 9 reviews"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// What the browser calls it.
    pub title: &'a str,
    /// CSS beside the frame's own, whose colours are `var(--ink)`, `--paper`, `--line`, `--faint`, `--negative`, `--positive` and
    /// `--weight`.
    pub style: &'a str,
    /// What it shows, as HTML that ends with its line.
    pub body: &'a str,
    /// JavaScript that runs when all stands; empty for none.
    pub script: &'a str,
}

/// A colour as red, green and blue.
pub(crate) type Rgb = [u8; 3];

/// The colours of all pages; those of values lie behind letters of `ink`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Colours {
    pub ink: Rgb,
    pub paper: Rgb,
    /// Lines between things.
    pub line: Rgb,
    /// Letters of what matters less.
    pub faint: Rgb,
    /// −1 and +1: a blue and a red that are told apart whichever cones one lacks.
    pub negative: Rgb,
    pub positive: Rgb,
    /// The largest weight.
    pub weight: Rgb,
}

pub(crate) const LIGHT: Colours = Colours {
    ink: [0x22, 0x22, 0x22],
    paper: [0xff, 0xff, 0xff],
    line: [0xdd, 0xdd, 0xdd],
    faint: [0x66, 0x66, 0x66],
    negative: [0x5a, 0xa9, 0xe6],
    positive: [0xf4, 0x7f, 0x62],
    weight: [0xf5, 0xb7, 0x3d],
};

pub(crate) const DARK: Colours = Colours {
    ink: [0xe4, 0xe4, 0xe4],
    paper: [0x16, 0x16, 0x16],
    line: [0x3c, 0x3c, 0x3c],
    faint: [0xa2, 0xa2, 0xa2],
    negative: [0x1b, 0x66, 0xab],
    positive: [0xab, 0x3b, 0x26],
    weight: [0x80, 0x55, 0x00],
};

/// The shades of a value between nothing and its full colour.
pub(crate) const SHADES: usize = 10;

/// What all pages look like, without the colours.
const STYLE: &str = include_str!("page.css");

impl Colours {
    /// As CSS variables.
    fn css(&self) -> String {
        let solid = [("ink", self.ink), ("paper", self.paper), ("line", self.line), ("faint", self.faint)];
        let values = [("negative", self.negative), ("positive", self.positive), ("weight", self.weight)];
        let mut css = String::new();
        for (name, [red, green, blue]) in solid.into_iter().chain(values) {
            let _ = write!(css, "--{name}:#{red:02x}{green:02x}{blue:02x};");
        }
        css
    }
}

/// The rules of shades: class `n3` is three tenths of the way to −1, `p3` to +1, `w3` to the largest weight.
fn shades() -> String {
    let mut css = String::new();
    for (class, colour) in [("n", "negative"), ("p", "positive"), ("w", "weight")] {
        for shade in 1..=SHADES {
            let share = 100 * shade / SHADES;
            let _ =
                write!(css, ".{class}{shade}{{background:color-mix(in srgb,var(--{colour}) {share}%,var(--paper))}}");
        }
    }
    css
}

/// Without the ends and beginnings of lines.
fn joined(css: &str) -> String {
    css.lines().map(str::trim).collect()
}

impl Page<'_> {
    /// The page as the content of a file.
    pub fn html(&self) -> String {
        let Self { title, style, body, script } = self;
        let scripts = if script.is_empty() { "" } else { "; script-src 'unsafe-inline'" };
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'{scripts}\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{}</title>\
             <style>:root{{color-scheme:light dark;{}}}@media(prefers-color-scheme:dark){{:root{{{}}}}}{}{}{}</style>\n<main>\n{body}</main>\n",
            escaped(title),
            LIGHT.css(),
            DARK.css(),
            joined(STYLE),
            shades(),
            joined(style)
        );
        if !script.is_empty() {
            let _ = write!(html, "<script>\n{script}</script>\n");
        }
        html + "</html>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a channel in linear light (IEC 61966-2-1).
    fn linear(channel: u8) -> f64 {
        let channel = f64::from(channel) / 255.0;
        if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
    }

    fn luminance(colour: Rgb) -> f64 {
        let [red, green, blue] = colour.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// WCAG's contrast, from 1 to 21.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn mixed(paper: Rgb, colour: Rgb, shade: usize) -> Rgb {
        let share = shade as f64 / SHADES as f64;
        let mut mixed = paper;
        for (mixed, colour) in mixed.iter_mut().zip(colour) {
            *mixed = (f64::from(*mixed) + share * (f64::from(colour) - f64::from(*mixed))).round() as u8;
        }
        mixed
    }

    /// What a protanope and a deuteranope see, in linear light (Viénot, Brettel and Mollon 1999), where red and green are one.
    fn dichromats(colour: Rgb) -> [[f64; 2]; 2] {
        let [red, green, blue] = colour.map(linear);
        [
            [0.1124 * red + 0.8876 * green, 0.0040 * red - 0.0040 * green + blue],
            [0.2928 * red + 0.7072 * green, -0.0223 * red + 0.0223 * green + blue],
        ]
    }

    #[test]
    fn letters_are_read_on_every_shade_in_the_light_and_in_the_dark() {
        for colours in [LIGHT, DARK] {
            for value in [colours.negative, colours.positive, colours.weight] {
                for shade in 0..=SHADES {
                    let found = contrast(colours.ink, mixed(colours.paper, value, shade));
                    assert!(found >= 4.5, "{value:?} at {shade}: {found:.2}");
                }
            }
            assert!(contrast(colours.faint, colours.paper) >= 4.5);
        }
    }

    #[test]
    fn minus_and_plus_are_told_apart_without_red_or_green_cones() {
        for colours in [LIGHT, DARK] {
            for (minus, plus) in dichromats(colours.negative).into_iter().zip(dichromats(colours.positive)) {
                // How much of the light is blue: above a half at −1, below it at +1.
                let [minus, plus] = [minus, plus].map(|[yellow, blue]| blue / (yellow + blue));
                assert!(minus > 0.6 && plus < 0.45, "{minus:.2} {plus:.2}");
            }
        }
    }

    #[test]
    fn a_page_fetches_nothing_and_its_title_is_text() {
        let page = Page { title: "a </title> & b", style: "p {\n  top: 0\n}", body: "<p>x</p>\n", script: "" }.html();
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"), "{page}");
        assert!(
            page.contains("<title>a &lt;/title&gt; &amp; b</title>")
                && page.ends_with("<main>\n<p>x</p>\n</main>\n</html>\n")
        );
        assert!(page.contains("default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"), "{page}");
        for part in
            ["width=device-width", "prefers-color-scheme:dark", "p {top: 0}", "--ink:#222222;", "--ink:#e4e4e4;"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script") && !page.contains("http:") && !page.contains("https:"));
        let page = Page { script: "1;\n", ..Page::default() }.html();
        assert!(page.contains("script-src 'unsafe-inline'\">") && page.ends_with("<script>\n1;\n</script>\n</html>\n"));
    }
}
