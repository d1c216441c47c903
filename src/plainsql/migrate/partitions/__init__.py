"""Partitions by time, made ahead of time, and detached when their time is over."""

from __future__ import annotations

from plainsql.migrate.partitions.declared_partitions import DeclaredPartitions, declared_partitions
from plainsql.migrate.partitions.partition_run import PartitionRun, PartitionStep, ensure_partitions

__all__ = [
    "DeclaredPartitions",
    "PartitionRun",
    "PartitionStep",
    "declared_partitions",
    "ensure_partitions",
]
