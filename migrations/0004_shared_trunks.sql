-- Budgets that share their beginning: which run a sweep lets a run branch off and after how many steps, and which one it really
-- has gone on from. A branched run comes to the same result as one that was trained from its first step on.

alter table sweep_run add column trunk_run_id text references run (run_id);
alter table sweep_run add column trunk_step integer;
alter table run add column trunk_run_id text references run (run_id);
alter table run add column trunk_step integer;
