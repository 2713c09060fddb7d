-- What the application asked before; a name or a column that is gone makes this an error, which is no pass.
SELECT (SELECT count(*) FROM users AS u LEFT JOIN user_settings AS s ON s.user_id = u.id WHERE u.is_active AND coalesce(s.theme, 'light') = 'light')
  + (SELECT count(h.file_name) FROM audio_history AS h LEFT JOIN workspaces AS w ON w.id = h.workspace_id)
  + (SELECT count(*) FROM workspace_users AS m JOIN workspaces AS w ON w.id = m.workspace_id WHERE m.role = 'member')
  + (SELECT count(token) FROM sessions) + (SELECT count(token) FROM workspace_invitations WHERE accepted_at IS NULL)
