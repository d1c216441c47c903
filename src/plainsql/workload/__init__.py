"""The work of a server, by query: the statements that it has counted, and the sessions that run now.

``counters`` reads ``pg_stat_statements``, ``snapshots`` subtracts an earlier reading, and ``query_workload``
sums the counters by query. ``server_sessions`` reads ``pg_stat_activity``, and ``lock_tree`` orders the
sessions by their waits. ``index_builds`` reads the indexes, and the progress of those that are being built.
``statement_names`` finds the query's name in a statement, ``cut_statements`` in the beginning of one, and
``query_files`` its file.
"""
