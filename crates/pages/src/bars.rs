//! Bars: names with values as lengths, and a fainter value under each, such as what chance gives; a table whose text can be selected.

use crate::ColourScale;
use crate::embedding::escaped;
use std::fmt::Write as _;

/// A name and its value.
#[derive(Clone, Copy, Debug)]
pub struct Bar<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its length, and by [`ColourScale::Signed`] its colour.
    pub value: f32,
    /// What chance gives, where that is known.
    pub chance: Option<f32>,
    /// Where a click on the name leads, such as `#unit-3`.
    pub link: Option<&'a str>,
}

/// Horizontal bars, one under the other.
///
/// ```
/// use candlewick_pages::{Bar, Bars, ColourScale};
///
/// let bars = [("red", 0.61), ("blue", 0.3)].map(|(name, value)| Bar { name, value, chance: Some(0.25), link: None });
/// let scale = ColourScale::Weight { largest: 1.0 };
/// let html = Bars { names: "answer", values: "probability", chances: "by chance", scale, bars: &bars }.html();
/// assert!(html.contains("<td>0.61<td class=\"faint\">0.25"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Bars<'a> {
    /// What the names are.
    pub names: &'a str,
    /// What the values are.
    pub values: &'a str,
    /// What the fainter values are; empty where there are none.
    pub chances: &'a str,
    /// Which value is as long as can be: a signed one of 1, or the largest weight.
    pub scale: ColourScale,
    /// The bars.
    pub bars: &'a [Bar<'a>],
}

impl Bars<'_> {
    /// As HTML for a [`crate::Page`].
    pub fn html(&self) -> String {
        let Self { names, values, chances, .. } = self;
        let chance_head =
            if self.has_chances() { format!("<th scope=\"col\">{}", escaped(chances)) } else { String::new() };
        let mut html = format!(
            "<table class=\"bars\"><tr><th scope=\"col\">{}<th aria-hidden=\"true\"><th scope=\"col\">{}{chance_head}\n",
            escaped(names),
            escaped(values)
        );
        self.bars.iter().for_each(|bar| self.row(&mut html, bar));
        html + "</table>\n"
    }

    fn has_chances(&self) -> bool {
        self.bars.iter().any(|bar| bar.chance.is_some())
    }

    fn row(&self, html: &mut String, bar: &Bar<'_>) {
        let name = escaped(bar.name);
        let name = bar.link.map_or(name.clone(), |link| format!("<a href=\"{}\">{name}</a>", escaped(link)));
        let colour = self.scale.full(bar.value);
        let length = |value| 100.0 * self.scale.share(value);
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{name}<td aria-hidden=\"true\"><div style=\"width:{:.1}%;background:var(--{colour})\"></div>",
            length(bar.value)
        );
        if let Some(chance) = bar.chance {
            let _ = write!(html, "<div class=\"chance\" style=\"width:{:.1}%\"></div>", length(chance));
        }
        let _ = write!(html, "<td>{}", number(bar.value));
        if self.has_chances() {
            let _ = write!(html, "<td class=\"faint\">{}", bar.chance.map(number).unwrap_or_default());
        }
        html.push('\n');
    }
}

/// With two decimals and a true minus.
fn number(value: f32) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.2}").replace("-0.00", "0.00").replace('-', "−") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, value: f32, chance: Option<f32>) -> Bar<'_> {
        Bar { name, value, chance, link: None }
    }

    fn html(scale: ColourScale, bars: &[Bar<'_>]) -> String {
        Bars { names: "a property", values: "ρ", chances: "by chance", scale, bars }.html()
    }

    #[test]
    fn a_bar_is_as_long_as_its_value_and_its_text_is_there() {
        let bars =
            [bar("in \"quotes\"", -0.831, Some(0.12)), bar("<b>", 1.7, None), bar("none", f32::NAN, Some(-0.001))];
        let html = html(ColourScale::Signed, &bars);
        let rows: Vec<&str> = html.lines().collect();
        assert!(rows[0].ends_with(
            "<th scope=\"col\">a property<th aria-hidden=\"true\"><th scope=\"col\">ρ<th scope=\"col\">by chance"
        ));
        assert!(rows[1].contains(
            ">in &quot;quotes&quot;<td aria-hidden=\"true\"><div style=\"width:83.1%;background:var(--negative)\">"
        ));
        assert!(
            rows[1].ends_with("<div class=\"chance\" style=\"width:12.0%\"></div><td>−0.83<td class=\"faint\">0.12")
        );
        assert!(rows[2].contains("&lt;b&gt;") && rows[2].contains("width:100.0%;background:var(--positive)"));
        assert!(rows[2].ends_with("</div><td>1.70<td class=\"faint\">"), "{}", rows[2]);
        assert!(rows[3].contains("width:0.0%") && rows[3].ends_with("<td>–<td class=\"faint\">0.00"), "{}", rows[3]);
    }

    #[test]
    fn without_chance_there_is_no_column_for_it_and_a_name_may_lead_somewhere() {
        let bars = [Bar { link: Some("#unit-3\""), ..bar("x", 0.25, None) }];
        let html = html(ColourScale::Weight { largest: 0.5 }, &bars);
        assert!(
            html.contains("<a href=\"#unit-3&quot;\">x</a>") && html.contains("width:50.0%;background:var(--weight)")
        );
        assert!(!html.contains("chance") && html.ends_with("<td>0.25\n</table>\n"), "{html}");
    }
}
