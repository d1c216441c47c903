-- The indexes behind search: HNSW for meaning (cosine distance), GIN for words.
-- Lock: share on realty.projects and realty.properties: writers wait until the file is done,
-- readers do not.
-- Time: milliseconds while the tables are empty, as they are after the files before this one. On
-- 100,000 embeddings an HNSW index of 1,536 dimensions takes minutes: raise maintenance_work_mem
-- (about 8 kB a row) and max_parallel_maintenance_workers first.
-- Undone by 0008_search_indexes.rollback.sql; searches then read whole tables and stay right.
--
-- m and ef_construction are pgvector's defaults, written down because changing them means building
-- anew.
create index projects_embedding_idx on realty.projects
using hnsw (embedding vector_cosine_ops)
with (m = 16, ef_construction = 64);

create index properties_embedding_idx on realty.properties
using hnsw (embedding vector_cosine_ops)
with (m = 16, ef_construction = 64);

create index projects_words_idx on realty.projects using gin (words);

create index properties_words_idx on realty.properties using gin (words);
