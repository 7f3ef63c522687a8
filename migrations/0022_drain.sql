-- A worker that an operator told to hand over its shards and to start nothing new. It lives on, hears what it has sent, and
-- works again after a restart, under a new row.
alter table workers add column draining_at timestamptz;
