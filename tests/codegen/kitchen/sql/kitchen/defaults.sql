-- A default of every kind, and bounds without one.
-- returns: value
-- param ratio: 0.5..5.5
-- param price: 0.. = 3
-- param share: = 2
-- param note: = 'it''s "so" \ here'
-- param mood: = 'back\slash'
-- param wanted: = true
-- param day: = null
select concat(
  :ratio::numeric,
  :price::numeric,
  :share::double precision,
  :note::text,
  :mood::mood,
  :wanted::boolean,
  :day::date
) as text
