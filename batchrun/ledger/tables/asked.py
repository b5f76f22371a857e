"""Tables of what is to be asked: jobs, their submissions, request files and attachments, items, and how their conversations go on."""

from typing import Final

from batchrun.ledger.states import FileState

ASKED: Final = f"""
create table meta (key text primary key, value text not null) strict;

create table jobs (
  id integer primary key,
  name text not null,
  profile text not null,
  source text not null,              -- absolute path of the job file that owns the name
  settings text not null,            -- JobSettings as JSON, of the last ready submission
  outputs text not null,             -- absolute folder
  submission integer,                -- the last ready one
  created_at integer not null,
  paused text,                       -- why nothing more is sent, or null; or its canary failed, which is read from the items
  pause_told_at integer,             -- when a person was told that it is paused, or null
  releases integer not null default 0,  -- releases in a row without any settled answer
  request_cap integer,               -- most requests of one batch, after the service found batches too large
  stale integer not null default 0,  -- 1: outputs are older than the ledger
  reported_at integer,               -- when a person was told that the job ended, or null
  sends_to text,                     -- the profile that its new batches go to, where that is not its own: its live twin
  deadline_at integer,               -- when what the last submit asked should be answered, or null
  live_since integer                 -- when the deadline made it leave its batches, or null
) strict;
create unique index jobs_by_name on jobs (name, profile);

create table held (                   -- what a person holds back: nothing more of it is sent
  job integer primary key,           -- 0: the whole home, jobs that come later too
  at integer not null,
  told_at integer                    -- when a pass told it, or null
) strict;

create table canaries (               -- askings of which a few items go first: all of a job line that shapes requests and how answers are judged
  job integer not null references jobs,
  asking blob not null,               -- a hash of it
  max_failed real not null,           -- shares of the items that went first
  max_truncated real not null,
  sends_to text,                      -- the profile that answers these items, where it is not the job's: its live twin
  settled_at integer,                 -- since when the rest may be sent; null: not yet, which is at most one of a job
  primary key (job, asking)
) strict, without rowid;

create table canary_items (           -- which items go first, while the rest waits
  job integer not null,
  item integer not null,
  primary key (job, item)
) strict, without rowid;

create table submissions (
  id integer primary key,
  job integer not null references jobs,
  state integer not null,            -- 0 preparing, 1 ready
  at integer not null,
  first_item integer not null,       -- ids from here on are new items of this submission
  items_from text,                   -- --items PATH, if it was given
  tally text not null default '{{}}' -- new, changed, unchanged, failed, vanished, bad, counted at ready
) strict;

create table criteria (               -- what answers are judged by: the labels or the schema that their requests ask for
  id integer primary key,
  job integer not null references jobs,
  labels text,                        -- JSON, as in JobSettings
  schema text
) strict;

create table request_files (
  id integer primary key,            -- spool/requests/<id>.jsonl
  job integer not null references jobs,
  submission integer references submissions,
  criteria integer references criteria, -- null where any text will do
  kind integer not null,             -- 0 rendered and sendable as it is, 1 rendered for items in flight, 2 cut from others
  state integer not null,            -- 0 writing, 1 fresh (its items wait for a batch), 2 used, 3 removed
  endpoint text not null,
  model text not null,
  request_count integer not null default 0,
  input_count integer not null default 0,
  bytes integer not null default 0,
  tokens integer,                     -- input tokens; null: nobody needed to count them
  checksum text,
  first_item integer,
  last_item integer,
  is_canary integer not null default 0  -- 1: closed early, so that its items go before the rest of their submission
) strict;
create index request_files_fresh on request_files (job) where state = {int(FileState.FRESH)};

create table attachments (            -- contents that requests name, each in spool/attachments/<digest>.<form>
  digest blob primary key,            -- SHA-256
  bytes integer not null,
  form text not null,                 -- png, pdf, wav, …: what it is by its first bytes
  width integer,                      -- of an image, in pixels
  height integer
) strict, without rowid;

create table attached (               -- which request names which content; filled in when a batch is cut
  file integer not null,              -- of request_files
  item integer not null,
  digest blob not null references attachments,
  primary key (file, item, digest)
) strict, without rowid;
create index attached_by_digest on attached (digest);

create table attachment_uploads (     -- contents on a service, referred to by file id while they live
  file_id text primary key,
  digest blob not null,
  profile text not null,
  base_url text not null,             -- account: an id means nothing anywhere else
  organization text not null,
  project text not null,
  fingerprint text not null,
  expires_at integer not null,
  is_forgotten integer not null default 0  -- 1: only forgotten items named it; it is deleted at the service, and then here
) strict, without rowid;
create index attachment_uploads_by_digest on attachment_uploads (digest);

create table item_rows (
  id integer primary key autoincrement, -- it stands in custom_ids: the number of a forgotten item is never given again
  job integer not null,
  key text,
  hash blob,
  file integer,
  offset integer,
  state integer not null,
  sends integer not null default 0,
  batch integer,
  vanished integer not null default 0,
  name text
) strict;
create unique index items_by_key on item_rows (job, key);

create table content_items (          -- items without an id of their own, by what they ask; kept apart so that the others pay nothing for it
  job integer not null,
  hash blob not null,
  item integer not null,
  primary key (job, hash, item)
) strict, without rowid;

create table item_order (             -- only where a later submission changed the order; else items are ordered by id
  item integer primary key references item_rows,
  position integer not null
) strict;

create table item_counts (
  job integer not null references jobs,
  state integer not null,
  vanished integer not null,
  n integer not null,
  primary key (job, state, vanished)
) strict, without rowid;

create table queue (                  -- pending items that are not in a fresh request file
  item integer primary key references item_rows,
  job integer not null references jobs,
  not_before integer not null
) strict;
create index queue_by_job on queue (job, not_before);

create table revisions (              -- an item changed by a submission that is not ready yet, or while it is in flight
  item integer not null references item_rows,
  submission integer not null references submissions,
  hash blob not null,
  file integer not null references request_files,
  offset integer not null,
  deferred integer not null,          -- 1: waits until the open attempt is settled
  primary key (item, submission)
) strict, without rowid;

create table turns (                  -- how a request goes on after an answer that is not the last; with the first request they make the next one
  item integer not null references item_rows,
  send integer not null,              -- the attempt whose answer it follows
  kind text not null,                 -- repair: shown what is wrong; grow: more room; calls: told what its calls returned
  additions text not null,            -- JSON array: said at the end of the conversation
  changes text not null,              -- JSON object: parameters in place of the request's own
  primary key (item, send)
) strict, without rowid;

create table tool_calls (             -- calls in answers; an item whose calls are not all answered is pending and not in the queue
  item integer not null references item_rows,
  send integer not null,              -- the attempt whose answer they stand in
  n integer not null,                 -- from 0
  job integer not null references jobs,
  call_id text not null,
  name text not null,
  arguments text not null,            -- as the model wrote them
  output text,                        -- what the model is told; null: not answered yet
  is_error integer not null default 0,
  at integer,                         -- when it was answered
  primary key (item, send, n)
) strict, without rowid;
create index tool_calls_open on tool_calls (job, item) where output is null;
"""
