-- Trust scores in single precision again, rounded to about seven digits.
-- Lock: access exclusive on marketplace.buyers while it is rewritten: readers and writers wait.
alter table marketplace.buyers alter column trust_score type real;
