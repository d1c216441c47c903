-- The reminders of chats.
create table reminders (
  id bigint generated always as identity primary key,
  chat_id bigint not null,
  text text not null,
  due_at timestamptz not null,
  sent_at timestamptz
);
create index reminders_due on reminders (due_at, id) where sent_at is null;
create index reminders_of_chat on reminders (chat_id, due_at, id) where sent_at is null;
