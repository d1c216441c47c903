"""The server's catalog, read once: relations, routines, types, and what the server calls on its own."""
