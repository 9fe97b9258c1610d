//! Colours and marker shapes of the series of a figure: two channels, so that no figure depends on colour alone.
//!
//! Ordered series of one family run through viridis, each with a shape of its own. Where series are of several families,
//! each family has a hue and a shape, and its series run from dark to light.

use crate::marks::mixed;
use plotters::style::RGBColor;

/// Viridis at 0, 0.1, ... 1.
const VIRIDIS: [[u8; 3]; 11] = [
    [68, 1, 84],
    [72, 36, 117],
    [65, 68, 135],
    [53, 95, 141],
    [42, 120, 142],
    [33, 145, 140],
    [34, 168, 132],
    [68, 191, 112],
    [122, 209, 81],
    [189, 223, 38],
    [253, 231, 37],
];
/// Yellow is invisible on white.
const BRIGHTEST: f64 = 0.85;

/// The darkest and the lightest colour of each family; blue and orange are told apart with any kind of colour vision, and the
/// others differ from them in lightness too.
const RAMPS: [(RGBColor, RGBColor); 4] = [
    (RGBColor(8, 48, 107), RGBColor(107, 174, 214)),
    (RGBColor(140, 45, 4), RGBColor(253, 160, 60)),
    (RGBColor(0, 68, 27), RGBColor(120, 198, 121)),
    (RGBColor(122, 1, 119), RGBColor(247, 130, 180)),
];
/// Of the families that only references have, beside series in viridis: vermilion, reddish purple, orange (Wong 2011).
const ACCENTS: [RGBColor; 3] = [RGBColor(213, 94, 0), RGBColor(204, 121, 167), RGBColor(230, 159, 0)];

/// The colour of the `index`th of `count` ordered series.
pub(crate) fn color(index: usize, count: usize) -> RGBColor {
    let share = if count > 1 { BRIGHTEST * index as f64 / (count - 1) as f64 } else { 0.3 };
    let place = share.clamp(0.0, 1.0) * 10.0;
    let below = (place.floor() as usize).min(9);
    let [a, b] = [VIRIDIS[below], VIRIDIS[below + 1]].map(|[r, g, b]| RGBColor(r, g, b));
    mixed(a, b, place - below as f64)
}

/// The looks of the series of a figure.
#[derive(Debug, Clone)]
pub(crate) struct Palette {
    series: Vec<Tint>,
    families: Vec<(String, Tint)>,
    /// Whether the series are of several families.
    split: bool,
}

/// Colour and shape of something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tint {
    pub(crate) color: RGBColor,
    /// The number of a shape for [`crate::marks::corners`]; none for a star.
    pub(crate) shape: Option<usize>,
}

impl Palette {
    /// For ordered series of one family.
    pub(crate) fn ordered(count: usize) -> Palette {
        let tint = |index| Tint { color: color(index, count), shape: Some(index) };
        Palette { series: (0..count).map(tint).collect(), families: Vec::new(), split: false }
    }

    /// For series of these families, smallest first within each, and for references of others.
    pub(crate) fn of_families(series: &[&str], references: &[&str]) -> Palette {
        let mut names: Vec<&str> = Vec::new();
        for name in series.iter().chain(references) {
            if !name.is_empty() && !names.contains(name) {
                names.push(name);
            }
        }
        let own = series.iter().enumerate().filter(|(i, name)| !series[..*i].contains(name)).count();
        let mut palette = Palette::ordered(series.len());
        palette.split = own > 1;
        if names.len() < 2 && own < 2 {
            return palette;
        }
        let tint = |index: usize| {
            let (dark, light) = RAMPS[index % RAMPS.len()];
            match own > 1 {
                true => Tint { color: mixed(dark, light, 0.25), shape: Some(index) },
                false if index == 0 => Tint { color: color(1, 4), shape: Some(0) },
                false => Tint { color: ACCENTS[(index - 1) % ACCENTS.len()], shape: None },
            }
        };
        palette.families = names.iter().enumerate().map(|(i, name)| ((*name).to_owned(), tint(i))).collect();
        if own > 1 {
            palette.series = series.iter().enumerate().map(|(i, name)| in_family(series, i, name, &names)).collect();
        }
        palette
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether the series are of several families.
    pub(crate) fn is_split(&self) -> bool {
        self.split
    }

    pub(crate) fn color(&self, series: usize) -> RGBColor {
        self.series.get(series).map_or_else(|| color(series, series + 1), |tint| tint.color)
    }

    pub(crate) fn shape(&self, series: usize) -> usize {
        self.series.get(series).and_then(|tint| tint.shape).unwrap_or(series)
    }

    /// The families that there are to tell apart; none where there is one.
    pub(crate) fn families(&self) -> &[(String, Tint)] {
        &self.families
    }

    /// The look of a family, where there are several.
    pub(crate) fn family(&self, name: &str) -> Option<Tint> {
        self.families.iter().find(|(other, _)| other == name).map(|(_, tint)| *tint)
    }
}

/// The look of the series at `index`, one of several of its family; those of no family are in greys.
fn in_family(series: &[&str], index: usize, name: &str, names: &[&str]) -> Tint {
    let before = series[..index].iter().filter(|other| **other == name).count();
    let count = series.iter().filter(|other| **other == name).count();
    let share = if count > 1 { before as f64 / (count - 1) as f64 } else { 0.25 };
    let family = names.iter().position(|other| *other == name);
    let (dark, light) = match family {
        Some(family) => RAMPS[family % RAMPS.len()],
        None => (RGBColor(40, 40, 40), RGBColor(150, 150, 150)),
    };
    Tint { color: mixed(dark, light, share), shape: Some(family.unwrap_or(names.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_series_differ_in_colour_and_shape() {
        for count in 1..40 {
            let colors: Vec<_> = (0..count).map(|i| color(i, count)).collect();
            assert!(colors.windows(2).all(|pair| pair[0] != pair[1]));
        }
        assert_eq!(color(0, 6), RGBColor(68, 1, 84));
    }

    #[test]
    fn a_family_has_one_shape_and_runs_from_dark_to_light() {
        let palette = Palette::of_families(&["NFNet", "ViT", "NFNet", "ViT"], &[]);
        assert!(palette.is_split() && palette.families().len() == 2);
        assert_eq!([0, 1, 2, 3].map(|i| palette.shape(i)), [0, 1, 0, 1]);
        assert_eq!(palette.color(0), RAMPS[0].0);
        assert_eq!((palette.color(2), palette.color(3)), (RAMPS[0].1, RAMPS[1].1));
    }

    #[test]
    fn one_family_has_a_shape_for_each_series_and_references_of_others_stand_out() {
        let palette = Palette::of_families(&["NFNet", "NFNet"], &["NFNet", "ViT"]);
        assert!(!palette.is_split());
        assert_eq!((palette.shape(0), palette.shape(1)), (0, 1));
        assert_eq!(palette.family("ViT"), Some(Tint { color: ACCENTS[0], shape: None }));
        assert!(Palette::of_families(&["", ""], &[""]).families().is_empty());
        assert!(Palette::of_families(&["ViT"], &[]).families().is_empty());
    }

    #[test]
    fn ramps_stay_apart_in_lightness_for_every_kind_of_colour_vision() {
        // Relative luminance: dark ends below, light ends above, so that order shows in grey too.
        let luminance = |RGBColor(r, g, b): RGBColor| {
            let linear = |v: u8| (f64::from(v) / 255.0).powf(2.2);
            0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
        };
        for (dark, light) in RAMPS {
            assert!(luminance(dark) < 0.1 && luminance(light) > 0.3 && luminance(light) < 0.55, "{dark:?} {light:?}");
        }
    }
}
