"""Telling job lines from item lines, without decoding the millions of item lines between them.

A job line is an object with a `"job"` key at its top. Bytes that hold neither `"job"` nor an escape of one of its three letters cannot
be one, whatever JSON they are; only lines that do are decoded. A line that is *broken* but speaks of `"job":` counts as a job line too:
taken as an item of the job above, it would leave its own items to that job.
"""

import re

from batchrun.jobfile.jsonl import decode_line
from batchrun.jobfile.problems import Fault

_ESCAPED_LETTER = re.compile(rb"\\u00(?:6[aAfF2])")  # j, o, b as JSON escapes
_BROKEN_JOB_LINE = re.compile(rb'"job"\s*:')


def may_hold_job_line(data: bytes) -> bool:
    """False proves that no line of `data` is a job line."""
    if b'"job"' in data:
        return True
    return b"\\u00" in data and _ESCAPED_LETTER.search(data) is not None


def is_job_line(line: bytes) -> bool:
    """Whether this line starts a job, or is a broken line that meant to."""
    if not may_hold_job_line(line):
        return False
    try:
        return "job" in decode_line(line)
    except Fault:
        return _BROKEN_JOB_LINE.search(line) is not None
