"""Failovers of a real cluster, three PostgreSQL servers under Patroni, while programs write to it."""
