//! A contact sheet: pictures in rows, with captions, to be looked at.

use resvg::tiny_skia::Pixmap;

use crate::Error;
use crate::png::rendered;
use crate::text::{escaped, shortened};

/// Pictures in rows and columns, all of the same size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContactSheet {
    /// Stands above everything.
    pub title: String,
    /// Stand above the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<SheetRow>,
}

/// A row of a contact sheet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SheetRow {
    /// Lines under its first picture.
    pub caption: Vec<String>,
    /// Its pictures; `None` leaves a place empty.
    pub pictures: Vec<Option<Picture>>,
}

/// Pixels of a square picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `side * side` pixels of red, green and blue, row by row.
    pub pixels: Vec<[u8; 3]>,
    /// Height and width.
    pub side: usize,
}

const MARGIN: f32 = 12.0;
const GAP: f32 = 6.0;
const TEXT: f64 = 11.0;
const LINE: f32 = 14.0;

/// Smallest side that a picture is shown at; smaller ones are enlarged by a whole number, so that their pixels can be seen.
const SMALLEST: usize = 96;

impl ContactSheet {
    /// The sheet as a PNG.
    ///
    /// # Errors
    /// If it would have more than 16384 pixels in a direction.
    pub fn png(&self) -> Result<Vec<u8>, Error> {
        let pictures = || self.rows.iter().flat_map(|row| row.pictures.iter().flatten());
        let side = pictures().map(|picture| picture.side).max().unwrap_or(1).max(1);
        let times = SMALLEST.div_ceil(side).max(1);
        let side = side * times;
        let lines = self.rows.iter().map(|row| row.caption.len()).max().unwrap_or(0);
        let columns = self.rows.iter().map(|row| row.pictures.len()).max().unwrap_or(0).max(self.columns.len()).max(1);
        let head = MARGIN + 2.0 * LINE + GAP;
        let pitch = (side as f32 + GAP, side as f32 + GAP + lines as f32 * LINE);
        let wide = 2.0 * MARGIN + columns as f32 * pitch.0 - GAP;
        let high = head + self.rows.len() as f32 * pitch.1 + MARGIN;
        let place = |row: usize, column: usize| (MARGIN + column as f32 * pitch.0, head + row as f32 * pitch.1);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" font-family=\"sans-serif\" font-size=\"{TEXT}\">"
        );
        let mut text = |x: f32, y: f32, content: &str, limit: f32, colour: &str| {
            let content = escaped(&shortened(content, TEXT, f64::from(limit)));
            svg.push_str(&format!("<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{content}</text>"));
        };
        text(MARGIN, MARGIN + TEXT as f32, &self.title, wide - 2.0 * MARGIN, "#000");
        for (column, title) in self.columns.iter().enumerate() {
            text(place(0, column).0, head - GAP, title, side as f32, "#555");
        }
        for (at, row) in self.rows.iter().enumerate() {
            let (x, y) = place(at, 0);
            for (line, caption) in row.caption.iter().enumerate() {
                text(x, y + side as f32 + LINE * (line as f32 + 1.0) - 2.0, caption, wide - 2.0 * MARGIN, "#000");
            }
        }
        svg.push_str("</svg>");
        let mut sheet = rendered(&svg, 1.0)?;
        for (at, row) in self.rows.iter().enumerate() {
            for (column, picture) in row.pictures.iter().enumerate() {
                if let Some(picture) = picture {
                    let (x, y) = place(at, column);
                    put(&mut sheet, picture, times, [x as usize, y as usize]);
                }
            }
        }
        sheet.encode_png().map_err(|error| Error::Png(error.to_string()))
    }
}

/// Copies a picture, each pixel `times` times in both directions.
fn put(sheet: &mut Pixmap, picture: &Picture, times: usize, [left, top]: [usize; 2]) {
    let (wide, high) = (sheet.width() as usize, sheet.height() as usize);
    let side = picture.side.max(1);
    let data = sheet.data_mut();
    for (at, pixel) in picture.pixels.iter().enumerate() {
        for (down, right) in (0..times).flat_map(|down| (0..times).map(move |right| (down, right))) {
            let (x, y) = (left + at % side * times + right, top + at / side * times + down);
            if x < wide && y < high {
                let [red, green, blue] = *pixel;
                data[4 * (y * wide + x)..][..4].copy_from_slice(&[red, green, blue, 255]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(grey: u8, side: usize) -> SheetRow {
        let picture = Picture { pixels: vec![[grey, 0, 255]; side * side], side };
        SheetRow { caption: vec!["a <caption>".to_owned()], pictures: vec![Some(picture), None] }
    }

    #[test]
    fn pictures_stand_where_they_belong() {
        let sheet =
            ContactSheet { title: "t".to_owned(), columns: vec!["x".to_owned()], rows: vec![row(7, 100), row(9, 100)] };
        let png = Pixmap::decode_png(&sheet.png().expect("small")).expect("a PNG");
        let pixel = |x, y| png.pixel(x, y).map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]);
        let head = (MARGIN + 2.0 * LINE + GAP) as u32;
        assert_eq!(pixel(13, head + 1), Some([7, 0, 255]));
        assert_eq!(pixel(13, head + 100 + (GAP + LINE) as u32 + 1), Some([9, 0, 255]));
        assert_eq!(pixel(100 + 2 * 12, head + 1), Some([255; 3]), "an empty place");
    }

    #[test]
    fn small_pictures_are_enlarged_and_huge_sheets_refused() {
        let sheet = ContactSheet { rows: vec![row(7, 10)], ..ContactSheet::default() };
        let png = Pixmap::decode_png(&sheet.png().expect("small")).expect("a PNG");
        assert!(png.width() >= 2 * 96);
        assert!(ContactSheet { rows: vec![row(7, 200); 200], ..ContactSheet::default() }.png().is_err());
        assert!(ContactSheet::default().png().is_ok());
    }
}
