-- Drop the documents.
drop table documents;
