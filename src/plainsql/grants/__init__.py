"""The privileges that a project's queries need: the least grants, and what a role has in comparison."""
