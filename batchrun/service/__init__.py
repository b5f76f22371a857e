"""An OpenAI-compatible Batch service in one process: files, batches, an executor, responders, and an HTTP front.

It serves the embedded model, rehearsals and tests alike: `service.py` is its face, `http.py` puts the wire in front of it.
"""
