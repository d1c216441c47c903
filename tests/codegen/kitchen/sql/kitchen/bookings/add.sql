-- A booking of a guest.
-- returns: one Booking
insert into bookings as b (guest_id, price)
values (:guest_id, :price)
returning b.id, b.guest_id, b.price
