-- Add a document.
-- returns: value
insert into documents as d (title, body, metadata, embedding, terms)
values (:title, :body, :metadata, :embedding, :terms)
returning d.id
