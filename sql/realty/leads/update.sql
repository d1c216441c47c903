-- Change the given columns of a lead, and leave the others.
-- returns: optional Lead
update realty.leads as l
set
  name = :name,                          --?
  email = :email,                        --?
  phone = :phone,                        --?
  telegram_chat_id = :telegram_chat_id,  --?
  updated_at = now()
where l.id = :id
returning
  l.id,
  l.name,
  l.email,
  l.phone,
  l.telegram_chat_id,
  l.created_at,
  l.updated_at
