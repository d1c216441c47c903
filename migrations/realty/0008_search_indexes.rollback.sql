-- Drop the indexes behind search.
drop index realty.properties_words_idx;

drop index realty.projects_words_idx;

drop index realty.properties_embedding_idx;

drop index realty.projects_embedding_idx;
