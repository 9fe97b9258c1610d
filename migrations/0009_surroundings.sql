-- What a report says of where numbers come from.

-- What the trainer said of the processor or GPU that it worked on, and of the program that computed.
alter table attempt add column hardware text;
alter table attempt add column software text;

-- A row for each `scalelaw run`: what it was started as, on which machine, from which state of the sources. JSON, for reports only.
create table session (
    sweep_id integer not null references sweep (sweep_id),
    began_ms integer not null,
    surroundings text not null,
    -- The question is which one started an attempt, whichever sweep has its run.
    primary key (began_ms, sweep_id)
) strict, without rowid;
