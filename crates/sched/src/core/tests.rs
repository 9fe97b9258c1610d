use super::*;
use proptest::prelude::*;
use spec::state::{Failure, Transition};
use store::Outcome;

pub(super) fn run(number: u64) -> RunId {
    format!("{number:016x}").parse().expect("16 digits")
}

pub(super) fn waiting(number: u64) -> Waiting {
    Waiting {
        run: run(number),
        attempt: 0,
        crashes: 0,
        not_before: Duration::ZERO,
        after: None,
        priority: 0,
        devices: 1,
        memory: 1,
        seconds: 10.0,
        steps: Steps::default(),
        stopped_at_once: 0,
        halvings: 0,
        most_halvings: 3,
        canary: None,
        passed: 0,
    }
}

fn queue(runs: u64) -> Vec<Waiting> {
    (0..runs).map(waiting).collect()
}

pub(super) fn devices(count: usize) -> Vec<Device> {
    (0..count).map(|index| Device { name: format!("cpu{index}"), memory: None, runs: 1, held: true }).collect()
}

pub(super) const RULES: Rules = Rules {
    retries: 1,
    grace: Duration::from_secs(10),
    failures_in_a_row: 3,
    silence: Duration::from_secs(60),
    stall: Duration::from_secs(1800),
    tells_steps: true,
    halvings: 2,
    budget: (None, 0.0),
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn crashed(class: Failure) -> Ending {
    Ending::Crashed { class, message: "x".to_owned() }
}

fn end(number: u64, attempt: u32, ending: Ending) -> Event {
    Event::Ended { run: run(number), attempt, ending }
}

/// Runs that were started, in order.
fn started(actions: &[Action]) -> Vec<u64> {
    let started = actions.iter().filter_map(|action| match action {
        Action::Start { run, .. } => Some(*run),
        _ => None,
    });
    started.map(|run| u64::from_str_radix(&run.to_string(), 16).expect("16 digits")).collect()
}

#[track_caller]
fn settled(actions: &[Action]) -> &Settled {
    let found = actions.iter().find_map(|action| match action {
        Action::Settle(settled) => Some(settled),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing was settled: {actions:?}"))
}

#[test]
fn devices_are_filled_in_order() {
    let mut core = Core::new(RULES, devices(2), queue(3));
    let first = core.handle(at(0), Event::Tick);
    assert_eq!(first[0], Action::Start { run: run(0), attempt: 1, devices: vec![0], halvings: 0 });
    assert_eq!(started(&first), [0, 1]);
    let actions = core.handle(at(1), end(0, 1, Ending::Diverged));
    assert_eq!(actions[1], Action::Start { run: run(2), attempt: 1, devices: vec![0], halvings: 0 });
}

#[test]
fn a_crash_is_tried_again_later_and_then_given_up() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    let first = core.handle(at(0), end(0, 1, crashed(Failure::Node)));
    assert_eq!(settled(&first).transition, Transition::Requeue);
    assert_eq!(started(&core.handle(at(5), Event::Tick)), [0]);
    let second = core.handle(at(6), end(0, 2, crashed(Failure::Node)));
    assert_eq!(settled(&second).transition, Transition::Fail(Failure::Node));
    assert_eq!(settled(&second).device_seconds, 1.0);
    assert_eq!(core.over(), Some(Over::Done));
}

#[test]
fn what_cannot_heal_is_not_tried_again() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    let actions = core.handle(at(0), end(0, 1, crashed(Failure::Data)));
    assert_eq!(settled(&actions).transition, Transition::Fail(Failure::Data));
}

#[test]
fn memory_that_ran_out_halves_the_batch_and_costs_no_retry() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    for halvings in 1..=2 {
        let actions = core.handle(at(0), end(0, halvings, crashed(Failure::Oom)));
        assert!(settled(&actions).message.as_ref().is_some_and(|text| text.contains("parts")));
        assert_eq!(actions[1], Action::Start { run: run(0), attempt: halvings + 1, devices: vec![0], halvings });
    }
    let last = core.handle(at(0), end(0, 3, crashed(Failure::Oom)));
    assert_eq!(settled(&last).transition, Transition::Fail(Failure::Oom));
}

#[test]
fn stopping_asks_then_kills_and_starts_nothing() {
    let mut core = Core::new(RULES, devices(2), queue(3));
    core.handle(at(0), Event::Tick);
    assert_eq!(core.handle(at(1), Event::Stop), [Action::Terminate(run(0)), Action::Terminate(run(1))]);
    assert_eq!(core.handle(at(2), end(0, 1, Ending::Preempted)).len(), 1);
    assert_eq!(core.handle(at(11), Event::Tick), [Action::Kill(run(1))]);
    let killed = core.handle(at(12), end(1, 1, crashed(Failure::Node)));
    assert_eq!((settled(&killed).outcome, settled(&killed).transition), (Outcome::Preempted, Transition::Requeue));
    assert_eq!(core.over(), Some(Over::Stopped));
}

