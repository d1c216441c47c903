"""The statistics of production, and the files that keep them.

``production_statistics`` has the classes, ``statistics_files`` the folder ``stats/``.
"""
