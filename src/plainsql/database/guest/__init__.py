"""Connections that the program has opened: plainsql is a guest on them."""
