-- Trust scores in double precision: what Python writes as 0.7 is read as 0.7, and not as
-- 0.699999988079071.
-- Lock: access exclusive on marketplace.buyers while it is rewritten: readers and writers wait.
-- Time: about a second for a million buyers.
-- Undone by 0008_trust_scores.rollback.sql.
--
-- By way of the text, which is the shortest that is read back as the same real: 0.7 becomes 0.7.
-- Rights, the constraint and the default stay.
--
-- allow: alter-type-rewrite: about a second for a million buyers
-- allow: validate-at-once: the rewrite reads all rows anyway
alter table marketplace.buyers
alter column trust_score type double precision using trust_score::text::double precision;
