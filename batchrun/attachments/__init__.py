"""Files that go with a request: which ones an item names, whether they may be read, what they are, and how they get into the request.

attacher.py   templates of the job line + an item -> its attachments, each known by the hash of its content
confined.py   opening a file only where the job may read
kinds.py      what a file is, by its first bytes
pixels.py     how large an image is, by the same
filling.py    a request that names contents -> the request that carries or refers to them
"""
