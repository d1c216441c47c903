-- Sentiment scores in double precision, as 0008_trust_scores.sql does for trust scores.
-- Lock: access exclusive on marketplace.conversations while it is rewritten: readers and writers
-- wait.
-- Time: a few seconds for a million conversations.
-- Undone by 0009_sentiment_scores.rollback.sql.
--
-- allow: alter-type-rewrite: a few seconds for a million conversations
-- allow: validate-at-once: the rewrite reads all rows anyway
alter table marketplace.conversations
alter column sentiment_score type double precision using sentiment_score::text::double precision;
