-- What a scheduler that loses nothing has to remember: every move of a run, wishes of people, which devices were held, and how an
-- attempt was placed.

-- Every move of a run, in order: folding them gives the states in `run`.
create table move (
    move_id integer primary key,
    run_id text not null references run (run_id),
    at_ms integer not null,
    transition text not null
        check (transition in ('start', 'complete', 'diverge', 'requeue', 'fail', 'cancel', 'retry')),
    -- The attempt that it is about; null for what a person did.
    attempt integer,
    failure text check (failure in ('oom', 'node', 'code', 'data', 'timeout')),
    message text
) strict;
create index move_of_run on move (run_id, move_id);

-- Wishes of people, for the scheduler that works; where none does, they are granted by who makes them.
create table request (
    request_id integer primary key,
    made_ms integer not null,
    sweep_id integer not null references sweep (sweep_id),
    action text not null check (action in ('cancel', 'retry', 'prioritise', 'pause', 'resume')),
    -- Null for what is about the whole sweep.
    run_id text references run (run_id),
    -- The priority that is wanted.
    value integer,
    -- When it was granted or turned down, and what came of it.
    done_ms integer,
    answer text
) strict;
create index request_open on request (request_id) where done_ms is null;

-- Higher ones first; within one priority the cheapest.
alter table run add column priority integer not null default 0;

-- Runs that no fit and no figure is to use, with the reason that a person gave.
create table exclusion (
    run_id text primary key references run (run_id),
    reason text not null,
    made_ms integer not null
) strict;

-- Why a sweep starts nothing any more; null while it does.
alter table sweep add column paused text;

-- Devices that a scheduler held, and what it used them for; written as it goes, so that a killed one loses a second at most.
-- Busy and idle seconds add up to the seconds that the device was held.
create table device_session (
    session_ms integer not null,
    sweep_id integer not null references sweep (sweep_id),
    device text not null,
    seen_ms integer not null,
    busy_seconds real not null default 0,
    idle_seconds real not null default 0,
    -- Why it is used no more, where failures in a row have put it out of use; nodes of a cluster have such rows, too.
    quarantined text,
    primary key (session_ms, sweep_id, device)
) strict, without rowid;

-- Where an attempt worked: the names of its devices, separated by commas; the node of a cluster; the job of a batch system.
alter table attempt add column devices text;
alter table attempt add column node text;
alter table attempt add column job text;
-- What kind of failure ended it, where one did.
alter table attempt add column failure text check (failure in ('oom', 'node', 'code', 'data', 'timeout'));
-- Parts that a batch is computed in because memory ran out before; null: as the run's specification says.
alter table attempt add column accumulate integer;
-- The last step that it reached.
alter table attempt add column step integer;
