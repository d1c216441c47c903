-- Drop search in notes.
-- Lock: access exclusive on assistant.notes, for milliseconds.
drop function assistant.notes_with_tags(bigint, text[], text[]);

drop function assistant.notes_with_words(bigint, tsquery);

alter table assistant.notes drop column words;

drop function assistant.all_tags(text[]);

drop function assistant.any_tag(text[]);

drop function assistant.exact_word(text);

drop function assistant.highlight(text, text, text, boolean, text, text);

drop function assistant.sought_words(text, text);

drop function assistant.note_words(text, bigint, text, text, text, text[]);

drop function assistant.search_config(text);
