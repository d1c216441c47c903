"""The review of a project: the facts about its queries, tables and migrations, as pages for a reader."""