#[test]
fn a_second_stop_kills_at_once() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    core.handle(at(1), Event::Stop);
    assert_eq!(core.handle(at(1), Event::Stop), [Action::Kill(run(0))]);
}

#[test]
fn a_late_word_of_a_settled_attempt_changes_nothing() {
    let mut core = Core::new(RULES, devices(1), queue(2));
    core.handle(at(0), Event::Tick);
    assert_eq!(core.handle(at(1), end(0, 0, Ending::Completed)), [], "attempt 1 is at work and keeps its device");
}

#[test]
fn what_goes_on_from_another_run_waits_for_its_end() {
    let mut waiting = queue(3);
    waiting[1].after = Some(run(0));
    let mut core = Core::new(RULES, devices(2), waiting);
    assert_eq!(started(&core.handle(at(0), Event::Tick)), [0, 2]);
    // A crash is no end: the run will be tried again.
    core.handle(at(0), end(0, 1, crashed(Failure::Node)));
    assert_eq!(started(&core.handle(at(5), Event::Tick)), [0]);
    assert_eq!(started(&core.handle(at(6), end(0, 2, Ending::Completed))), [1]);
}

#[test]
fn priorities_go_first_and_may_change() {
    let mut core = Core::new(RULES, devices(1), queue(3));
    core.handle(at(0), Event::Tick);
    core.handle(at(0), Event::Prioritise(run(2), 5));
    let next = core.handle(at(1), end(0, 1, Ending::Completed));
    assert_eq!(started(&next), [2]);
}

#[test]
fn cancelling_ends_what_runs_and_drops_what_waits() {
    let mut core = Core::new(RULES, devices(1), queue(2));
    core.handle(at(0), Event::Tick);
    assert_eq!(core.handle(at(1), Event::Cancel(run(1))), [Action::Cancel(run(1))]);
    assert_eq!(core.handle(at(1), Event::Cancel(run(0))), [Action::Terminate(run(0))]);
    let actions = core.handle(at(2), end(0, 1, Ending::Preempted));
    assert_eq!(settled(&actions).transition, Transition::Cancel);
    assert_eq!(core.over(), Some(Over::Done));
}

#[test]
fn a_result_that_comes_after_all_counts_more_than_the_wish_to_cancel() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    core.handle(at(1), Event::Cancel(run(0)));
    assert_eq!(settled(&core.handle(at(2), end(0, 1, Ending::Completed))).transition, Transition::Complete);
}

#[test]
fn a_pause_frees_the_devices_until_it_is_over() {
    let mut core = Core::new(RULES, devices(1), queue(2));
    core.handle(at(0), Event::Tick);
    let paused = core.handle(at(1), Event::Pause);
    assert_eq!(paused[1], Action::Terminate(run(0)));
    assert!(started(&core.handle(at(2), end(0, 1, Ending::Preempted))).is_empty());
    assert_eq!(core.over(), None);
    let resumed = core.handle(at(3), Event::Resume);
    assert_eq!(
        (resumed[0].clone(), started(&resumed)),
        (Action::Pause(None), vec![0]),
        "the interrupted run goes on first"
    );
}

#[test]
fn a_bad_device_is_used_no_more_and_then_the_sweep_pauses() {
    let rules = Rules { retries: 0, ..RULES };
    let mut core = Core::new(rules, devices(2), queue(20));
    core.handle(at(0), Event::Tick);
    // Device 0 works on run 0 all the time; device 1 fails everything.
    let mut next = 1;
    for failures in 1..=3 {
        let actions = core.handle(at(1), end(next, 1, crashed(Failure::Node)));
        let quarantined =
            actions.iter().any(|action| matches!(action, Action::Quarantine { place, .. } if place == "cpu1"));
        assert_eq!(quarantined, failures == 3);
        next = started(&actions).first().copied().unwrap_or(99);
    }
    assert_eq!(next, 99, "nothing starts on a quarantined device");
    let good = core.handle(at(2), end(0, 1, Ending::Completed));
    assert_eq!(started(&good), [4]);
    for failed in 4..=6 {
        core.handle(at(3), end(failed, 1, crashed(Failure::Node)));
    }
    assert!(matches!(core.over(), Some(Over::Paused(_))), "{:?}", core.over());
    assert_eq!(started(&core.handle(at(4), Event::Resume)), [7, 8]);
}

