"""plainsql side by side with what else there is: ``make bench``, or ``python -m benchmarks``.

In the order in which a run goes through them: `run`, `database` (one scratch server, one set of data),
`contenders` (one module each), `cases` (one module each), `rounds` (what is timed, and how), `streams`,
`imports`, `spread` (medians and ratios), `headlines`, `report`, `chart`. docs/benchmarks.md says how to read
what they print.
"""
