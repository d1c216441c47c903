"""The results of queries on seeded data, compared with committed files.

``seed`` reads and applies the SQL of the seed, and ``sequence_states`` lets each case begin with the same
numbers. ``result_file`` is the form of a committed file, and ``result_folder`` the place of each.
``volatile_values`` finds what differs in each run, and ``row_differences`` compares the rows of a case.
"""
