//! Which learning rates are tried: the rules one by one, and what holds whatever the results are.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spec::search::{Group, Ladder, Rating, Standing, standings};
use spec::sweep::Strategy as Search;

/// Groups of `models` x `budgets` with the same ladder, of which nothing is known.
fn unknown(models: usize, budgets: usize, ladder: &Ladder) -> Vec<Vec<Group>> {
    let group = Group { ladder: ladder.clone(), ratings: vec![Rating::Open; ladder.rates.len()] };
    vec![vec![group; budgets]; models]
}

/// Rates from 1 up, a factor of 2 apart, so many of them beyond either end.
fn ladder(rates: usize, extra: u32) -> Ladder {
    Ladder::new(&(0..rates).map(|rung| f64::from(1 << rung)).collect::<Vec<_>>(), extra, |_| false)
}

/// Lets all results come in until nothing more is asked for; `first` says which of the open rungs comes first.
fn finish(
    strategy: Search,
    mut groups: Vec<Vec<Group>>,
    result: impl Fn(usize, usize, usize) -> Rating,
    mut first: impl FnMut(usize) -> usize,
) -> Vec<Vec<Standing>> {
    for _ in 0..10_000 {
        let now = standings(strategy, &groups);
        let mut open = Vec::new();
        for (model, row) in now.iter().enumerate() {
            for (budget, standing) in row.iter().enumerate() {
                let rungs = standing.tried.iter().filter(|rung| groups[model][budget].ratings[**rung] == Rating::Open);
                open.extend(rungs.map(|rung| (model, budget, *rung)));
            }
        }
        if open.is_empty() {
            return now;
        }
        let (model, budget, rung) = open[first(open.len()) % open.len()];
        groups[model][budget].ratings[rung] = result(model, budget, rung);
    }
    panic!("a search without end");
}

/// A loss that is lowest at this rung.
fn valley(optimum: usize) -> impl Fn(usize) -> Rating {
    move |rung| Rating::Loss((rung as f64 - optimum as f64 + 0.1).powi(2))
}

/// The rungs that one model and budget ends with.
#[track_caller]
fn check(strategy: Search, ladder: &Ladder, result: impl Fn(usize) -> Rating, tried: &[usize], best: Option<usize>) {
    let end = finish(strategy, unknown(1, 1, ladder), |_, _, rung| result(rung), |_| 0);
    let standing = &end[0][0];
    assert_eq!((standing.tried.iter().copied().collect::<Vec<_>>(), standing.best), (tried.to_vec(), best));
    assert!(standing.is_over && standing.to_follow == [0, 0], "{standing:?}");
}

#[test]
fn a_ladder_goes_on_by_its_outermost_factors() {
    let ladder = Ladder::new(&[0.2, 0.05, 0.1, 0.6], 2, |lr| lr == 0.0125 || lr == 0.1);
    assert_eq!((ladder.rates, ladder.grid), (vec![0.025, 0.05, 0.2, 0.6, 1.8, 5.4], 1..4));
    // As a grid with more values has them, or they would be other runs.
    assert_eq!(Ladder::new(&[0.14, 0.07, 0.28], 1, |_| false).rates, [0.035, 0.07, 0.14, 0.28, 0.56]);
    assert_eq!(Ladder::new(&[0.3], 2, |_| false).rates, [0.3]);
    assert_eq!(Ladder::new(&[0.1, 0.2], 2, |lr| lr < 0.3).rates, [0.0; 0]);
    // What cannot be told apart, is too small or too large to be a rate is not there.
    assert_eq!(Ladder::new(&[0.1, 0.100_000_000_000_1], 3, |_| false).rates.len(), 2);
    assert_eq!(Ladder::new(&[1e-300, 1.0, 1e300], 3, |_| false).rates, [1e-300, 1.0, 1e300]);
}

#[test]
fn the_full_grid_asks_for_all_at_once_and_for_nothing_else() {
    let grid = standings(Search::Grid, &unknown(1, 1, &ladder(3, 0)));
    assert_eq!((grid[0][0].tried.len(), grid[0][0].to_follow), (3, [0, 0]));
    check(Search::Grid, &ladder(3, 0), valley(0), &[0, 1, 2], Some(0));
    check(Search::Grid, &ladder(3, 0), |_| Rating::Diverged, &[0, 1, 2], None);
}

#[test]
fn refining_follows_an_optimum_at_the_edge() {
    // Rungs 2, 3 and 4 are the grid.
    let ladder = ladder(3, 2);
    check(Search::Refine, &ladder, valley(3), &[2, 3, 4], Some(3));
    check(Search::Refine, &ladder, valley(2), &[1, 2, 3, 4], Some(2));
    check(Search::Refine, &ladder, valley(0), &[0, 1, 2, 3, 4], Some(0));
    check(Search::Refine, &ladder, valley(4), &[2, 3, 4, 5], Some(4));
    check(Search::Refine, &ladder, valley(9), &[2, 3, 4, 5, 6], Some(6));
    check(
        Search::Refine,
        &ladder,
        |rung| if rung < 1 { Rating::Loss(1.0) } else { Rating::Diverged },
        &[0, 1, 2, 3, 4],
        Some(0),
    );
    check(Search::Refine, &ladder, |_| Rating::Diverged, &[0, 1, 2, 3, 4], None);
    let begun = standings(Search::Refine, &unknown(1, 1, &ladder));
    assert_eq!((begun[0][0].to_follow, begun[0][0].is_over), ([0, 2], false));
}

