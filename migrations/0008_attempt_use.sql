-- What the device time of each attempt that has ended was good for; the three parts add up to its seconds. An attempt's time counts
-- for its steps alike: a step that a later attempt has not gone on from is repeated, and so is starting for no step at all, unless
-- nothing came after it and it did not crash (an evaluation). Of a run that was given up, everything has failed.
--
-- A later attempt that has not said where it began does not show that anything was lost: it ended before it began, or its trainer
-- does not say so and is taken to have gone on.
create view attempt_use as
select run_id, attempt, devices, node, started_ms, ended_ms, outcome, seconds,
    iif(given_up, 0.0, share * seconds) as useful_seconds,
    iif(given_up, 0.0, seconds - share * seconds) as repeated_seconds,
    iif(given_up, seconds, 0.0) as failed_seconds
from (
    select *, iif(last > first, max(min((kept_to - first) * 1.0 / max(last - first, 1), 1.0), 0.0), is_last and outcome <> 'crashed') as share
    from (
        select attempt.run_id, attempt.attempt, attempt.devices, attempt.node, attempt.started_ms, attempt.ended_ms, attempt.outcome,
            coalesce(attempt.device_seconds, 0.0) as seconds, run.state in ('failed', 'cancelled') as given_up,
            attempt.attempt = run.attempt as is_last,
            coalesce(attempt.step, attempt.resumed_step, 0) as last,
            coalesce(attempt.resumed_step,
                (select max(earlier.step) from attempt as earlier
                    where earlier.run_id = attempt.run_id and earlier.attempt < attempt.attempt), 0) as first,
            -- Later attempts go on from at most this step.
            coalesce(
                (select min(later.resumed_step) from attempt as later
                    where later.run_id = attempt.run_id and later.attempt > attempt.attempt), 1 << 62) as kept_to
        from run join attempt using (run_id)
        where attempt.outcome is not null
    )
);
