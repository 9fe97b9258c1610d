//! The font of the figures for browsers: where text is set in another one than it was measured in, labels collide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::text::FONT;

/// CSS that brings the font along and has the text of figures set in it.
pub(crate) fn css() -> String {
    format!(
        "@font-face {{ font-family: 'Scalelaw Sans'; src: url(data:font/ttf;base64,{}) format('truetype'); }}\n\
         svg g[font-family] {{ font-family: 'Scalelaw Sans', 'Liberation Sans', Arial, Helvetica, sans-serif; }}",
        STANDARD.encode(FONT)
    )
}

/// An SVG of this crate as a file of its own, which brings its font along: a browser shows it as it was laid out.
pub fn standalone(svg: &str) -> String {
    match svg.split_once("</desc>") {
        Some((head, body)) => format!("{head}</desc>\n<style>{}</style>{body}", css()),
        None => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_svg_of_its_own_has_the_font_and_all_that_it_had() {
        let svg = "<svg><title>t</title>\n<desc>d</desc>\n<g font-family=\"Arial\"><text>x</text></g>\n</svg>\n";
        let alone = standalone(svg);
        assert_eq!(alone.replace(&format!("\n<style>{}</style>", css()), ""), svg);
        let encoded = alone.split_once("base64,").and_then(|(_, rest)| rest.split_once(')')).expect("a font").0;
        assert_eq!(STANDARD.decode(encoded).expect("base64"), FONT);
        assert_eq!(standalone("<svg/>"), "<svg/>");
    }
}
