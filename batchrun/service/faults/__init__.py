"""A service that misbehaves by script: lost answers, lagging listings, broken files, so that a bad night can be rehearsed.

`words.py` and `kinds.py` are the language, `script.py` reads it, `matching.py` decides (pure), `memory.py` keeps what has fired in the
service's folder. What is wrong inside the service is done by `service.py` with `showing.py`, `course.py` and `resultlines.py`; what is
wrong on the wire by `wire.py` with `exchange.py`, `refusing.py` and `spoiling.py`. The truth of what was billed is never touched.
"""
