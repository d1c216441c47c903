"""The language server of ``plainsql lsp``: SQL files checked while they are written.

``edited_project`` keeps a project with its last check; ``edited_text`` and ``schema_names`` find what a text
names at a place; ``hovers``, ``completions``, ``destinations`` and ``outline`` answer from
these. ``language_server`` speaks the protocol, and it alone knows its library.
"""
