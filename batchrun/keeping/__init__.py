"""House-keeping: what of a home nobody needs any more, and what must not be kept. Everything here runs under the home's lock.

`prune` frees space and loses no answer. `forget` removes items, or a whole job, from every place that batchrun knows of. Both commit what they
are about to remove before they remove it, so that one which was killed is finished by the next (docs/keeping.md).
"""
