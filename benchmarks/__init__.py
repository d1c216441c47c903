"""plainsql side by side with what else there is: ``make bench``, or ``python -m benchmarks``.

In the order in which a run goes through them: `options`, `database` (one scratch server, one set of data),
`contenders` (one module each), `cases` (one module each), `rounds` (what is timed, and how), `spread` (medians and
ratios), `report` and `chart`. docs/benchmarks.md says how to read the numbers.
"""
