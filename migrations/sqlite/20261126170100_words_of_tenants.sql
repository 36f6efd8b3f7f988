-- Words are found here without an index of their own, within the rows of one tenant. PostgreSQL has one, made in the migration of
-- this name.
select 1;
