//! A white sheet of SVG that the plots draw on.

use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What drawing gives; plotters' errors borrow the sheet, so that they are kept as text.
pub(crate) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// What `draw` puts on a white sheet of `width` × `height` pixels, as the content of an SVG file.
pub(crate) fn svg(width: u32, height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut text = String::new();
    let sheet = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
    let drawn = sheet.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&sheet)).and_then(|()| Ok(sheet.present()?));
    drawn.map_err(|error| Error::Plot(error.to_string()))?;
    drop(sheet);
    Ok(text)
}