#[test]
fn the_first_of_two_trials_brackets_its_optimum_from_the_middle() {
    let ladder = ladder(5, 1);
    check(Search::TwoTrial, &ladder, valley(3), &[2, 3, 4], Some(3));
    check(Search::TwoTrial, &ladder, valley(4), &[2, 3, 4, 5], Some(4));
    check(Search::TwoTrial, &ladder, valley(9), &[2, 3, 4, 5, 6], Some(6));
    check(Search::TwoTrial, &ladder, valley(0), &[0, 1, 2, 3, 4], Some(0));
    check(Search::TwoTrial, &ladder, |_| Rating::Diverged, &[0, 1, 2, 3, 4], None);
    // With an even number of rates the higher one of those in the middle: optima fall from here.
    check(Search::TwoTrial, &self::ladder(4, 0), valley(2), &[1, 2, 3], Some(2));
    check(Search::TwoTrial, &self::ladder(1, 1), valley(0), &[0], Some(0));
}

#[test]
fn two_trials_start_from_the_higher_of_both_neighbours_and_go_down() {
    // Rows: models; columns: budgets.
    let optima = [[4, 3], [2, 3], [1, 0]];
    let end = finish(Search::TwoTrial, unknown(3, 2, &ladder(5, 0)), |m, b, rung| valley(optima[m][b])(rung), |_| 0);
    let tried: Vec<Vec<Vec<usize>>> =
        end.iter().map(|row| row.iter().map(|one| one.tried.iter().copied().collect()).collect()).collect();
    assert_eq!(
        tried,
        [
            [vec![1, 2, 3, 4], vec![2, 3, 4]],
            // From 4 down to 2; then from the higher of 3 (smaller model) and 2 (shorter budget).
            [vec![1, 2, 3, 4], vec![2, 3]],
            [vec![0, 1, 2], vec![0, 1, 2, 3]],
        ]
    );
    assert!(end.iter().zip(optima).all(|(row, optima)| row.iter().map(|one| one.best).eq(optima.map(Some))));
}

#[test]
fn one_that_all_diverged_or_was_given_up_is_passed_over() {
    // The smallest model diverges at everything, so the next one brackets; of the third, one rate is given up.
    let result = |model: usize, _: usize, rung: usize| match (model, rung) {
        (0, _) => Rating::Diverged,
        (2, 1) => Rating::GivenUp,
        _ => valley(2 - model.min(2))(rung),
    };
    let end = finish(Search::TwoTrial, unknown(4, 1, &ladder(4, 0)), result, |_| 0);
    let tried: Vec<Vec<usize>> = end.iter().map(|row| row[0].tried.iter().copied().collect()).collect();
    assert_eq!(tried, [vec![0, 1, 2, 3], vec![0, 1, 2, 3], vec![0, 1], vec![0]]);
    assert_eq!(end.iter().map(|row| row[0].best).collect::<Vec<_>>(), [None, Some(1), Some(0), Some(0)]);
    assert!(end.iter().flatten().all(|standing| standing.is_over));
}

#[test]
fn a_given_up_run_that_gets_its_result_after_all_moves_the_search_on() {
    let mut groups = unknown(1, 1, &ladder(5, 0));
    for (rung, rating) in [(1, Rating::GivenUp), (2, Rating::Loss(2.0)), (3, Rating::Loss(3.0))] {
        groups[0][0].ratings[rung] = rating;
    }
    let stopped = &standings(Search::TwoTrial, &groups)[0][0];
    assert_eq!((stopped.is_over, stopped.best, stopped.tried.len()), (true, Some(2), 3));
    groups[0][0].ratings[1] = Rating::Loss(1.0);
    let goes_on = &standings(Search::TwoTrial, &groups)[0][0];
    assert_eq!((goes_on.is_over, goes_on.best, goes_on.tried.len()), (false, Some(1), 4));
}

#[test]
fn what_is_known_already_counts() {
    let mut groups = unknown(1, 2, &ladder(5, 0));
    let shorter = |groups: &mut Vec<Vec<Group>>| groups[0][0].ratings = (0..5).map(valley(2)).collect();
    groups[0][1].ratings[4] = Rating::Loss(0.0);
    let waiting = standings(Search::TwoTrial, &groups)[0][1].clone();
    assert_eq!((waiting.tried, waiting.to_follow, waiting.is_over), (BTreeSet::from([4]), [0, 4], false));
    shorter(&mut groups);
    let begun = standings(Search::TwoTrial, &groups)[0][1].clone();
    assert_eq!((begun.tried, begun.best), (BTreeSet::from([1, 2, 4]), Some(4)));
    for rung in [1, 2] {
        groups[0][1].ratings[rung] = Rating::Loss(1.0);
    }
    // Far above where it started lies a better one, so what is below that is asked for, too.
    assert_eq!(standings(Search::TwoTrial, &groups)[0][1].tried, BTreeSet::from([1, 2, 3, 4]));
}

