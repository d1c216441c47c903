drop table vault.messages;
drop table vault.channels;
drop schema vault;
