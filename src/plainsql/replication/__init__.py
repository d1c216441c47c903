"""Positions in the write-ahead log, and what reads on replicas require of them, for both drivers."""
