//! SVG to PNG with the embedded font and nothing from the machine it runs on, so that a PNG is the same everywhere.

use crate::Error;
use crate::text::FONT;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{ImageHrefResolver, Options, Tree};

/// Widest and highest PNG in pixels.
const LARGEST: f32 = 16_384.0;

/// Turns an SVG into a PNG of `scale` times 96 pixels per inch, on white; the file says so.
///
/// Text is set in the embedded font. Images that the SVG refers to are left out: no file is opened.
///
/// # Errors
/// If the SVG cannot be read, or if the picture would have no pixels or more than 16384 in a direction.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, Error> {
    let pixels = rendered(svg, scale)?;
    let refused = |error: png::EncodingError| Error::Png(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // So that it is printed as wide as it was drawn.
    let per_metre = (f64::from(scale) * 96.0 / 0.0254).round() as u32;
    let unit = png::Unit::Meter;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_metre, yppu: per_metre, unit }));
    let mut writer = encoder.write_header().map_err(refused)?;
    // On white nothing is transparent.
    let colors: Vec<u8> = pixels.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    writer.write_image_data(&colors).map_err(refused)?;
    writer.finish().map_err(refused)?;
    Ok(bytes)
}

/// The pixels of an SVG.
pub(crate) fn rendered(svg: &str, scale: f32) -> Result<Pixmap, Error> {
    let tree = Tree::from_str(svg, &options()).map_err(|error| Error::Png(error.to_string()))?;
    let (wide, high) = ((tree.size().width() * scale).ceil(), (tree.size().height() * scale).ceil());
    if !(wide >= 1.0 && high >= 1.0 && wide <= LARGEST && high <= LARGEST) {
        return Err(Error::Png(format!("scale {scale} gives {wide} x {high} pixels, expected 1 to {LARGEST} each")));
    }
    let mut pixels = Pixmap::new(wide as u32, high as u32)
        .ok_or_else(|| Error::Png(format!("no memory for {wide} x {high} pixels")))?;
    pixels.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    Ok(pixels)
}

/// How an SVG is read: with the embedded font, and without files.
pub(crate) fn options() -> Options<'static> {
    let mut options = Options {
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|_, _| None),
        },
        font_family: "sans-serif".to_owned(),
        ..Options::default()
    };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("Scalelaw Sans");
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_is_as_wide_as_its_svg() {
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"25.4mm\" height=\"10mm\"/>";
        let bytes = png(svg, 3.125).expect("an SVG");
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        let (info, dots) = (reader.info(), reader.info().pixel_dims.expect("a resolution"));
        // 300 dots per inch.
        assert_eq!((info.width, info.color_type, dots.xppu), (300, png::ColorType::Rgb, 11_811));
    }
}
