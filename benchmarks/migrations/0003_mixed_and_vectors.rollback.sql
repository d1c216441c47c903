drop table bench.vectors;
drop table bench.visits;
