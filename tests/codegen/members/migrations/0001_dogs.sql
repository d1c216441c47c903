-- Dogs, and enums whose labels are no names. Lock: none on existing tables. Time: milliseconds.
create schema kennel;

create type mood as enum ('sad', 'ok', 'very happy', 'Very Happy', 'A+', 'A-', '', 'class', '1st', 'ünïcode', '_x_');

create type kennel.mood as enum ('calm');

create type literal as enum ('a');

create type portrait as (mood mood, moods mood[]);

create domain good_mood as mood check (value <> 'sad');

create table dogs (
  id bigint generated always as identity primary key,
  mood mood not null,
  good good_mood,
  moods mood[] not null default '{}',
  portrait portrait,
  kennel kennel.mood,
  kind literal,
  document jsonb
);
