-- pgvector.
-- Lock: none on any table. Time: milliseconds.
-- Undone by 0001_vector.rollback.sql.
create extension if not exists vector;
