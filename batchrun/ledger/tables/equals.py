"""Tables of equal requests: who waits for whose answer, and which answers were given to more items than the one that asked."""

from typing import Final

EQUALS: Final = """
create table followers (              -- pending items that are neither queued nor in a fresh file: an equal request is asked for them
  item integer primary key references item_rows,
  job integer not null references jobs,
  leader integer not null,            -- the item that is asked
  tries integer not null default 0    -- how many before it were asked for this one, and brought no answer to share
) strict;
create index followers_by_job on followers (job);
create index followers_by_leader on followers (leader);

create table shared (                 -- items whose last answer was another's; its row in result_rows has send 0 and no tokens
  item integer primary key,
  source integer not null,            -- the item that was asked, perhaps of another job, perhaps forgotten since
  is_cached integer not null,         -- 1: it was answered by an earlier job
  input_tokens integer,               -- what that answer took, and this one did not
  cached_tokens integer,
  cache_write_tokens integer,
  output_tokens integer,
  reasoning_tokens integer
) strict;
"""
