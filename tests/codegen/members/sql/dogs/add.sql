-- Add a dog.
-- returns: one Dog
-- param mood: = 'very happy'
-- column document: Document
insert into dogs (mood, good, moods, portrait, kennel, kind, document)
values (:mood, :good, :moods, :portrait, :kennel, :kind, :document)
returning id, mood, good, moods, portrait, kennel, kind, document
