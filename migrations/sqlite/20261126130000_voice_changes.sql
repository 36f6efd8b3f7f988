-- What PostgreSQL has triggers for is seen in a file by looking at it (pragma data_version): nothing is to be made here.
select 1;
