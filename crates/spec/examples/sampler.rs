//! How fast the order of the examples is alone, at 4 billion of them: one line of JSON per form.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark takes the time and prints it")]

use std::hint::black_box;
use std::time::Instant;

use spec::order::{Blocks, Digest, SampleOrder};

const EXAMPLES: u64 = 4_000_000_000;
const BLOCKS: Blocks = Blocks { examples: 4096, open: 64 };
const DRAWS: u64 = 20_000_000;

fn main() {
    for (form, order) in
        [("whole", SampleOrder::new(1, EXAMPLES)), ("blocks", SampleOrder::in_blocks(1, EXAMPLES, BLOCKS))]
    {
        let Some(order) = order else { continue };
        let began = Instant::now();
        let mut sum = 0_u64;
        for position in 0..DRAWS {
            sum = sum.wrapping_add(order.in_epoch(1, black_box(position)));
        }
        black_box(sum);
        let seconds = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let mut digest = Digest::default();
        (0..DRAWS).for_each(|id| digest.add(black_box(id)));
        black_box(digest);
        let digests = DRAWS as f64 / began.elapsed().as_secs_f64();
        println!(
            "{{\"form\":\"{form}\",\"examples\":{EXAMPLES},\"draws\":{DRAWS},\"indices_per_second\":{:.0},\
             \"digests_per_second\":{digests:.0}}}",
            DRAWS as f64 / seconds
        );
    }
}
