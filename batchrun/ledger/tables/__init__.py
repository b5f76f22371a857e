"""The ledger's tables and views, as SQL; `schema.py` makes them.

asked.py    what is to be asked: jobs, their submissions, items and request files
sent.py     what was sent and what came back: batches, results, the record of both
beside.py   what stands beside the way of an item: wishes, what is forgotten, other ledgers, accounts, holds
equals.py   which items wait for the answer to an equal request, and which got one
money.py    what batches may cost and did
views.py    the same for people, by name

Shape of the data, and why:

* An item row is narrow and points into an immutable request file (file, offset): the bytes of its request without custom_id, up to their newline.
  Rendering happens once; what was sent stays provable, and a ledger of a million items stays under 80 MB.
* Items have an `id` of the user (`key`), or none: then they are matched by request hash and named by line (`name`).
* Pending items are found without an index on state: either their whole request file is still `fresh`, or they stand in `queue`.
* Every settled attempt is one row: the last of an item in `result_rows` (so that outputs are one merge join), earlier ones in `history`.
* `item_counts` is kept in the same transaction as every change of state, so that planning and `status` never scan items.
* The hot tables (item_rows, result_rows, history) carry no foreign keys: a check per row costs as much as the row.
* Numbers for states are those of `states.py`; the views show names.
"""
