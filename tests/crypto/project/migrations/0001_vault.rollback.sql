drop table vault.messages;
drop view vault.credentials;
drop table vault.channels;
drop schema vault;
