//! A white sheet that plots draw on, its colours and letters, and the sheet as a file.

use crate::embedding::png;
use crate::raster::Raster;
use crate::{DrawingFormat, Error, Result};
use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;

pub(crate) type Area<DB> = DrawingArea<DB, Shift>;

/// What drawing gives; plotters' errors borrow the sheet, so that they are kept as text.
pub(crate) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// What draws itself on a sheet.
pub(crate) trait Draw {
    /// Width and height of the sheet, in pixels.
    fn size(&self) -> (u32, u32);

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn;

    /// The content of a file.
    fn file(&self, format: DrawingFormat) -> Result<Vec<u8>> {
        let drawn = match format {
            DrawingFormat::Svg => {
                let mut text = String::new();
                self.on_white(SVGBackend::with_string(&mut text, self.size())).map(|()| text.into_bytes())
            }
            DrawingFormat::Png => return png(&self.picture()?),
        };
        drawn.map_err(|error| Error::Plot(error.to_string()))
    }

    /// The sheet as pixels, twice as many in each direction.
    fn picture(&self) -> Result<RgbImage> {
        let mut raster = Raster::new(self.size()).ok_or_else(|| Error::Plot("no memory for it".into()))?;
        self.on_white(&mut raster).map_err(|error| Error::Plot(error.to_string()))?;
        Ok(raster.picture())
    }

    fn on_white<DB: DrawingBackend<ErrorType: 'static>>(&self, backend: DB) -> Drawn {
        let sheet = backend.into_drawing_area();
        sheet.fill(&WHITE)?;
        self.draw(&sheet)?;
        Ok(sheet.present()?)
    }
}

/// Okabe and Ito's colours, which people tell apart whichever cones they lack; their yellow is hardly seen on white.
/// <https://jfly.uni-koeln.de/color/>
pub(crate) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Sizes of letters, in pixels.
pub(crate) const TITLE: f64 = 20.0;
pub(crate) const LABEL: f64 = 14.0;
pub(crate) const NOTE: f64 = 13.0;

/// What plotters calls a size is larger than the letters' em.
pub(crate) const PLOTTERS_EM: f64 = 1.24;

pub(crate) fn letters(pixels: f64) -> TextStyle<'static> {
    ("sans-serif", pixels * PLOTTERS_EM).into_font().into()
}

/// The grid's lines.
pub(crate) fn grid() -> ShapeStyle {
    BLACK.mix(0.12).stroke_width(1)
}
