"""The queries of a running release on the schema that new migrations make."""
