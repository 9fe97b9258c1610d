-- Fine-tuning: which run's final weights a run started from, and the share of the held-out set whose five most likely classes
-- have the right one among them; null with fewer than six classes and of older runs.

alter table run add column pretrained_run_id text references run (run_id);
alter table run add column top5_accuracy real;
alter table evaluation add column top5_accuracy real;
