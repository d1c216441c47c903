-- The lead of this Telegram chat.
-- returns: optional Lead
select
  l.id,
  l.name,
  l.email,
  l.phone,
  l.telegram_chat_id,
  l.created_at,
  l.updated_at
from realty.leads as l
where l.telegram_chat_id = :telegram_chat_id
