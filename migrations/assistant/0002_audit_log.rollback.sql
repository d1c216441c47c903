-- Drop the audit log.
drop table assistant.audit_log;

drop function assistant.refuse_change();

drop function assistant.record_change();
