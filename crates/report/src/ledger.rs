//! Where device hours went.

use crate::chart::{Chart, Panel};
use crate::csv::{number, row};
use crate::error::linear;
use crate::frame::{Axis, Kind};
use crate::key::{Entry, Sample};
use crate::layer::{Hatch, Ink, Layer};
use crate::marks::{FAILED, IDLE, REPEATED, USEFUL};
use crate::palette::Palette;
use crate::{Error, Style, Words};

/// More devices than this are drawn as their sum.
const MOST_DEVICES: usize = 12;

/// Device hours by use, a stacked bar per day, a panel per device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LedgerFigure {
    /// Title, axis labels and notes.
    pub words: Words,
    /// The days from the first to the last, as they are written.
    pub days: Vec<String>,
    /// The devices.
    pub devices: Vec<LedgerDevice>,
}

/// The hours of one device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LedgerDevice {
    /// Its name.
    pub name: String,
    /// Its hours on each day of [`LedgerFigure::days`].
    pub hours: Vec<Hours>,
}

/// Hours of a device by use.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hours {
    /// Steps that a result rests on.
    pub useful: f64,
    /// Steps that were done again.
    pub repeated: f64,
    /// Attempts without a result.
    pub failed: f64,
    /// Held without a run on it.
    pub idle: f64,
}

impl Hours {
    fn parts(&self) -> [f64; 4] {
        [self.useful, self.repeated, self.failed, self.idle]
    }

    fn plus(self, other: &Hours) -> Hours {
        Hours {
            useful: self.useful + other.useful,
            repeated: self.repeated + other.repeated,
            failed: self.failed + other.failed,
            idle: self.idle + other.idle,
        }
    }
}

const PARTS: [(&str, Ink, Hatch); 4] = [
    ("useful", Ink::Fixed(USEFUL), Hatch::None),
    ("repeated", Ink::Fixed(REPEATED), Hatch::Rising),
    ("failed", Ink::Fixed(FAILED), Hatch::Falling),
    ("idle", Ink::Fixed(IDLE), Hatch::None),
];

impl LedgerFigure {
    /// The figure as SVG.
    ///
    /// # Errors
    /// If hours are negative or not finite, a size of the style is out of range, or nothing fits.
    pub fn svg(&self, style: &Style) -> Result<String, Error> {
        for device in &self.devices {
            for (i, hours) in device.hours.iter().enumerate() {
                for (value, (field, ..)) in hours.parts().into_iter().zip(PARTS) {
                    let value = if value < 0.0 { f64::NAN } else { value };
                    linear(&|| device.name.clone(), i + 1, field, value)?;
                }
            }
        }
        self.chart().svg(style)
    }

    /// Every number drawn, as CSV.
    pub fn csv(&self) -> String {
        let header = ["device", "day", "useful_h", "repeated_h", "failed_h", "idle_h"];
        let mut csv = row(&header.map(str::to_owned));
        for device in &self.devices {
            for (day, hours) in self.days.iter().zip(&device.hours) {
                let mut cells = vec![device.name.clone(), day.clone()];
                cells.extend(hours.parts().map(|value| number(Some(value))));
                csv.push_str(&row(&cells));
            }
        }
        csv
    }

    pub(crate) fn chart(&self) -> Chart<'_> {
        let total = |day: usize| {
            let of_day = self.devices.iter().filter_map(|device| device.hours.get(day));
            of_day.fold(Hours::default(), Hours::plus)
        };
        let summed: Vec<Hours> = (0..self.days.len()).map(total).collect();
        let devices: Vec<(String, &[Hours])> = if self.devices.len() > MOST_DEVICES {
            vec![(format!("all {} devices", self.devices.len()), &summed)]
        } else {
            self.devices.iter().map(|device| (device.name.clone(), device.hours.as_slice())).collect()
        };
        let height = |hours: &Hours| hours.parts().iter().sum::<f64>();
        let highest = devices.iter().flat_map(|(_, hours)| hours.iter()).map(height).fold(0.0, f64::max);
        let top = if highest > 0.0 { 1.05 * highest } else { 1.0 };
        let panel = |(name, hours): &(String, &[Hours])| {
            let mut panel = Panel { heading: name.clone(), ..Panel::default() };
            for (day, hours) in hours.iter().take(self.days.len()).enumerate() {
                let mut below = 0.0;
                for (value, (_, ink, hatch)) in hours.parts().into_iter().zip(PARTS) {
                    if value > 0.0 {
                        let x = (day as f64 - 0.38, day as f64 + 0.38);
                        panel.layers.push(Layer::Bar { x, y: (below, below + value), ink, hatch });
                    }
                    below += value;
                }
            }
            panel
        };
        let mut panels: Vec<Panel> = devices.iter().map(panel).collect();
        if panels.is_empty() {
            panels.push(Panel::default());
        }
        let sums = summed.iter().fold(Hours::default(), |sum, hours| sum.plus(hours));
        let all = height(&sums);
        let entry = |(value, (name, ink, hatch)): (f64, (&str, Ink, Hatch))| {
            let share = if all > 0.0 { format!(" {:.0} %", 100.0 * value / all) } else { String::new() };
            Entry { sample: Sample::Bar { ink, hatch }, text: format!("{name}{share}") }
        };
        let days = self.days.len().max(1) as f64;
        Chart {
            words: self.words.clone(),
            x: Axis { range: (-0.6, days - 0.4), kind: Kind::Names(short(&self.days)) },
            columns: Vec::new(),
            y: Axis { range: (0.0, top), kind: Kind::Level },
            panels,
            law: None,
            palette: Palette::ordered(1),
            key: sums.parts().into_iter().zip(PARTS).map(entry).collect(),
            description: format!(
                "Stacked bars of {} by day for {} devices: {:.3} useful, {:.3} repeated, {:.3} failed, {:.3} idle.",
                self.words.y_label,
                self.devices.len(),
                sums.useful,
                sums.repeated,
                sums.failed,
                sums.idle
            ),
        }
    }
}

/// Dates without their year, where it is the same for all.
fn short(days: &[String]) -> Vec<String> {
    let year = |day: &String| day.split_once('-').filter(|(year, _)| year.len() == 4).map(|(year, _)| year.to_owned());
    let first = days.first().and_then(year);
    if first.is_none() || days.iter().any(|day| year(day) != first) {
        return days.to_vec();
    }
    days.iter().map(|day| day[5..].to_owned()).collect()
}
