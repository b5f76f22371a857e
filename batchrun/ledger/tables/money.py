"""Tables of what batches may cost and did. All amounts are picodollars; docs/budgets.md says what they mean."""

from typing import Final

MONEY: Final = """
create table bills (                  -- what a batch may cost and did, made with it where a limit is in force, and later where one comes
  batch integer primary key references batch_rows,
  account text not null,              -- whose money it is
  profile text not null,              -- of a live twin: the profile that it is the twin of
  job text not null,                  -- the name: what was spent stays spent when a job is forgotten
  tags text not null,                 -- JSON array
  price text not null,                -- JSON: rates, mode, table and date, as they were when it was made (money/frozen.py)
  opened_at integer not null,
  reserved integer not null,          -- the most that it can cost
  largest integer not null,           -- the most that one request of it can cost
  fees integer not null,              -- of what is reserved: for tools that the service runs, of which no usage tells
  cost integer,                       -- what it came to; null: not settled yet
  presumed integer not null default 0,  -- kept for requests of which nobody knows whether they were executed
  booked_at integer,                  -- the batch's end: the day and the month that this counts in; null: it counts in every one
  is_overrun integer not null default 0  -- 1: it cost more than was reserved, and nobody has looked at that yet
) strict;
create index bills_by_end on bills (booked_at);

create table batch_usage (            -- what the settled attempts of a batch took; it stays when they are forgotten
  batch integer not null references batch_rows,
  size integer not null,              -- thousands of input tokens of each, where prices have tiers (money/billed.py); 0: all others
  attempts integer not null,
  requests integer not null,          -- attempts that the service answered
  input_tokens integer not null,
  cached_tokens integer not null,
  cache_write_tokens integer not null,  -- as far as answers say it
  maybe_written_tokens integer not null,  -- input that was not cached, of answers that do not say how much of it was written to the cache
  output_tokens integer not null,
  reasoning_tokens integer not null,
  primary key (batch, size)
) strict, without rowid;

create table set_aside (              -- for what a deadline takes out of its batches: reserved before they are cancelled
  job_id integer primary key references jobs,
  account text not null,              -- as in bills
  profile text not null,
  job text not null,
  tags text not null,
  amount integer not null,            -- what is left of it
  at integer not null
) strict;

create table trials (                 -- what was asked in homes that are thrown away (`try`), and what a service made twice: it counts here all the same
  id integer primary key,
  account text not null,              -- as in bills
  profile text not null,
  job text not null,
  tags text not null,
  amount integer not null,            -- the most that it can cost; once it has ended, what it came to
  booked_at integer not null,
  is_settled integer not null default 0
) strict;

create table short_of_money (         -- jobs of which something waits for room in a limit
  job integer primary key references jobs,
  least integer not null,             -- the most that the next request of it can cost
  whole integer not null,             -- the most that its next batch can cost
  reason text not null,
  is_bound integer not null default 0,   -- 1: something that is out may make room by itself
  needs_resume integer not null default 0,  -- 1: a person has to let it go
  basis text not null default '',      -- what the amounts were found for: submission, number that wait, prices
  at integer not null,                -- since when
  told_at integer                     -- when a pass told it, or null
) strict;

create table budget_notices (         -- shares of limits that were reached, each once in a period; of another amount it is another limit
  scope text not null,
  name text not null,
  period text not null,
  since integer not null,             -- the beginning of the period; 0: of all time
  percent integer not null,
  is_hard integer not null,
  spent integer not null,
  amount integer not null,
  at integer not null,
  told_at integer,                    -- when a person was told, or null
  primary key (scope, name, period, since, percent, is_hard, amount)
) strict, without rowid;

create table queue_limits (           -- how many input tokens a service lets wait and run at once, as far as refusals taught it
  account text not null,
  model text not null,
  tokens integer not null,            -- so many of ours fit, in all likelihood
  stated integer,                     -- what the service called its limit last, or null
  at integer not null,                -- the last refusal
  refusals integer not null,          -- in a row
  until integer not null,             -- before that nothing is tried that may not fit
  primary key (account, model)
) strict, without rowid;
"""
