"""The results of queries on seeded data, compared with committed files.

``seed`` reads and applies the SQL of the seed, ``sequence_states`` lets each case begin with the same numbers,
``result_file`` is the form of a committed file, ``result_folder`` the place of each, ``volatile_values`` are the
values that match any value, and ``row_differences`` compares the rows of a case.
"""
