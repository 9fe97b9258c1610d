//! SVG to PNG with the embedded font and nothing from the machine it runs on, so that a PNG is the same everywhere.

use crate::Error;
use crate::text::FONT;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{ImageHrefResolver, Options, Tree};

/// Widest and highest PNG in pixels.
const LARGEST: f32 = 16_384.0;

/// Turns an SVG into a PNG of `scale` times 96 pixels per inch, on white.
///
/// Text is set in the embedded font. Images that the SVG refers to are left out: no file is opened.
///
/// # Errors
/// If the SVG cannot be read, or if the picture would have no pixels or more than 16384 in a direction.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, Error> {
    rendered(svg, scale)?.encode_png().map_err(|error| Error::Png(error.to_string()))
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
