"""The changes of a project since a git ref: its queries, findings, migrations and plans."""
