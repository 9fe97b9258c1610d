-- What the device time of each attempt that has ended was good for; the three parts add up to its seconds. An attempt's time counts
-- for its steps alike: a step that a later attempt has not gone on from is repeated, and so is starting for no step at all, unless
-- nothing came after it (an evaluation). Of a run that was given up, everything has failed.
create view attempt_use as
select run_id, attempt, devices, node, started_ms, ended_ms, outcome, seconds,
    iif(given_up, 0.0, share * seconds) as useful_seconds,
    iif(given_up, 0.0, seconds - share * seconds) as repeated_seconds,
    iif(given_up, seconds, 0.0) as failed_seconds
from (
    select *,
        case
            when last > first then max(min(last, coalesce(kept_to, last)) - first, 0) * 1.0 / (last - first)
            else kept_to is null
        end as share
    from (
        select attempt.run_id, attempt.attempt, attempt.devices, attempt.node, attempt.started_ms, attempt.ended_ms, attempt.outcome,
            coalesce(attempt.device_seconds, 0.0) as seconds, run.state in ('failed', 'cancelled') as given_up,
            coalesce(attempt.resumed_step, 0) as first, coalesce(attempt.step, attempt.resumed_step, 0) as last,
            -- Later attempts go on from at most this step.
            (select min(coalesce(later.resumed_step, 0)) from attempt as later
                where later.run_id = attempt.run_id and later.attempt > attempt.attempt
                    and (later.outcome is not null or later.resumed_step is not null)) as kept_to
        from run join attempt using (run_id)
        where attempt.outcome is not null
    )
);
