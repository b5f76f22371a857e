"""batchrun: large piles of work through OpenAI's Batch API, from the command line."""

__version__ = "0.1.0"
