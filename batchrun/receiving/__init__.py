"""RECEIVE: webhooks of a service wake the batches that they speak of, and a pass follows. Polling stays the fallback.

inbox.py   one event: signed, known, whose batch; what is due because of it
http.py    the wire in front of it
loop.py    passes: at once when an event came, else when the plan's next moment has
"""
