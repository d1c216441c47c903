"""The proof of the cache: readers and writers in several processes, faults, and a check of what was read.

``python -m benchmarks.cache_soak --seconds 300 --json``. `worker` is one process, `faults` what happens to it
and to Redis, `history` the check, `broken` protocols that the check must find out.
"""
