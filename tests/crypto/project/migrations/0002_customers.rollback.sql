drop table vault.customers;