fn strategies() -> impl Strategy<Value = Search> {
    prop_oneof![Just(Search::Grid), Just(Search::TwoTrial), Just(Search::Refine)]
}

/// One result for every rung of 3 x 3 groups: mostly losses.
fn results(failures: bool) -> impl Strategy<Value = Vec<Rating>> {
    let rating = (0..12_u8, 0..1000_u32).prop_map(move |(kind, loss)| match kind {
        0 => Rating::Diverged,
        1 if failures => Rating::GivenUp,
        _ => Rating::Loss(f64::from(loss)),
    });
    proptest::collection::vec(rating, 9 * 9)
}

proptest! {
    /// Whatever the results and their order: it ends, with the same rungs, and what was asked for stays asked for. At every
    /// moment what follows lies between the bounds that were given.
    #[test]
    fn the_order_of_the_results_changes_nothing(
        strategy in strategies(), rates in 1_usize..6, extra in 0_u32..3, results in results(false), order in any::<u64>()
    ) {
        let ladder = ladder(rates, if strategy == Search::Grid { 0 } else { extra });
        let result = |model: usize, budget: usize, rung: usize| results[(model * 3 + budget) * 9 + rung];
        let in_order = finish(strategy, unknown(3, 3, &ladder), result, |_| 0);
        let mut seed = order;
        let mut random = |_| { seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); (seed >> 33) as usize };
        let otherwise = finish(strategy, unknown(3, 3, &ladder), result, &mut random);
        prop_assert_eq!(&in_order, &otherwise);
        prop_assert!(in_order.iter().flatten().all(|one| one.is_over && one.to_follow == [0, 0]));

        let mut groups = unknown(3, 3, &ladder);
        loop {
            let now = standings(strategy, &groups);
            let mut open = Vec::new();
            for (at, (now, end)) in now.iter().flatten().zip(in_order.iter().flatten()).enumerate() {
                prop_assert!(now.tried.is_subset(&end.tried));
                let follow = end.tried.len() - now.tried.len();
                prop_assert!(now.to_follow[0] <= follow && follow <= now.to_follow[1], "{now:?} {end:?}");
                let ratings = &groups[at / 3][at % 3].ratings;
                open.extend(now.tried.iter().filter(|rung| ratings[**rung] == Rating::Open).map(|rung| (at / 3, at % 3, *rung)));
            }
            if open.is_empty() {
                break;
            }
            let (model, budget, rung) = open[random(0) % open.len()];
            groups[model][budget].ratings[rung] = result(model, budget, rung);
        }
    }

    /// Runs that are given up hold nothing up for ever, and the end is a function of the results alone.
    #[test]
    fn failures_hold_nothing_up(strategy in strategies(), results in results(true), order in any::<u64>()) {
        let ladder = ladder(4, u32::from(strategy != Search::Grid));
        let result = |model: usize, budget: usize, rung: usize| results[(model * 3 + budget) * 9 + rung];
        let mut seed = order;
        let random = |_| { seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); (seed >> 33) as usize };
        let end = finish(strategy, unknown(3, 3, &ladder), result, random);
        prop_assert!(end.iter().flatten().all(|one| one.is_over));
        prop_assert_eq!(end, finish(strategy, unknown(3, 3, &ladder), result, |_| 0));
    }

    /// Where the optimum falls by at most one rung from group to group, as the paper has it, two trials find it everywhere, with
    /// at most two trials and as many more as it has fallen.
    #[test]
    fn two_trials_find_an_optimum_that_falls_slowly(falls in proptest::collection::vec(any::<bool>(), 4), top in 2_usize..5) {
        // By model and by budget, from `top` down, never below the lowest rung.
        let optimum = |model: usize, budget: usize| {
            let fallen = falls[..model].iter().filter(|fall| **fall).count() + falls[2..2 + budget].iter().filter(|fall| **fall).count();
            top.saturating_sub(fallen)
        };
        let end = finish(Search::TwoTrial, unknown(3, 3, &ladder(5, 0)), |m, b, rung| valley(optimum(m, b))(rung), |_| 0);
        for (model, row) in end.iter().enumerate() {
            for (budget, standing) in row.iter().enumerate() {
                prop_assert_eq!(standing.best, Some(optimum(model, budget)));
                if (model, budget) != (0, 0) {
                    let start = [(model > 0).then(|| optimum(model - 1, budget)), (budget > 0).then(|| optimum(model, budget - 1))];
                    let fallen = start.into_iter().flatten().max().unwrap_or(0) - optimum(model, budget);
                    prop_assert!(standing.tried.len() <= 2 + fallen, "{standing:?}");
                }
            }
        }
    }
}
