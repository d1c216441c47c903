"""The effects of a statement: the tables it reads and writes, and what it may change or leave behind."""
