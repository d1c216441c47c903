-- Search the title and content of notes, best match first, with the matches marked.
--
-- It searches the notes of one user if given. For the next page, pass the last row's ``rank`` and
-- ``id``.
--
-- The query is read as a web search: all words must occur, "or" between two, quotes for a phrase, a
-- minus to exclude. The words are stemmed in the given language, or else in the user's. Notes in
-- other languages are found by the exact words.
--
-- The marks are put into the text as it was written. To show it as HTML, pass marks that occur in
-- no text, escape the result, and replace the marks by tags.
--
-- Implementation: the function looks the words up in an index, which a query under row-level
-- security cannot use: see the migration 0008_search. Only the notes of the page are marked,
-- because marking costs more than finding.
-- returns: many NoteMatch
-- param user_id: = null
-- param language_code: = null
-- param start_mark: = '<b>'
-- param stop_mark: = '</b>'
-- param limit: 1..200 = 20
-- column rank: not null
-- column content_highlight: not null
with
sought as (
  select
    assistant.sought_words(
      coalesce(
        :language_code,
        (
          select u.language_code
          from assistant.users as u
          where
            u.tenant_id = (select assistant.current_tenant())
            and u.id = :user_id
        )
      ),
      :query
    ) as words
),

found as (
  select
    f.id,
    f.rank
  from sought as s
  cross join lateral assistant.notes_with_words(:user_id, s.words) as f
  where (f.rank, f.id) < (:after_rank, :after_id)  --?
  order by f.rank desc, f.id desc
  limit :limit
)

select
  n.id,
  n.tenant_id,
  n.user_id,
  n.title,
  n.content,
  n.category,
  n.tags,
  n.priority,
  n.is_pinned,
  n.reminder_datetime,
  n.language_code,
  n.extra_data,
  n.reminded_at,
  n.created_at,
  n.created_by,
  n.updated_at,
  n.updated_by,
  f.rank,
  assistant.highlight(n.language_code, n.title, :query, true, :start_mark, :stop_mark)
    as title_highlight,
  assistant.highlight(n.language_code, n.content, :query, false, :start_mark, :stop_mark)
    as content_highlight
from found as f
inner join assistant.notes as n on f.id = n.id
where n.tenant_id = (select assistant.current_tenant())
order by f.rank desc, f.id desc
