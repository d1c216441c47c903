"""The work of a server, by query: the statements that it has counted, and the sessions that run now.

``counters`` reads ``pg_stat_statements``, ``snapshots`` subtracts an earlier reading, and ``query_workload`` sums
the counters by query. ``statement_names`` finds the query's name in a statement, ``query_files`` its file,
and ``safe_text`` shortens the statements of other programs so that no value is shown.
"""
