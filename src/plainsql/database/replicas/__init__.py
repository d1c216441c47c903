"""Read replicas: which server a read runs on, and proof that it is new enough there."""
