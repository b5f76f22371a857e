"""Tables beside the way of an item: what people wish, what is being forgotten, other ledgers on the same service, accounts, and holds."""

from typing import Final

BESIDE: Final = """
create table wishes (                 -- what cancel and retry ask of the next pass; written without the lock
  id integer primary key,
  at integer not null,
  job integer not null references jobs,
  kind text not null,                 -- cancel, retry
  arguments text not null,
  done_at integer
) strict;

create table forgettings (             -- what `forget` has taken out of the tables; their bytes elsewhere go until done_at
  id integer primary key,
  at integer not null,
  job integer not null references jobs,
  is_whole integer not null,          -- 1: the whole job, 0: the items in forgotten_items
  was_stale integer not null,         -- of the job, before
  done_at integer
) strict;

create table forgotten_items (        -- numbers only, until the bytes are gone
  forgetting integer not null references forgettings,
  item integer not null,
  primary key (forgetting, item)
) strict, without rowid;

create table forgotten_batches (      -- batches that carried forgotten items, until the bytes are gone
  forgetting integer not null references forgettings,
  batch integer not null references batch_rows,
  primary key (forgetting, batch)
) strict, without rowid;

create table remote_leftovers (       -- files at the service that hold what was forgotten, until they are deleted there
  file_id text primary key,
  batch integer not null references batch_rows
) strict, without rowid;

create table ledgers (                -- other ledgers whose batches on the service are this one's: see origins.py
  id text primary key,                -- as in the metadata of their batches
  is_former integer not null,         -- 1: this ledger bore the id itself, before it was taken over
  at integer not null
) strict;

create table asked_as (               -- custom_ids in recovered and adopted batches that this ledger would not have given
  batch integer not null references batch_rows,
  item integer not null,
  custom_id text not null,
  primary key (batch, item)
) strict, without rowid;

create table strays (                 -- batches of ours on the service of which some or all requests are no item's here
  remote_id text primary key,
  profile text not null,
  batch integer references batch_rows,  -- the row that settles the rest, or null
  folder text,                        -- where the answers to those requests are, once they are here
  at integer not null
) strict;

create table accounts (               -- accounts that could see a file or batch of ours, so that a rotated key is accepted once proven
  base_url text not null,
  organization text not null,
  project text not null,
  fingerprint text not null,
  proven_at integer not null,
  primary key (base_url, organization, project, fingerprint)
) strict, without rowid;

create table webhook_events (         -- events of a service that were received, so that one that comes again is known
  id text primary key,                -- as in its header webhook-id
  at integer not null
) strict, without rowid;

create table holds (                  -- a profile that must not send before `until`: back-off after token limits, quota
  profile text not null,
  model text not null,
  until integer not null,
  refusals integer not null default 0,
  reason text not null,
  primary key (profile, model)
) strict, without rowid;
"""
