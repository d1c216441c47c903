-- Drop pgvector. It refuses while a column of another table has one of its types.
drop extension vector;
