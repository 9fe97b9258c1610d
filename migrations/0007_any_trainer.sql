-- What a trainer of one's own need not say is null: accuracies, samples, learning rates, seconds.

create table evaluation_0007 (
    run_id text not null references run (run_id),
    step integer not null,
    attempt integer not null,
    loss real not null,
    accuracy real,
    top5_accuracy real,
    primary key (run_id, step)
) strict, without rowid;
insert into evaluation_0007 select run_id, step, attempt, loss, accuracy, top5_accuracy from evaluation;
drop table evaluation;
alter table evaluation_0007 rename to evaluation;

create table metric_0007 (
    run_id text not null references run (run_id),
    step integer not null,
    attempt integer not null,
    samples integer,
    loss real not null,
    lr real,
    seconds real,
    primary key (run_id, step)
) strict, without rowid;
insert into metric_0007 select run_id, step, attempt, samples, loss, lr, seconds from metric;
drop table metric;
alter table metric_0007 rename to metric;
