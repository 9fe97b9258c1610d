-- Sweeps, what they ask for, and what came of it. Times are milliseconds since 1970, durations are seconds.

create table sweep (
    sweep_id integer primary key,
    name text not null unique,
    -- Text of the file as it was last applied, so that a report can show it.
    source text not null,
    applied_ms integer not null
) strict;

-- A point of the grid. Its key is the hash of its configuration, so the same cell in two sweeps is one row.
create table cell (
    cell_key text primary key,
    dataset text not null,
    epochs real not null,
    lr real not null,
    parameters integer not null,
    parameters_without_head integer not null,
    macs integer not null,
    flops real not null,
    samples integer not null,
    steps integer not null,
    memory_bytes integer not null
) strict;

create table run (
    run_id text primary key,
    cell_key text not null references cell (cell_key),
    seed integer not null,
    -- JSON of the run's specification: all that is needed to run it again.
    spec text not null,
    state text not null default 'queued'
        check (state in ('queued', 'running', 'completed', 'diverged', 'failed', 'cancelled')),
    failure text check (failure in ('oom', 'node', 'code', 'data', 'timeout')),
    message text,
    -- Number of the newest attempt; older ones may not write any more.
    attempt integer not null default 0,
    -- Attempts that crashed; being told to stop does not count.
    crashes integer not null default 0,
    step integer not null default 0,
    heldout_loss real,
    accuracy real,
    step_seconds real,
    state_hash text,
    check ((state = 'failed') = (failure is not null)),
    check ((state = 'completed') = (heldout_loss is not null))
) strict;

create table sweep_run (
    sweep_id integer not null references sweep (sweep_id),
    run_id text not null references run (run_id),
    -- What this sweep calls the model.
    model text not null,
    estimated_seconds real not null,
    -- 0 once an edited file no longer asks for it; the result is kept all the same.
    wanted integer not null default 1,
    primary key (sweep_id, run_id)
) strict, without rowid;

create table attempt (
    run_id text not null references run (run_id),
    attempt integer not null,
    started_ms integer not null,
    -- Who it is, beyond a process id that may be given to somebody else.
    pid integer,
    pid_start integer,
    boot_id text,
    resumed_step integer,
    device text,
    last_seen_ms integer,
    ended_ms integer,
    -- How it ended: completed, diverged, preempted, crashed.
    outcome text check (outcome in ('completed', 'diverged', 'preempted', 'crashed')),
    message text,
    -- Billed: how long it held its slot.
    device_seconds real,
    -- How far the journal has been read; moved in the transaction that stores what was read.
    journal_bytes integer not null default 0,
    primary key (run_id, attempt)
) strict, without rowid;

create table metric (
    run_id text not null references run (run_id),
    step integer not null,
    attempt integer not null,
    samples integer not null,
    loss real not null,
    lr real not null,
    seconds real not null,
    primary key (run_id, step)
) strict, without rowid;

create table evaluation (
    run_id text not null references run (run_id),
    step integer not null,
    attempt integer not null,
    loss real not null,
    accuracy real not null,
    primary key (run_id, step)
) strict, without rowid;

-- What each epoch consisted of, as the worker saw it.
create table epoch_digest (
    run_id text not null references run (run_id),
    epoch integer not null,
    attempt integer not null,
    -- Positions of the epoch that were seen, from 0 on; all of them but in an epoch that the budget ends.
    samples integer not null,
    digest text not null,
    primary key (run_id, epoch)
) strict, without rowid;

create table fit (
    fit_id integer primary key,
    sweep_id integer not null references sweep (sweep_id),
    law text not null,
    -- Hash of the points that went in.
    points_hash text not null,
    result text not null,
    fitted_ms integer not null,
    unique (sweep_id, law, points_hash)
) strict;
