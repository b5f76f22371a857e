"""The embedded model: where its files are, the process that it runs in, and how it chooses between labels."""
