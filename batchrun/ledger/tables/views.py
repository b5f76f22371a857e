"""Views for people who ask the ledger in SQL: names in place of numbers, one row for each thing they know."""

from typing import Final

from batchrun.ledger.states import BatchState, ItemState


def _names(enum: type[ItemState] | type[BatchState], column: str) -> str:
    cases = " ".join(f"when {int(s)} then '{s.name.lower()}'" for s in enum)
    return f"case {column} {cases} end"


VIEWS: Final = f"""
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
