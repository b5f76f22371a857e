"""Tables of what was sent and what came back: batches with all that proves them sent once, their files, one row for each settled attempt.

With them what people are told of it: bad items, incidents, events.
"""

from typing import Final

from batchrun.ledger.states import IS_OPEN_BATCH

# What is known of a settled attempt: of an item's last one in result_rows, of earlier ones in history.
_ATTEMPT: Final = """\
  attempts integer not null,          -- spent so far
  at integer not null,
  outcome integer not null,           -- 0 succeeded, 1 failed, 2 retry, 3 released, 4 cancelled, 5 superseded, 6 repair, 7 called
  cause text,
  message text,
  output text,                        -- a JSON value; of a failure, the text of a cut or unusable answer
  finish text,
  input_tokens integer,
  cached_tokens integer,
  cache_write_tokens integer,         -- null: not said
  output_tokens integer,
  reasoning_tokens integer,
  model integer,
  kind integer,
  offset integer,
  length integer,
  extras text                         -- a JSON object of what came beside the output: citations, calls, logprobs
"""

SENT: Final = f"""
create table batch_rows (
  id integer primary key,
  job integer not null references jobs,
  profile text not null,
  state integer not null,
  endpoint text not null,
  model text not null,
  window text not null,
  token text not null unique,
  request_file integer not null references request_files,
  request_count integer not null,
  input_bytes integer not null,
  checksum text not null,
  first_item integer not null,
  last_item integer not null,
  metadata text not null,
  planned_at integer not null,
  base_url text,                      -- account: stored with the upload, before anything of ours exists there
  organization text,
  project text,
  fingerprint text,
  input_file_id text,
  input_file_created_at integer,      -- the service's clock
  uploads integer not null default 0,
  creates integer not null default 0,
  intent_at integer,
  intent_server_at integer,
  file_seen_at integer,               -- this account could GET the input file: only then does a later 404 mean that the fence stands
  fenced_at integer,
  fenced_server_at integer,
  remote_id text unique,
  remote_status text,
  remote text,                        -- the service's object as last seen, JSON
  created_at integer,
  ended_at integer,
  collected_at integer,
  next_at integer not null default 0,
  polls integer not null default 0,
  errors integer not null default 0,  -- consecutive passes in which the next step did not work
  misses integer not null default 0,  -- polls in a row that were answered with 404
  audit_until integer,                -- sweeps look for duplicates until then
  -- 1: by a person, whose job is cancelled; 2: by a deadline, and its items go on live; 3: by a submit that asks some of them otherwise
  cancel_requested integer not null default 0,
  cancel_sent_at integer,
  takes_unreadable integer not null default 0,  -- 1: a person said to settle it although many result lines cannot be read
  cleaned_at integer,                 -- its files on the service were deleted (`delete_remote`)
  lost_at integer,                    -- given up as lost; its items may have been asked again since
  reason text,                        -- why it waits, was rejected or lost
  failed_call text,                   -- JSON: time, HTTP status, code and request id of the last call about it that the service answered with an error
  needs_person integer not null default 0  -- 1: it does not go on by itself, and the reason says what somebody must do
) strict;
create index batches_open on batch_rows (state) where {IS_OPEN_BATCH};

create table result_files (
  batch integer not null references batch_rows,
  kind integer not null,              -- 0 output, 1 error: spool/results/<batch>-output.jsonl, <batch>-error.jsonl
  remote_file_id text not null,
  bytes integer not null,
  checksum text,                      -- of the bytes that came; null while `forget` is at work on them
  removed_at integer,                 -- pruned or forgotten: no longer on disk
  primary key (batch, kind)
) strict, without rowid;

create table result_rows (
  item integer primary key,
  batch integer not null,
  send integer not null,
{_ATTEMPT}) strict;

create index result_rows_pictures on result_rows (item) where instr(extras, '"images":[{{') > 0;  -- few answers have any

create index result_rows_uncertain on result_rows (item) where cause = 'uncertain';

create table history (
  id integer primary key,
  item integer not null,
  batch integer not null,
  send integer not null,
{_ATTEMPT}) strict;
create index history_by_item on history (item);

create table models (id integer primary key, name text not null unique) strict;

create table bad_items (              -- items that could not be rendered, within the job's bad_items
  item integer primary key references item_rows,
  cause text not null,
  message text not null,
  has_id integer not null default 0   -- 1: the item's name is the id that it has in the data, and no other item has it
) strict;

create table incidents (
  id integer primary key,
  at integer not null,
  job integer references jobs,
  batch integer references batch_rows,
  kind text not null,
  message text not null,
  detail text
) strict;

create table events (
  id integer primary key,
  at integer not null,
  job integer references jobs,
  batch integer references batch_rows,
  event text not null,
  before integer,
  after integer,
  n integer not null default 1,       -- items moved; 1 for a batch
  vanished integer not null default 0,
  detail text
) strict;
create index events_by_batch on events (batch) where batch is not null;
"""
