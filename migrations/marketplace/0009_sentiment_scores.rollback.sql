-- Sentiment scores in single precision again, rounded to about seven digits.
-- Lock: access exclusive on marketplace.conversations while it is rewritten: readers and writers
-- wait.
alter table marketplace.conversations alter column sentiment_score type real;
