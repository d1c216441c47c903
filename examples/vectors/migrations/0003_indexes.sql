-- One index for each kind of search. Copy the one that your search needs: each costs memory, and
-- time for every row that is written.
-- Lock: share on documents: writers wait until the file is done, readers do not.
-- Time: milliseconds while the table is empty. On a table with rows create each index concurrently,
-- in a file of its own.
-- Undone by 0003_indexes.rollback.sql; searches then read the whole table and stay right.
--
-- m and ef_construction are pgvector's defaults.

-- Full precision: 4 bytes a dimension.
create index documents_embedding_idx on documents
using hnsw (embedding vector_cosine_ops)
with (m = 16, ef_construction = 64);

-- Half precision: 2 bytes a dimension, and up to 4,000 dimensions.
create index documents_half_idx on documents
using hnsw ((embedding::halfvec(128)) halfvec_cosine_ops)
with (m = 16, ef_construction = 64);

-- One bit a dimension, its sign.
create index documents_binary_idx on documents
using hnsw ((binary_quantize(embedding)::bit(128)) bit_hamming_ops)
with (m = 16, ef_construction = 64);

-- The first 32 dimensions, of a model that puts the most into the first.
create index documents_subvector_idx on documents
using hnsw ((subvector(embedding, 1, 32)::vector(32)) vector_cosine_ops)
with (m = 16, ef_construction = 64);

-- Sparse vectors, up to 1,000 terms a document.
create index documents_terms_idx on documents
using hnsw (terms sparsevec_ip_ops)
with (m = 16, ef_construction = 64);

create index documents_words_idx on documents using gin (words);

-- Containment (@>) only, which makes it smaller than an index with the default class.
create index documents_metadata_idx on documents using gin (metadata jsonb_path_ops);
