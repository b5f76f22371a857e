"""What a service's support asks for, in one file that gives nothing else away: chosen field by field, never cut out of something larger.

redacting.py    what of a service's own words may leave: nothing that was asked, answered or meant as a secret
resultline.py   a result line as support knows it: ids, status, error
batches.py      batches as support knows them, with what they took and cost
collecting.py   the whole of it, from the ledger and the spool
writing.py      the same for reading
"""
