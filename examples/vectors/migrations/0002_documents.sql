-- The documents, with the embedding and the weighted terms of each.
-- Lock: none on any existing table.
-- Time: milliseconds.
-- Undone by 0002_documents.rollback.sql.
create table documents (
  id bigint generated always as identity,
  title text not null,
  body text not null,
  metadata jsonb not null default '{}',
  embedding vector(128) not null,
  terms sparsevec(4096) not null,
  words tsvector not null generated always as (
    to_tsvector('pg_catalog.english', title || ' ' || body)
  ) stored,
  constraint documents_pkey primary key (id),
  constraint documents_metadata_is_object check (jsonb_typeof(metadata) = 'object'),
  -- The cosine distance to a vector of length 0 is no number.
  constraint documents_embedding_not_zero check (vector_norm(embedding) > 0)
);

comment on column documents.metadata is
'What the source knows: {"kind": "guide", "language": "en", "year": 2024}';
comment on column documents.embedding is 'The meaning of the text';
comment on column documents.terms is 'The weight of each term of the text, from a sparse model';
