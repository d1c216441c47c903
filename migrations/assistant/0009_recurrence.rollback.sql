-- Drop what reads recurrence rules, and go back to the looser check of 0004_events.sql.
-- Lock: access exclusive on assistant.events while its rows are looked through.
drop function assistant.occurrences(timestamptz, text, text, timestamptz, timestamptz);

drop function assistant.rule_part(text, text);

drop index assistant.events_recurrence_rule_idx;

alter table assistant.events
drop constraint events_recurrence_rule_understood,
add constraint events_recurrence_rule_has_freq
check (recurrence_rule ~ '^(RRULE:)?([A-Z]+=[^;]+;)*FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;|$)');