#[test]
fn one_bad_run_condemns_no_device() {
    let rules = Rules { retries: 9, ..RULES };
    let mut core = Core::new(rules, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    for attempt in 1..=9 {
        let actions = core.handle(at(1000 * u64::from(attempt)), end(0, attempt, crashed(Failure::Node)));
        assert!(!actions.iter().any(|action| matches!(action, Action::Quarantine { .. })), "{actions:?}");
        core.handle(at(1000 * u64::from(attempt) + 500), Event::Tick);
    }
}

#[test]
fn a_hang_is_told_from_a_slow_step_and_from_a_sleeping_machine() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    let sign = |step| Event::Sign { run: run(0), attempt: 1, step, beats: true, is_last: false };
    let mut now = 0;
    // A step takes ten minutes, but the heart beats.
    for _ in 0..120 {
        now += 5;
        assert_eq!(core.handle(at(now), sign(1)), []);
    }
    // The machine sleeps for an hour.
    now += 3600;
    assert_eq!(core.handle(at(now), Event::Tick), []);
    // The heart stops.
    let mut ended = false;
    for _ in 0..13 {
        now += 5;
        ended |= core.handle(at(now), Event::Tick) == [Action::Terminate(run(0))];
    }
    assert!(ended);
    let actions = core.handle(at(now + 1), end(0, 1, crashed(Failure::Node)));
    assert_eq!(settled(&actions).failure, Some(Failure::Timeout));
    assert!(settled(&actions).message.as_ref().is_some_and(|text| text.starts_with("no heartbeat for")));
}

#[test]
fn who_has_told_of_no_step_is_not_blamed_for_it_unless_it_should_have() {
    for (tells_steps, step, ended) in [(true, 0, true), (false, 0, false), (false, 1, true)] {
        let mut core = Core::new(Rules { tells_steps, ..RULES }, devices(1), queue(1));
        core.handle(at(0), Event::Tick);
        core.handle(at(1), Event::Sign { run: run(0), attempt: 1, step, beats: false, is_last: false });
        let hours = (1..=720).flat_map(|tick| core.handle(at(5 * tick), Event::Tick));
        let expected = if ended { vec![Action::Terminate(run(0))] } else { vec![] };
        let found: Vec<_> = hours.filter(|action| matches!(action, Action::Terminate(_))).collect();
        assert_eq!(found, expected, "{tells_steps} {step}");
    }
}

#[test]
fn canaries_go_first_and_alone() {
    let mut waiting = queue(4);
    waiting[0].canary = Some(Canary::Result);
    waiting[3].canary = Some(Canary::Step);
    let mut core = Core::new(RULES, devices(3), waiting.clone());
    assert_eq!(started(&core.handle(at(0), Event::Tick)), [0, 3]);
    assert_eq!(core.handle(at(1), end(0, 1, Ending::Completed)).len(), 1);
    let released = core.handle(at(2), Event::Sign { run: run(3), attempt: 1, step: 1, beats: true, is_last: false });
    assert_eq!(started(&released), [1, 2]);

    let mut core = Core::new(RULES, devices(1), waiting);
    core.handle(at(0), Event::Tick);
    let failed = core.handle(at(1), end(0, 1, crashed(Failure::Data)));
    assert!(failed.iter().any(|action| matches!(action, Action::Pause(Some(_)))), "{failed:?}");
}

#[test]
fn what_is_promised_is_not_promised_twice() {
    // Each of the runs reserves 15 s, half more than estimated, and 11 s to end.
    let rules = Rules { budget: (Some(60.0), 5.0), ..RULES };
    let mut core = Core::new(rules, devices(4), queue(4));
    assert_eq!(started(&core.handle(at(0), Event::Tick)), [0, 1], "5 + 2 x 26 of 60");
    // One that takes too long is stopped in time: 5 + 2 x 16 + 2 x 11.
    core.handle(at(8), Event::Tick);
    core.handle(at(16), Event::Tick);
    let stopped = core.handle(at(17), Event::Tick);
    assert_eq!(stopped, [Action::Terminate(run(0)), Action::Terminate(run(1))]);
    core.handle(at(18), end(0, 1, Ending::Preempted));
    core.handle(at(18), end(1, 1, Ending::Preempted));
    assert!(matches!(core.over(), Some(Over::Budget { .. })));
}

#[test]
fn a_run_on_all_devices_is_not_passed_for_ever() {
    let mut waiting = queue(100);
    waiting[0].seconds = 1.0;
    waiting[1].devices = 2;
    let mut core = Core::new(RULES, devices(2), waiting);
    let mut open: Vec<u64> = started(&core.handle(at(0), Event::Tick));
    let mut seconds = 0;
    while !open.contains(&1) {
        seconds += 1;
        assert!(seconds < 60, "it starves");
        // They never end at the same time.
        let oldest = open.remove(0);
        open.extend(started(&core.handle(at(seconds), end(oldest, 1, Ending::Completed))));
    }
}

