//! Tests of the units page: all that is in it comes out, and it is never too large.

#![allow(clippy::unwrap_used)]
use super::packing::tests::unpacked;
use super::*;
use serde_json::Value;

const HARD: &str = "a</script>&amp;<!--\r\n\"\\\u{2028}\u{0}\u{1b}{data}𝒳한ü</SCRIPT ";

/// What the page's script reads.
fn data(html: &str) -> Value {
    let (_, data) = html.split_once("id=\"data\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|unit| format!("layer 1 h {unit}")).collect()
}

fn unpacked_at(data: &Value, list: &str, index: usize) -> Vec<i8> {
    let packed = &data[list][index];
    unpacked(packed.get("marks").unwrap_or(packed).as_str().unwrap())
}

#[test]
fn text_names_values_and_marks_come_out_as_they_went_in() {
    let count = HARD.chars().count();
    let units = ["<b>".to_owned(), "layer 2 c \"1\"".to_owned()];
    let values: Vec<[f32; 2]> = (0..count).map(|t| [t as f32 / 100.0, -1.0]).collect();
    let values: Vec<&[f32]> = values.iter().map(|row| &row[..]).collect();
    let depths: Vec<f32> = (0..count).map(|t| (t % 4) as f32).collect();
    let scores = [-0.4567, f32::NAN];
    let depth =
        UnitProperty { name: "</p> {units}", best: 1, score: 0.7, chance: 0.1, scores: &scores, marks: &depths };
    let page = UnitsPage { title: "</title>", text: HARD, units: &units, values: &values, properties: &[depth] };
    let WrittenUnits { html, characters } = page.html().unwrap();
    assert_eq!((characters, html.matches("</script").count(), html.matches("</SCRIPT").count()), (count, 2, 0));
    assert!(
        html.contains("&lt;/p&gt; {units} · layer\u{a0}2\u{a0}c\u{a0}&quot;1&quot;")
            && html.contains("<a href=\"#u1.p0\">")
    );
    assert!(html.contains(&format!("2 units over {count} characters; values in steps of 0.05.")), "{html}");
    let data = data(&html);
    assert_eq!(data["text"], HARD);
    assert_eq!(data["units"], serde_json::json!(units));
    let property = &data["properties"][0];
    assert_eq!((&property["name"], &property["best"]), (&"</p> {units}".into(), &1.into()));
    assert_eq!(property["scores"], serde_json::json!([-457, null]));
    let steps: Vec<i8> = (0..count).map(|t| (t as f32 / 5.0).round() as i8).collect();
    assert_eq!(unpacked_at(&data, "values", 0), steps);
    assert_eq!(unpacked_at(&data, "values", 1), vec![-20; count]);
    assert_eq!(unpacked_at(&data, "properties", 0)[..5], [0, 5, 10, 15, 0]);
}

#[test]
fn the_text_is_cut_to_what_a_page_holds_and_the_page_says_so() {
    let (units, count) = (names(5), 30_000);
    let text = "ä".repeat(count);
    // Values that hardly compress, only from the middle on, and not at all.
    let noise = |t: usize| ((t as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0;
    for quiet in [0, count / 2, 5 * count] {
        let values: Vec<f32> = (0..5 * count).map(|at| if at < 5 * quiet { 0.5 } else { noise(at) }).collect();
        let values: Vec<&[f32]> = values.chunks(5).collect();
        let page = UnitsPage { title: "Units", text: &text, units: &units, values: &values, properties: &[] };
        for largest in [40_000, 120_000] {
            let WrittenUnits { html, characters } = page.within(largest).unwrap();
            assert!(html.len() <= largest && characters <= count);
            assert!(
                characters == count || html.len() >= largest * 96 / 100,
                "{} of {largest} from {quiet}",
                html.len()
            );
            let shown = data(&html);
            assert_eq!(shown["text"].as_str().unwrap().chars().count(), characters);
            assert_eq!(unpacked_at(&shown, "values", 4).len(), characters);
            assert_eq!(html.contains("of 30,000 characters, as many as"), characters < count);
        }
    }
}

#[test]
fn what_does_not_agree_is_told_in_a_line() {
    let units = names(2);
    let values = [&[0.0, 1.0][..], &[2.0, 0.5]];
    let page = UnitsPage { title: "", text: "ab", units: &units, values: &values, properties: &[] };
    assert_eq!(page.html().unwrap().characters, 2);
    let fault = |page: UnitsPage<'_>| page.html().unwrap_err().to_string();
    assert_eq!(fault(UnitsPage { text: "", ..page }), "there is no text to show; give at least one");
    assert_eq!(fault(UnitsPage { units: &[], ..page }), "there is no unit to show; give at least one");
    let rows = "rows of values: 2 for 3 characters; give one for each";
    assert_eq!(fault(UnitsPage { text: "abc", ..page }), rows);
    let short = [&[0.0, 1.0][..], &[2.0]];
    assert_eq!(fault(UnitsPage { values: &short, ..page }), "a row's values: 1 for 2 units; give one for each");
    let bad = [&[0.0, 1.0][..], &[0.0, f32::NAN]];
    assert_eq!(fault(UnitsPage { values: &bad, ..page }), "layer 1 h 1: its value after character 1 is no number");
    let property = UnitProperty { name: "x", best: 0, score: 0.0, chance: 0.0, scores: &[0.0], marks: &[0.0; 2] };
    let scores = "a property's scores: 1 for 2 units; give one for each";
    assert_eq!(fault(UnitsPage { properties: &[property], ..page }), scores);
    let property = UnitProperty { scores: &[0.0; 2], marks: &[], ..property };
    let marks = "a property's marks: 0 for 2 characters; give one for each";
    assert_eq!(fault(UnitsPage { properties: &[property], ..page }), marks);
    let property = UnitProperty { best: 2, marks: &[0.0; 2], ..property };
    let best = "x: its best unit is 2 of 2; number them from 0";
    assert_eq!(fault(UnitsPage { properties: &[property], ..page }), best);
    let large = page.within(1000).unwrap_err().to_string();
    assert_eq!(large, "the names and scores of 2 units are more than the 8 MB of a page; show fewer units");
}
