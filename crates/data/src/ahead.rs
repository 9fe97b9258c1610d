//! Tells the system what will be read next, where the order draws from blocks.

use std::ops::Range;

use spec::order::SampleOrder;

use crate::Split;

/// Announces the window after each one that begins among `draws`, and at the `first` draws of an attempt the window that they
/// are in, so that the disk reads forward while the windows before are trained on.
pub fn announce(split: &Split, order: &SampleOrder, draws: Range<u64>, first: bool) {
    let examples = order.examples();
    let (epoch, position) = (draws.start / examples, draws.start % examples);
    let Some(open) = order.window_positions(epoch, position) else { return };
    if first {
        window(split, order, epoch, position);
    }
    // Draws where a window begins, counted over all epochs.
    let mut begins = if open.start == position { draws.start } else { epoch * examples + open.end };
    while begins < draws.end {
        let (epoch, position) = (begins / examples, begins % examples);
        let Some(open) = order.window_positions(epoch, position) else { return };
        begins = epoch * examples + open.end;
        window(split, order, begins / examples, begins % examples);
    }
}

fn window(split: &Split, order: &SampleOrder, epoch: u64, position: u64) {
    order.window(epoch, position).into_iter().flatten().for_each(|block| split.advise(block));
}
