-- A schema with a column of every kind. Lock: none on existing tables. Time: milliseconds.
create extension vector;

create type mood as enum ('plain', 'it''s', 'two "words"', 'back\slash', 'línea');

create domain email as text check (value like '%@%');

create type step as (what text, minutes integer, done boolean);

create type recipe as (steps step[], main step, mood mood);

create table dishes (
  id bigint generated always as identity primary key,
  name text not null,
  type mood not null default 'plain',
  date date not null default current_date,
  class_ text,
  stars smallint check (stars between 1 and 5),
  recipe recipe,
  payload jsonb not null default '{}',
  items jsonb,
  tags text[] not null default '{}',
  embedding vector(3)
);

create table cooks (
  id bigint generated always as identity primary key,
  dish_id bigint not null references dishes (id),
  name text not null,
  mail email
);

create table everything (
  id uuid primary key default gen_random_uuid(),
  a_bool boolean not null,
  an_int integer not null,
  a_float double precision not null,
  a_numeric numeric(12, 2) not null,
  a_text varchar(10) not null,
  a_char character(2) not null,
  some_bytes bytea not null,
  a_day date not null,
  a_time time not null,
  a_moment timestamptz not null,
  a_naive timestamp not null,
  a_span interval not null,
  some_json json not null,
  a_range int4range not null,
  a_multirange datemultirange not null,
  an_address inet not null,
  a_network cidr not null,
  some_bits varbit not null,
  a_point point not null,
  a_vector vector(3) not null,
  a_half halfvec(3) not null,
  a_sparse sparsevec(3) not null,
  a_mail email not null,
  a_mood mood not null,
  a_step step not null,
  some_numbers numeric[] not null,
  some_moods mood[] not null,
  some_steps step[] not null,
  some_documents jsonb[] not null,
  nothing text
);

create table guests (
  id bigint generated always as identity primary key,
  name text not null
);

create table bookings (
  id bigint generated always as identity primary key,
  guest_id bigint not null references guests (id),
  price numeric not null
);
