-- Where the time of an attempt went, and the most memory it had; null for attempts that were killed or are older.

alter table attempt add column data_seconds real;
alter table attempt add column gradient_seconds real;
alter table attempt add column optimizer_seconds real;
alter table attempt add column evaluation_seconds real;
alter table attempt add column checkpoint_seconds real;
alter table attempt add column peak_memory_bytes integer;
