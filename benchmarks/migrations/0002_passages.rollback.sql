drop table bench.passages;
drop extension vector;