proptest! {
    /// Wherever a run stands in the queue, it is found, moved and dropped with what belongs to it.
    #[test]
    fn the_queue_loses_nothing(steps in proptest::collection::vec((0..5_u8, 0..8_u64, -2..3_i64), 0..60)) {
        let mut queue = Queue::default();
        let mut there = BTreeSet::new();
        let mut now = at(0);
        for (what, which, priority) in steps {
            now += at(1);
            match what {
                0 | 1 if !there.contains(&which) => {
                    let not_before = if what == 1 { now + at(3) } else { at(0) };
                    let after = (which > 4).then(|| run(which - 4));
                    let one = Waiting { priority, not_before, after, ..waiting(which) };
                    let known = there.clone();
                    queue.push(one, now, |run| known.iter().any(|one| super::tests::run(*one) == run));
                    there.insert(which);
                }
                2 => {
                    let taken = queue.take(run(which)).map(|(waiting, _)| waiting.run);
                    prop_assert_eq!(taken, there.remove(&which).then(|| run(which)));
                    queue.ended(run(which), now);
                }
                _ => queue.wake(now),
            }
            prop_assert_eq!(queue.keys.len(), there.len());
            let order: Vec<i64> = queue.ready().map(|one| one.priority).collect();
            prop_assert!(order.is_sorted_by(|a, b| a >= b));
        }
        for which in there.clone() {
            prop_assert!(queue.contains(run(which)));
            queue.take(run(which));
            queue.ended(run(which), now);
        }
        prop_assert!(queue.is_empty() && queue.ready().next().is_none() && !queue.has_delayed());
    }
}

#[test]
fn a_trainer_that_has_said_its_last_word_has_the_grace_to_end() {
    let mut core = Core::new(RULES, devices(1), queue(2));
    core.handle(at(0), Event::Tick);
    let last = Event::Sign { run: run(0), attempt: 1, step: 5, beats: false, is_last: true };
    assert_eq!(core.handle(at(1), last), []);
    assert_eq!(core.handle(at(10), Event::Tick), [], "it is not asked to stop: it would save what is over");
    assert_eq!(core.handle(at(11), Event::Tick), [Action::Kill(run(0))]);
    let actions = core.handle(at(12), end(0, 1, Ending::Completed));
    assert_eq!(settled(&actions).outcome, Outcome::Completed);
    assert_eq!(started(&actions), [1]);
}

#[test]
fn a_failure_that_was_said_before_the_end_is_a_failure() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    core.handle(at(1), Event::Sign { run: run(0), attempt: 1, step: 0, beats: false, is_last: true });
    let actions = core.handle(at(2), end(0, 1, crashed(Failure::Code)));
    assert_eq!(settled(&actions).transition, Transition::Fail(Failure::Code));
}

#[test]
fn whoever_stops_at_once_again_and_again_waits_longer_and_longer() {
    let mut core = Core::new(RULES, devices(1), queue(1));
    let (mut now, mut waits) = (0, Vec::new());
    for attempt in 1..=11 {
        let begin = now;
        while started(&core.handle(at(now), Event::Tick)).is_empty() {
            now += 1;
        }
        waits.push(now - begin);
        core.handle(at(now), end(0, attempt, Ending::Preempted));
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256]);
    // One that works until it has to make way does not.
    let mut core = Core::new(RULES, devices(1), queue(1));
    core.handle(at(0), Event::Tick);
    core.handle(at(1), Event::Sign { run: run(0), attempt: 1, step: 3, beats: false, is_last: false });
    assert_eq!(started(&core.handle(at(2), end(0, 1, Ending::Preempted))), [0]);
}

#[test]
fn a_run_that_is_nearly_done_needs_little_of_the_budget() {
    let rules = Rules { budget: (Some(100.0), 60.0), ..RULES };
    let long = |done| Waiting { seconds: 60.0, steps: Steps { shared: 0, done, all: 100 }, ..waiting(0) };
    let mut core = Core::new(rules, devices(1), vec![long(0)]);
    assert_eq!(core.handle(at(0), Event::Tick), []);
    assert!(matches!(core.over(), Some(Over::Budget { .. })));
    let mut core = Core::new(rules, devices(1), vec![long(90)]);
    assert_eq!(started(&core.handle(at(0), Event::Tick)), [0]);
}

#[test]
fn a_job_that_is_taken_over_has_a_place_and_is_billed_though_fewer_are_wanted_now() {
    let mut core = Core::new(RULES, Vec::new(), vec![waiting(1)]);
    core.adopt(at(0), Waiting { attempt: 1, ..waiting(0) }, None);
    core.handle(at(4000), Event::Tick);
    core.handle(at(4001), Event::Placed { run: run(0), attempt: 1, node: "n".to_owned(), seconds: 3.0 });
    let actions = core.handle(at(4003), end(0, 1, Ending::Completed));
    assert_eq!((settled(&actions).outcome, settled(&actions).device_seconds), (Outcome::Completed, 5.0));
    assert!(started(&actions).is_empty(), "its place was for it alone");
}
