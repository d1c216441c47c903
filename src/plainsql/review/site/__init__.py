"""The review as a folder of static pages, which needs no server and no network."""
