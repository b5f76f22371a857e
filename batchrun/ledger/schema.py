"""The ledger's tables, views and migrations.

Shape of the data, and why:

* An item row is narrow and points into an immutable request file (file, offset): the bytes of its request without custom_id, up to their newline.
  Rendering happens once; what was sent stays provable, and a ledger of a million items stays under 80 MB.
* Items have an `id` of the user (`key`), or none: then they are matched by request hash and named by line (`name`).
* Pending items are found without an index on state: either their whole request file is still `fresh`, or they stand in `queue`.
* Every settled attempt is one row: the last of an item in `result_rows` (so that outputs are one merge join), earlier ones in `history`.
* `item_counts` is kept in the same transaction as every change of state, so that planning and `status` never scan items.
* The hot tables (item_rows, result_rows, history) carry no foreign keys: a check per row costs as much as the row.
* Numbers for states are those of `states.py`; the views show names.

A migration runs with its record in one transaction, after a copy of the database through SQLite's backup API.
"""

from typing import TYPE_CHECKING, Final

from batchrun.ledger.states import IS_OPEN_BATCH, BatchState, FileState, ItemState

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

SCHEMA_VERSION: Final = 1  # PRAGMA user_version: the number of migrations below

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
  output_tokens integer,
  reasoning_tokens integer,
  model integer,
  kind integer,
  offset integer,
  length integer,
  extras text                         -- a JSON object of what came beside the output: citations, calls, logprobs
"""

_TABLES: Final = f"""
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
  checksum text,
  first_item integer,
  last_item integer,
  is_canary integer not null default 0  -- 1: closed early, so that its items go before the rest of their submission
) strict;
create index request_files_fresh on request_files (job) where state = {int(FileState.FRESH)};

create table attachments (            -- contents that requests name, each in spool/attachments/<digest>.<form>
  digest blob primary key,            -- SHA-256
  bytes integer not null,
  form text not null                  -- png, pdf, wav, …: what it is by its first bytes
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
  cancel_requested integer not null default 0,  -- 1: by a person, whose job is cancelled; 2: by a deadline, and its items go on live
  cancel_sent_at integer,
  takes_unreadable integer not null default 0,  -- 1: a person said to settle it although many result lines cannot be read
  cleaned_at integer,                 -- its files on the service were deleted (`delete_remote`)
  lost_at integer,                    -- given up as lost; its items may have been asked again since
  reason text,                        -- why it waits, was rejected or lost
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

create table forgotten_usage (        -- what the attempts took whose rows were forgotten: counts and money stay
  batch integer not null references batch_rows,
  model integer,
  attempts integer not null,
  input_tokens integer not null,
  cached_tokens integer not null,
  output_tokens integer not null,
  reasoning_tokens integer not null
) strict;
create index forgotten_usage_by_batch on forgotten_usage (batch);

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


def _names(enum: type[ItemState] | type[BatchState], column: str) -> str:
    cases = " ".join(f"when {int(s)} then '{s.name.lower()}'" for s in enum)
    return f"case {column} {cases} end"


_VIEWS: Final = f"""
create view items as
select j.name as job, j.profile, coalesce(i.key, i.name) as id, {_names(ItemState, "i.state")} as state,
  i.sends, i.batch, i.vanished, f.id as request_file, i.offset, lower(hex(i.hash)) as request_hash, i.id as item
from item_rows i join jobs j on j.id = i.job left join request_files f on f.id = i.file;

create view results as
select j.name as job, j.profile, coalesce(i.key, i.name) as id, r.output ->> '$' as output, r.finish, r.input_tokens, r.output_tokens,
  m.name as model, r.attempts, r.batch, r.at, r.extras
from result_rows r join item_rows i on i.id = r.item join jobs j on j.id = i.job left join models m on m.id = r.model
where i.state = {int(ItemState.SUCCEEDED)} and i.vanished = 0;

create view failures as
select j.name as job, j.profile, coalesce(i.key, i.name) as id, coalesce(r.cause, b.cause) as cause,
  coalesce(r.message, b.message) as message, r.attempts, r.batch, r.at
from item_rows i join jobs j on j.id = i.job left join result_rows r on r.item = i.id left join bad_items b on b.item = i.id
where i.state = {int(ItemState.FAILED)} and i.vanished = 0;

create view progress as
select j.name as job, j.profile, {_names(ItemState, "c.state")} as state, c.n, c.vanished
from item_counts c join jobs j on j.id = c.job where c.n > 0;

create view batches as
select b.id, j.name as job, b.profile, {_names(BatchState, "b.state")} as state, b.remote_status, b.remote_id, b.model,
  b.request_count, datetime(b.created_at, 'unixepoch') as created, datetime(b.ended_at, 'unixepoch') as ended, b.reason
from batch_rows b join jobs j on j.id = b.job;
"""


def migrations() -> "Migrations":
    """The set, in order; sqlite-utils is imported here only, since reading commands never migrate."""
    from sqlite_utils.migrations import Migrations

    migration = Migrations("batchrun")

    def m001_initial(db: "Database") -> None:
        for script in (_TABLES, _VIEWS):
            for statement in _statements(script):
                db.execute(statement)
        db.execute("pragma user_version = 1")

    migration()(m001_initial)
    return migration


def _statements(script: str) -> list[str]:
    # executescript() would commit the open transaction; no statement of ours has a semicolon inside.
    lines = (line.split("--")[0].rstrip() for line in script.splitlines())
    return [s.strip() for s in "\n".join(lines).split(";") if s.strip()]
