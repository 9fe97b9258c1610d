-- Examples that were damaged and did not enter the weights, which a sweep may allow a share of; and how long attempts waited for data,
-- a part of the time for data.

create table skipped_example (
    run_id text not null references run (run_id),
    epoch integer not null,
    example integer not null,
    attempt integer not null,
    -- Steps done when it had been skipped.
    step integer not null,
    reason text not null,
    primary key (run_id, epoch, example)
) strict, without rowid;

alter table attempt add column wait_seconds real;
