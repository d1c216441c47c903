-- Drop the buyers.
drop table marketplace.buyers;
