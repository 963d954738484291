//! Sequential scale: from white to dark blue, equal steps of a value as equal steps of lightness in OKLab
//! (Ottosson 2020, "A perceptual color space for image processing").

/// The dark end: lightness, and a and b, which grow in step with it.
const DARK: [f64; 3] = [0.33, -0.02, -0.10];

/// A share from 0 to 1 as red, green and blue; what is no number is white.
pub(crate) fn shaded(share: f64) -> [u8; 3] {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    linear(share).map(|channel| {
        let channel = channel.clamp(0.0, 1.0);
        // IEC 61966-2-1.
        let coded = if channel <= 0.003_130_8 { 12.92 * channel } else { 1.055 * channel.powf(1.0 / 2.4) - 0.055 };
        (255.0 * coded).round() as u8
    })
}

/// Whether letters on it are better white than black: where white has the larger contrast after WCAG.
pub(crate) fn is_dark(share: f64) -> bool {
    let [red, green, blue] = linear(share.clamp(0.0, 1.0));
    0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179
}

/// In linear light.
fn linear(share: f64) -> [f64; 3] {
    let lightness = 1.0 - share * (1.0 - DARK[0]);
    let [a, b] = [share * DARK[1], share * DARK[2]];
    let long = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let middle = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let short = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * long - 3.307_711_591_3 * middle + 0.230_969_929_2 * short,
        -1.268_438_004_6 * long + 2.609_757_401_1 * middle - 0.341_319_396_5 * short,
        -0.004_196_086_3 * long - 0.703_418_614_7 * middle + 1.707_614_701_0 * short,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CIE's lightness of a colour, from 0 to 100.
    fn lightness(colour: [u8; 3]) -> f64 {
        let [red, green, blue] = colour.map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        });
        let luminance: f64 = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        116.0 * luminance.cbrt() - 16.0
    }

    #[test]
    fn equal_steps_are_equally_darker() {
        assert_eq!(shaded(0.0), [255; 3]);
        assert_eq!((shaded(f64::NAN), shaded(-1.0), shaded(9.0)), ([255; 3], [255; 3], shaded(1.0)));
        let found: Vec<f64> = (0..=10).map(|step| lightness(shaded(f64::from(step) / 10.0))).collect();
        let steps: Vec<f64> = found.windows(2).map(|pair| pair[0] - pair[1]).collect();
        assert!(steps.iter().all(|step| (6.0..9.0).contains(step)), "{steps:?}");
        // Nothing of it lies outside what a screen shows.
        let outside = |channel: &f64| !(-0.002..=1.002).contains(channel);
        assert!((0..=100).all(|step| !linear(f64::from(step) / 100.0).iter().any(outside)));
    }

    #[test]
    fn letters_are_read_on_every_shade() {
        for step in 0..=100 {
            let share = f64::from(step) / 100.0;
            let [red, green, blue] = linear(share);
            let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            let contrast = if is_dark(share) { 1.05 / (luminance + 0.05) } else { (luminance + 0.05) / 0.05 };
            assert!(contrast >= 4.5, "{share}: {contrast}");
        }
    }
}
