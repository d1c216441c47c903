"""Reads on replicas from threads: a read brings its proof with it, on its own connection."""
