"""RECOVER: an empty, older or copied ledger is rebuilt from what the service still holds.

opening.py     a ledger to recover into, where there is none
scope.py       which batches of a service are ours, and the hold under which nothing is sent meanwhile
matching.py    requests that were sent -> items that ask the same
importing.py   a batch of the service -> a batch row with its items in flight, as if this ledger had created it
settling.py    one batch after the other: known, imported and settled, or left as what it is
unclaimed.py   what is no item's here: noted, and its answers kept
unplaced.py    answers that are no item's -> outputs/recovered-<batch>/
standing.py    where the jobs stand at its end
recovering.py  the order of it all
adopting.py    ADOPT: batches that other programs made become a job here, by the same import
brought.py     what their input files ask, read whole before anything is taken
taking.py      one of them, with its items, in one transaction

Recovering reads the service and never creates, cancels or deletes anything there. From a batch row on, everything is the normal life of a
batch: `running` settles it.
"""
