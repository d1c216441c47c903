-- Create a lead.
--
-- A Telegram chat belongs to one lead only: a second lead raises TelegramChatTaken.
-- returns: one Lead
-- param name: = null
-- param email: = null
-- param phone: = null
-- param telegram_chat_id: = null
-- error leads_telegram_chat_id_key: TelegramChatTaken
insert into realty.leads as l (
  name,
  email,
  phone,
  telegram_chat_id
)
values (
  :name,
  :email,
  :phone,
  :telegram_chat_id
)
returning
  l.id,
  l.name,
  l.email,
  l.phone,
  l.telegram_chat_id,
  l.created_at,
  l.updated_at
