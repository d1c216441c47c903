"""The soak of replicas: reads that see what was written and seen before, under faults of the replicas."""
