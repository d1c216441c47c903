drop table bench.texts;
