-- Drop the indexes behind search.
drop index documents_metadata_idx;

drop index documents_words_idx;

drop index documents_terms_idx;

drop index documents_subvector_idx;

drop index documents_binary_idx;

drop index documents_half_idx;

drop index documents_embedding_idx;
