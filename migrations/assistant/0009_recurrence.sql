-- When events come back: what RFC 5545 calls a recurrence rule, by days.
-- Lock: access exclusive on assistant.events while its rows are looked through for the new
-- constraint: all wait. Time: milliseconds while the table is empty; seconds for a million events.
-- Undone by 0009_recurrence.rollback.sql; rules stay, and nothing reads them any more.
--
-- Understood: FREQ (DAILY, WEEKLY, MONTHLY, YEARLY), INTERVAL, COUNT, UNTIL, BYDAY (MO, 2TU, -1FR),
-- BYMONTHDAY (also from the end: -1), BYMONTH. What is not understood is refused when it is
-- written: a rule that were read wrongly would show in nobody's calendar, or in everybody's.
alter table assistant.events
drop constraint events_recurrence_rule_has_freq,
add constraint events_recurrence_rule_understood check (
  recurrence_rule ~ '^(RRULE:)?FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;|$)'
  and recurrence_rule ~ (
    '^(RRULE:)?FREQ=[A-Z]+'
    || '(;(INTERVAL=[1-9]\d{0,2}|COUNT=[1-9]\d{0,3}|UNTIL=\d{8}(T\d{6}Z?)?'
    || '|BYDAY=([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)(,([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU))*'
    || '|BYMONTHDAY=-?[1-9]\d?(,-?[1-9]\d?)*|BYMONTH=[1-9]\d?(,[1-9]\d?)*|WKST=MO))*;?$'
  )
);

-- Serves the calendar of a user: the few events that come back.
create index events_recurrence_rule_idx on assistant.events (tenant_id, user_id)
where recurrence_rule is not null and deleted_at is null;

-- The value of one part of a rule, or null.
create function assistant.rule_part(rule text, part text) returns text
language sql
immutable
strict
parallel safe
return substring(rule from '(?:^|[;:])' || part || '=([^;]+)');

comment on function assistant.rule_part(text, text) is 'One part of a recurrence rule';

-- When an event takes place, from a time until before another. It keeps its hour of the day in its
-- user's time zone, whatever clocks are changed in between. Its first time counts, whether the rule
-- names it or not.
--
-- Day by day from the first: fifty years are 18,000 days, and most calendars are asked for months.
create function assistant.occurrences(
  first_at timestamptz,
  rule text,
  time_zone text,
  since timestamptz,
  until timestamptz
) returns setof timestamptz
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  begins constant timestamp := first_at at time zone time_zone;
  first_day constant date := begins::date;
  frequency constant text := assistant.rule_part(rule, 'FREQ');
  step constant integer := coalesce(assistant.rule_part(rule, 'INTERVAL')::integer, 1);
  most constant integer := assistant.rule_part(rule, 'COUNT')::integer;
  weekdays constant text[] := string_to_array(assistant.rule_part(rule, 'BYDAY'), ',');
  monthdays constant integer[] := string_to_array(assistant.rule_part(rule, 'BYMONTHDAY'), ',')::integer[];
  months constant integer[] := string_to_array(assistant.rule_part(rule, 'BYMONTH'), ',')::integer[];
  last_of_rule constant text := assistant.rule_part(rule, 'UNTIL');
  -- The last local time that the rule allows; a day allows all of itself.
  last_at constant timestamp := case
    when last_of_rule like '%Z'
      then to_timestamp(last_of_rule, 'YYYYMMDD"T"HH24MISS')::timestamp
        at time zone 'UTC' at time zone time_zone
    when last_of_rule like '%T%' then to_timestamp(last_of_rule, 'YYYYMMDD"T"HH24MISS')::timestamp
    else to_date(last_of_rule, 'YYYYMMDD') + time '23:59:59.999999'
  end;
begin
  if rule is null then
    return query select first_at where first_at >= since and first_at < until;
    return;
  end if;

  return query
  with
  days as (
    select
      g.at::date as day,
      extract(isodow from g.at)::integer as weekday,
      extract(day from g.at)::integer as monthday,
      extract(month from g.at)::integer as month,
      extract(day from date_trunc('month', g.at) + interval '1 month' - interval '1 day')::integer
        as days_of_month,
      12 * (extract(year from g.at) - extract(year from begins))::integer
        + (extract(month from g.at) - extract(month from begins))::integer as months_since,
      (date_trunc('week', g.at)::date - date_trunc('week', begins)::date) / 7 as weeks_since,
      g.at::date - first_day as days_since
    from generate_series(
      first_day::timestamp, least(until at time zone time_zone, last_at), interval '1 day'
    ) as g (at)
  ),

  named as (
    select
      d.*,
      (array['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'])[d.weekday] as dayname,
      (d.monthday + 6) / 7 as nth,
      -((d.days_of_month - d.monthday) / 7 + 1) as nth_from_end
    from days as d
  ),

  chosen as (
    select
      (n.day + begins::time) at time zone time_zone as at,
      row_number() over (order by n.day) as number
    from named as n
    where
      n.days_since = 0
      or (
        case frequency
          when 'DAILY' then n.days_since
          when 'WEEKLY' then n.weeks_since
          when 'MONTHLY' then n.months_since
          else (extract(year from n.day) - extract(year from begins))::integer
        end % step = 0
        and case
          when months is not null then n.month = any (months)
          when frequency = 'YEARLY' then n.month = extract(month from begins)::integer
          else true
        end
        and case
          when monthdays is not null
            then n.monthday = any (monthdays) or n.monthday - n.days_of_month - 1 = any (monthdays)
          when weekdays is null and frequency in ('MONTHLY', 'YEARLY')
            then n.monthday = extract(day from begins)::integer
          else true
        end
        and case
          when weekdays is not null
            then
              n.dayname = any (weekdays)
              or n.nth || n.dayname = any (weekdays)
              or '+' || n.nth || n.dayname = any (weekdays)
              or n.nth_from_end || n.dayname = any (weekdays)
          when frequency = 'WEEKLY' then n.weekday = extract(isodow from begins)::integer
          else true
        end
      )
  )

  select c.at
  from chosen as c
  where
    (c.number <= most or most is null)
    and (c.at at time zone time_zone <= last_at or last_at is null)
    and c.at >= since
    and c.at < until
  order by c.at;
end
$$;

comment on function assistant.occurrences(timestamptz, text, text, timestamptz, timestamptz) is
'When an event takes place, by its recurrence rule. plainsql: reads nothing';
