"""Findings: what plainsql check reports of a statement or of the schema."""
