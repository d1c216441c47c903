"""The results of queries on seeded data, compared with committed files.

``seed`` reads and applies the SQL of the seed, ``sequences`` lets each case begin with the same numbers,
``result_file`` is the form of a committed file, ``result_folder`` the place of each, ``placeholders`` are the
values that match any value, and ``row_differences`` compares the rows of a case.
"""
