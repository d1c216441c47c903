"""The plans of queries at production's size, without production's data.

``statistics`` reads and keeps what the planner knows about production; ``copy`` is a database of the embedded
server in which the planner finds the same; ``explain`` makes the plans of a query on it,
and ``baseline`` compares them with those that are recorded in files.
"""
