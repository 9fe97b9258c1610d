//! Affine maps of pictures: rotation, shear, translation.

/// The grey outside of a picture.
pub(crate) const FILL: u8 = 128;

/// Bits behind the point of a position.
const POINT: u32 = 32;

/// Where the pixel in column x and row y of the result comes from: column a x + b y + c, row d x + e y + f.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    /// [a, b, c].
    pub(crate) column: [f64; 3],
    /// [d, e, f].
    pub(crate) row: [f64; 3],
}

impl Affine {
    /// A turn by `degrees` about the middle of the picture, from the axis of columns to that of rows where positive.
    pub(crate) fn rotation(degrees: f64, side: usize) -> Affine {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let middle = (side as f64 - 1.0) / 2.0;
        Affine { column: [cos, sin, middle - (cos + sin) * middle], row: [-sin, cos, middle - (cos - sin) * middle] }
    }

    /// Every row begins `slope` further right than the one above it; the first one stays.
    pub(crate) fn shear_x(slope: f64) -> Affine {
        Affine { column: [1.0, slope, 0.0], row: [0.0, 1.0, 0.0] }
    }

    /// Every column begins `slope` further down than the one left of it; the first one stays.
    pub(crate) fn shear_y(slope: f64) -> Affine {
        Affine { column: [1.0, 0.0, 0.0], row: [slope, 1.0, 0.0] }
    }

    /// A move by so many columns and rows, to the left and up where positive.
    pub(crate) fn translation(columns: f64, rows: f64) -> Affine {
        Affine { column: [1.0, 0.0, columns], row: [0.0, 1.0, rows] }
    }
}

/// Draws `plane` anew into `result`: bilinear between its pixels, [`FILL`] around it. Both are `side` high and wide.
pub(crate) fn warp(plane: &[u8], side: usize, map: Affine, result: &mut [u8]) {
    // Whole numbers: adding them up along a row is exact, and a map that changes nothing changes nothing.
    let fixed = |value: f64| (value * (1_i64 << POINT) as f64).round() as i64;
    let ([a, b, c], [d, e, f]) = (map.column.map(fixed), map.row.map(fixed));
    let inner = side as i64 - 1;
    let pixel = |x: i64, y: i64| {
        let inside = 0 <= x && x <= inner && 0 <= y && y <= inner;
        if inside { plane[y as usize * side + x as usize] } else { FILL }
    };
    for (row, pixels) in (0_i64..).zip(result.chunks_exact_mut(side.max(1))) {
        let (mut source_x, mut source_y) = (b * row + c, e * row + f);
        for target in pixels {
            let (x, y) = (source_x >> POINT, source_y >> POINT);
            let corners = if 0 <= x && x < inner && 0 <= y && y < inner {
                let at = y as usize * side + x as usize;
                [plane[at], plane[at + 1], plane[at + side], plane[at + side + 1]]
            } else {
                [pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1)]
            };
            *target = between(corners, share(source_x), share(source_y));
            source_x += a;
            source_y += d;
        }
    }
}

/// The first 16 bits behind the point.
fn share(position: i64) -> u64 {
    (position >> (POINT - 16)) as u64 & 0xffff
}

/// The bilinear mean of four pixels, to the nearest level; the shares, of the right and the lower ones, are out of 2^16.
fn between(corners: [u8; 4], right: u64, down: u64) -> u8 {
    let [top_left, top_right, bottom_left, bottom_right] = corners.map(u64::from);
    let (left, up) = ((1 << 16) - right, (1 << 16) - down);
    let sum = up * (left * top_left + right * top_right) + down * (left * bottom_left + right * bottom_right);
    ((sum + (1 << 31)) >> 32) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn warped(plane: &[u8], side: usize, map: Affine) -> Vec<u8> {
        let mut result = vec![0; plane.len()];
        warp(plane, side, map, &mut result);
        result
    }

    proptest! {
        #[test]
        fn a_map_that_changes_nothing_changes_nothing(side in 1_usize..20, seed: u64) {
            let plane: Vec<u8> = (0..(side * side) as u64).map(|at| spec::order::mix(seed ^ at) as u8).collect();
            let still = [
                Affine::rotation(0.0, side), Affine::shear_x(0.0), Affine::shear_y(0.0), Affine::translation(0.0, 0.0),
            ];
            for map in still {
                prop_assert_eq!(warped(&plane, side, map), &plane[..]);
            }
        }

        #[test]
        fn grey_stays_grey(side in 1_usize..20, numbers in proptest::array::uniform6(-3.0_f64..3.0)) {
            let [a, b, c, d, e, f] = numbers;
            let map = Affine { column: [a, b, c * side as f64], row: [d, e, f * side as f64] };
            prop_assert_eq!(warped(&vec![FILL; side * side], side, map), vec![FILL; side * side]);
        }
    }

    const PLANE: [u8; 9] = [10, 20, 30, 40, 50, 60, 70, 80, 90];

    #[test]
    fn translation_by_whole_and_half_pixels() {
        assert_eq!(warped(&PLANE, 3, Affine::translation(1.0, 0.0)), [20, 30, 128, 50, 60, 128, 80, 90, 128]);
        assert_eq!(warped(&PLANE, 3, Affine::translation(0.0, -1.0)), [128, 128, 128, 10, 20, 30, 40, 50, 60]);
        assert_eq!(warped(&PLANE, 3, Affine::translation(0.5, 0.0)), [15, 25, 79, 45, 55, 94, 75, 85, 109]);
        assert_eq!(warped(&PLANE, 3, Affine::translation(3.0, 0.0)), [128; 9]);
    }

    #[test]
    fn rotation_by_right_angles() {
        assert_eq!(warped(&PLANE, 3, Affine::rotation(180.0, 3)), [90, 80, 70, 60, 50, 40, 30, 20, 10]);
        assert_eq!(warped(&PLANE, 3, Affine::rotation(-90.0, 3)), [30, 60, 90, 20, 50, 80, 10, 40, 70]);
        assert_eq!(warped(&PLANE, 3, Affine::rotation(90.0, 3)), [70, 40, 10, 80, 50, 20, 90, 60, 30]);
    }

    #[test]
    fn shear_moves_each_row_or_column_further() {
        assert_eq!(warped(&PLANE, 3, Affine::shear_x(1.0)), [10, 20, 30, 50, 60, 128, 90, 128, 128]);
        assert_eq!(warped(&PLANE, 3, Affine::shear_y(-1.0)), [10, 128, 128, 40, 20, 128, 70, 50, 30]);
    }
}
