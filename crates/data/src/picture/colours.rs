//! Pixels of any number of channels as three colours, in the memory that they are in.

/// The colour c of opacity a on white: c·a + 255·(1 − a).
fn on_white(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Pixels of grey (1), grey and opacity (2), three colours (3), or these and opacity (4), as three colours on white.
pub(super) fn to_rgb(mut pixels: Vec<u8>, channels: usize) -> Vec<u8> {
    match channels {
        1 => pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
        2 => pixels.as_chunks().0.iter().flat_map(|&[grey, alpha]| [on_white(grey, alpha); 3]).collect(),
        4 => {
            let count = pixels.len() / 4;
            for pixel in 0..count {
                // Three bytes are written where four were read, never ahead of what is still to be read.
                let Some(&[red, green, blue, alpha]) = pixels.get(4 * pixel..).and_then(<[u8]>::first_chunk) else {
                    break;
                };
                if let Some(to) = pixels.get_mut(3 * pixel..3 * pixel + 3) {
                    to.copy_from_slice(&[red, green, blue].map(|colour| on_white(colour, alpha)));
                }
            }
            pixels.truncate(3 * count);
            pixels
        }
        _ => pixels,
    }
}

/// Channels of sixteen bits as eight, their upper halves.
pub(super) fn upper_halves(channels: &[u16]) -> Vec<u8> {
    channels.iter().map(|channel| (channel >> 8) as u8).collect()
}
