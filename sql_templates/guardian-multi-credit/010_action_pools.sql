-- Which pool an action is paid from. A table of its own, and a transaction of its own: a call reads the actions first and locks
-- the balance then, so whoever locks both the other way round ends one of the calls as a deadlock.
ALTER TABLE credit_actions ADD COLUMN pool text
  CONSTRAINT credit_actions_pool_known CHECK (pool IN ('ai', 'whatsapp', 'email', 'sms'));
UPDATE credit_actions
SET pool = CASE
  WHEN action_type LIKE 'whatsapp%' THEN 'whatsapp' WHEN action_type LIKE 'email%' THEN 'email'
  WHEN action_type LIKE 'sms%' THEN 'sms' ELSE 'ai' END;
